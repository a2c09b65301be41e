"""What an operator can set, each with its unit and the reason for its default.

Values come from the environment. For the service `points` the field `database_url` is looked for as

    REGULARS_POINTS_DATABASE_URL, REGULARS_POINTS_DATABASE_URL_FILE,
    REGULARS_DATABASE_URL, REGULARS_DATABASE_URL_FILE

and the first that is set wins. A `*_FILE` variable names a file whose content is the value, as container
platforms mount secrets. Lists are comma-separated or JSON.
"""

import json
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from shared.environment import variable

PREFIX = "REGULARS_"
DEVELOPMENT_KEY = "rk_development"
DEVELOPMENT_SIGNING_KEY = "regulars-development-signing-key"
MINIMUM_SECRET_CHARACTERS = 32


class Environment(PydanticBaseSettingsSource):
    """Reads REGULARS_<SERVICE>_<FIELD> before REGULARS_<FIELD>; with _FILE, from the file it names."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        service = self.settings_cls.model_fields["service"].default
        prefixes = (f"{PREFIX}{service.upper()}_", PREFIX) if service else (PREFIX,)
        for prefix in prefixes:
            found = variable(f"{prefix}{field_name.upper()}")
            if found is not None:
                return found, field_name, False
        return None, field_name, False

    def prepare_field_value(
        self, field_name: str, field: FieldInfo, value: Any, value_is_complex: bool
    ) -> Any:
        if not self.field_is_complex(field) or not isinstance(value, str):
            return value
        if value.lstrip().startswith(("[", "{")):
            return json.loads(value)
        return [item.strip() for item in value.split(",") if item.strip()]

    def __call__(self) -> dict[str, Any]:
        values = {}
        for name, field in self.settings_cls.model_fields.items():
            found, _, _ = self.get_field_value(field, name)
            if found is not None:
                values[name] = self.prepare_field_value(name, field, found, False)
        return values


class ServiceSettings(BaseSettings):
    """Settings that all services have; each service adds its own in a subclass that names its `service`."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    service: str = Field(
        "", description="Name of the service, fixed by its code: it prefixes its own variables."
    )
    profile: Literal["embedded", "production"] = Field(
        "embedded",
        description="`embedded` runs on one machine with development secrets; `production` refuses them.",
    )
    role: Literal["api", "worker", "all"] = Field(
        "all",
        description="What this process does: `api` answers HTTP, `worker` runs consumers, relay and jobs; "
        "larger deployments scale them apart.",
    )
    host: str = Field(
        "127.0.0.1", description="Address to listen on; loopback, so that nothing is exposed by accident."
    )
    port: int = Field(8000, ge=0, le=65535, description="TCP port to listen on; 0 takes a free one.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least important log event that is written."
    )
    access_log: bool = Field(
        False,
        description="Log every request; off because metrics and traces tell the same for less.",
    )

    otel_endpoint: str | None = Field(
        None, description="OTLP/HTTP address that spans are sent to; needs the extra `otel`."
    )

    database_url: SecretStr = Field(
        SecretStr("postgresql://127.0.0.1:5432/regulars"),
        description="PostgreSQL database of this service alone, as postgresql://user:password@host:port/name.",
    )
    database_pool_size: int = Field(
        10,
        ge=1,
        le=200,
        description="Connections per process; group commit needs few, PostgreSQL allows 100 by default.",
    )
    database_pool_timeout_seconds: float = Field(
        5.0,
        gt=0,
        description="Wait for a free connection before answering 503; callers give up at about 10 s.",
    )
    database_connect_timeout_seconds: float = Field(
        5.0, gt=0, description="Wait for a new connection; beyond it the database counts as away."
    )
    database_statement_timeout_seconds: float = Field(
        30.0,
        gt=0,
        description="Longest statement of a request or batch; a stuck one would hold back every event.",
    )
    database_lock_timeout_seconds: float = Field(
        10.0, gt=0, description="Longest wait for a row lock; beyond it the work is put back and repeated."
    )

    bus: Literal["postgres", "kafka"] = Field(
        "postgres", description="Carrier of events: a log in PostgreSQL for one machine, or Apache Kafka."
    )
    bus_database_url: SecretStr | None = Field(
        None, description="Database that holds the log when `bus` is `postgres`; all services share it."
    )
    kafka_bootstrap: str = Field(
        "127.0.0.1:9092", description="host:port,… of Kafka brokers to ask first when `bus` is `kafka`."
    )
    bus_ping_seconds: float = Field(
        5.0,
        gt=0,
        description="Time between looks at the bus for /readyz and metrics; they must not add load.",
    )

    dev_key: SecretStr | None = Field(
        None,
        description="API key that may do everything, from loopback only and in the embedded profile only; "
        "the default there is `rk_development`.",
    )
    key_cache_seconds: float = Field(
        10.0,
        ge=0,
        le=60,
        description="How long a judged API key is remembered; a revoked key dies within it.",
    )
    key_cache_entries: int = Field(
        4096,
        ge=1,
        description="API keys remembered at once; a flood of made-up keys must not fill the memory.",
    )
    signing_keys: list[SecretStr] = Field(
        default_factory=lambda: [SecretStr(DEVELOPMENT_SIGNING_KEY)],
        min_length=1,
        description="Secrets of 32 characters or more for links; the first signs, all verify, so that "
        "keys can rotate.",
    )
    oidc_issuer: str | None = Field(
        None, description="Issuer whose access tokens are accepted beside API keys."
    )
    oidc_jwks_url: str | None = Field(
        None, description="Where the issuer publishes its keys; https in production."
    )
    oidc_audience: str | None = Field(
        None, description="Audience that a token must name, so that one meant for others is no good here."
    )
    oidc_algorithms: list[str] = Field(
        default_factory=lambda: ["RS256", "ES256"],
        description="Signature algorithms accepted: pinned and asymmetric, since with a symmetric one "
        "whoever verifies could also mint.",
    )
    oidc_jwks_cache_seconds: int = Field(
        300,
        ge=10,
        description="How long the issuer's keys are remembered; unknown key ids are fetched at once.",
    )

    request_body_max_bytes: int = Field(
        2 * 1024 * 1024, ge=1024, description="Largest request body in bytes; a batch route states its own."
    )

    consumer_batch_records: int = Field(
        2000,
        ge=1,
        le=16384,
        description="Most records in one consumer transaction; larger ones hold their locks for longer.",
    )
    consumer_linger_seconds: float = Field(
        0.1,
        ge=0,
        le=5,
        description="Pause after a batch that was not full, so that at a moderate rate events come in "
        "batches worth a transaction; what it costs is this much delay. Events that come farther apart than "
        "this are handled at once.",
    )
    consumer_wait_seconds: float = Field(
        0.5,
        ge=0,
        le=5,
        description="Longest wait for records; they are taken as soon as any are there, so this only paces "
        "an idle consumer and bounds how late it notices that it should stop.",
    )
    consumer_backoff_max_seconds: float = Field(
        5.0,
        gt=0,
        description="Longest pause between attempts in an outage; short, because recovery should be seen.",
    )
    dead_letter_stop_ratio: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Share of the window that may be refused before the consumer stops: then the code is at "
        "fault, not the records.",
    )
    dead_letter_stop_window: int = Field(
        200, ge=1, description="Latest records over which the share is taken; fewer never stop a consumer."
    )

    outbox_linger_seconds: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Pause of the relay after a round that was not full; the first event after a silence "
        "goes out at once.",
    )
    outbox_batch_records: int = Field(
        5000,
        ge=1,
        le=50000,
        description="Most events that the relay publishes in one round, to bound its memory.",
    )
    outbox_poll_seconds: float = Field(
        1.0,
        gt=0,
        description="Longest sleep of the relay when no notification wakes it, in case one got lost.",
    )
    outbox_retention_seconds: int = Field(
        86_400, ge=60, description="How long published events stay for inspection before they leave in bulk."
    )
    inbox_retention_seconds: int = Field(
        1_209_600,
        ge=3600,
        description="How long the ids of handled events are kept; longer than the bus keeps a record "
        "(7 days), or a replay would be taken for news.",
    )
    idempotency_retention_seconds: int = Field(
        86_400, ge=60, description="How long the answer to an Idempotency-Key is kept for a retry."
    )

    group_commit_max_batch: int = Field(
        256,
        ge=1,
        le=4096,
        description="Most commands in one shared transaction; bounds how long the first waits.",
    )
    group_commit_linger_seconds: float = Field(
        0.01,
        ge=0,
        le=1,
        description="How long a few commands that come right after a batch wait for more; one that nobody "
        "came before never waits.",
    )
    group_commit_max_queue: int = Field(
        4096,
        ge=1,
        description="Most commands that wait; more get 503 at once instead of a wait nobody sits out.",
    )

    readiness_pause_seconds: float = Field(
        3.0,
        ge=0,
        description="Time between not ready and no longer listening, for load balancers to look elsewhere.",
    )
    drain_seconds: float = Field(
        20.0,
        ge=0,
        description="Time for running requests and batches to end; below Kubernetes' grace of 30 s.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, Environment(settings_cls)

    @model_validator(mode="before")
    @classmethod
    def _development_key(cls, values: dict[str, Any]) -> dict[str, Any]:
        if values.get("profile", "embedded") == "embedded":
            values.setdefault("dev_key", DEVELOPMENT_KEY)
        return values

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.bus == "postgres" and self.profile == "production" and self.bus_database_url is None:
            raise ValueError("bus_database_url must be set when bus is postgres")
        if bool(self.oidc_issuer) != bool(self.oidc_jwks_url):
            raise ValueError("oidc_issuer and oidc_jwks_url must be set together")
        if self.oidc_issuer and not self.oidc_audience:
            raise ValueError("oidc_audience must be set with oidc_issuer")
        for algorithm in self.oidc_algorithms:
            if algorithm.upper() == "NONE" or algorithm.upper().startswith("HS"):
                raise ValueError("oidc_algorithms must be asymmetric")
        return self

    @model_validator(mode="after")
    def _production_has_own_secrets(self) -> Self:
        if self.profile != "production":
            return self
        if self.dev_key is not None:
            raise ValueError("dev_key must not be set in production")
        if "database_url" not in self.model_fields_set:
            raise ValueError("database_url must be set in production")
        for key in self.signing_keys:
            secret = key.get_secret_value()
            if secret == DEVELOPMENT_SIGNING_KEY or len(secret) < MINIMUM_SECRET_CHARACTERS:
                raise ValueError(
                    "signing_keys must be your own, of at least 32 characters each, in production"
                )
        if self.oidc_jwks_url and not self.oidc_jwks_url.startswith("https://"):
            raise ValueError("oidc_jwks_url must be https in production")
        return self
