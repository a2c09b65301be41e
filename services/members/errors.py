"""Why members refuses; the docstring is the message."""

from shared.problems import Conflict, NotFound, Refusal

__all__ = [
    "AttributeSchemaInvalid",
    "AttributesInvalid",
    "BirthdayChangeLimitReached",
    "CancellationConflict",
    "DeliveryConflict",
    "GroupNotEmpty",
    "GroupNotFound",
    "IdentityTaken",
    "LockEnded",
    "MemberAlreadyMerged",
    "MemberErased",
    "MemberNotFound",
    "MergeCircle",
    "NotMerged",
    "OrderConflict",
    "OrderNotFound",
    "OrderTotalMismatch",
    "RefundConflict",
    "RefundCurrencyMismatch",
    "RefundExceedsOrder",
    "RefundLinesMismatch",
    "RevisionConflict",
    "SuggestionNotFound",
    "TooManyGroups",
    "TooManyIds",
    "TooManyItems",
    "TooManyTags",
    "UnknownOrderLine",
    "UnknownTier",
]


class OrderConflict(Conflict):
    """An order of this number came before with other content."""


class RefundConflict(Conflict):
    """A refund of this number came before with other content."""


class CancellationConflict(Conflict):
    """The order was cancelled before with other content."""


class DeliveryConflict(Conflict):
    """The order was said to be delivered before, at another time."""


class OrderTotalMismatch(Refusal):
    """The total is not what the lines, the shipping and the discount add up to."""


class RefundCurrencyMismatch(Refusal):
    """The refund is in another currency than the order."""


class RefundExceedsOrder(Refusal):
    """More would be refunded than was paid and is left."""


class RefundLinesMismatch(Refusal):
    """The refunded lines and shipping add up to more than the refund's amount."""


class UnknownOrderLine(Refusal):
    """The order has no line of that number."""


class TooManyItems(Refusal):
    """The batch has more items than one request may carry."""


class TooManyTags(Refusal):
    """The member would have more tags than one profile holds."""


class TooManyGroups(Refusal):
    """The member would be in more groups than one profile holds."""


class GroupNotEmpty(Conflict):
    """The group still has members."""


class GroupNotFound(NotFound):
    """There is no such group."""


class RevisionConflict(Refusal):
    """The member has changed since that revision; read it again."""

    status = 412


class BirthdayChangeLimitReached(Refusal):
    """The member has changed its birthday as often as it may within a year."""


class AttributesInvalid(Refusal):
    """The attributes are not what the program's schema asks for."""


class AttributeSchemaInvalid(Refusal):
    """This is not a JSON Schema (2020-12) that attributes can be judged by."""


class MemberNotFound(NotFound):
    """There is no such member."""


class MemberErased(Refusal):
    """The member was erased, and nothing more can be known about them."""

    status = 410


class MemberAlreadyMerged(Conflict):
    """The member is an alias of somebody else; undo that merge first."""


class IdentityTaken(Conflict):
    """The source knows somebody else by this name; if they are one person, merge them."""


class SuggestionNotFound(NotFound):
    """Nobody suggested that these two members are one person."""


class MergeCircle(Refusal):
    """A member cannot be merged into itself, or into somebody who is merged into it."""


class TooManyIds(Refusal):
    """The person would have more member ids than one person may have."""


class NotMerged(Conflict):
    """The member was not merged into that one."""


class OrderNotFound(NotFound):
    """There is no such order."""


class UnknownTier(Refusal):
    """The tier table has no tier of that name."""


class LockEnded(Refusal):
    """The lock would end before it begins."""
