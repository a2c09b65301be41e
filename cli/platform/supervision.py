"""supervisord: its configuration, its process and its remote control.

supervisord restarts whatever dies, rotates the logs, and on SIGTERM stops everything in order. It is run by
its own program in the foreground, as a child of the command that starts the platform.
"""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import psutil
from supervisor.xmlrpc import SupervisorTransport

from cli.platform.home import Home

__all__ = ["MARK", "Program", "Supervisor", "belonging_to", "end"]

# In the environment of everything that belongs to a home, so that orphans are found whatever became of them.
MARK = "REGULARS_PLATFORM"

GROUP = "services"
START_TIMEOUT_SECONDS = 20.0
# Longer than a service drains and PostgreSQL writes its last checkpoint.
STOP_TIMEOUT_SECONDS = 45.0
POLL_SECONDS = 0.05

LOG_BYTES = "10MB"
LOG_BACKUPS = 3


@dataclass(frozen=True)
class Program:
    """One process to keep running: `python -m <module> <arguments>`.

    `grouped` programs start when told to and stop together; the others start with supervisord and stop last.
    """

    name: str
    module: str
    arguments: tuple[str, ...] = ()
    grouped: bool = True
    stop_seconds: int = 10

    def section(self, home: Home) -> str:
        """Its part of the configuration."""
        command = shlex.join([sys.executable, "-m", self.module, *self.arguments])
        lines = {
            "command": command,
            "autostart": "false" if self.grouped else "true",
            "autorestart": "true",
            "startsecs": "1",
            # The pause between attempts grows by a second each; a hundred of them are well over an hour.
            "startretries": "100",
            "stopsignal": "TERM",
            "stopwaitsecs": str(self.stop_seconds),
            "killasgroup": "true",
            "redirect_stderr": "true",
            "stdout_logfile": str(home.logs / f"{self.name}.log"),
            "stdout_logfile_maxbytes": LOG_BYTES,
            "stdout_logfile_backups": str(LOG_BACKUPS),
            "priority": "20" if self.grouped else "10",
        }
        return _section(f"program:{self.name}", lines)


def _section(name: str, lines: Mapping[str, str]) -> str:
    # supervisord expands %(…)s in values, so a percent sign is written twice.
    body = "".join(f"{key}={value.replace('%', '%%')}\n" for key, value in lines.items())
    return f"[{name}]\n{body}\n"


class Supervisor:
    """One supervisord under a home."""

    def __init__(self, home: Home, programs: Sequence[Program]) -> None:
        self._home = home
        self._programs = programs
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, environment: Mapping[str, str]) -> None:
        """Write the configuration, start supervisord, and return when it answers."""
        self._home.supervisor_config.write_text(self._configuration())
        self._home.socket.unlink(missing_ok=True)
        with (self._home.logs / "supervisord.out").open("wb") as out:
            # Its own session, so that Ctrl-C in the terminal reaches the command and nothing else.
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "supervisor.supervisord",
                    "-n",
                    "-c",
                    str(self._home.supervisor_config),
                ],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**environment, MARK: str(self._home)},
                start_new_session=True,
            )
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                said = (self._home.logs / "supervisord.out").read_text(errors="replace")
                raise RuntimeError(f"supervisord did not start:\n{said[-2000:]}")
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """Stop every program in order and supervisord itself; harmless if it does not run."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None

    @property
    def running(self) -> bool:
        """Whether supervisord itself is alive."""
        return self._process is not None and self._process.poll() is None

    def start_group(self) -> None:
        """Start all grouped programs, without waiting for them."""
        self._call("startProcessGroup", GROUP, False)

    def start_program(self, name: str) -> None:
        """Start one grouped program that was stopped."""
        self._call("startProcess", f"{GROUP}:{name}", False)

    def stop_program(self, name: str) -> None:
        """Stop one grouped program, and wait until it has ended; it stays stopped."""
        self._call("stopProcess", f"{GROUP}:{name}", True)

    def processes(self) -> dict[str, dict[str, Any]]:
        """What supervisord knows of each program, by name: statename, pid, start, spawnerr, …"""
        answer = cast(list[dict[str, Any]], self._call("getAllProcessInfo"))
        return {str(info["name"]): info for info in answer}

    def _call(self, method: str, *arguments: Any) -> Any:
        transport = SupervisorTransport(None, None, f"unix://{self._home.socket}")
        with xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport) as proxy:
            return getattr(proxy.supervisor, method)(*arguments)

    def _answers(self) -> bool:
        try:
            return bool(self._call("getState")["statename"] == "RUNNING")
        except (OSError, xmlrpc.client.Error):
            return False

    def _configuration(self) -> str:
        grouped = [program.name for program in self._programs if program.grouped]
        supervisord = {
            "nodaemon": "true",
            "logfile": str(self._home.logs / "supervisord.log"),
            "logfile_maxbytes": LOG_BYTES,
            "logfile_backups": "1",
            "pidfile": str(self._home.supervisor_pid),
            # Told explicitly, because supervisord warns when it runs as root by accident.
            **({"user": "root"} if os.geteuid() == 0 else {}),
        }
        factory = "supervisor.rpcinterface:make_main_rpcinterface"
        parts = [
            _section("supervisord", supervisord),
            _section("unix_http_server", {"file": str(self._home.socket), "chmod": "0700"}),
            _section("rpcinterface:supervisor", {"supervisor.rpcinterface_factory": factory}),
            *(program.section(self._home) for program in self._programs),
            _section(f"group:{GROUP}", {"programs": ",".join(grouped), "priority": "20"}),
        ]
        return "".join(parts)


def belonging_to(home: Path) -> list[psutil.Process]:
    """Every process that was started for this home and still runs, except this one."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.status() == psutil.STATUS_ZOMBIE or process.pid == os.getpid():
                continue
            if process.environ().get(MARK) == str(home):
                found.append(process)
    return found


def end(processes: Sequence[psutil.Process], *, patience_seconds: float) -> None:
    """Ask the processes to end, and after `patience_seconds` make them."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGTERM)
    _, alive = psutil.wait_procs(processes, timeout=patience_seconds)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=patience_seconds)
