"""The reading of a member's balance: account, lots and holds of one moment."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession


@dataclass(frozen=True, slots=True)
class LotShown:
    """Lots of one date and state as they are now, whether or not anybody has settled them.

    `held_points` are those that holds still have pinned.
    """

    points: int
    held_points: int
    expires_at: datetime | None
    due: bool
    pending: bool
    matures_at: datetime | None


@dataclass(frozen=True, slots=True)
class AccountShown:
    """A person's account with lifetime figures that count those of the members merged into them."""

    account_id: UUID
    debt_points: int
    earned_points: int
    spent_points: int
    expired_points: int
    clawed_back_points: int
    adjusted_points: int
    transferred_points: int
    forfeited_points: int
    lots: list[LotShown]


# One statement, so that everything is of one moment. A row for every date and state of lots; what a hold past
# its time has pinned counts as free, and what is pending past its time as matured.
BALANCE = text(
    """
    WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now)
    SELECT account.member_id, account.debt_points,
           account.earned_points + coalesce(alias.earned_points, 0) AS earned_points,
           account.spent_points + coalesce(alias.spent_points, 0) AS spent_points,
           account.expired_points + coalesce(alias.expired_points, 0) AS expired_points,
           account.clawed_back_points + coalesce(alias.clawed_back_points, 0) AS clawed_back_points,
           account.adjusted_points + coalesce(alias.adjusted_points, 0) AS adjusted_points,
           account.transferred_points + coalesce(alias.transferred_points, 0) AS transferred_points,
           account.forfeited_points + coalesce(alias.forfeited_points, 0) AS forfeited_points,
           lot.points, lot.held_points, lot.expires_at, lot.due, lot.pending, lot.matures_at
    FROM clock
         JOIN accounts AS asked ON asked.member_id = :member_id
         JOIN accounts AS account ON account.member_id = coalesce(asked.merged_into, asked.member_id)
         LEFT JOIN LATERAL (
             SELECT sum(earned_points) AS earned_points, sum(spent_points) AS spent_points,
                    sum(expired_points) AS expired_points, sum(clawed_back_points) AS clawed_back_points,
                    sum(adjusted_points) AS adjusted_points, sum(transferred_points) AS transferred_points,
                    sum(forfeited_points) AS forfeited_points
             FROM accounts WHERE accounts.merged_into = account.member_id
         ) AS alias ON true
         LEFT JOIN LATERAL (
             SELECT sum(remaining_points) AS points, sum(pinned_points) AS held_points, expires_at,
                    coalesce(expires_at <= clock.now, false) AS due, pending, matures_at
             FROM (
                 SELECT lots.remaining_points, lots.pinned_points - coalesce(over.points, 0) AS pinned_points,
                        CASE WHEN lots.sliding THEN account.sliding_expires_at
                             ELSE lots.expires_at END AS expires_at,
                        still.pending, CASE WHEN still.pending THEN lots.matures_at END AS matures_at
                 FROM lots
                      CROSS JOIN LATERAL (
                          SELECT lots.pending AND (lots.matures_at IS NULL OR lots.matures_at > clock.now)
                      ) AS still(pending)
                      LEFT JOIN (
                          SELECT hold_lots.lot_id, sum(hold_lots.points) AS points
                          FROM holds JOIN hold_lots ON hold_lots.hold_id = holds.id
                          WHERE holds.member_id = account.member_id AND holds.status = 'held'
                                AND holds.expires_at <= clock.now
                          GROUP BY hold_lots.lot_id
                      ) AS over ON over.lot_id = lots.id
                 WHERE lots.member_id = account.member_id AND lots.remaining_points > 0
             ) AS judged
             GROUP BY expires_at, pending, matures_at
         ) AS lot ON true
    ORDER BY lot.expires_at NULLS LAST, lot.matures_at NULLS LAST
    """
)


async def balance(session: AsyncSession, member_id: UUID) -> AccountShown | None:
    """Return the account of a member, or of whom they are merged into; None if there is none yet."""
    rows = (await session.execute(BALANCE, {"member_id": member_id})).all()
    if not rows:
        return None
    lots = [
        LotShown(int(row.points), int(row.held_points), row.expires_at, row.due, row.pending, row.matures_at)
        for row in rows
        if row.points is not None
    ]
    # Sums of bigints are numeric, which the driver hands over as Decimal.
    debt, earned, spent, expired, clawed_back, adjusted, transferred, forfeited = map(int, rows[0][1:9])
    return AccountShown(
        rows[0][0], debt, earned, spent, expired, clawed_back, adjusted, transferred, forfeited, lots
    )
