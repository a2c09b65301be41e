"""What the services are started with."""

import os
from collections.abc import Mapping
from pathlib import Path

from cli.bytecode import with_bytecode
from cli.embedded.ports import LOOPBACK
from cli.platform.home import Bus, Home

__all__ = ["service_environment"]


def service_environment(
    home: Home, *, bus: Bus, ports: Mapping[str, int], bootstrap: str | None, mail_port: int | None
) -> dict[str, str]:
    """The environment of everything below supervisord; secrets are named as files, for their owner's eyes.

    What the caller's environment says goes before our preferences, and what must fit together goes before
    that. `mail_port` is that of the local sink, None if mails go to a real relay.
    """
    preferred = {
        "REGULARS_PROFILE": "embedded",
        # No load balancer has to notice that a service is about to stop.
        "REGULARS_READINESS_PAUSE_SECONDS": "0",
        "REGULARS_DRAIN_SECONDS": "5",
        "REGULARS_CAMPAIGNS_PUBLIC_URL": f"http://{LOOPBACK}:{ports['campaigns']}",
        "REGULARS_MESSAGING_PUBLIC_URL": f"http://{LOOPBACK}:{ports['messaging']}",
    }
    inherited = {
        name: value
        for name, value in os.environ.items()
        # One service's address in the caller's environment would go before the file that is meant here.
        if not (name.startswith("REGULARS_") and name.endswith(("DATABASE_URL", "_PORT")))
    }
    return with_bytecode(preferred | inherited | _fixed(home, bus, ports, bootstrap) | _mail(mail_port))


def _fixed(home: Home, bus: Bus, ports: Mapping[str, int], bootstrap: str | None) -> dict[str, str]:
    # The checkout is found whatever directory the command was started in.
    root = str(Path(__file__).resolve().parents[2])
    fixed = {
        "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")])),
        "PYTHONUNBUFFERED": "1",
        "REGULARS_BUS": bus,
        "REGULARS_BUS_DATABASE_URL_FILE": str(home.secret_path("bus_database_url")),
    }
    if bootstrap is not None:
        fixed["REGULARS_KAFKA_BOOTSTRAP"] = bootstrap
    for service, port in ports.items():
        prefix = f"REGULARS_{service.upper()}"
        fixed[f"{prefix}_PORT"] = str(port)
        fixed[f"{prefix}_DATABASE_URL_FILE"] = str(home.secret_path(f"{service}_database_url"))
    return fixed


def _mail(port: int | None) -> dict[str, str]:
    if port is not None:
        return {"REGULARS_MESSAGING_SMTP_HOST": LOOPBACK, "REGULARS_MESSAGING_SMTP_PORT": str(port)}
    relay_port = os.environ.get("REGULARS_MESSAGING_SMTP_PORT")
    return {"REGULARS_MESSAGING_SMTP_PORT": relay_port} if relay_port else {}
