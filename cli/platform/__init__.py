"""The whole topology as code: two servers, five services and what keeps them running, under one directory.

>>> from cli.platform.platform import Platform
>>> with Platform(Path(".regulars")) as platform:
...     httpx.get(platform.urls["members"] + "/healthz")

`up`, `demo`, the end-to-end tests and the bench all start the platform through that class. It is not named
here, because it needs the dependency group `embedded`, and commands that only look for a platform run in
containers, which have none of that.
"""

from cli.platform.home import SERVICES, Bus, Home, NothingStarted, PlatformState

__all__ = ["SERVICES", "Bus", "Home", "NothingStarted", "PlatformState"]
