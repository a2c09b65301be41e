"""Ports stay what they were, because clients have been told of them."""

import socket
import subprocess
import sys
import threading
from pathlib import Path

from cli.embedded.ports import LOOPBACK, free_port, remembered_port


def listener(port: int) -> socket.socket:
    server = socket.create_server((LOOPBACK, port))
    server.listen()
    return server


def test_a_port_is_remembered(tmp_path: Path) -> None:
    port = remembered_port(tmp_path / "port")
    assert remembered_port(tmp_path / "port") == port


def test_a_port_that_a_dying_server_still_holds_is_waited_for(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "port").write_text(str(port))
    dying = listener(port)
    threading.Timer(0.2, dying.close).start()
    assert remembered_port(tmp_path / "port") == port


def test_a_port_that_somebody_has_taken_is_given_up(tmp_path: Path) -> None:
    with listener(free_port()) as taken:
        port = taken.getsockname()[1]
        (tmp_path / "port").write_text(str(port))
        other = remembered_port(tmp_path / "port", patience_seconds=0.1)
        assert other != port
        assert (tmp_path / "port").read_text() == str(other)


def test_a_port_that_was_chosen_is_not_given_to_another_process() -> None:
    port = free_port()
    program = (
        "from cli.embedded import ports\n"
        f"candidates = iter(range({port}, {port} + 500))\n"
        "ports.random.randrange = lambda lowest, highest: next(candidates)\n"
        "print(ports.free_port())"
    )
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(other.stdout) > port
