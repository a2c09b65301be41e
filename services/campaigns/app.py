"""The campaigns service as one value."""

from services.campaigns import api
from services.campaigns.handlers import handlers
from services.campaigns.jobs import jobs
from services.campaigns.operations import figures
from services.campaigns.settings import settings
from shared.service import Service

service = Service(
    name="campaigns",
    title="Group-buy activities, groups, seats and share links; coupons.",
    settings=settings,
    routers=api.routers,
    handlers=handlers,
    jobs=jobs,
    backlogs={
        "overdue_groups": figures.overdue_groups,
        "overdue_seats": figures.overdue_seats,
        "parked_coupons": figures.parked_rewards,
    },
    desks=api.desks,
)
