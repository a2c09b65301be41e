"""`regulars up`: start the platform and keep it serving."""

import json
import os
import signal
import threading
import time
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cli.commands.options import BusName, BusOption, HomeOption, JsonOption
from cli.embedded.kafka import KafkaDidNotStart
from cli.embedded.postgres import PostgresDidNotStart
from cli.platform import SERVICES
from cli.platform.platform import Platform, PlatformDidNotStart
from shared.clock import utc_now

__all__ = ["register"]

WATCH_SECONDS = 0.5

PortBase = Annotated[
    int | None,
    typer.Option(
        "--port-base",
        min=1024,
        max=65_500,
        help="Port of members; the others take the next four. REGULARS_<SERVICE>_PORT sets one alone.",
        show_default="8001",
    ),
]


def chosen_ports(port_base: int | None) -> dict[str, int]:
    """The ports that options and environment ask for, by service."""
    ports = dict(SERVICES)
    if port_base is not None:
        ports = {service: port_base + index for index, service in enumerate(SERVICES)}
    for service in SERVICES:
        if own := os.environ.get(f"REGULARS_{service.upper()}_PORT"):
            ports[service] = int(own)
    return ports


def up(
    bus: BusOption = BusName.postgres,
    home: HomeOption = None,
    port_base: PortBase = None,
    as_json: JsonOption = False,
) -> None:
    """Start the platform on this machine and keep it serving until Ctrl-C.

    PostgreSQL comes along; DATABASE_URL uses another server, KAFKA_BOOTSTRAP a Kafka that runs already. Data
    lives under the home and survives restarts; what dies is started again.
    """
    console = Console(stderr=True)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: _stop(stopping))
    platform = Platform(home, bus=bus.value, ports=chosen_ports(port_base))
    started = time.monotonic()
    try:
        with console.status("starting") as status:
            platform.start(lambda step: status.update(f"{step} …"))
        seconds = time.monotonic() - started
        _announce(platform, seconds, console, as_json)
        _keep(platform, stopping, console)
    except _Interrupted:
        console.print("stopping …")
    except (PlatformDidNotStart, PostgresDidNotStart, KafkaDidNotStart) as error:
        console.print(f"[bold red]The platform did not start.[/] {error}", highlight=False)
        raise typer.Exit(1) from error
    finally:
        # A second Ctrl-C must not leave half of it running.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        platform.stop()
    console.print("stopped")


class _Interrupted(BaseException):
    """Somebody asked us to stop while the platform was starting."""


def _stop(stopping: threading.Event) -> None:
    stopping.set()
    raise _Interrupted


def _keep(platform: Platform, stopping: threading.Event, console: Console) -> None:
    """Watch until told to stop, and say what was started again."""
    before = platform.restarts()
    while not stopping.wait(WATCH_SECONDS):
        platform.watch(lambda event: console.print(f"[yellow]{event}[/]"))
        now = platform.restarts()
        for name, (state, pid) in now.items():
            if pid and pid != before.get(name, (state, pid))[1]:
                console.print(f"[yellow]{name} was started again[/] (process {pid}, {state.lower()})")
        before = {**before, **{name: info for name, info in now.items() if info[1]}}


def _announce(platform: Platform, seconds: float, console: Console, as_json: bool) -> None:
    if as_json:
        facts = {
            "home": str(platform.home),
            "bus": platform.bus,
            "key": platform.key,
            "urls": platform.urls,
            "report": f"{platform.urls['analytics']}/report",
            "seconds": round(seconds, 2),
        }
        print(json.dumps(facts), flush=True)
        return
    out = Console()
    table = Table(title=f"Regulars is serving (started in {seconds:.1f} s)", title_justify="left")
    for heading in ("service", "documentation", "health"):
        table.add_column(heading, no_wrap=True)
    for service, url in platform.urls.items():
        table.add_row(f"[bold]{service}[/]", f"{url}/docs", f"{url}/readyz")
    out.print(table)
    out.print(f"report           {platform.urls['analytics']}/report")
    out.print(f"development key  {platform.key}  (from this machine only)")
    carrier = platform.kafka_bootstrap or "PostgreSQL"
    out.print(f"events           on {'Kafka at ' if platform.kafka_bootstrap else ''}{carrier}")
    if platform.has_mail_sink:
        out.print(f"mail             kept from leaving: noted in {platform.home.mail}", soft_wrap=True)
    out.print(f"logs             {platform.home.logs}", soft_wrap=True)
    out.print("\nTry next (Ctrl-C stops everything):")
    for line in suggestions(platform):
        out.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)


def suggestions(platform: Platform) -> list[str]:
    """Shell lines that send a first order and read the balance that it earned."""
    now = utc_now().replace(microsecond=0)
    order = {
        "source": "shop",
        "shop_id": "main",
        "external_order_id": "1001",
        "external_customer_id": "ada",
        "currency": "USD",
        "placed_at": now.isoformat(),
        "paid_at": now.isoformat(),
        "lines": [{"sku": "tea", "quantity": 2, "unit_price_minor": 2450}],
    }
    key = f"-H 'Authorization: Bearer {platform.key}'"
    json_body = "-H 'Content-Type: application/json'"
    members, points = platform.urls["members"], platform.urls["points"]
    return [
        f"curl -s {members}/v1/orders {key} {json_body} -d '{json.dumps(order)}'",
        f"curl -s '{members}/v1/members?source=shop&external_id=ada' {key}",
        f"curl -s {points}/v1/members/MEMBER_ID/points {key}",
    ]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("up")(up)
