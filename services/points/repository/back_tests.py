"""Statements on back-tests, and on the orders that they are run on."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.points.domain.trial import Trial
from shared.writing import columns

Status = Literal["running", "judging_tiers", "done"]


class TierMove(NamedTuple):
    """How many members would hold one tier instead of another."""

    from_tier: str | None
    to_tier: str | None
    is_up: bool
    members: int


class TierAnswer(NamedTuple):
    """What was said of the tiers of one part of a back-test; `moves` are JSON rows of `TierMove`."""

    back_test_id: UUID
    part: int
    moves: str


@dataclass(slots=True)
class BackTest:
    """A trial with what it is of and how far it has come."""

    id: UUID
    version: int | None
    terms: Mapping[str, Any]
    paid_from: datetime
    paid_until: datetime
    status: Status
    after_member_id: UUID | None
    trial: Trial
    created_by: str
    created_at: datetime
    finished_at: datetime | None
    # What was answered of tiers so far.
    tiers: list[TierMove] = field(default_factory=list)


class EarnedRow(NamedTuple):
    """An entry of an order that earned."""

    member_id: UUID
    order_id: UUID
    points: int
    rule_version: int
    total_minor: int
    currency: str
    paid_at: datetime
    detail: str | None
    first: bool


COLUMNS = """id, version, CAST(terms AS text) AS terms, paid_from, paid_until, status, after_member_id,
    CAST(trial AS text) AS trial, created_by, created_at, finished_at"""

ADD = text(
    """
    INSERT INTO back_tests (id, version, terms, paid_from, paid_until, trial, created_by)
    VALUES (:id, :version, CAST(:terms AS json), :paid_from, :paid_until, CAST(:trial AS json), :created_by)
    """
)

SHOW = text(f"SELECT {COLUMNS} FROM back_tests WHERE id = :id")  # noqa: S608 - a constant

CLAIM = text(
    f"""
    SELECT {COLUMNS} FROM back_tests WHERE status = 'running' ORDER BY created_at LIMIT 1
    FOR UPDATE SKIP LOCKED
    """  # noqa: S608 - a constant
)

SAVE = text(
    """
    UPDATE back_tests SET status = :status, after_member_id = :after_member_id, trial = CAST(:trial AS json),
           finished_at = CASE WHEN :status = 'done' THEN clock_timestamp() END
    WHERE id = :id
    """
)

# Answers come while the job holds the row of the back-test, so they have rows of their own.
ADD_ANSWERS = text(
    """
    INSERT INTO back_test_tiers (back_test_id, part, moves)
    SELECT back_test_id, part, CAST(moves AS json)
    FROM unnest(CAST(:p0 AS uuid[]), CAST(:p1 AS int[]), CAST(:p2 AS text[]))
         AS answer(back_test_id, part, moves)
    ON CONFLICT DO NOTHING
    """
)

ANSWERS = text("SELECT CAST(moves AS text) FROM back_test_tiers WHERE back_test_id = :id")

FINISH = text(
    """
    UPDATE back_tests SET status = 'done', finished_at = clock_timestamp()
    WHERE status = 'judging_tiers'
          AND CAST(trial ->> 'tier_parts' AS int)
              <= (SELECT count(*) FROM back_test_tiers WHERE back_test_id = back_tests.id)
    """
)

REFUNDED = text(
    """
    SELECT DISTINCT order_id FROM order_refunds
    WHERE order_id = ANY(CAST(:order_ids AS uuid[])) AND applied_at IS NOT NULL
    """
)

COUNT_RUNNING = text("SELECT count(*) FROM back_tests WHERE status = 'running'")

NEXT_ACCOUNTS = text(
    """
    SELECT member_id FROM accounts
    WHERE merged_into IS NULL
          AND member_id > coalesce(CAST(:after AS uuid), '00000000-0000-0000-0000-000000000000')
    ORDER BY member_id LIMIT :limit
    """
)

EARNED = text(
    """
    SELECT member_id, about_id, points, rule_version, basis_minor, currency, occurred_at, detail, first
    FROM (
        SELECT member_id, sequence, about_id, points, rule_version, basis_minor, currency, occurred_at,
               CAST(detail AS text) AS detail,
               row_number() OVER (PARTITION BY member_id ORDER BY sequence) = 1 AS first
        FROM entries
        WHERE member_id = ANY(CAST(:member_ids AS uuid[])) AND kind = 'earn' AND reference = ''
    ) AS earned
    WHERE occurred_at >= :paid_from AND occurred_at < :paid_until
    ORDER BY member_id, sequence
    """
)


def _back_test(row: Row[Any]) -> BackTest:
    read = {"terms": msgspec.json.decode(row.terms), "trial": msgspec.json.decode(row.trial, type=Trial)}
    return BackTest(**{**row._mapping, **read})


async def add_back_test(session: AsyncSession, test: BackTest) -> None:
    """Keep a new back-test, to be run by the job."""
    await session.execute(
        ADD,
        {
            "id": test.id,
            "version": test.version,
            "terms": msgspec.json.encode(test.terms).decode(),
            "paid_from": test.paid_from,
            "paid_until": test.paid_until,
            "trial": msgspec.json.encode(test.trial).decode(),
            "created_by": test.created_by,
        },
    )


async def back_test(session: AsyncSession, back_test_id: UUID) -> BackTest | None:
    """Return a back-test."""
    row = (await session.execute(SHOW, {"id": back_test_id})).one_or_none()
    if row is None:
        return None
    test, moved = _back_test(row), Counter[tuple[str | None, str | None, bool]]()
    for moves in await session.scalars(ANSWERS, {"id": back_test_id}):
        for move in msgspec.json.decode(moves, type=list[TierMove]):
            moved[move[:3]] += move.members
    test.tiers = [TierMove(*between, members) for between, members in moved.most_common()]
    return test


async def claim_back_test(session: AsyncSession) -> BackTest | None:
    """Lock the oldest back-test that is not done, unless somebody else is at it."""
    row = (await session.execute(CLAIM)).one_or_none()
    return None if row is None else _back_test(row)


async def save_back_test(session: AsyncSession, test: BackTest) -> None:
    """Write how far a back-test has come."""
    await session.execute(
        SAVE,
        {
            "id": test.id,
            "status": test.status,
            "after_member_id": test.after_member_id,
            "trial": msgspec.json.encode(test.trial).decode(),
        },
    )


async def count_running(session: AsyncSession) -> int:
    """Count back-tests that are not done."""
    return int((await session.execute(COUNT_RUNNING)).scalar_one())


async def next_accounts(session: AsyncSession, after: UUID | None, *, limit: int) -> list[UUID]:
    """Return the next accounts in the order of their ids."""
    return list((await session.scalars(NEXT_ACCOUNTS, {"after": after, "limit": limit})).all())


async def earned(
    session: AsyncSession, member_ids: Sequence[UUID], paid_from: datetime, paid_until: datetime
) -> list[EarnedRow]:
    """Return the orders of these accounts that earned and were paid in [from, until), as they came."""
    rows = await session.execute(
        EARNED, {"member_ids": list(member_ids), "paid_from": paid_from, "paid_until": paid_until}
    )
    return [EarnedRow(*row) for row in rows]


async def refunded(session: AsyncSession, order_ids: Sequence[UUID]) -> list[UUID]:
    """Return those of the orders that something was refunded of."""
    return list((await session.scalars(REFUNDED, {"order_ids": list(order_ids)})).all())


async def add_answers(session: AsyncSession, answers: Sequence[TierAnswer]) -> None:
    """Keep what was said of tiers, each part once."""
    if answers:
        await session.execute(ADD_ANSWERS, columns(sorted(answers)))


async def finish_back_tests(session: AsyncSession) -> None:
    """Call back-tests done for all of whose parts the tiers have been judged."""
    await session.execute(FINISH)
