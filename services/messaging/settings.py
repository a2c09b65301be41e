"""What an operator can set for messaging, each with its unit and reason."""

from functools import lru_cache
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from shared.settings import ServiceSettings

__all__ = ["MessagingSettings", "settings"]


class MessagingSettings(ServiceSettings):
    """Settings of messaging; `REGULARS_MESSAGING_SMTP_HOST` and so on."""

    service: str = "messaging"
    port: int = Field(8004, ge=0, le=65535, description="TCP port to listen on; 0 takes a free one.")
    consumer_linger_seconds: float = Field(
        0.2,
        ge=0,
        le=5,
        description="Pause after a batch that was not full; a message may leave this much later.",
    )
    public_url: str = Field(
        "http://127.0.0.1:8004",
        description="Address under which members reach this service: unsubscribe links start with it.",
    )

    smtp_host: str = Field("127.0.0.1", description="Host of the mail provider or relay.")
    smtp_port: int = Field(
        8025, ge=1, le=65535, description="TCP port of the relay; 8025 is where the local sink listens."
    )
    smtp_tls: Literal["none", "starttls", "tls"] = Field(
        "none",
        description="`starttls` or `tls` for anything beyond this machine; production refuses `none` with a "
        "password.",
    )
    smtp_username: str | None = Field(None, description="Account at the relay; none sends without login.")
    smtp_password: SecretStr | None = Field(None, description="Password of the account.")
    smtp_connections: int = Field(
        20,
        ge=1,
        le=200,
        description="Connections kept to the relay; most providers allow 10 to 20 from one sender.",
    )
    smtp_messages_per_connection: int = Field(
        1000,
        ge=1,
        description="Mails sent over one connection before a fresh one; relays cut off endless sessions.",
    )
    smtp_idle_seconds: float = Field(
        20.0, gt=0, description="A connection unused for longer is replaced; relays drop idle ones silently."
    )
    smtp_timeout_seconds: float = Field(
        30.0, gt=0, description="Longest time for one mail; beyond it the relay may or may not have taken it."
    )
    mail_from_address: str = Field(
        "hello@regulars.example.test", description="Sender address; its domain is in every Message-ID."
    )
    mail_from_name: str = Field("Regulars", max_length=200, description="Sender name that members see.")

    dispatch_batch_messages: int = Field(
        500, ge=1, le=5000, description="Messages claimed and rendered at once by one dispatcher."
    )
    dispatch_wave_messages: int = Field(
        64,
        ge=1,
        le=1000,
        description="Messages marked as submitted by one commit: this many per lane may be sent twice "
        "(service) or stay unknown (marketing) if the process is killed; fewer mean more commits.",
    )
    dispatch_lanes: int = Field(
        2, ge=1, le=16, description="Waves under way at once, so that sending and bookkeeping overlap."
    )
    dispatch_lease_seconds: float = Field(
        15.0,
        ge=2,
        description="How long a claim holds without renewal; a killed dispatcher's messages wait this long.",
    )
    message_max_attempts: int = Field(
        10, ge=1, le=100, description="Attempts before a message that is put off again and again has failed."
    )
    message_lifetime_seconds: int = Field(
        259_200, ge=60, description="Age (3 days) at which a message that could not be sent has failed."
    )
    retry_base_seconds: float = Field(2.0, gt=0, description="First ceiling of the wait after a failure.")
    retry_cap_seconds: float = Field(900.0, gt=0, description="Highest ceiling of the wait after failures.")
    profile_wait_seconds: float = Field(
        900.0,
        gt=0,
        description="How long a message waits for its member's profile, which travels on another topic.",
    )
    suppression_seconds: int = Field(
        2_592_000,
        ge=60,
        description="How long (30 days) an address that does not exist is left alone; full mailboxes and "
        "typing errors get another chance.",
    )

    template_max_characters: int = Field(
        100_000, ge=100, le=100_000, description="Longest body of a template; Gmail cuts mails at 102 kB."
    )

    webhook_allow_private: bool = Field(
        False,
        description="Let webhooks call http and private addresses; for one machine and tests, never in "
        "production.",
    )
    webhook_timeout_seconds: float = Field(
        10.0, gt=0, le=60, description="Whole time for one delivery; receivers should answer, then work."
    )
    webhook_connections: int = Field(20, ge=1, description="Deliveries under way at once.")
    webhook_max_attempts: int = Field(
        12, ge=1, le=50, description="Attempts per delivery; with back-off about a day and a half."
    )
    webhook_retry_base_seconds: float = Field(5.0, gt=0, description="First ceiling of the wait.")
    webhook_retry_cap_seconds: float = Field(21_600.0, gt=0, description="Highest ceiling of the wait.")
    webhook_disable_after_failures: int = Field(
        100,
        ge=1,
        description="Failed attempts in a row, over all deliveries, after which a webhook is switched off.",
    )
    webhooks_max: int = Field(
        100, ge=1, description="Webhooks that may exist: every event is written once per webhook."
    )

    @model_validator(mode="after")
    def _consistent_mail(self) -> Self:
        if "@" not in self.mail_from_address or not self.mail_from_address.isascii():
            raise ValueError("mail_from_address must be an address in ASCII")
        if (self.smtp_username is None) != (self.smtp_password is None):
            raise ValueError("smtp_username and smtp_password must be set together")
        if self.profile != "production":
            return self
        if self.webhook_allow_private:
            raise ValueError("webhook_allow_private must be off in production")
        if not self.public_url.startswith("https://"):
            raise ValueError("public_url must be https in production")
        if self.smtp_tls == "none" and self.smtp_password is not None:
            raise ValueError("smtp_tls must be starttls or tls to send a password in production")
        return self


@lru_cache
def settings() -> MessagingSettings:
    """The settings of this process, read from the environment once."""
    return MessagingSettings()
