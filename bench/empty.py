"""The floor of an HTTP figure: a FastAPI application that parses the body, answers, and does no more."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI

__all__ = ["empty_server"]

START_TIMEOUT_SECONDS = 20.0

app = FastAPI()


@app.post("/{path:path}")
async def parse(path: str, body: list[dict[str, Any]] | dict[str, Any]) -> dict[str, int]:
    """Answer the number of items in the body."""
    return {"items": len(body)}


@app.get("/{path:path}")
async def answer(path: str) -> dict[str, str]:
    """Answer the path."""
    return {"path": path}


@contextmanager
def empty_server() -> Iterator[int]:
    """Run the empty application as a process of its own, as a service is, and yield its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-m", "bench.empty", str(port)])
    try:
        _wait_for(port)
        yield port
    finally:
        process.terminate()
        process.wait()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)
