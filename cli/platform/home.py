"""The directory that holds everything of one platform: data, logs, secrets, and where things listen."""

import fcntl
import hashlib
import os
import tempfile
from pathlib import Path
from typing import Literal

import msgspec

from shared.environment import variable

__all__ = ["SERVICES", "Bus", "Home", "NothingStarted", "PlatformState"]

Bus = Literal["postgres", "kafka"]

SERVICES: dict[str, int] = {
    "members": 8001,
    "points": 8002,
    "campaigns": 8003,
    "messaging": 8004,
    "analytics": 8005,
}
"""The five services and the ports they listen on unless told otherwise."""

DEFAULT_HOME = ".regulars"

# macOS allows 103 bytes for a Unix socket's path; supervisord first binds `<path>.<pid>`, so 10 stay free.
SOCKET_PATH_LIMIT = 93


class NothingStarted(RuntimeError):
    """There is no platform to speak of; the message says what to do."""


class PlatformState(msgspec.Struct, kw_only=True):
    """What other commands need to know of a platform that runs, or ran, under a home. Holds no secrets."""

    bus: Bus
    ports: dict[str, int]
    embedded_postgres: bool
    kafka_bootstrap: str | None
    mail_port: int | None
    pid: int


class Home:
    """Paths under one platform's directory."""

    def __init__(self, path: Path | str | None = None) -> None:
        """`path`, or else REGULARS_HOME, or else `.regulars` where the command was started."""
        chosen = path or os.environ.get("REGULARS_HOME") or DEFAULT_HOME
        self.path = Path(chosen).expanduser().resolve()
        self.postgres = self.path / "postgres"
        self.kafka = self.path / "kafka"
        self.logs = self.path / "logs"
        self.mail = self.path / "mail.ndjson"
        self.servers = self.path / "servers.json"
        self.failure = self.path / "servers.error"
        self.lock = self.path / "lock"
        self.supervisor_config = self.path / "supervisord.conf"
        self.supervisor_pid = self.path / "supervisord.pid"
        self._secrets = self.path / "secrets"
        self._state = self.path / "platform.json"

    def __str__(self) -> str:
        return str(self.path)

    def prepare(self) -> None:
        """Make the directories that the platform writes to."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.logs.mkdir(exist_ok=True)
        self._secrets.mkdir(mode=0o700, exist_ok=True)
        self.socket.parent.mkdir(mode=0o700, exist_ok=True)

    @property
    def socket(self) -> Path:
        """supervisord's socket: under the home, or in a short directory if the home's path is too long."""
        path = self.path / "supervisor.sock"
        if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT:
            return path
        digest = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"regulars-{os.geteuid()}-{digest}" / "supervisor.sock"

    # Secrets

    def secret_path(self, name: str) -> Path:
        """Where a secret is kept; services read it through a `*_FILE` variable."""
        return self._secrets / name

    def secret(self, name: str) -> str | None:
        """A kept secret, or None."""
        path = self.secret_path(name)
        return path.read_text(encoding="utf-8") if path.exists() else None

    def keep_secret(self, name: str, value: str) -> None:
        """Keep a secret in a file that only its owner can read."""
        write_privately(self.secret_path(name), value.encode())

    def database_url(self, name: str) -> str | None:
        """The URL of a service's database, or of `bus`: from the environment, else as kept here.

        REGULARS_DATABASE_URL alone is passed over: it is right in one service's container, and would have the
        commands for all five work five times on one database.
        """
        return variable(f"REGULARS_{name.upper()}_DATABASE_URL") or self.secret(f"{name}_database_url")

    # State

    def state(self) -> PlatformState | None:
        """What was last started here, or None if nothing ever was."""
        try:
            return msgspec.json.decode(self._state.read_bytes(), type=PlatformState)
        except (OSError, msgspec.DecodeError):
            return None

    def runs(self) -> bool:
        """Whether a platform runs here: it holds the lock for as long."""
        try:
            with self.lock.open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return False

    def url(self, service: str) -> str:
        """Where a service listens: as it was last started here, else by default."""
        state = self.state()
        ports = SERVICES if state is None else state.ports
        return f"http://127.0.0.1:{ports[service]}"

    def keep_state(self, state: PlatformState) -> None:
        """Remember what is being started."""
        write_privately(self._state, msgspec.json.format(msgspec.json.encode(state)))


def write_privately(path: Path, content: bytes) -> None:
    """Replace a file at once, readable by its owner only."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    fresh.replace(path)
