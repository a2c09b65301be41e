"""The routes of points."""

from services.points.api.members import router as members_router
from services.points.api.rewards import hot_router, redeem_desk
from services.points.api.rewards import router as rewards_router
from services.points.api.rules import router as rules_router

__all__ = ["desks", "routers"]

# A desk has its own transactions, so the routes in front of desks come in a router of their own.
routers = [hot_router, members_router, rewards_router, rules_router]
desks = [redeem_desk]
