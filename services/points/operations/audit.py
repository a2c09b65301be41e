"""Audit: do the books agree with themselves? A slice at a time, so that any ledger can be asked."""

from dataclasses import dataclass, field, replace
from typing import Final, Literal
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from services.points.repository import audit as repository
from services.points.repository.audit import EVERYTHING, NOTHING, Finding
from services.points.repository.lot_dates import date_findings
from services.points.repository.rules import rule_book
from shared import metrics

log = structlog.get_logger("regulars.points")

Audited = Literal["accounts", "lots"]
AUDITED: Final[tuple[Audited, ...]] = ("accounts", "lots")

CHECKED: Final = metrics.counter(
    "regulars_ledger_checked_total",
    "Accounts and lots that the continuous audit has compared; stands still if the audit does.",
    ("what",),
)
FINDINGS: Final = metrics.gauge(
    "regulars_ledger_findings",
    "What disagreed in the latest whole round of the audit, or in the one under way; never anything but 0.",
    ("what",),
)
# Beyond these the log would only repeat itself.
LOGGED_FINDINGS: Final = 20

# A slice in which everything is wrong is told by its first findings.
MAX_FINDINGS = 1000


@dataclass(frozen=True, slots=True)
class Slice:
    """What a stretch of the books has shown; `end` is where the next one begins, None after the last."""

    accounts: int = 0
    entries: int = 0
    lots: int = 0
    members_points: int = 0
    contra_points: dict[str, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    end: UUID | None = None
    begin: UUID | None = None


async def audit_accounts(session: AsyncSession, *, after: UUID | None, accounts: int) -> Slice:
    """Compare up to `accounts` accounts with their entries, chains, open lots and holds.

    Begin a transaction with it: all that it reads is of one moment.
    """
    await repository.see_one_moment(session)
    return await _audit_accounts(session, after, accounts)


async def _audit_accounts(session: AsyncSession, after: UUID | None, accounts: int) -> Slice:
    begin = after or NOTHING
    return await _accounts(session, begin, await repository.end_of_accounts(session, begin, accounts))


async def _accounts(session: AsyncSession, begin: UUID, upto: UUID) -> Slice:
    sums = await repository.sums(session, begin, upto)
    findings = await repository.account_findings(
        session, begin, upto, limit=MAX_FINDINGS, with_old_chains=sums.unhashed > 0
    )
    findings += await date_findings(session, begin, upto, rules=await rule_book(session), limit=MAX_FINDINGS)
    return Slice(
        accounts=sums.accounts,
        entries=sums.entries,
        members_points=sums.members_points,
        contra_points=sums.contra_points,
        findings=findings,
        end=None if upto == EVERYTHING else upto,
    )


async def audit_lots(session: AsyncSession, *, after: UUID | None, lots: int) -> Slice:
    """Compare up to `lots` lots with their moves and pins. Begin a transaction with it."""
    await repository.see_one_moment(session)
    return await _audit_lots(session, after, lots)


async def _audit_lots(session: AsyncSession, after: UUID | None, lots: int) -> Slice:
    begin = after or NOTHING
    upto = await repository.end_of_lots(session, begin, lots)
    findings = await repository.lot_findings(session, begin, upto, limit=MAX_FINDINGS)
    count = await repository.count_lots(session, begin, upto)
    return Slice(lots=count, findings=findings, end=None if upto == EVERYTHING else upto)


async def audit_member(session: AsyncSession, member_id: UUID) -> Slice:
    """Compare everything about one account. Begin a transaction with it."""
    await repository.see_one_moment(session)
    account = await _accounts(session, UUID(int=max(0, member_id.int - 1)), member_id)
    lot_ids = await repository.lots_of_member(session, member_id)
    findings = await repository.findings_of_lots(session, lot_ids, limit=MAX_FINDINGS)
    return Slice(
        accounts=account.accounts,
        entries=account.entries,
        lots=len(lot_ids),
        members_points=account.members_points,
        contra_points=account.contra_points,
        findings=account.findings + findings,
    )


async def audit_next(session: AsyncSession, what: Audited, *, rows: int) -> Slice:
    """Compare the next stretch of the round that never ends. Begin a transaction with it."""
    await repository.see_one_moment(session)
    begin = await repository.round_position(session, what)
    part = await (_audit_accounts if what == "accounts" else _audit_lots)(session, begin, rows)
    return replace(part, begin=begin)


async def note_audit(session: AsyncSession, what: Audited, part: Slice) -> None:
    """Go on behind a stretch, and tell the metrics and the log what it has shown.

    Another replica may have compared the same stretch meanwhile; then this one counts for nothing.
    """
    count = part.accounts if what == "accounts" else part.lots
    known = await repository.advance_round(
        session, what, begin=part.begin, end=part.end, checked=count, findings=len(part.findings)
    )
    if known is None:
        return
    CHECKED.labels(what).inc(count)
    FINDINGS.labels(what).set(known)
    for found in part.findings[:LOGGED_FINDINGS]:
        log.error(
            "ledger.disagrees",
            check=found.check,
            member_id=str(found.member_id),
            sequence=found.sequence,
            lot_id=str(found.lot_id),
            expected=found.expected,
            found=found.found,
        )
