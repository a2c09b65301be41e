"""The points service as one value."""

from services.points import api, operations
from services.points.handlers import handlers
from services.points.jobs import jobs
from services.points.settings import settings
from shared.service import Service

service = Service(
    name="points",
    title="The loyalty ledger: earning, lots, expiry, clawback and rewards.",
    settings=settings,
    routers=api.routers,
    handlers=handlers,
    jobs=jobs,
    backlogs={
        "due_lots": operations.count_due_lots,
        "pending_redemptions": operations.count_pending_redemptions,
        "parked_refunds": operations.count_parked_refunds,
    },
    desks=api.desks,
    fast_routes=api.fast_routes,
)
