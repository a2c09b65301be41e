"""Statements that compare the books with themselves, a range of accounts or of lots at a time.

A range is everything above `after` up to and with `upto`, by the first column of the primary key, so that
each statement reads one stretch of an index and ten million entries are compared in bounded memory. Every row
that comes back is a finding; a ledger that is right has none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.points.repository.chain import CANONICAL

NOTHING: Final = UUID(int=0)
EVERYTHING: Final = UUID(int=2**128 - 1)


@dataclass(frozen=True, slots=True)
class Finding:
    """Two statements of the books that disagree: what the one implies, and what the other says."""

    check: str
    member_id: UUID | None
    sequence: int | None
    lot_id: UUID | None
    expected: int | None
    found: int | None


@dataclass(frozen=True, slots=True)
class Sums:
    """What the accounts of a range hold by their own figures, and each contra account by their entries."""

    accounts: int
    entries: int
    unhashed: int
    members_points: int
    contra_points: dict[str, int]


# All statements of one slice have to see one state of the books, whatever is posted meanwhile.
ONE_MOMENT = text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")

END_OF_ACCOUNTS = text(
    "SELECT member_id FROM accounts WHERE member_id > :after ORDER BY member_id OFFSET :rows LIMIT 1"
)
END_OF_LOTS = text("SELECT id FROM lots WHERE id > :after ORDER BY id OFFSET :rows LIMIT 1")

ACCOUNT_SUMS = text(
    """
    SELECT count(*) AS accounts, coalesce(sum(open_points + pending_points - debt_points), 0) AS points
    FROM accounts WHERE member_id > :after AND member_id <= :upto
    """
)

CONTRA_SUMS = text(
    """
    SELECT contra, count(*) AS entries, count(*) - count(hash) AS unhashed, -sum(points) AS points
    FROM entries WHERE member_id > :after AND member_id <= :upto
    GROUP BY contra ORDER BY contra
    """
)

# One of these for each entry, the first that applies; a gap breaks the chain as well.
CHAINS = text(
    f"""
    SELECT * FROM (
        SELECT CASE
                   WHEN link.sequence <> link.sequence_before + 1 THEN 'sequence_gap'
                   WHEN link.hash IS NULL THEN CASE WHEN link.is_last THEN 'hash_missing' END
                   WHEN link.hash_before IS NULL AND link.sequence_before > 0 THEN NULL
                   WHEN link.hash <> sha256(coalesce(link.hash_before, decode('', 'hex')) || link.content)
                   THEN 'chain_broken'
               END AS finding, link.member_id, link.sequence, CAST(NULL AS uuid) AS lot_id,
               CAST(NULL AS bigint) AS expected, CAST(NULL AS bigint) AS found
        FROM (
            SELECT entry.member_id, entry.sequence, entry.hash, {CANONICAL} AS content,
                   lag(entry.hash) OVER account AS hash_before,
                   coalesce(lag(entry.sequence) OVER account, 0) AS sequence_before,
                   lead(entry.sequence) OVER account IS NULL AS is_last
            FROM entries AS entry
            WHERE entry.member_id > :after AND entry.member_id <= :upto
            WINDOW account AS (PARTITION BY entry.member_id ORDER BY entry.sequence)
        ) AS link
    ) AS judged
    WHERE judged.finding IS NOT NULL
    ORDER BY member_id, sequence LIMIT :limit
    """  # noqa: S608 - a constant
)

# Entries without a hash of their own are covered by the next one that has one, all of them together.
OLD_CHAINS = text(
    f"""
    SELECT 'chain_broken' AS finding, part.member_id, part.last_sequence AS sequence,
           CAST(NULL AS uuid) AS lot_id, CAST(NULL AS bigint) AS expected, CAST(NULL AS bigint) AS found
    FROM (
        SELECT link.member_id, max(link.sequence) AS last_sequence, count(*) AS entries,
               (array_agg(link.hash ORDER BY link.sequence DESC))[1] AS hash,
               (array_agg(link.hash_before ORDER BY link.sequence))[1] AS hash_before,
               string_agg(link.content, decode('', 'hex') ORDER BY link.sequence) AS content
        FROM (
            SELECT entry.member_id, entry.sequence, entry.hash, {CANONICAL} AS content,
                   lag(entry.hash) OVER account AS hash_before,
                   count(entry.hash) OVER (
                       PARTITION BY entry.member_id ORDER BY entry.sequence
                       ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
                   ) AS number
            FROM entries AS entry
            WHERE entry.member_id > :after AND entry.member_id <= :upto
            WINDOW account AS (PARTITION BY entry.member_id ORDER BY entry.sequence)
        ) AS link
        GROUP BY link.member_id, link.number
    ) AS part
    WHERE part.entries > 1
          AND part.hash <> sha256(coalesce(part.hash_before, decode('', 'hex')) || part.content)
    ORDER BY member_id, sequence LIMIT :limit
    """  # noqa: S608 - a constant
)

# What an account knows of the end of its chain. An entry that is later than that may be of a release that
# does not tell the account; one that is gone, or another one, is not.
HEADS = text(
    """
    SELECT 'chain_cut' AS finding, member_id, head_sequence AS sequence,
           CAST(NULL AS uuid) AS lot_id, CAST(NULL AS bigint) AS expected, CAST(NULL AS bigint) AS found
    FROM accounts AS account
         LEFT JOIN (
             SELECT member_id, sequence AS head_sequence, hash FROM entries
             WHERE member_id > :after AND member_id <= :upto
         ) AS entry USING (member_id, head_sequence)
    WHERE member_id > :after AND member_id <= :upto
          AND CASE head_sequence WHEN 0 THEN account.head <> ''
                   ELSE entry IS NULL OR entry.hash <> account.head END
    ORDER BY member_id LIMIT :limit
    """
)

# Each account's figures beside what entries, open lots and holds say about it.
FIGURES = text(
    """
    WITH entered AS (
        SELECT member_id, max(sequence) AS sequence, sum(points) AS balance,
               sum(points) FILTER (WHERE kind = 'earn') AS earned,
               -sum(points) FILTER (WHERE contra = 'redemption') AS spent,
               -sum(points) FILTER (WHERE contra = 'expiry') AS expired,
               -sum(points) FILTER (WHERE contra = 'issuance' AND kind IN ('claw_back', 'reverse'))
                   AS clawed_back,
               sum(points) FILTER (WHERE contra = 'adjustment' OR kind = 'opening') AS adjusted,
               sum(points) FILTER (WHERE contra = 'transfer') AS transferred,
               -sum(points) FILTER (WHERE contra = 'forfeit') AS forfeited
        FROM entries WHERE member_id > :after AND member_id <= :upto
        GROUP BY member_id
    ), opened AS (
        SELECT member_id, sum(remaining_points) FILTER (WHERE NOT pending) AS open,
               sum(remaining_points) FILTER (WHERE pending) AS pending, sum(pinned_points) AS pinned
        FROM lots WHERE member_id > :after AND member_id <= :upto AND remaining_points > 0
        GROUP BY member_id
    ), held AS (
        SELECT member_id, sum(points) AS points
        FROM holds WHERE member_id > :after AND member_id <= :upto AND status = 'held'
        GROUP BY member_id
    )
    SELECT compared.finding, member_id, CAST(NULL AS bigint) AS sequence, CAST(NULL AS uuid) AS lot_id,
           compared.expected, compared.found
    FROM (SELECT * FROM accounts WHERE member_id > :after AND member_id <= :upto) AS account
         FULL JOIN entered USING (member_id)
         FULL JOIN opened USING (member_id)
         FULL JOIN held USING (member_id)
         CROSS JOIN LATERAL (VALUES
             ('account_missing', 1, CASE WHEN account.sequence IS NULL THEN 0 ELSE 1 END),
             ('sequence', entered.sequence, account.sequence),
             ('balance', entered.balance,
              account.open_points + account.pending_points - account.debt_points),
             ('earned_points', entered.earned, account.earned_points),
             ('spent_points', entered.spent, account.spent_points),
             ('expired_points', entered.expired, account.expired_points),
             ('clawed_back_points', entered.clawed_back, account.clawed_back_points),
             ('adjusted_points', entered.adjusted, account.adjusted_points),
             ('transferred_points', entered.transferred, account.transferred_points),
             ('forfeited_points', entered.forfeited, account.forfeited_points),
             ('open_points', opened.open, account.open_points),
             ('pending_points', opened.pending, account.pending_points),
             ('held_points', held.points, account.held_points),
             ('pinned_points', held.points, opened.pinned)
         ) AS compared(finding, expected, found)
    WHERE coalesce(compared.expected, 0) <> coalesce(compared.found, 0)
    ORDER BY member_id LIMIT :limit
    """
)

# What an entry took is in its lot moves: all of it, or less only where the rest became debt. What gave points
# took none, and opened no lot that is larger than it.
TAKEN = text(
    """
    SELECT 'entry_moves' AS finding, entries.member_id, entries.sequence, CAST(NULL AS uuid) AS lot_id,
           greatest(-entries.points, 0) AS expected, coalesce(sum(lot_moves.points), 0) AS found
    FROM entries LEFT JOIN lot_moves ON lot_moves.entry_id = entries.id
    WHERE entries.member_id > :after AND entries.member_id <= :upto
          AND entries.kind IN ('earn', 'opening', 'redeem', 'expire', 'transfer_out', 'forfeit', 'claw_back',
                               'adjust')
    GROUP BY entries.member_id, entries.sequence
    HAVING CASE WHEN entries.kind IN ('claw_back', 'adjust')
                THEN coalesce(sum(lot_moves.points), 0) > greatest(-entries.points, 0)
                ELSE coalesce(sum(lot_moves.points), 0) <> greatest(-entries.points, 0) END
    UNION ALL
    SELECT 'lot_larger_than_entry', entries.member_id, entries.sequence, lots.id, entries.points, lots.points
    FROM entries JOIN lots ON lots.id = entries.id
    WHERE entries.member_id > :after AND entries.member_id <= :upto AND lots.points > entries.points
    ORDER BY member_id, sequence LIMIT :limit
    """
)

# What is gone of a lot is in its moves, less what reversals gave back; what expired of it in the moves of
# expiries; what is pinned of it in the pins of holds that still stand.
_LOTS = """
    SELECT compared.finding, coalesce(lot.member_id, NULL) AS member_id, CAST(NULL AS bigint) AS sequence,
           coalesce(lot.id, moved.lot_id) AS lot_id, compared.expected, compared.found
    FROM (SELECT * FROM lots WHERE {scope_of_lots}) AS lot
         FULL JOIN (
             SELECT lot_id, sum(points - returned_points) AS points,
                    sum(points - returned_points) FILTER (WHERE EXISTS (
                        SELECT FROM entries
                        WHERE about_id = lot_moves.entry_id AND kind = 'expire' AND reference = ''
                    )) AS expired
             FROM lot_moves WHERE {scope_of_moves}
             GROUP BY lot_id
         ) AS moved ON moved.lot_id = lot.id
         LEFT JOIN LATERAL (
             SELECT sum(hold_lots.points) AS points
             FROM holds JOIN hold_lots ON hold_lots.hold_id = holds.id
             WHERE lot.pinned_points > 0 AND holds.member_id = lot.member_id AND holds.status = 'held'
                   AND hold_lots.lot_id = lot.id
         ) AS pin ON true
         CROSS JOIN LATERAL (VALUES
             ('lot_missing', 1, CASE WHEN lot.id IS NULL THEN 0 ELSE 1 END),
             ('lot_moves', moved.points, lot.points - lot.remaining_points),
             ('lot_expired', moved.expired, lot.expired_points),
             ('lot_pins', pin.points, lot.pinned_points)
         ) AS compared(finding, expected, found)
    WHERE coalesce(compared.expected, 0) <> coalesce(compared.found, 0)
          AND (lot.id IS NOT NULL OR compared.finding = 'lot_missing')
    ORDER BY lot_id LIMIT :limit
"""
LOTS = text(
    _LOTS.format(
        scope_of_lots="id > :after AND id <= :upto", scope_of_moves="lot_id > :after AND lot_id <= :upto"
    )
)
LOTS_BY_ID = text(
    _LOTS.format(
        scope_of_lots="id = ANY(CAST(:lot_ids AS uuid[]))",
        scope_of_moves="lot_id = ANY(CAST(:lot_ids AS uuid[]))",
    )
)
COUNT_LOTS = text("SELECT count(*) FROM lots WHERE id > :after AND id <= :upto")

# The lots that an account opened or holds, those aside that it has handed on with nothing left in them.
LOTS_OF_MEMBER = text(
    """
    SELECT lots.id FROM entries JOIN lots ON lots.id = entries.id WHERE entries.member_id = :member_id
    UNION
    SELECT id FROM lots WHERE member_id = :member_id AND remaining_points > 0
    """
)

POSITION = text("SELECT after_id FROM audit_rounds WHERE what = :what")

# Only from where the stretch began. At the end a round is over, and its findings are those of the latest one.
ADVANCE = text(
    """
    UPDATE audit_rounds
    SET after_id = CAST(:end AS uuid),
        rounds = rounds + ended.one,
        checked = CASE WHEN ended.one = 1 THEN 0 ELSE checked + :checked END,
        findings = CASE WHEN ended.one = 1 THEN 0 ELSE findings + :findings END,
        latest_findings = CASE WHEN ended.one = 1 THEN findings + :findings ELSE latest_findings END,
        began_at = CASE WHEN ended.one = 1 THEN clock_timestamp() ELSE began_at END
    FROM (SELECT CASE WHEN CAST(:end AS uuid) IS NULL THEN 1 ELSE 0 END AS one) AS ended
    WHERE what = :what AND after_id IS NOT DISTINCT FROM CAST(:begin AS uuid)
    RETURNING greatest(findings, latest_findings) AS findings
    """
)


async def see_one_moment(session: AsyncSession) -> None:
    """Have every statement of this transaction see the same state; call it before any other."""
    await session.execute(ONE_MOMENT)


async def end_of_accounts(session: AsyncSession, after: UUID, rows: int) -> UUID:
    """Return the end of a range of `rows` accounts; the last one is open, so that nothing lies behind it."""
    end = (await session.execute(END_OF_ACCOUNTS, {"after": after, "rows": rows - 1})).scalar()
    return end or EVERYTHING


async def end_of_lots(session: AsyncSession, after: UUID, rows: int) -> UUID:
    """Return the end of a range of `rows` lots; the last range is open."""
    end = (await session.execute(END_OF_LOTS, {"after": after, "rows": rows - 1})).scalar()
    return end or EVERYTHING


async def sums(session: AsyncSession, after: UUID, upto: UUID) -> Sums:
    """Add up a range of accounts and of their entries."""
    parameters = {"after": after, "upto": upto}
    account = (await session.execute(ACCOUNT_SUMS, parameters)).one()
    contras = (await session.execute(CONTRA_SUMS, parameters)).all()
    return Sums(
        accounts=account.accounts,
        entries=sum(row.entries for row in contras),
        unhashed=sum(row.unhashed for row in contras),
        members_points=int(account.points),
        contra_points={row.contra: int(row.points) for row in contras},
    )


async def account_findings(
    session: AsyncSession, after: UUID, upto: UUID, *, limit: int, with_old_chains: bool
) -> list[Finding]:
    """Compare accounts, entries, open lots and holds of a range; up to `limit` findings of each statement."""
    statements = [CHAINS, HEADS, FIGURES, TAKEN] + ([OLD_CHAINS] if with_old_chains else [])
    parameters = {"after": after, "upto": upto, "limit": limit}
    return [found for each in statements for found in await _findings(session, each, parameters)]


async def lot_findings(session: AsyncSession, after: UUID, upto: UUID, *, limit: int) -> list[Finding]:
    """Compare the lots of a range with their moves and pins."""
    return await _findings(session, LOTS, {"after": after, "upto": upto, "limit": limit})


async def count_lots(session: AsyncSession, after: UUID, upto: UUID) -> int:
    """Count the lots of a range."""
    return int((await session.execute(COUNT_LOTS, {"after": after, "upto": upto})).scalar_one())


async def lots_of_member(session: AsyncSession, member_id: UUID) -> list[UUID]:
    """Return the lots that a member's account opened, and those that are open in it."""
    return list((await session.scalars(LOTS_OF_MEMBER, {"member_id": member_id})).all())


async def findings_of_lots(session: AsyncSession, lot_ids: Sequence[UUID], *, limit: int) -> list[Finding]:
    """Compare some lots with their moves and pins."""
    return await _findings(session, LOTS_BY_ID, {"lot_ids": list(lot_ids), "limit": limit})


async def _findings(
    session: AsyncSession, statement: TextClause, parameters: dict[str, object]
) -> list[Finding]:
    return [
        Finding(
            check=row.finding,
            member_id=row.member_id,
            sequence=row.sequence,
            lot_id=row.lot_id,
            # Sums of bigints are numeric, which the driver hands over as Decimal.
            expected=None if row.expected is None else int(row.expected),
            found=None if row.found is None else int(row.found),
        )
        for row in await session.execute(statement, parameters)
    ]


async def round_position(session: AsyncSession, what: str) -> UUID | None:
    """Return where the continuous audit of accounts or lots goes on, None for the beginning."""
    after: UUID | None = (await session.execute(POSITION, {"what": what})).scalar_one()
    return after


async def advance_round(
    session: AsyncSession, what: str, *, begin: UUID | None, end: UUID | None, checked: int, findings: int
) -> int | None:
    """Go on behind a stretch; return what is known to disagree, or None if another was here before."""
    row = (
        await session.execute(
            ADVANCE,
            {"what": what, "begin": begin, "end": end, "checked": checked, "findings": findings},
        )
    ).one_or_none()
    return None if row is None else int(row.findings)
