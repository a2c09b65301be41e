"""What members want applied by itself, and what it did to an order."""

from dataclasses import asdict
from uuid import UUID

from fastapi import APIRouter

from services.points import operations
from services.points.api.access import Reader, Writer
from services.points.api.redemptions import shown_redemption
from services.points.errors import NotFreeShipping, RewardNotAvailable
from services.points.operations import Choice, Choose
from services.points.schemas import BenefitOut, ChoicesIn, ChoicesOut, ChosenShipping, OrderBenefits
from shared.batches import only
from shared.edge import DryRun, Transaction, TransactionalRoute
from shared.problems import problem_responses

router = APIRouter(prefix="/v1", route_class=TransactionalRoute, tags=["rewards"])


@router.put("/members/{member_id}/choices", responses=problem_responses(NotFreeShipping, RewardNotAvailable))
async def choose(
    session: Transaction, caller: Writer, member_id: UUID, body: ChoicesIn, dry_run: DryRun = False
) -> ChoicesOut:
    """Have free shipping applied by itself to every order with postage that the member's points suffice for.

    It holds for orders placed from now on; `null` ends it.
    """
    chosen = body.free_shipping.reward_id if body.free_shipping is not None else None
    result = only(await operations.choose(session, [Choose(member_id, chosen, caller.key_id)]))
    return _choices(member_id, result)


@router.get("/members/{member_id}/choices")
async def show_choices(session: Transaction, caller: Reader, member_id: UUID) -> ChoicesOut:
    """Show what the member wants applied by itself."""
    return _choices(member_id, await operations.show_choice(session, member_id))


@router.get("/orders/{order_id}/benefits")
async def show_benefits(session: Transaction, caller: Reader, order_id: UUID) -> OrderBenefits:
    """Show what points did for an order: whether it ships for free, and why not if it was to."""
    benefit, redemptions = await operations.show_benefits(session, order_id)
    return OrderBenefits(
        order_id=order_id,
        free_shipping=BenefitOut(**asdict(benefit)) if benefit is not None else None,
        redemptions=[shown_redemption(row) for row in redemptions],
    )


def _choices(member_id: UUID, choice: Choice | None) -> ChoicesOut:
    chosen = (
        ChosenShipping(reward_id=choice.reward_id, chosen_at=choice.chosen_at) if choice is not None else None
    )
    return ChoicesOut(member_id=member_id, free_shipping=chosen)
