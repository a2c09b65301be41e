"""Reading figures. Every statement sees one snapshot, so the numbers of one answer belong together."""

from collections.abc import Sequence
from datetime import date
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

__all__ = [
    "FIRST_STAGE",
    "GroupBy",
    "activities",
    "campaign",
    "campaign_sales",
    "campaign_steps",
    "clock",
    "daily_sales",
    "ingest_days",
    "kind_totals",
    "member",
    "member_sales",
    "sales_totals",
    "stages",
    "tiers",
    "totals",
]

# The stage that members are in of whom nothing else was said.
FIRST_STAGE: Final = "identification"

GroupBy = Literal["shop", "channel", "product"]

# Rows whose every number is zero came about when a refund met its order late; they say nothing.
DAILY: Final = {
    None: text(
        """
        SELECT day, currency, sum(orders)::bigint AS orders, sum(units)::bigint AS units,
            sum(revenue_minor)::bigint AS revenue_minor, sum(refunded_minor)::bigint AS refunded_minor,
            sum(cohort_refunded_minor)::bigint AS cohort_refunded_minor, sum(revision)::bigint AS revision,
            max(updated_at) AS updated_at
        FROM daily_sales
        WHERE day BETWEEN :first AND :last AND (CAST(:currency AS text) IS NULL OR currency = :currency)
            AND (orders, units, revenue_minor, refunds, refunded_minor, cohort_refunded_minor)
                IS DISTINCT FROM (0, 0, 0, 0, 0, 0)
            AND (CAST(:after AS date) IS NULL OR (day, currency) > (:after, :after_currency))
        GROUP BY day, currency
        ORDER BY day, currency
        LIMIT :limit
        """
    ),
    "shop": text(
        """
        SELECT day, source, shop_id AS key, currency, sum(orders)::bigint AS orders,
            sum(units)::bigint AS units, sum(revenue_minor)::bigint AS revenue_minor,
            sum(refunded_minor)::bigint AS refunded_minor,
            sum(cohort_refunded_minor)::bigint AS cohort_refunded_minor, sum(revision)::bigint AS revision,
            max(updated_at) AS updated_at
        FROM daily_sales
        WHERE day BETWEEN :first AND :last AND (CAST(:currency AS text) IS NULL OR currency = :currency)
            AND (orders, units, revenue_minor, refunds, refunded_minor, cohort_refunded_minor)
                IS DISTINCT FROM (0, 0, 0, 0, 0, 0)
            AND (CAST(:after AS date) IS NULL
                 OR (day, source, shop_id, currency) > (:after, :after_source, :after_key, :after_currency))
        GROUP BY day, source, shop_id, currency
        ORDER BY day, source, shop_id, currency
        LIMIT :limit
        """
    ),
    "channel": text(
        """
        SELECT day, channel AS key, currency, sum(orders)::bigint AS orders, sum(units)::bigint AS units,
            sum(revenue_minor)::bigint AS revenue_minor, sum(refunded_minor)::bigint AS refunded_minor,
            sum(cohort_refunded_minor)::bigint AS cohort_refunded_minor, sum(revision)::bigint AS revision,
            max(updated_at) AS updated_at
        FROM daily_sales
        WHERE day BETWEEN :first AND :last AND (CAST(:currency AS text) IS NULL OR currency = :currency)
            AND (orders, units, revenue_minor, refunds, refunded_minor, cohort_refunded_minor)
                IS DISTINCT FROM (0, 0, 0, 0, 0, 0)
            AND (CAST(:after AS date) IS NULL
                 OR (day, channel, currency) > (:after, :after_key, :after_currency))
        GROUP BY day, channel, currency
        ORDER BY day, channel, currency
        LIMIT :limit
        """
    ),
    "product": text(
        """
        SELECT s.day, s.source, s.product_id AS key, t.title, s.currency, s.orders, s.units, s.revenue_minor,
            s.refunded_minor, s.cohort_refunded_minor, s.revision, s.updated_at
        FROM daily_products AS s LEFT JOIN product_titles AS t USING (source, product_id)
        WHERE s.day BETWEEN :first AND :last AND (CAST(:currency AS text) IS NULL OR s.currency = :currency)
            AND (s.orders, s.units, s.revenue_minor, s.refunded_minor, s.cohort_refunded_minor)
                IS DISTINCT FROM (0, 0, 0, 0, 0)
            AND (CAST(:after AS date) IS NULL
                 OR (s.day, s.source, s.product_id, s.currency)
                    > (:after, :after_source, :after_key, :after_currency))
        ORDER BY s.day, s.source, s.product_id, s.currency
        LIMIT :limit
        """
    ),
}
# Facts keep the ids that they came with; whose they are is asked here.
MEMBER = text(
    """
    WITH person AS (
        SELECT coalesce((SELECT person_id FROM member_identities WHERE member_id = :member_id), :member_id)
            AS person_id
    ), ids AS (
        SELECT person_id AS member_id FROM person
        UNION
        SELECT i.member_id FROM member_identities AS i JOIN person USING (person_id)
    )
    SELECT person.person_id, array(SELECT member_id FROM ids ORDER BY member_id) AS member_ids,
        (SELECT min(f.occurred_at) FROM event_facts AS f JOIN ids ON f.fact_id = ids.member_id
         WHERE f.kind = 'member.created') AS joined_at,
        (SELECT t.tier FROM member_tiers AS t JOIN ids USING (member_id)
         ORDER BY (t.member_id = person.person_id) DESC, t.changed_at DESC LIMIT 1) AS tier,
        (SELECT s.stage FROM member_stages AS s WHERE s.member_id = person.person_id) AS stage
    FROM person
    """
)
MEMBER_SALES = text(
    """
    SELECT currency, sum(orders)::bigint AS orders, sum(units)::bigint AS units,
        sum(revenue_minor)::bigint AS revenue_minor, sum(refunded_minor)::bigint AS refunded_minor,
        min(first_order_at) AS first_order_at, max(last_order_at) AS last_order_at,
        sum(revision)::bigint AS revision
    FROM member_sales
    WHERE member_id = ANY(CAST(:member_ids AS uuid[]))
    GROUP BY currency
    ORDER BY currency
    """
)
CAMPAIGN = text(
    """
    SELECT
        (SELECT detail FROM event_facts WHERE kind = 'activity.scheduled' AND fact_id = :activity_id) AS plan,
        (SELECT occurred_at FROM event_facts WHERE kind = 'activity.cancelled' AND fact_id = :activity_id)
            AS cancelled_at,
        (SELECT occurred_at FROM event_facts WHERE kind = 'activity.ended' AND fact_id = :activity_id)
            AS ended_at,
        (SELECT count(DISTINCT coalesce(i.person_id, o.member_id)) FROM order_facts AS o
         LEFT JOIN member_identities AS i USING (member_id) WHERE o.activity_id = :activity_id) AS buyers
    """
)
CAMPAIGN_STEPS = text(
    """
    SELECT kind, label, occurrences, revision FROM campaign_counts WHERE activity_id = :activity_id
    ORDER BY kind, label
    """
)
# A request for a refund names the order and not the activity.
CAMPAIGN_SALES = text(
    """
    WITH asked AS (
        SELECT f.currency, count(*) AS requests, sum(f.amount)::bigint AS amount_minor
        FROM order_facts AS o JOIN event_facts AS f USING (order_id)
        WHERE o.activity_id = :activity_id AND f.kind = 'refund.requested'
        GROUP BY f.currency
    )
    SELECT currency, coalesce(s.orders, 0) AS orders, coalesce(s.units, 0) AS units,
        coalesce(s.revenue_minor, 0) AS revenue_minor, coalesce(s.refunded_minor, 0) AS refunded_minor,
        coalesce(asked.requests, 0) AS refund_requests, coalesce(asked.amount_minor, 0) AS requested_minor,
        coalesce(s.revision, 0) + coalesce(asked.requests, 0) AS revision
    FROM (SELECT * FROM campaign_sales WHERE activity_id = :activity_id) AS s FULL JOIN asked USING (currency)
    ORDER BY currency
    """
)
ACTIVITIES = text(
    """
    SELECT DISTINCT activity_id FROM (
        SELECT activity_id FROM campaign_counts UNION ALL SELECT activity_id FROM campaign_sales
    ) AS known
    WHERE CAST(:after AS uuid) IS NULL OR activity_id < :after
    ORDER BY activity_id DESC
    LIMIT :limit
    """
)
SALES_TOTALS = text(
    """
    SELECT currency, sum(orders)::bigint AS orders, sum(units)::bigint AS units,
        sum(revenue_minor)::bigint AS revenue_minor, sum(refunded_minor)::bigint AS refunded_minor,
        sum(revision)::bigint AS revision
    FROM daily_sales
    GROUP BY currency
    HAVING sum(orders) > 0 OR sum(refunds) > 0
    ORDER BY currency
    """
)
KIND_TOTALS = text(
    """
    SELECT kind, label, currency, sum(occurrences)::bigint AS occurrences, sum(amount)::bigint AS amount,
        sum(revision)::bigint AS revision
    FROM daily_counts
    GROUP BY kind, label, currency
    ORDER BY kind, label, currency
    """
)
# A member who became another's alias is no second member.
TOTALS = text(
    """
    SELECT
        (SELECT count(*) FROM event_facts AS f WHERE f.kind = 'member.created'
            AND NOT EXISTS (SELECT FROM member_identities AS a WHERE a.member_id = f.fact_id)) AS members,
        (SELECT count(*) FROM refund_facts WHERE NOT matched) AS refunds_waiting
    """
)
TIERS = text(
    """
    SELECT tier, count(*) AS members
    FROM member_tiers AS t
    WHERE tier <> '' AND NOT EXISTS (SELECT FROM member_identities AS a WHERE a.member_id = t.member_id)
    GROUP BY tier
    ORDER BY tier
    """
)
# Everybody begins in the first stage, without an event.
STAGES = text(
    f"""
    SELECT coalesce(s.stage, '{FIRST_STAGE}') AS stage, count(*) AS members
    FROM event_facts AS f LEFT JOIN member_stages AS s ON s.member_id = f.fact_id
    WHERE f.kind = 'member.created'
        AND NOT EXISTS (SELECT FROM member_identities AS a WHERE a.member_id = f.fact_id)
    GROUP BY 1
    ORDER BY 1
    """  # noqa: S608 - a constant of this module
)
INGEST_DAYS = text(
    """
    WITH rejected AS (
        SELECT (buried_at AT TIME ZONE 'UTC')::date AS received_on,
            coalesce(convert_from(header_values[array_position(header_names, 'ce_source')], 'UTF8'), '')
                AS source,
            count(*) AS rejected
        FROM dead_letters
        WHERE resolution IS DISTINCT FROM 'applied'
        GROUP BY 1, 2
    )
    SELECT received_on, source,
        coalesce(stored, 0) + coalesce(duplicate, 0) + coalesce(rejected, 0) AS received,
        coalesce(stored, 0) AS stored, coalesce(duplicate, 0) AS duplicate, coalesce(rejected, 0) AS rejected
    FROM ingest_days FULL JOIN rejected USING (received_on, source)
    WHERE received_on BETWEEN :first AND :last
    ORDER BY received_on, source
    """
)


async def clock(session: AsyncSession) -> Any:
    """The database's time: as of when what is read now holds."""
    return await session.scalar(text("SELECT clock_timestamp()"))


async def daily_sales(
    session: AsyncSession,
    group_by: GroupBy | None,
    *,
    first: date,
    last: date,
    currency: str | None,
    limit: int,
    after: dict[str, Any] | None = None,
) -> Sequence[Row[Any]]:
    """Sales of the days `first` to `last`, both included, after the position of the page before."""
    position = after or {}
    parameters = {"first": first, "last": last, "currency": currency, "limit": limit}
    parameters |= {"after": position.get("day"), "after_currency": position.get("currency", "")}
    if group_by is not None:
        parameters |= {"after_key": position.get("key", "")}
    if group_by in ("shop", "product"):
        parameters |= {"after_source": position.get("source", "")}
    return (await session.execute(DAILY[group_by], parameters)).all()


async def member(session: AsyncSession, member_id: UUID) -> Row[Any]:
    """Whose id it is, every id of that person, when they joined, their tier and their stage."""
    return (await session.execute(MEMBER, {"member_id": member_id})).one()


async def member_sales(session: AsyncSession, member_ids: Sequence[UUID]) -> Sequence[Row[Any]]:
    """What these ids bought together, by currency."""
    return (await session.execute(MEMBER_SALES, {"member_ids": list(member_ids)})).all()


async def campaign(session: AsyncSession, activity_id: UUID) -> Row[Any]:
    """What is known of an activity itself."""
    return (await session.execute(CAMPAIGN, {"activity_id": activity_id})).one()


async def campaign_steps(session: AsyncSession, activity_id: UUID) -> Sequence[Row[Any]]:
    """The counts of an activity, by kind and label."""
    return (await session.execute(CAMPAIGN_STEPS, {"activity_id": activity_id})).all()


async def campaign_sales(session: AsyncSession, activity_id: UUID) -> Sequence[Row[Any]]:
    """Money of an activity, by currency."""
    return (await session.execute(CAMPAIGN_SALES, {"activity_id": activity_id})).all()


async def activities(session: AsyncSession, after: UUID | None, limit: int) -> Sequence[UUID]:
    """Activities that anything was heard of, the newest ids first."""
    return (await session.scalars(ACTIVITIES, {"after": after, "limit": limit})).all()


async def sales_totals(session: AsyncSession) -> Sequence[Row[Any]]:
    """All sales, by currency."""
    return (await session.execute(SALES_TOTALS)).all()


async def kind_totals(session: AsyncSession) -> Sequence[Row[Any]]:
    """All counts, by kind, label and currency."""
    return (await session.execute(KIND_TOTALS)).all()


async def tiers(session: AsyncSession) -> Sequence[Row[Any]]:
    """How many members hold each tier."""
    return (await session.execute(TIERS)).all()


async def stages(session: AsyncSession) -> Sequence[Row[Any]]:
    """How many members are in each lifecycle stage."""
    return (await session.execute(STAGES)).all()


async def totals(session: AsyncSession) -> Row[Any]:
    """How many members there are, and how many refunds wait for their order."""
    return (await session.execute(TOTALS)).one()


async def ingest_days(session: AsyncSession, first: date, last: date) -> Sequence[Row[Any]]:
    """The books of ingest by UTC day and source; the rejected are the dead letters that were not applied."""
    return (await session.execute(INGEST_DAYS, {"first": first, "last": last})).all()
