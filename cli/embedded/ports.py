"""Choosing and remembering TCP ports on the loopback interface."""

import fcntl
import os
import random
import socket
import tempfile
import time
from pathlib import Path

__all__ = ["LOOPBACK", "free_port", "is_free", "remembered_port"]

LOOPBACK = "127.0.0.1"

# Below the ranges from which Linux (32768 on) and macOS (49152 on) take the ports of outgoing connections.
# From inside them, a client that keeps trying a server that is down is one day given that server's own port
# as its source, connects to itself, and the server can never listen there again.
LOWEST, HIGHEST = 20_000, 32_000

# A server that was killed is gone before its last thread is, and until then it holds its port. Moving on at
# once would leave every client of the old address behind for good.
PATIENCE_SECONDS = 10.0
LOOK_SECONDS = 0.05

# A port is chosen well before its server listens, and meanwhile it looks free to everyone else who chooses.
# Whoever chose it therefore keeps a lock on a file of its name; the system lets go of it with the process.
_claims: dict[int, int] = {}


def free_port() -> int:
    """A port that nobody listens on, that no outgoing connection will be given, and that is now ours.

    No process of this user is given it again while this one lives.
    """
    while True:
        port = random.randrange(LOWEST, HIGHEST)  # noqa: S311 - not a secret
        if port not in _claims and _claim(port) and is_free(port):
            return port


def _claim(port: int) -> bool:
    claims = Path(tempfile.gettempdir(), f"regulars-ports-{os.getuid()}")
    claims.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(claims / str(port), os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    _claims[port] = descriptor
    return True


def is_free(port: int) -> bool:
    """Whether a server could listen on the port; connections that linger after a restart do not count."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def remembered_port(path: Path, *, patience_seconds: float = PATIENCE_SECONDS) -> int:
    """The port kept in the file `path`, so that URLs stay valid across restarts.

    Another one is taken and kept if somebody still listens there after `patience_seconds`.
    """
    if path.exists():
        port = int(path.read_text())
        deadline = time.monotonic() + patience_seconds
        while not (free := is_free(port)) and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
        if free:
            return port
    port = free_port()
    path.write_text(str(port))
    return port
