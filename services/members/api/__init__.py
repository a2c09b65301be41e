"""The routes of members."""

from services.members.api.erasures import router as erasures_router
from services.members.api.groups import router as groups_router
from services.members.api.identities import router as identities_router
from services.members.api.merges import router as merges_router
from services.members.api.orders import fast_orders, hot_router, orders_desk
from services.members.api.orders import router as orders_router
from services.members.api.people import router as people_router
from services.members.api.profile import router as profile_router
from services.members.api.program import router as program_router
from services.members.api.standing import router as standing_router
from services.members.api.tags import router as tags_router

__all__ = ["desks", "fast_routes", "routers"]

# Paths of fixed words come before those that take any id in the same place.
routers = [
    merges_router,
    identities_router,
    hot_router,
    orders_router,
    erasures_router,
    tags_router,
    profile_router,
    groups_router,
    people_router,
    standing_router,
    program_router,
]
desks = [orders_desk]
fast_routes = [fast_orders]
