"""Keeps PostgreSQL and Kafka running while the platform does, and ends the platform if its starter vanishes.

`python -m cli.platform.keeper HOME STARTER_PID [--postgres] [--kafka]`, a child of supervisord. It is the
parent of both servers: one that is killed is started again on the same port and data; on SIGTERM both are
shut down cleanly. If the command that started the platform is gone (killed with -9, a closed terminal), it
tells supervisord to stop everything, so that nothing is left running unseen.
"""

import os
import signal
import sys
import threading
import traceback
from argparse import ArgumentParser
from concurrent.futures import ThreadPoolExecutor

import msgspec
import psutil

from cli.embedded.kafka import EmbeddedKafka, KafkaDidNotStart
from cli.embedded.postgres import EmbeddedPostgres, PostgresDidNotStart
from cli.platform.home import Home

LOOK_SECONDS = 0.25


def main() -> int:
    """Start the servers that were asked for, watch until told to stop, and stop them."""
    parser = ArgumentParser()
    parser.add_argument("home")
    parser.add_argument("starter", type=int)
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--kafka", action="store_true")
    parser.add_argument("--not-durable", action="store_true")
    asked = parser.parse_args()
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    home = Home(asked.home)
    servers: list[EmbeddedPostgres | EmbeddedKafka] = []
    if asked.postgres:
        servers.append(EmbeddedPostgres(home.postgres, durable=not asked.not_durable))
    if asked.kafka:
        servers.append(EmbeddedKafka(home.kafka))
    try:
        _start(servers)
        ports = {type(server).__name__: server.port for server in servers}
        home.servers.write_bytes(msgspec.json.encode(ports))
        _watch(servers, asked.starter, stopping)
    except Exception:
        home.failure.write_text(traceback.format_exc())
        traceback.print_exc()
        return 1
    finally:
        for server in reversed(servers):
            server.stop()
    return 0


def _start(servers: list[EmbeddedPostgres | EmbeddedKafka]) -> None:
    """Start all at once: each spends most of its start waiting."""
    with ThreadPoolExecutor(max(1, len(servers))) as threads:
        for started in [threads.submit(server.start) for server in servers]:
            started.result()


def _watch(servers: list[EmbeddedPostgres | EmbeddedKafka], starter: int, stopping: threading.Event) -> None:
    try:
        starting = psutil.Process(starter)
    except psutil.NoSuchProcess:
        starting = None
    told = False
    while not stopping.wait(LOOK_SECONDS):
        # psutil compares the start time too, so a recycled process id is not taken for the starter.
        alive = starting is not None and starting.is_running() and starting.status() != psutil.STATUS_ZOMBIE
        if not alive and not told:
            print("keeper: the platform's starter is gone, stopping everything", flush=True)
            os.kill(os.getppid(), signal.SIGTERM)
            told = True
        for server in servers:
            if server.pid is None and not told:
                _start_again(server)


def _start_again(server: EmbeddedPostgres | EmbeddedKafka) -> None:
    """Start a server that died. If it does not start the next look tries again: the other one goes on."""
    name = type(server).__name__
    print(f"keeper: {name} is gone, starting it again", flush=True)
    try:
        server.start()
    except (PostgresDidNotStart, KafkaDidNotStart, OSError) as error:
        print(f"keeper: {name} did not start: {error}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
