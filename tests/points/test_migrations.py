"""A ledger of the first release goes on where it was, whatever has been added since."""

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from cli.embedded.postgres import EmbeddedPostgres
from services.points.operations import Held
from shared import migrations
from tests.fixtures.moment import now
from tests.fixtures.services import closing_database, fresh_database
from tests.points.ledger import DAY, Books, coupon, earn_of

MEMBER, ORDER = uuid4(), uuid4()
# What the first release leaves of a member who earned 100 and 50 points, spent 30 of the first, and lost 20
# of a third lot to expiry.
LOTS = [
    (uuid4(), 100, 70, 0, 10 * DAY),
    (uuid4(), 50, 50, 0, 20 * DAY),
    (uuid4(), 20, 0, 20, -DAY),
]
REDEEM, EXPIRE = uuid4(), uuid4()


@pytest.fixture
async def old_books(postgres: EmbeddedPostgres) -> AsyncIterator[Books]:
    """A database as the first release left it."""
    async with fresh_database(postgres, "points") as url, closing_database(url, pool_size=2) as database:
        await migrations.upgrade("points", database, "0001")
        yield Books(database)


async def enter(
    books: Books, sequence: int, entry_id: UUID, kind: str, contra: str, points: int, about_id: UUID
) -> None:
    async with books.database.transaction() as session:
        await session.execute(
            text(
                "INSERT INTO entries (member_id, sequence, id, kind, contra, points, about_id, rule_version,"
                " basis_minor, currency, actor, reason, occurred_at, recorded_at) VALUES (:member, :sequence,"
                " :id, :kind, :contra, :points, :about, 1, 10000, 'USD', 'members', 'Order paid', :at, :at)"
            ),
            {
                "member": MEMBER,
                "sequence": sequence,
                "id": entry_id,
                "kind": kind,
                "contra": contra,
                "points": points,
                "about": about_id,
                "at": now(),
            },
        )


async def fill(books: Books) -> None:
    for number, (lot_id, points, _, _, _) in enumerate(LOTS, start=1):
        await enter(books, number, lot_id, "earn", "issuance", points, ORDER if number == 1 else uuid4())
    await enter(books, 4, REDEEM, "redeem", "redemption", -30, uuid4())
    await enter(books, 5, EXPIRE, "expire", "expiry", -20, EXPIRE)
    async with books.database.transaction() as session:
        await session.execute(
            text(
                "INSERT INTO accounts (member_id, sequence, open_points, earned_points, spent_points,"
                " expired_points, next_expiry_at) VALUES (:member, 5, 120, 170, 30, 20, :at)"
            ),
            {"member": MEMBER, "at": now() + 10 * DAY},
        )
        for lot_id, points, remaining, expired, expires_in in LOTS:
            await session.execute(
                text(
                    "INSERT INTO lots (id, member_id, points, remaining_points, expired_points, earned_at,"
                    " expires_at) VALUES (:id, :member, :points, :remaining, :expired, :at, :expires_at)"
                ),
                {
                    "id": lot_id,
                    "member": MEMBER,
                    "points": points,
                    "remaining": remaining,
                    "expired": expired,
                    "at": now(),
                    "expires_at": now() + expires_in,
                },
            )
        for lot_id, entry_id, points in ((LOTS[0][0], REDEEM, 30), (LOTS[2][0], EXPIRE, 20)):
            await session.execute(
                text("INSERT INTO lot_moves (lot_id, entry_id, points) VALUES (:lot, :entry, :points)"),
                {"lot": lot_id, "entry": entry_id, "points": points},
            )
    # Sooner than any rule gives them.
    books.has_moved_dates = True


async def test_a_ledger_of_the_first_release_goes_on(old_books: Books) -> None:
    await fill(old_books)
    await migrations.upgrade("points", old_books.database)
    balance = await old_books.balance(MEMBER)
    assert (balance.available_points, balance.spent_points, balance.expired_points) == (120, 30, 20)
    assert balance.expirations == [(now() + 10 * DAY, 70), (now() + 20 * DAY, 50)]
    await old_books.assert_balanced()
    (account,) = await old_books.rows("SELECT head_sequence, head FROM accounts")
    (last,) = await old_books.rows("SELECT sequence, hash FROM entries WHERE sequence = 5")
    assert tuple(account) == tuple(last)
    reward = coupon(80)
    await old_books.add(reward)
    await old_books.earn(earn_of(MEMBER))
    await old_books.redeem((MEMBER, reward.id))
    held = await old_books.hold(MEMBER, 20)
    assert isinstance(held, Held)
    await old_books.capture(held.hold_id, 10)
    await old_books.pass_time(30 * DAY)
    await old_books.expire()
    balance = await old_books.balance(MEMBER)
    assert (balance.available_points, balance.spent_points, balance.expired_points) == (100, 120, 50)
    # What was spent before any of this was there goes back to its lot all the same, and expires with it.
    about = (await old_books.rows("SELECT about_id FROM entries WHERE kind = 'redeem' ORDER BY sequence"))[0]
    assert await old_books.reverse(about.about_id, "r1") == 30
    assert (await old_books.balance(MEMBER)).expired_points == 80
    await old_books.assert_balanced()
