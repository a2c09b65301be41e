"""Requests and answers of messaging's API."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from shared.schemas import JsonObject, StrictModel

__all__ = [
    "DeliveryOut",
    "MessageOut",
    "PreviewIn",
    "PreviewOut",
    "Summary",
    "SuppressionIn",
    "TemplateIn",
    "TemplateOut",
    "TriggerIn",
    "TriggerOut",
    "Triggers",
    "VariablePolicy",
    "WebhookCreated",
    "WebhookIn",
    "WebhookOut",
]

NAME_PATTERN = r"^[a-z0-9][a-z0-9_.-]{0,63}$"
Name = Annotated[str, Field(pattern=NAME_PATTERN, examples=["tier_welcome"])]
VariablePath = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]{0,63}(\.[a-z_][a-z0-9_]{0,63})?$")]
ChannelName = Literal["email", "webhook", "log"]
PurposeName = Literal["service", "marketing"]

MAX_TRIGGERS = 200
MAX_VARIABLES = 100
MAX_EVENT_TYPES = 100
MAX_BODY_CHARACTERS = 100_000


class VariablePolicy(StrictModel):
    """What happens when a variable that a template prints is missing: a default, or skip or fail."""

    default: Annotated[str | None, Field(max_length=1000)] = None
    missing: Literal["skip", "fail"] | None = None


class TemplateIn(StrictModel):
    """Content in Liquid. `html` is escaped; `text` is what every channel can fall back to."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "subject": "Welcome to {{ event.to_tier | capitalize }}",
                    "text": "Hello {{ member.display_name }}, thank you!",
                    "html": "<p>Hello {{ member.display_name }}, thank you!</p>",
                    "variables": {"member.display_name": {"default": "there"}},
                }
            ]
        }
    )

    subject: Annotated[str, Field(min_length=1, max_length=1000)]
    text: Annotated[str, Field(min_length=1, max_length=MAX_BODY_CHARACTERS)]
    html: Annotated[str | None, Field(max_length=MAX_BODY_CHARACTERS)] = None
    variables: Annotated[dict[VariablePath, VariablePolicy], Field(max_length=MAX_VARIABLES)] = Field(
        default_factory=dict
    )


class TemplateOut(BaseModel):
    """A version of a template."""

    name: str
    version: int
    subject: str
    text: str
    html: str | None
    variables: dict[str, dict[str, Any]]
    content_hash: str = Field(description="SHA-256 of the content, in hex.")
    created_at: datetime


class PreviewIn(StrictModel):
    """Values to fill a template with. With `member_id`, `member` is that member unless given here."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"variables": {"member": {"display_name": "Ana"}, "event": {"to_tier": "gold"}}}]
        }
    )

    member_id: UUID | None = None
    variables: JsonObject = Field(default_factory=dict)
    version: Annotated[int | None, Field(ge=1, le=1_000_000)] = None


class PreviewOut(BaseModel):
    """A template filled in."""

    name: str
    version: int
    subject: str
    text: str
    html: str | None


class TriggerIn(StrictModel):
    """When which template goes out. The id of a message follows from the trigger's name."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "gold_welcome",
                    "event": "member.tier_upgraded",
                    "condition": {"field": "event.to_tier", "op": "eq", "value": "gold"},
                    "template": "tier_welcome",
                    "channel": "email",
                    "purpose": "service",
                }
            ]
        }
    )

    name: Name | None = Field(
        None, description="Fixed for ever, by default made of event, channel and template."
    )
    event: Annotated[str, Field(max_length=64, examples=["member.tier_upgraded"])]
    condition: JsonObject | None = Field(
        None, description="On the event's fields, as `event.<field>`; none is always true."
    )
    template: Name
    channel: ChannelName
    purpose: PurposeName
    occurrence: Annotated[str | None, Field(max_length=100)] = Field(
        None,
        description="Field of the event whose value makes a message one of its kind per member, such as "
        "`event.to_tier`; by default every event is an occasion of its own.",
    )
    webhook_id: UUID | None = Field(None, description="Where messages of the webhook channel go.")


class TriggerOut(BaseModel):
    """A trigger. It hears events that were stated from `enabled_from` on."""

    name: str
    event: str
    condition: dict[str, Any] | None
    template: str
    channel: str
    purpose: str
    occurrence: str | None
    webhook_id: UUID | None
    enabled_from: datetime


class Triggers(BaseModel):
    """All triggers in their order."""

    items: list[TriggerOut]


class WebhookIn(StrictModel):
    """An address of yours that hears events."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"url": "https://shop.example.com/hooks", "event_types": ["member.tier_upgraded"]}]
        }
    )

    url: Annotated[str, Field(min_length=1, max_length=2000)]
    secret: Annotated[str | None, Field(max_length=200)] = Field(
        None, description="`whsec_` and 24 to 64 bytes in base64; made for you if absent."
    )
    event_types: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=MAX_EVENT_TYPES)] = (
        Field(default_factory=list, description="Events to hear; none for a webhook that gets messages only.")
    )


class WebhookOut(BaseModel):
    """A webhook, without its secret."""

    id: UUID
    url: str
    event_types: list[str]
    created_at: datetime
    disabled_at: datetime | None
    disabled_reason: str | None
    consecutive_failures: int


class WebhookCreated(WebhookOut):
    """A new webhook; the secret is shown this once."""

    secret: str


class DeliveryOut(BaseModel):
    """One event for one webhook; `id` is the `webhook-id` that the receiver sees."""

    id: UUID
    event_id: UUID
    event_type: str
    state: str
    reason: str | None
    attempts: int
    due_at: datetime
    created_at: datetime
    settled_at: datetime | None


class MessageOut(BaseModel):
    """A message and its fate; `verdicts` answers why."""

    id: UUID
    trigger: str
    member_id: UUID
    occurrence: str
    channel: str
    purpose: str
    template: str
    template_version: int
    event_type: str
    state: str
    reason: str
    verdicts: list[dict[str, Any]]
    attempts: int
    planned_at: datetime
    due_at: datetime
    submitted_at: datetime | None
    settled_at: datetime | None


class SuppressionIn(StrictModel):
    """An address to be left alone; it is kept as a hash."""

    channel: Literal["email"]
    address: Annotated[str, Field(min_length=3, max_length=254)]


class Summary(BaseModel):
    """Counts of everything."""

    messages: dict[str, int]
    by_trigger: dict[str, dict[str, int]]
    contacts: int
    consents: int
    open_deliveries: int
