"""Back-test: what a rule set would have granted for orders that have earned. Nothing is changed by it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time
from itertools import groupby
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.points.domain import RuleBook
from services.points.domain.facts import MemberFacts
from services.points.domain.orders import EarnedOrder, OrderFacts
from services.points.domain.rule_sets import read_rule_set
from services.points.domain.trial import Change, Earned, Trial
from services.points.errors import BackTestNotFound, InvalidWindow, RuleNotFound, TooManyBackTests
from services.points.operations.rules import check_rule_set
from services.points.repository import back_tests as repository
from services.points.repository import caps as caps_repository
from services.points.repository import labels as label_repository
from services.points.repository import ledger as ledger_repository
from services.points.repository import orders as order_repository
from services.points.repository import rules as rule_repository
from services.points.repository import tiers as tier_repository
from services.points.repository.back_tests import BackTest, EarnedRow, TierAnswer
from services.points.repository.caps import BirthdayRow
from services.points.repository.details import EntryColumns, facts_of, member_of, read_detail
from services.points.repository.tiers import HeldTier
from shared.events import MAX_RECOUNTED, Recount, RecountedOrder, TrialRecounted
from shared.ids import new_id
from shared.outbox import emit

# One is run after the other; more of them waiting than this were started by mistake.
MAX_RUNNING = 20
NOON = time(12, tzinfo=UTC)


async def start_back_test(
    session: AsyncSession,
    *,
    version: int | None,
    terms: Mapping[str, Any] | None,
    paid_from: datetime,
    paid_until: datetime,
    actor: str,
) -> BackTest:
    """Have a version, a draft or a document tried on the orders paid in [from, until).

    Raises `RuleNotFound`, `InvalidRuleSet`, `InvalidWindow` and `TooManyBackTests`.
    """
    if paid_from >= paid_until:
        raise InvalidWindow
    if version is not None:
        rule = await rule_repository.rule_version(session, version)
        if rule is None:
            raise RuleNotFound(version=version)
        terms = rule.terms or _terms_of(rule.points_per_unit or 0, rule.lot_lifetime_days)
    assert terms is not None, "the request has a version or terms"
    check_rule_set(terms)
    if await repository.count_running(session) >= MAX_RUNNING:
        raise TooManyBackTests(limit=MAX_RUNNING)
    now = await ledger_repository.database_now(session)
    test = BackTest(
        new_id(),
        version,
        terms,
        paid_from,
        paid_until,
        "running",
        None,
        Trial(tier_parts=0),
        actor,
        now,
        None,
    )
    await repository.add_back_test(session, test)
    return test


def _terms_of(points_per_unit: int, lot_lifetime_days: int | None) -> dict[str, Any]:
    """Return the rule set that says the same as the simple form."""
    expiry = "none" if lot_lifetime_days is None else f"rolling:{lot_lifetime_days}d"
    return {"base": {"points": points_per_unit}, "expiry": expiry}


async def show_back_test(session: AsyncSession, back_test_id: UUID) -> BackTest:
    """Return a back-test as far as it has come; raises `BackTestNotFound`."""
    found = await repository.back_test(session, back_test_id)
    if found is None:
        raise BackTestNotFound(back_test_id=str(back_test_id))
    return found


async def advance_back_test(session: AsyncSession, *, accounts: int) -> int:
    """Try the next accounts of the oldest back-test under way; return how many, or 1 if it was the end of it.

    What was found is written together with how far it came, so that it can be gone on with by anybody. When
    all accounts are tried it waits for members to say what becomes of tiers.
    """
    await repository.finish_back_tests(session)
    test = await repository.claim_back_test(session)
    if test is None:
        return 0
    member_ids = await repository.next_accounts(session, test.after_member_id, limit=accounts)
    if member_ids:
        await _try_accounts(session, test, member_ids)
        test.after_member_id = member_ids[-1]
    else:
        test.status = "judging_tiers" if test.trial.tier_parts else "done"
    await repository.save_back_test(session, test)
    return max(1, len(member_ids))


async def hear_tiers(session: AsyncSession, answers: Sequence[TierAnswer]) -> None:
    """Keep what members said of the tiers that others would hold."""
    await repository.add_answers(session, answers)


async def _try_accounts(session: AsyncSession, test: BackTest, member_ids: list[UUID]) -> None:
    rules = read_rule_set(test.terms)
    book = await rule_repository.rule_book(session)
    tiers = await tier_repository.tiers_of(session, member_ids)
    birthdays = await caps_repository.birthdays_of(session, member_ids)
    labels = await label_repository.labels_of(session, member_ids, rules.plan.labels)
    rows = await repository.earned(session, member_ids, test.paid_from, test.paid_until)
    returned = await repository.refunded(session, [row.order_id for row in rows])
    refunds = await order_repository.earned_orders(session, returned) if returned else {}
    changed = {}
    for member_id, own in groupby(rows, key=lambda row: row.member_id):
        orders = [
            _earned(
                row,
                book,
                tiers.get(member_id),
                birthdays.get(member_id),
                refunds.get(row.order_id),
                labels.get(member_id, {}),
            )
            for row in own
        ]
        changes = test.trial.try_account(rules, member_id, orders, test.created_at)
        if changes:
            changed[member_id] = changes
    if test.trial.tier_parts is not None:
        await _ask_for_tiers(session, test, changed)


async def _ask_for_tiers(
    session: AsyncSession, test: BackTest, changed: Mapping[UUID, Sequence[Change]]
) -> None:
    """Say who would have earned what, in parts that fit into a record: tiers are kept by members."""
    parts: list[list[Recount]] = []
    room = 0
    for member_id, changes in changed.items():
        # A member is judged whole, so all of theirs goes into one part.
        orders = _orders(changes)
        if room < len(orders):
            parts.append([])
            room = MAX_RECOUNTED
        room -= len(orders)
        parts[-1].append(Recount(member_id=member_id, changes=orders))
    first = (test.trial.tier_parts or 0) + 1
    await emit(
        session,
        [
            TrialRecounted(back_test_id=test.id, part=number, members=members)
            for number, members in enumerate(parts, first)
        ],
    )
    test.trial.tier_parts = first - 1 + len(parts)


def _orders(changes: Sequence[Change]) -> list[RecountedOrder]:
    if len(changes) <= MAX_RECOUNTED:
        return [RecountedOrder(at=change.paid_at, points=change.points) for change in changes]
    # Who buys that often is a shared account: days of UTC are exact enough, and fit into a record.
    days = Counter[datetime]()
    for change in changes:
        days[change.paid_at.astimezone(UTC).replace(hour=12, minute=0, second=0, microsecond=0)] += (
            change.points
        )
    return [RecountedOrder(at=at, points=points) for at, points in days.items()]


def _earned(
    row: EarnedRow,
    book: RuleBook,
    tier: HeldTier | None,
    birthday: BirthdayRow | None,
    refunded: EarnedOrder | None,
    labels: Mapping[str, Sequence[str]],
) -> Earned:
    """Return an order as it was. What it was told of the member then counts before what is known now."""
    columns = EntryColumns(row.order_id, row.currency, row.total_minor, row.paid_at)
    detail = read_detail(row.detail) if row.detail is not None else None
    order = (
        facts_of(detail, columns)
        if detail is not None
        else OrderFacts(row.order_id, "", "", row.currency, row.total_minor, row.paid_at, row.paid_at)
    )
    told = member_of(detail.rules.member if detail is not None and detail.rules is not None else None)
    member = MemberFacts(
        told.tier or (tier.tier if tier is not None else None),
        told.tier_percent or (tier.points_multiplier_percent if tier is not None else None),
        row.first,
        told.birthday_starts_at or (birthday.starts_at if birthday is not None else None),
        told.birthday_ends_at or (birthday.ends_at if birthday is not None else None),
        # Only what the rules of the time asked for was remembered.
        {*told.tags, *labels.get("tag", ())},
        {*told.groups, *labels.get("group", ())},
    )
    expires_at = book.version(row.rule_version).expiry_of(row.paid_at)
    return Earned(order, member, row.points, expires_at, refunded)
