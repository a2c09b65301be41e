"""The routes of points."""

from typing import Any

from services.points.api.adjustments import router as adjustments_router
from services.points.api.audit import router as audit_router
from services.points.api.back_tests import router as back_tests_router
from services.points.api.explain import router as explain_router
from services.points.api.holds import capture_desk, hold_desk, void_desk
from services.points.api.holds import hot_router as hot_holds_router
from services.points.api.holds import router as holds_router
from services.points.api.liability import router as liability_router
from services.points.api.lotteries import draw_desk
from services.points.api.lotteries import hot_router as hot_lotteries_router
from services.points.api.lotteries import router as lotteries_router
from services.points.api.members import fast_points
from services.points.api.members import router as members_router
from services.points.api.redemptions import fast_redeem, hot_router, redeem_desk
from services.points.api.redemptions import router as redemptions_router
from services.points.api.rewards import router as rewards_router
from services.points.api.rules import router as rules_router
from services.points.api.shipping import router as shipping_router
from shared.edge import Desk
from shared.fast_path import FastGlance, FastRoute

__all__ = ["desks", "fast_routes", "routers"]

# A desk has its own transactions, so the routes in front of desks come in a router of their own.
routers = [
    hot_router,
    hot_holds_router,
    hot_lotteries_router,
    holds_router,
    explain_router,
    back_tests_router,
    members_router,
    rewards_router,
    redemptions_router,
    shipping_router,
    lotteries_router,
    rules_router,
    adjustments_router,
    audit_router,
    liability_router,
]
desks: list[Desk[Any, Any]] = [redeem_desk, draw_desk, hold_desk, capture_desk, void_desk]
fast_routes: list[FastRoute[Any] | FastGlance] = [fast_redeem, fast_points]
