"""Adding to the summaries. Rows go in the order of their keys, so that two batches never deadlock."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import TextClause, func, text
from sqlalchemy.dialects.postgresql import Insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.analytics import domain, models
from services.analytics.repository.arrays import columns_of, upsert_sums

__all__ = [
    "add_campaign_counts",
    "add_campaign_sales",
    "add_counts",
    "add_ingest",
    "add_members",
    "add_products",
    "add_sales",
    "name_products",
    "set_stages",
    "set_tiers",
]

SALES_SUMS: Final = (
    "orders",
    "units",
    "revenue_minor",
    "shipping_minor",
    "discount_minor",
    "tax_minor",
    "refunds",
    "refunded_minor",
    "cohort_refunded_minor",
)
PRODUCT_SUMS: Final = ("orders", "units", "revenue_minor", "refunded_minor", "cohort_refunded_minor")
MEMBER_SUMS: Final = ("orders", "units", "revenue_minor", "refunded_minor")


class Sums:
    """A summary table with its upsert and the names of the arrays that it takes, keys first."""

    def __init__(self, model: Any, sums: Sequence[str], **other: Any) -> None:
        table = model.__table__
        self.names = [*(column.name for column in table.primary_key.columns), *sums, *other]
        self.statement: Insert = upsert_sums(table, sums, **other)

    async def add(self, session: AsyncSession, deltas: Mapping[Any, Sequence[Any]]) -> None:
        """Add the deltas, by key, in the order of keys."""
        if deltas:
            # The order of ids is that of their numbers, and comparing numbers is several times as fast.
            keys = sorted(deltas, key=lambda key: [getattr(part, "int", part) for part in key])
            rows = [(*key, *deltas[key]) for key in keys]
            await session.execute(self.statement, columns_of(self.names, rows))


SALES = Sums(models.DailySales, SALES_SUMS)
PRODUCTS = Sums(models.DailyProduct, PRODUCT_SUMS)
COUNTS = Sums(models.DailyCount, ("occurrences", "amount"))
CAMPAIGN_COUNTS = Sums(models.CampaignCount, ("occurrences",))
CAMPAIGN_SALES = Sums(models.CampaignSales, MEMBER_SUMS)
INGEST = Sums(models.IngestDay, ("stored", "duplicate"))
# LEAST and GREATEST pass over nulls: a refund that comes before its order knows no order times.
MEMBERS = Sums(models.MemberSales, MEMBER_SUMS, first_order_at=func.least, last_order_at=func.greatest)


def _latest_word(table: str, word: str, at: str, *rank: str) -> TextClause:
    """Keep of each member the word whose `rank`, columns in their order, is the greatest."""
    latest = ", ".join(f"{column} DESC" for column in rank)
    known, said = (", ".join(f"{place}.{column}" for column in rank) for place in ("known", "excluded"))
    return text(
        f"""
        INSERT INTO {table} AS known (member_id, {word}, {at}, event_id)
        SELECT DISTINCT ON (member_id) member_id, {word}, {at}, event_id
        FROM unnest(CAST(:member_id AS uuid[]), CAST(:{word} AS text[]), CAST(:{at} AS timestamptz[]),
                    CAST(:event_id AS uuid[])) AS new (member_id, {word}, {at}, event_id)
        ORDER BY member_id, {latest}
        ON CONFLICT (member_id) DO UPDATE
        SET {word} = excluded.{word}, {at} = excluded.{at}, event_id = excluded.event_id
        WHERE ({known}) < ({said})
        """  # noqa: S608 - constants of this module
    )


# A tier changes as of a payment, which may be older than what was said of it before, such as by an unmerge.
SET_TIERS = _latest_word("member_tiers", "tier", "changed_at", "event_id")
SET_STAGES = _latest_word("member_stages", "stage", "judged_at", "judged_at", "event_id")
# The tie-break by title makes the answer the same whichever of two orders of one instant comes first.
NAME_PRODUCTS = text(
    """
    INSERT INTO product_titles AS known (source, product_id, title, sold_at)
    SELECT DISTINCT ON (source, product_id) source, product_id, title, sold_at
    FROM unnest(CAST(:source AS text[]), CAST(:product_id AS text[]), CAST(:title AS text[]),
                CAST(:sold_at AS timestamptz[])) AS new (source, product_id, title, sold_at)
    ORDER BY source, product_id, sold_at DESC, title DESC
    ON CONFLICT (source, product_id) DO UPDATE
    SET title = excluded.title, sold_at = excluded.sold_at
    WHERE (known.sold_at, known.title) < (excluded.sold_at, excluded.title)
    """
)


async def add_members(session: AsyncSession, deltas: domain.Deltas) -> None:
    """Add to what members bought; holds the members' rows until the end of the transaction."""
    await MEMBERS.add(session, deltas.members)


async def add_sales(session: AsyncSession, deltas: domain.Deltas) -> None:
    """Add to the sales of days."""
    await SALES.add(session, deltas.sales)


async def add_products(session: AsyncSession, deltas: domain.Deltas) -> None:
    """Add to the sales of days by product."""
    await PRODUCTS.add(session, deltas.products)


async def add_counts(session: AsyncSession, deltas: domain.Deltas) -> None:
    """Add to the counts of days."""
    await COUNTS.add(session, deltas.counts)


async def add_campaign_counts(session: AsyncSession, deltas: domain.Deltas) -> None:
    """Add to the funnels of activities."""
    await CAMPAIGN_COUNTS.add(session, deltas.campaigns)


async def add_campaign_sales(session: AsyncSession, deltas: domain.Deltas) -> None:
    """Add to the sales of activities."""
    await CAMPAIGN_SALES.add(session, deltas.campaign_sales)


async def add_ingest(session: AsyncSession, deltas: Mapping[tuple[Any, str], Sequence[int]]) -> None:
    """Add stored and duplicate events to the books, by UTC day and source."""
    await INGEST.add(session, deltas)


async def name_products(session: AsyncSession, titles: Sequence[domain.Title]) -> None:
    """Remember what products were last sold as."""
    await session.execute(NAME_PRODUCTS, columns_of(domain.Title._fields, titles))


async def set_tiers(session: AsyncSession, changes: Sequence[domain.EventFact]) -> None:
    """Set the tiers of members, unless a later change is known; the tier is the fact's label."""
    rows = [(fact.member_id, fact.label, fact.occurred_at, fact.event_id) for fact in changes]
    await session.execute(SET_TIERS, columns_of(("member_id", "tier", "changed_at", "event_id"), rows))


async def set_stages(session: AsyncSession, changes: Sequence[domain.EventFact]) -> None:
    """Set the stages of members, unless a later judgement is known; the stage is the fact's label."""
    rows = [(fact.member_id, fact.label, domain.judged_at(fact), fact.event_id) for fact in changes]
    await session.execute(SET_STAGES, columns_of(("member_id", "stage", "judged_at", "event_id"), rows))
