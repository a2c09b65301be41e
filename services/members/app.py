"""Members, put together."""

from services.members.api import desks, fast_routes, routers
from services.members.handlers import handlers
from services.members.jobs import jobs
from services.members.operations import count_members_to_judge
from services.members.settings import settings
from shared.service import Service

__all__ = ["service"]

service = Service(
    name="members",
    title="People, their shop identities, orders as they arrive, consent of record, tiers and tags.",
    settings=settings,
    routers=routers,
    handlers=handlers,
    jobs=jobs,
    desks=desks,
    fast_routes=fast_routes,
    backlogs={"tiers_to_judge": count_members_to_judge},
)
