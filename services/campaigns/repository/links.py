"""Statements about share links, and what a visitor or caller reads of a group."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

INSERT_LINKS = text(
    """
    INSERT INTO links (link_id, activity_id, group_id, sharer_id, channel, parent_link_id, generation,
                       created_at)
    SELECT n.link_id, n.activity_id, n.group_id, n.sharer_id, n.channel, n.parent_link_id, n.generation,
           clock_timestamp()
    FROM unnest(CAST(:link_ids AS uuid[]), CAST(:activity_ids AS uuid[]), CAST(:group_ids AS uuid[]),
                CAST(:sharer_ids AS uuid[]), CAST(:channels AS text[]), CAST(:parent_link_ids AS uuid[]),
                CAST(:generations AS bigint[]))
         AS n(link_id, activity_id, group_id, sharer_id, channel, parent_link_id, generation)
    ORDER BY n.group_id, n.sharer_id, n.channel
    ON CONFLICT (group_id, sharer_id, channel) DO NOTHING
    RETURNING *
    """
)

READ_LINK = text(
    """
    SELECT * FROM links
    WHERE group_id = :group_id AND sharer_id = :sharer_id AND channel IS NOT DISTINCT FROM :channel
    """
)

# Seats whose hold is over count as free, whether or not a job has been round.
READ_GROUP = text(
    """
    SELECT g.*, a.ends_at, a.checkout_url, s.title, s.product_id, s.normal_price_minor, c.now AS read_at,
           CASE WHEN g.state = 'open' AND g.deadline_at <= c.now THEN 'closing' ELSE g.state END AS state_now,
           g.group_size - (SELECT count(*) FROM seats t WHERE t.group_id = g.group_id
                           AND (t.state IN ('paid', 'confirmed')
                                OR t.state = 'held' AND t.lapses_at > c.now)) AS seats_left
    FROM buy_groups g
    JOIN activities a ON a.activity_id = g.activity_id
    JOIN activity_skus s ON s.activity_id = g.activity_id AND s.sku = g.sku
    CROSS JOIN (SELECT clock_timestamp() AS now) c
    WHERE g.group_id = :group_id
    """
)

READ_SEATS = text(
    """
    SELECT s.seat_id, s.member_id, s.seat_no, s.quantity, s.amount_minor, s.currency, s.held_until, s.paid_at,
           s.order_id, s.link_id, s.generation,
           CASE WHEN s.state = 'held' AND s.lapses_at <= clock_timestamp() THEN 'lapsed'
                ELSE s.state END AS state
    FROM seats s WHERE s.group_id = :group_id ORDER BY s.held_at, s.seat_id LIMIT 1000
    """
)

LIST_GROUPS = text(
    """
    SELECT g.group_id FROM buy_groups g
    WHERE (CAST(:activity_id AS uuid) IS NULL OR g.activity_id = :activity_id)
      AND (CAST(:state AS text) IS NULL OR g.state = :state)
      AND (CAST(:after AS uuid) IS NULL OR g.group_id < :after)
    ORDER BY g.group_id DESC LIMIT :limit
    """
)

LISTED_GROUPS = text(
    """
    SELECT k.activity_id, k.sku, o.group_id, o.group_size - o.seats_taken AS seats_left, o.deadline_at
    FROM unnest(CAST(:activity_ids AS uuid[]), CAST(:skus AS text[])) AS k(activity_id, sku)
    CROSS JOIN LATERAL (
        SELECT g.* FROM buy_groups g
        WHERE g.activity_id = k.activity_id AND g.sku = k.sku AND g.listed AND g.state = 'open'
          AND g.deadline_at > clock_timestamp() AND g.seats_taken < g.group_size
        ORDER BY g.group_size - g.seats_taken, g.deadline_at LIMIT :limit
    ) o
    """
)


async def insert_links(session: AsyncSession, links: Sequence[dict[str, Any]]) -> list[Row[Any]]:
    """Write links; return those that are new to their sharer and channel."""
    if not links:
        return []
    names = ("link_id", "activity_id", "group_id", "sharer_id", "channel", "parent_link_id", "generation")
    parameters = {f"{name}s": [link[name] for link in links] for name in names}
    return list((await session.execute(INSERT_LINKS, parameters)).all())


async def read_link(
    session: AsyncSession, group_id: UUID, sharer_id: UUID, channel: str | None
) -> Row[Any] | None:
    """Return a sharer's link on a channel, if there is one."""
    parameters = {"group_id": group_id, "sharer_id": sharer_id, "channel": channel}
    return (await session.execute(READ_LINK, parameters)).one_or_none()


async def read_group(session: AsyncSession, group_id: UUID) -> Row[Any] | None:
    """Return a group with its product, its state by the clock and the seats left now."""
    return (await session.execute(READ_GROUP, {"group_id": group_id})).one_or_none()


async def read_seats(session: AsyncSession, group_id: UUID) -> list[Row[Any]]:
    """Return the seats of a group, oldest first; a hold that is over reads as lapsed."""
    return list((await session.execute(READ_SEATS, {"group_id": group_id})).all())


async def list_groups(
    session: AsyncSession, *, activity_id: UUID | None, state: str | None, after: UUID | None, limit: int
) -> list[UUID]:
    """Return a page of group ids, newest first."""
    parameters = {"activity_id": activity_id, "state": state, "after": after, "limit": limit}
    return list((await session.scalars(LIST_GROUPS, parameters)).all())


async def listed_groups(
    session: AsyncSession, keys: set[tuple[UUID, str]], limit: int
) -> dict[tuple[UUID, str], list[Row[Any]]]:
    """Return open groups that agreed to be listed, by activity and SKU, the fullest first."""
    ordered = sorted(keys)
    rows = await session.execute(
        LISTED_GROUPS,
        {"activity_ids": [key[0] for key in ordered], "skus": [key[1] for key in ordered], "limit": limit},
    )
    found: dict[tuple[UUID, str], list[Row[Any]]] = {key: [] for key in ordered}
    for row in rows:
        found[row.activity_id, row.sku].append(row)
    return found
