"""Statements on back-tests, and on the orders that they are run on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.points.domain.trial import Trial


@dataclass(slots=True)
class BackTest:
    """A trial with what it is of and how far it has come."""

    id: UUID
    version: int | None
    terms: Mapping[str, Any]
    paid_from: datetime
    paid_until: datetime
    status: str
    after_member_id: UUID | None
    trial: Trial
    created_by: str
    created_at: datetime
    finished_at: datetime | None


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
    return None if row is None else _back_test(row)


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
