"""The dates of lots beside what the entries that opened them imply.

No entry states a date of its own, but its rule version and its instant, which the chain covers, lead to it.
So does the detail of an opening balance, the proposal of an adjustment, and the prize that was won.
"""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.points.domain import RuleBook
from services.points.repository.audit import Finding

# A country may change its clock between the earning and today, and with it when a day is reckoned to end.
CLOCK_CHANGE: Final = timedelta(days=1)

# Lots that are not dated as versions with a plain lifetime have it. A lot that points went back to may live
# longer, and the version that one was won under is that of its odds.
DATED = text(
    """
    SELECT entries.member_id, entries.sequence, lots.id AS lot_id, lots.expires_at, entries.kind,
           entries.rule_version, entries.occurred_at,
           entries.reference = 'prize' AS is_prize,
           CASE WHEN entries.kind = 'opening' THEN CAST(entries.detail ->> 'expires_at' AS timestamptz)
                WHEN entries.kind = 'adjust' THEN adjustments.expires_at
                WHEN entries.reference = 'prize' THEN (
                    SELECT draws.drawn_at + prize.lifetime_days * INTERVAL '24 hours'
                    FROM draws JOIN lottery_prizes AS prize
                         ON prize.lottery_id = draws.lottery_id AND prize.version = draws.odds_version
                            AND prize.number = draws.prize_number
                    WHERE draws.id = entries.about_id) END AS stated_at
    FROM entries
         JOIN lots ON lots.id = entries.id
         LEFT JOIN unnest(CAST(:versions AS integer[]), CAST(:lifetimes AS interval[]))
                   AS plain(version, lifetime)
                   ON plain.version = entries.rule_version AND entries.reference <> 'prize'
         LEFT JOIN adjustments ON entries.kind = 'adjust' AND adjustments.id = entries.about_id
    WHERE entries.member_id > :after AND entries.member_id <= :upto
          AND entries.kind IN ('earn', 'opening', 'adjust')
          AND (plain.version IS NULL OR lots.expires_at IS DISTINCT FROM entries.occurred_at + plain.lifetime)
          AND NOT EXISTS (
              SELECT FROM lot_moves WHERE lot_moves.lot_id = lots.id AND lot_moves.returned_points > 0)
    ORDER BY entries.member_id, entries.sequence
    """
)


async def date_findings(
    session: AsyncSession, after: UUID, upto: UUID, *, rules: RuleBook, limit: int
) -> list[Finding]:
    """Compare the dates of lots that accounts of a range opened; instants are in seconds since 1970."""
    versions = {rule.version: rule for rule in rules}
    plain = {number: each.plain_lifetime for number, each in versions.items() if each.plain_lifetime}
    parameters = {
        "after": after,
        "upto": upto,
        "versions": list(plain),
        "lifetimes": list(plain.values()),
    }
    findings: list[Finding] = []
    for row in await session.execute(DATED, parameters):
        expected = row.stated_at
        if row.kind == "earn" and not row.is_prize:
            if row.rule_version not in versions:
                # That is no version: the chain tells.
                continue
            expected = versions[row.rule_version].lot_expiry_of(row.occurred_at)
        if not _agree(expected, row.expires_at):
            finding = ("lot_date", row.member_id, row.sequence, row.lot_id)
            findings.append(Finding(*finding, _seconds(expected), _seconds(row.expires_at)))
    return findings[:limit]


def _agree(expected: datetime | None, found: datetime | None) -> bool:
    if expected is None or found is None:
        return expected is found
    return abs(found - expected) <= CLOCK_CHANGE


def _seconds(instant: datetime | None) -> int | None:
    return None if instant is None else int(instant.timestamp())
