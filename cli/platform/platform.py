"""Starting, watching and stopping one platform."""

import contextlib
import fcntl
import http.client
import importlib.util
import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import msgspec
import psutil

from cli.embedded.kafka import EmbeddedKafka
from cli.embedded.ports import LOOPBACK, free_port, is_free, remembered_port
from cli.embedded.postgres import EmbeddedPostgres
from cli.platform.environment import service_environment
from cli.platform.home import SERVICES, Bus, Home, PlatformState
from cli.platform.supervision import Program, Supervisor, belonging_to, end

__all__ = ["Platform", "PlatformDidNotStart", "free_ports"]

Report = Callable[[str], None]

# The first start of Kafka fetches its jars.
SERVERS_TIMEOUT_SECONDS = 180.0
READY_TIMEOUT_SECONDS = 90.0
ORPHANS_PATIENCE_SECONDS = 15.0
POLL_SECONDS = 0.1

DEFAULT_MAIL_PORT = 8025


class PlatformDidNotStart(RuntimeError):
    """The platform did not start; the message says what to do."""


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on or was promised, all different."""
    return [free_port() for _ in range(count)]


def _quietly(_: str) -> None:
    """Report nothing."""


class Platform:
    """Two servers and five services under `home`.

    `ports` says where services listen (8001 to 8005 unless told otherwise; `{"members": 9001}` changes one).
    `database_url` (default DATABASE_URL) uses a PostgreSQL that runs already, with a role that may create
    databases; `kafka_bootstrap` (default KAFKA_BOOTSTRAP) a Kafka that runs already; "" starts our own.
    Mails go to a local sink unless REGULARS_MESSAGING_SMTP_HOST names a relay; `mail_sink` decides that here.
    `settings` are further `REGULARS_…` variables for the services. `durable=False` trades safety against a
    crash of the machine for speed. Methods are synchronous; call them from a thread if an event loop must go
    on meanwhile.
    """

    def __init__(
        self,
        home: Path | str | None = None,
        *,
        bus: Bus = "postgres",
        ports: Mapping[str, int] | None = None,
        mail_port: int | None = None,
        mail_sink: bool | None = None,
        database_url: str | None = None,
        kafka_bootstrap: str | None = None,
        settings: Mapping[str, str] | None = None,
        durable: bool = True,
    ) -> None:
        self.home = Home(home)
        self.bus = bus
        self.ports = {**SERVICES, **(ports or {})}
        self.postgres = EmbeddedPostgres(self.home.postgres, durable=durable)
        self.kafka = EmbeddedKafka(self.home.kafka)
        self.mail_port = mail_port or int(os.environ.get("REGULARS_MESSAGING_SMTP_PORT") or DEFAULT_MAIL_PORT)
        self._uses_mail_sink = mail_sink
        self._database_url = os.environ.get("DATABASE_URL") if database_url is None else database_url
        self._kafka_bootstrap = (
            os.environ.get("KAFKA_BOOTSTRAP") if kafka_bootstrap is None else kafka_bootstrap
        )
        self._settings = dict(settings or {})
        self._durable = durable
        self._lock: IO[str] | None = None
        self._supervisor = Supervisor(self.home, self._programs())

    # Life

    def start(self, report: Report = _quietly) -> Self:
        """Start everything and return when all five services are ready. Data of earlier runs is kept.

        Raises PlatformDidNotStart, with everything stopped again.
        """
        self.home.prepare()
        self._take_lock()
        try:
            self._sweep(report)
            self._refuse_another_bus()
            self._check_ports()
            self._start_servers(report)
            report("preparing databases")
            self._prepare_databases()
            self._remember()
            report("starting services")
            self._supervisor.start_group()
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop everything cleanly; harmless if nothing runs."""
        self._supervisor.stop()
        if self._lock is not None:
            # Whatever supervisord could not stop (it may have been killed itself) is found by its mark.
            self._sweep(_quietly)
            self._lock.close()
            self._lock = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def watch(self, report: Report = _quietly) -> None:
        """Look after supervisord, which looks after everything else; call it every second or so."""
        if self._lock is not None and not self._supervisor.running:
            report("supervisord is gone, starting everything again")
            self._sweep(_quietly)
            self._start_servers(_quietly)
            self._supervisor.start_group()

    # Services

    @property
    def key(self) -> str:
        """The development key: every scope, from this machine only."""
        from shared.settings import DEVELOPMENT_KEY

        return os.environ.get("REGULARS_DEV_KEY") or DEVELOPMENT_KEY

    @property
    def urls(self) -> dict[str, str]:
        """The address of each service."""
        return {service: f"http://{LOOPBACK}:{port}" for service, port in self.ports.items()}

    def ready(self, service: str) -> dict[str, Any] | None:
        """What a service says at /readyz, ready or not; None if it does not answer."""
        # By http.client, because httpx takes longer to import than everything else that starting needs.
        connection = http.client.HTTPConnection(LOOPBACK, self.ports[service], timeout=10)
        try:
            connection.request("GET", "/readyz")
            body = connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        try:
            report: dict[str, Any] = msgspec.json.decode(body)
        except msgspec.DecodeError:
            return None
        return report

    def pid(self, service: str) -> int | None:
        """The process id of a service now, None while it is down."""
        return self._supervisor.processes()[service]["pid"] or None

    def kill(self, service: str) -> None:
        """End a service with SIGKILL; supervisord starts it again."""
        pid = self.pid(service)
        if pid is not None:
            os.kill(pid, signal.SIGKILL)

    def stop_service(self, service: str) -> None:
        """Stop a service cleanly and leave it stopped."""
        self._supervisor.stop_program(service)

    def start_service(self, service: str) -> None:
        """Start a service that was stopped, and return when it is ready."""
        self._supervisor.start_program(service)
        self._wait_until_ready([service])

    def restart(self, service: str) -> None:
        """Stop a service and start it again."""
        self.stop_service(service)
        self.start_service(service)

    def kill_postgres(self) -> None:
        """End PostgreSQL with SIGKILL; the keeper starts it again."""
        self.postgres.kill()

    def kill_kafka(self) -> None:
        """End Kafka with SIGKILL; the keeper starts it again."""
        # EmbeddedKafka.kill() would tidy up after it, in a race with the keeper's new broker.
        if self.kafka.pid is not None:
            os.kill(self.kafka.pid, signal.SIGKILL)

    def restarts(self) -> dict[str, tuple[str, int]]:
        """The state and process id of each program, to see which was started again."""
        try:
            known = self._supervisor.processes()
        except OSError:
            return {}
        return {name: (str(info["statename"]), int(info["pid"])) for name, info in known.items()}

    def processes(self) -> list[psutil.Process]:
        """Every process of this platform beside the one that asks."""
        return belonging_to(self.home.path)

    def database_url(self, name: str) -> str:
        """The URL of a service's database, or of `bus`. Raises KeyError before the first start."""
        url = self.home.secret(f"{name}_database_url")
        if url is None:
            raise KeyError(name)
        return url

    @property
    def kafka_bootstrap(self) -> str | None:
        """Where Kafka listens, None on the PostgreSQL bus."""
        if self.bus != "kafka":
            return None
        return self._kafka_bootstrap or self.kafka.bootstrap

    # Inside

    @property
    def _embeds_postgres(self) -> bool:
        return not self._database_url

    @property
    def _embeds_kafka(self) -> bool:
        return self.bus == "kafka" and not self._kafka_bootstrap

    @property
    def has_mail_sink(self) -> bool:
        """Whether mails go to a sink of ours instead of a real relay."""
        relay = os.environ.get("REGULARS_MESSAGING_SMTP_HOST") or self._settings.get(
            "REGULARS_MESSAGING_SMTP_HOST"
        )
        return relay is None and importlib.util.find_spec("aiosmtpd") is not None

    def _programs(self) -> list[Program]:
        servers = [
            *(["--postgres"] if self._embeds_postgres else []),
            *(["--kafka"] if self._embeds_kafka else []),
        ]
        durability = [] if self._durable else ["--not-durable"]
        arguments = (str(self.home), str(os.getpid()), *servers, *durability)
        programs = [Program("keeper", "cli.platform.keeper", arguments, grouped=False, stop_seconds=40)]
        if self.has_mail_sink:
            sink = (str(self.home.mail), str(self.mail_port))
            programs.append(Program("mail-sink", "cli.mail_sink", sink, grouped=False))
        return [*programs, *(Program(service, f"services.{service}") for service in SERVICES)]

    def _environment(self) -> dict[str, str]:
        if self._embeds_kafka:
            self.home.kafka.mkdir(exist_ok=True)
        environment = service_environment(
            self.home,
            bus=self.bus,
            ports=self.ports,
            bootstrap=self._expected_bootstrap(),
            mail_port=self.mail_port if self.has_mail_sink else None,
        )
        return {**environment, **self._settings}

    def _expected_bootstrap(self) -> str | None:
        """Where Kafka will listen: known before it starts, because it keeps its port."""
        if self.bus != "kafka" or self._kafka_bootstrap:
            return self._kafka_bootstrap if self.bus == "kafka" else None
        return f"{LOOPBACK}:{remembered_port(self.home.kafka / 'port')}"

    def _take_lock(self) -> None:
        lock = (self.home.lock).open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            lock.close()
            raise PlatformDidNotStart(
                f"{self.home} is in use by process {holder}; stop that one or choose another --home."
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    def _sweep(self, report: Report) -> None:
        """End what an earlier run left behind: supervisord first, or it would restart the rest."""
        orphans = self.processes()
        if not orphans:
            return
        report(f"ending {len(orphans)} processes that an earlier run left behind")
        with contextlib.suppress(OSError, ValueError, psutil.Error):
            supervisor = psutil.Process(int(self.home.supervisor_pid.read_text()))
            if supervisor in orphans:
                end([supervisor], patience_seconds=ORPHANS_PATIENCE_SECONDS)
        self.kafka.stop()
        self.postgres.stop()
        end(self.processes(), patience_seconds=ORPHANS_PATIENCE_SECONDS)

    def _refuse_another_bus(self) -> None:
        before = self.home.state()
        if before is not None and before.bus != self.bus:
            raise PlatformDidNotStart(
                f"{self.home} ran on the {before.bus} bus, and what waits there would be left behind; use"
                f" --bus {before.bus}, or another --home."
            )

    def _check_ports(self) -> None:
        for service, port in self.ports.items():
            if not is_free(port):
                raise PlatformDidNotStart(
                    f"Port {port}, meant for {service}, is in use. Choose others with --port-base, or this"
                    f" one with REGULARS_{service.upper()}_PORT."
                )
        if self.has_mail_sink and not is_free(self.mail_port):
            raise PlatformDidNotStart(
                f"Port {self.mail_port}, meant for the local mail sink, is in use. Choose another with"
                " REGULARS_MESSAGING_SMTP_PORT, or name a real relay with REGULARS_MESSAGING_SMTP_HOST."
            )

    def _start_servers(self, report: Report) -> None:
        report(f"starting {self._servers_by_name()}")
        self.home.servers.unlink(missing_ok=True)
        self.home.failure.unlink(missing_ok=True)
        self._supervisor.start(self._environment())
        deadline = time.monotonic() + SERVERS_TIMEOUT_SECONDS
        while not self.home.servers.exists():
            if self.home.failure.exists():
                raise PlatformDidNotStart(self.home.failure.read_text(errors="replace"))
            if time.monotonic() > deadline:
                raise PlatformDidNotStart(
                    f"The servers did not start in {SERVERS_TIMEOUT_SECONDS:.0f} s; see {self.home.logs}."
                )
            time.sleep(POLL_SECONDS / 2)

    def _servers_by_name(self) -> str:
        names = [
            *(["PostgreSQL"] if self._embeds_postgres else []),
            *(["Kafka"] if self._embeds_kafka else []),
        ]
        return " and ".join(names) or "supervisord"

    def _prepare_databases(self) -> None:
        # Imported while the servers start, because SQLAlchemy and alembic take as long as PostgreSQL does.
        from cli.platform.provision import in_own_loop, migrate, provision

        administrator = self._database_url or self.postgres.url()
        prefix = "" if self._embeds_postgres else "regulars_"
        in_own_loop(provision(administrator, self.home, prefix=prefix))
        in_own_loop(migrate({service: self.database_url(service) for service in SERVICES}))

    def _remember(self) -> None:
        self.home.keep_state(
            PlatformState(
                bus=self.bus,
                ports=self.ports,
                embedded_postgres=self._embeds_postgres,
                kafka_bootstrap=self.kafka_bootstrap,
                mail_port=self.mail_port if self.has_mail_sink else None,
                pid=os.getpid(),
            )
        )

    def _wait_until_ready(self, services: Iterable[str] = SERVICES) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_SECONDS
        waiting = list(services)
        while waiting:
            report = self.ready(waiting[0])
            if report is not None and report["status"] == "ready":
                waiting.pop(0)
                continue
            if time.monotonic() > deadline:
                raise PlatformDidNotStart(self._why_not_ready(waiting[0], report))
            time.sleep(POLL_SECONDS)

    def _why_not_ready(self, service: str, report: dict[str, Any] | None) -> str:
        log = self.home.logs / f"{service}.log"
        tail = log.read_text(errors="replace")[-3000:] if log.exists() else "(no log)"
        return f"{service} is not ready: {report or 'no answer'}\nThe end of {log}:\n{tail}"
