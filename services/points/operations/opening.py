"""Open: members bring along the points that they had in another system, with their dates."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.points.errors import MemberErased, OpeningConflict
from services.points.operations.ledger import Ledger
from services.points.repository import erased
from services.points.repository import openings as repository
from services.points.repository.openings import KnownOpening
from shared.events import PointsOpened
from shared.ids import derived_id
from shared.outbox import emit
from shared.problems import Refusal

NAMESPACE = "points-opening"


class Opening(NamedTuple):
    """A lot that a member had elsewhere; (source, row_id) names it for ever."""

    source: str
    row_id: str
    member_id: UUID
    points: int
    earned_at: datetime
    expires_at: datetime | None
    reason: str
    actor: str


class Opened(NamedTuple):
    """What became of a row: `accepted` now, or `unchanged` since it was brought in before."""

    source: str
    row_id: str
    member_id: UUID
    entry_id: UUID
    status: str


async def open_balances(session: AsyncSession, commands: Sequence[Opening]) -> list[Opened | Refusal]:
    """Bring in each lot once, however often it is told of.

    What has expired meanwhile comes and goes in the same transaction, and both can be seen. Points that are
    brought along repay debt like any others, but they are nothing that a tier was earned with.
    """
    ids = [derived_id(NAMESPACE, command.source, command.row_id) for command in commands]
    ledger = await Ledger.open(session, {command.member_id for command in commands})
    known = await repository.known(session, ids)
    gone = await erased.erased_accounts(session, ledger.accounts)
    results: list[Opened | Refusal] = []
    for opening_id, command in zip(ids, commands, strict=True):
        earlier = known.get(opening_id)
        if earlier is None and command.member_id in gone:
            results.append(MemberErased(member_id=str(command.member_id)))
            continue
        if earlier is None:
            earlier = known[opening_id] = _post(ledger, opening_id, command)
            status = "accepted"
        elif _says(command) == earlier.said:
            status = "unchanged"
        else:
            results.append(OpeningConflict(source=command.source, row_id=command.row_id))
            continue
        results.append(Opened(command.source, command.row_id, command.member_id, earlier.entry_id, status))
    await ledger.save(session)
    await emit(session, ledger.events)
    return results


def _says(command: Opening) -> tuple[UUID, int, datetime, datetime | None]:
    return (command.member_id, command.points, command.earned_at, command.expires_at)


def _post(ledger: Ledger, opening_id: UUID, command: Opening) -> KnownOpening:
    account = ledger.accounts[command.member_id]
    expires_at = command.expires_at
    entry_id = ledger.enter(
        account,
        "opening",
        command.points,
        about_id=opening_id,
        actor=command.actor,
        reason=command.reason,
        occurred_at=command.earned_at,
        detail={
            "source": command.source,
            "row_id": command.row_id,
            "expires_at": None if expires_at is None else expires_at.isoformat(),
        },
        origin_id=command.member_id,
    )
    ledger.credit(
        account,
        command.points,
        lot_id=entry_id,
        earned_at=command.earned_at,
        expires_at=expires_at,
        origin_id=command.member_id,
    )
    ledger.events.append(
        PointsOpened(
            member_id=account.member_id,
            entry_id=entry_id,
            source=command.source,
            points=command.points,
            expires_at=expires_at,
            reason=command.reason,
            earned_at=command.earned_at,
            balance_points=account.balance_points - ledger.withheld.get(account.member_id, 0),
        )
    )
    return KnownOpening(entry_id, _says(command))
