"""The figures of the service."""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from services.members.repository import program

__all__ = ["Summary", "fold_tallies", "summarise"]

STATES = ("placed", "paid", "refunded", "cancelled")


@dataclass(frozen=True, slots=True)
class Summary:
    """Figures as the committed batches add up to; amounts by currency, in minor units."""

    members: int
    orders: dict[str, int]
    revenue_minor: dict[str, int]
    refunded_minor: dict[str, int]
    tiers: dict[str, int]
    tier_upgrades: int
    tier_downgrades: int
    parked_refunds: int
    parked_cancellations: int
    parked_deliveries: int
    erased: int


async def summarise(session: AsyncSession) -> Summary:
    """Add up what every batch wrote beside its change: exact, without reading members or orders."""
    figures = await program.figures(session)

    def group(name: str) -> dict[str, int]:
        start = f"{name}:"
        return {
            figure.removeprefix(start): value
            for figure, value in sorted(figures.items())
            if figure.startswith(start) and value
        }

    return Summary(
        members=figures.get("members", 0),
        orders={state: figures.get(f"orders:{state}", 0) for state in STATES}
        | {"total": figures.get("orders", 0)},
        revenue_minor=group("revenue"),
        refunded_minor=group("refunded"),
        tiers=group("tier"),
        tier_upgrades=figures.get("tier_upgrades", 0),
        tier_downgrades=figures.get("tier_downgrades", 0),
        parked_refunds=figures.get("parked_refunds", 0),
        parked_cancellations=figures.get("parked_cancellations", 0),
        parked_deliveries=figures.get("parked_deliveries", 0),
        erased=figures.get("erased", 0),
    )


async def fold_tallies(session: AsyncSession, *, limit: int) -> int:
    """Add up to `limit` rows of the figures up to one row per figure; return how many fewer there are."""
    return await program.fold_tallies(session, limit=limit)
