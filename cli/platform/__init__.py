"""The whole topology as code: two servers, five services and what keeps them running, under one directory.

>>> with Platform(Path(".regulars")) as platform:
...     httpx.get(platform.urls["members"] + "/healthz")

`up`, `demo`, the end-to-end tests and the bench all start the platform through this class.
"""

from cli.platform.home import SERVICES, Bus, Home, NothingStarted, PlatformState
from cli.platform.platform import Platform, PlatformDidNotStart, free_ports

__all__ = [
    "SERVICES",
    "Bus",
    "Home",
    "NothingStarted",
    "Platform",
    "PlatformDidNotStart",
    "PlatformState",
    "free_ports",
]
