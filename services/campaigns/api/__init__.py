"""The HTTP API of campaigns, and the page behind a share link."""

from typing import Any

from services.campaigns.api import activities, coupons, groups, share
from shared.edge import Desk

routers = [groups.hot_router, activities.router, groups.router, coupons.router, share.router]
desks: list[Desk[Any, Any]] = [groups.join_desk, share.visit_desk]

__all__ = ["desks", "routers"]
