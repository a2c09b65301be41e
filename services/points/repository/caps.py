"""Statements on what rules have to know beside the order: windows of caps, first orders, birthdays."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.points.domain.caps import Window
from services.points.domain.rule_sets import PROGRAM
from services.points.repository.aliases import PERSONS
from shared.writing import columns


class BirthdayRow(NamedTuple):
    """A row of `member_birthdays`, in the order of SAVE_BIRTHDAYS."""

    member_id: UUID
    starts_at: datetime
    ends_at: datetime


# The rows of a program's budget are faced by all of its members, so they are locked here and at once, in one
# order. The windows of a member are under the lock of the account.
LOCK_BUDGETS = text(
    """
    INSERT INTO cap_usage (subject_id, period, starts_on, points)
    SELECT subject_id, period, starts_on, 0
    FROM unnest(CAST(:p0 AS uuid[]), CAST(:p1 AS text[]), CAST(:p2 AS date[]))
         AS budget(subject_id, period, starts_on)
    ON CONFLICT (subject_id, period, starts_on) DO UPDATE SET points = cap_usage.points
    """
)

# What came under the ids of members that were merged into one counts as one's, and apart again after that was
# undone: usage is kept under the id that each order came under.
ALIASES = text(
    """
    SELECT member_id, merged_into FROM accounts WHERE merged_into = ANY(CAST(:member_ids AS uuid[]))
    """
)

# By lists and not by joining the windows: the table is empty when a plan is first made, and a plan that reads
# all of it for each window would be kept while it grows.
USAGE = text(
    """
    SELECT subject_id, period, starts_on, points FROM cap_usage
    WHERE subject_id = ANY(CAST(:subject_ids AS uuid[])) AND starts_on = ANY(CAST(:days AS date[]))
    """
)

ADD_USAGE = text(
    """
    INSERT INTO cap_usage (subject_id, period, starts_on, points)
    SELECT * FROM unnest(CAST(:p0 AS uuid[]), CAST(:p1 AS text[]), CAST(:p2 AS date[]), CAST(:p3 AS bigint[]))
    ON CONFLICT (subject_id, period, starts_on) DO UPDATE SET points = cap_usage.points + excluded.points
    """
)

# What was earned before a merge is entered under the id that it came under.
WITH_ORDERS = text(
    f"""
    SELECT DISTINCT person.account_id
    FROM {PERSONS}
    WHERE (SELECT true FROM entries
           WHERE entries.member_id = person.member_id AND entries.kind = 'earn' AND entries.reference = ''
           LIMIT 1)
    """  # noqa: S608 - a constant
)

# A later birthday replaces an earlier one, whatever was heard last.
SAVE_BIRTHDAYS = text(
    """
    INSERT INTO member_birthdays (member_id, starts_at, ends_at)
    SELECT * FROM unnest(CAST(:p0 AS uuid[]), CAST(:p1 AS timestamptz[]), CAST(:p2 AS timestamptz[]))
    ON CONFLICT (member_id) DO UPDATE SET starts_at = excluded.starts_at, ends_at = excluded.ends_at
    WHERE member_birthdays.starts_at <= excluded.starts_at
    """
)

BIRTHDAYS = text(
    """
    SELECT member_id, starts_at, ends_at FROM member_birthdays
    WHERE member_id = ANY(CAST(:member_ids AS uuid[]))
    """
)


async def usage(session: AsyncSession, windows: Iterable[Window]) -> dict[Window, int]:
    """Return what is used of windows, for the rest of the transaction; the members' accounts are locked."""
    asked = set(windows)
    if not asked:
        return {}
    budgets = [window for window in asked if window.subject_id == PROGRAM]
    if budgets:
        await session.execute(LOCK_BUDGETS, columns(sorted(budgets)))
    subjects = {window.subject_id for window in asked}
    aliases = await session.execute(ALIASES, {"member_ids": list(subjects)})
    roots = {row.member_id: row.merged_into for row in aliases} | {id_: id_ for id_ in subjects}
    days = {window.starts_on for window in asked}
    rows = await session.execute(USAGE, {"subject_ids": list(roots), "days": list(days)})
    used: dict[Window, int] = {}
    for subject_id, period, starts_on, points in rows:
        window = Window(roots[subject_id], period, starts_on)
        used[window] = used.get(window, 0) + points
    return used


async def add_usage(session: AsyncSession, added: Mapping[Window, int]) -> None:
    """Count granted points in windows."""
    rows = [(*window, points) for window, points in added.items() if points]
    if rows:
        await session.execute(ADD_USAGE, columns(sorted(rows)))


async def with_orders(session: AsyncSession, member_ids: Iterable[UUID]) -> set[UUID]:
    """Return those of the accounts that an order has earned for."""
    return set((await session.scalars(WITH_ORDERS, {"account_ids": list(member_ids)})).all())


async def save_birthdays(session: AsyncSession, rows: Iterable[BirthdayRow]) -> None:
    """Remember the latest birthday of each member; at most one row for each."""
    ordered = list(rows)
    if ordered:
        await session.execute(SAVE_BIRTHDAYS, columns(sorted(ordered)))


async def birthdays_of(session: AsyncSession, member_ids: Iterable[UUID]) -> dict[UUID, BirthdayRow]:
    """Return the latest birthdays of those of the members that one is known of."""
    rows = await session.execute(BIRTHDAYS, {"member_ids": list(member_ids)})
    return {row.member_id: BirthdayRow(*row) for row in rows}
