"""What messaging refuses, and in which words."""

from shared.problems import Conflict, NotFound, Refusal

__all__ = [
    "InvalidAddress",
    "InvalidCondition",
    "InvalidTemplate",
    "InvalidWebhookSecret",
    "MemberUnknown",
    "MessageNotFound",
    "TemplateNotFound",
    "TemplateRenderingFailed",
    "TooManyWebhooks",
    "TriggerNameTaken",
    "UnknownEventForTrigger",
    "UnknownEventForWebhook",
    "WebhookInUse",
    "WebhookNotAllowed",
    "WebhookNotFound",
    "WebhookRequired",
]


class TemplateNotFound(NotFound):
    """There is no template of that name."""


class InvalidTemplate(Refusal):
    """The template cannot be published.

    Carries `errors`: where and what.
    """


class TemplateRenderingFailed(Refusal):
    """The template cannot be rendered with these variables."""


class UnknownEventForTrigger(Refusal):
    """No event of that type can trigger a message."""


class InvalidCondition(Refusal):
    """The condition cannot be read.

    Carries `pointer`, a JSON pointer into the condition.
    """


class TriggerNameTaken(Conflict):
    """Two triggers in one list have the same name."""


class WebhookRequired(Refusal):
    """A trigger on the webhook channel names the webhook that its messages go to, others do not."""


class WebhookNotFound(NotFound):
    """There is no webhook of that id."""


class WebhookNotAllowed(Refusal):
    """This address cannot be called: webhooks go to https addresses on the public internet."""


class TooManyWebhooks(Conflict):
    """There are as many webhooks as this installation allows."""


class WebhookInUse(Conflict):
    """A trigger still names this webhook."""


class InvalidWebhookSecret(Refusal):
    """A secret is `whsec_` and 24 to 64 bytes in base64."""


class UnknownEventForWebhook(Refusal):
    """No webhook can hear an event of that type."""


class MemberUnknown(NotFound):
    """Nothing is known here of that member."""


class MessageNotFound(NotFound):
    """There is no message of that id."""


class InvalidAddress(Refusal):
    """This is not an address on that channel."""
