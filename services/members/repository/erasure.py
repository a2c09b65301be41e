"""Forgetting members: every place of this service that holds something personal, or the decision to keep it.

A test compares these lists with the tables, so that a new table cannot be forgotten here.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.members.domain import OldName, OrderKey
from services.members.repository.orders import KEYS, key_columns

__all__ = [
    "FORGOTTEN",
    "KEPT",
    "clear_members",
    "forget_rows",
    "keep_fingerprints",
    "old_names",
    "order_keys",
    "personal_words",
    "silence_merges",
    "silence_orders",
    "silence_returns",
]

FORGOTTEN = (
    "identities",
    "contact_points",
    "consents",
    "consent_log",
    "tags",
    "group_memberships",
    "member_attributes",
    "birthdays",
    "birthday_changes",
    "tier_terms",
    "tier_history",
    "stage_history",
)
"""Tables whose rows go with their member; each has a column `member_id`."""

KEPT = {
    "orders": "the books: what was sold, when and for how much; the hash of what the customer said goes",
    "erased_identities": "keyed hashes, so that late orders of old resurrect nobody",
    "points_by_day": "the books: how many points were earned on which day",
    "tier_purchases": "the books: which redemption paid for which tier",
}
"""Tables that name members and keep their rows, each with the reason."""

OLD_NAMES = text(
    """
    SELECT fingerprint, member_id, erased_at FROM erased_identities
    WHERE fingerprint = ANY(CAST(:fingerprints AS bytea[]))
    """
)

KEEP_FINGERPRINTS = text(
    """
    INSERT INTO erased_identities (fingerprint, member_id, erased_at)
    SELECT * FROM unnest(CAST(:fingerprints AS bytea[]), CAST(:member_ids AS uuid[]),
                         CAST(:at AS timestamptz[]))
    ON CONFLICT DO NOTHING
    """
)

IDENTITIES = text(
    "SELECT member_id, source, external_id FROM identities WHERE member_id = ANY(CAST(:ids AS uuid[]))"
)

ADDRESSES = text("SELECT member_id, address FROM contact_points WHERE member_id = ANY(CAST(:ids AS uuid[]))")

ORDER_KEYS = text(
    "SELECT member_id, source, shop_id, external_order_id FROM orders"
    " WHERE member_id = ANY(CAST(:ids AS uuid[]))"
)

CLEAR_MEMBERS = text(
    """
    UPDATE members SET display_name = NULL, locale = NULL, time_zone = NULL, country = NULL, birthday = NULL,
        attributes_stated_at = '{}', erased_at = :at, updated_at = :at
    WHERE id = ANY(CAST(:ids AS uuid[]))
    """
)

# The hash of an order's content was made of the customer's name too: who has the rest of the order could try
# names against it. An order without one is never contradicted again.
SILENCE_ORDERS = text(
    "UPDATE orders SET content = '' WHERE member_id = ANY(CAST(:ids AS uuid[])) RETURNING member_id"
)

SILENCE_REFUNDS = text(
    f"""
    UPDATE refunds AS r SET reason = NULL FROM {KEYS}
    WHERE (r.source, r.shop_id, r.external_order_id) = (k.source, k.shop_id, k.external_order_id)
      AND r.reason IS NOT NULL
    """  # noqa: S608 - constants
)

SILENCE_CANCELLATIONS = text(
    f"""
    UPDATE cancellations AS c SET reason = NULL FROM {KEYS}
    WHERE (c.source, c.shop_id, c.external_order_id) = (k.source, k.shop_id, k.external_order_id)
      AND c.reason IS NOT NULL
    """  # noqa: S608 - constants
)

SILENCE_MERGES = text(
    """
    UPDATE merges SET reason = NULL
    WHERE reason IS NOT NULL
      AND (merged_id = ANY(CAST(:ids AS uuid[])) OR surviving_id = ANY(CAST(:ids AS uuid[])))
    """
)


async def old_names(session: AsyncSession, fingerprints: Collection[bytes]) -> dict[bytes, list[OldName]]:
    """Return whose names these were before they were erased."""
    found: dict[bytes, list[OldName]] = defaultdict(list)
    if fingerprints:
        for row in await session.execute(OLD_NAMES, {"fingerprints": list(fingerprints)}):
            found[bytes(row.fingerprint)].append(OldName(row.member_id, row.erased_at))
    return found


async def keep_fingerprints(
    session: AsyncSession, rows: Sequence[tuple[bytes, UUID]], *, at: datetime
) -> None:
    """Remember, as keyed hashes, whose names were erased."""
    if rows:
        await session.execute(
            KEEP_FINGERPRINTS,
            {
                "fingerprints": [fingerprint for fingerprint, _ in rows],
                "member_ids": [member_id for _, member_id in rows],
                "at": [at] * len(rows),
            },
        )


async def personal_words(
    session: AsyncSession, ids: Collection[UUID]
) -> tuple[dict[UUID, list[tuple[str, str]]], dict[UUID, list[str]]]:
    """Return the names of members at their sources, and their addresses."""
    names: dict[UUID, list[tuple[str, str]]] = defaultdict(list)
    addresses: dict[UUID, list[str]] = defaultdict(list)
    for row in await session.execute(IDENTITIES, {"ids": list(ids)}):
        names[row.member_id].append((row.source, row.external_id))
    for row in await session.execute(ADDRESSES, {"ids": list(ids)}):
        addresses[row.member_id].append(row.address)
    return names, addresses


async def order_keys(session: AsyncSession, ids: Collection[UUID]) -> dict[UUID, list[OrderKey]]:
    """Return the keys of all orders of each of these members."""
    keys: dict[UUID, list[OrderKey]] = defaultdict(list)
    for row in await session.execute(ORDER_KEYS, {"ids": list(ids)}):
        keys[row.member_id].append((row.source, row.shop_id, row.external_order_id))
    return keys


async def forget_rows(session: AsyncSession, ids: Collection[UUID]) -> dict[str, Mapping[UUID, int]]:
    """Delete every row that is only about these members; return how many of each, by table and member."""
    gone: dict[str, Mapping[UUID, int]] = {}
    for table in FORGOTTEN:
        rows = await session.scalars(
            text(
                f"DELETE FROM {table} WHERE member_id = ANY(CAST(:ids AS uuid[])) RETURNING member_id"  # noqa: S608 - constants
            ),
            {"ids": list(ids)},
        )
        gone[table] = _counted(rows.all())
    return gone


async def clear_members(session: AsyncSession, ids: Collection[UUID], *, at: datetime) -> None:
    """Leave of these members' rows what the books need."""
    await session.execute(CLEAR_MEMBERS, {"ids": list(ids), "at": at})


async def silence_orders(session: AsyncSession, ids: Collection[UUID]) -> Mapping[UUID, int]:
    """Keep these members' orders without what the customer can be told by; return how many each has."""
    return _counted((await session.scalars(SILENCE_ORDERS, {"ids": list(ids)})).all())


async def silence_merges(session: AsyncSession, ids: Collection[UUID]) -> None:
    """Take out of the history of merges why somebody thought that these members were one person."""
    await session.execute(SILENCE_MERGES, {"ids": list(ids)})


async def silence_returns(session: AsyncSession, keys: Collection[OrderKey]) -> None:
    """Take the reasons, which may be the customer's own words, out of refunds and cancellations."""
    if keys:
        await session.execute(SILENCE_REFUNDS, key_columns(keys))
        await session.execute(SILENCE_CANCELLATIONS, key_columns(keys))


def _counted(ids: Sequence[UUID]) -> Mapping[UUID, int]:
    counts: dict[UUID, int] = defaultdict(int)
    for member_id in ids:
        counts[member_id] += 1
    return counts
