"""The chain of an account's entries: made alike in Python and in SQL, and broken by any change."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from services.points.models import Base
from services.points.repository.chain import ANCHOR, CANONICAL, entry_hash
from services.points.repository.ledger import ENTRIES, add_entries
from shared.ids import new_id
from tests.fixtures.moment import now
from tests.points.ledger import DAY, Books, coupon, earn_of, refund_of

# The hashes as SQL alone makes them, from the definition: each over the one before it and the row.
LINKS = f"""
    SELECT entry.member_id, entry.sequence, entry.kind, entry.hash,
           sha256(coalesce(lag(entry.hash) OVER (PARTITION BY entry.member_id ORDER BY entry.sequence),
                           decode('', 'hex')) || {CANONICAL}) AS expected
    FROM entries AS entry ORDER BY entry.member_id, entry.sequence
"""


# What a release leaves behind that knows neither hashes nor heads.
OLD = ("UPDATE entries SET hash = NULL", "UPDATE accounts SET head = '', head_sequence = 0")


async def forget(books: Books) -> None:
    async with books.database.transaction() as session:
        for statement in OLD:
            await session.execute(text(statement))


async def assert_heads(books: Books) -> None:
    """Every account knows the hash of its last entry."""
    heads = await books.rows("SELECT sequence, head_sequence, head FROM accounts ORDER BY member_id")
    lasts = await books.rows(
        "SELECT DISTINCT ON (member_id) sequence, sequence, hash FROM entries"
        " ORDER BY member_id, sequence DESC"
    )
    assert [tuple(head) for head in heads] == [tuple(last) for last in lasts]


async def test_every_way_of_writing_an_entry_makes_the_same_hash(books: Books) -> None:
    """Copied rows are hashed in Python, expiries by the statement that enters them."""
    member, other, reward = uuid4(), uuid4(), coupon(10)
    await books.add(reward)
    spent, late = earn_of(member), earn_of(member, 5_000, paid_at=now() - 400 * DAY)
    await books.earn(spent, earn_of(other, 99), late, earn_of(member, 7_777))
    await books.redeem((member, reward.id))
    await books.refund(refund_of(spent, 4_000), refund_of(spent, 6_000, refund_id="r2"))
    await books.pass_time(366 * DAY)
    await books.expire()
    await books.earn(earn_of(member), earn_of(other))
    links = await books.rows(LINKS)
    assert {link.kind for link in links} == {"earn", "redeem", "claw_back", "expire"}
    assert [link.hash for link in links] == [link.expected for link in links]
    await assert_heads(books)


@pytest.mark.parametrize(
    "row",
    [
        {"points": 10**15, "basis_minor": 2**63 - 1, "currency": "JPY"},
        {"points": 0, "reference": "é\u2603\U0001f600 \\x00 %s", "actor": "", "reason": "a\tb\nc"},
        {"points": 1, "occurred_at": datetime(1970, 1, 1, tzinfo=UTC)},
        {"points": 1, "occurred_at": datetime(9999, 12, 31, 23, 59, 59, 999_998, tzinfo=UTC)},
        {"points": 1, "rule_version": 2**31 - 1, "basis_minor": 0},
        {"points": 1, "detail": '{"zebra": 1.50, "ä": [true, null, "\\u0041\\n"],"a":{} }'},
    ],
)
async def test_python_and_sql_agree_on_the_bytes_of(books: Books, row: dict[str, Any]) -> None:
    plain = {
        "member_id": uuid4(),
        "sequence": 1,
        "id": new_id(),
        "kind": "earn",
        "contra": "issuance",
        "points": 1,
        "about_id": uuid4(),
        "reference": "",
        "rule_version": 1,
        "basis_minor": None,
        "currency": None,
        "actor": "members",
        "reason": "Order paid",
        "occurred_at": now(),
        "detail": None,
        "origin_id": None,
        "recorded_at": now() + timedelta(microseconds=1),
    }
    assert [*plain, "hash"] == list(ENTRIES.columns)
    said: Any = tuple((plain | row).values())
    async with books.database.transaction() as session:
        await add_entries(session, [(*said, entry_hash(b"", *said))])
    (link,) = await books.rows(LINKS)
    assert link.hash == link.expected


async def test_an_entry_covers_every_column_but_its_hash(books: Books) -> None:
    """A new column that no hash covers could be changed unseen: extend the canonical bytes with it."""
    columns = {column.name for column in Base.metadata.tables["entries"].columns} - {"hash"}
    assert columns == {name for name in columns if f"entry.{name}" in CANONICAL}


async def test_entries_older_than_the_chain_are_covered_by_the_first_that_follows(books: Books) -> None:
    """As when a release that knows no chain still writes while the next one is already there."""
    member = uuid4()
    for _ in range(3):
        await books.earn(earn_of(member))
    await forget(books)
    await books.earn(earn_of(member))
    links = await books.rows(LINKS)
    assert [link.hash is None for link in links] == [True, True, False, False]
    assert links[3].hash == links[3].expected
    await assert_heads(books)
    rows = await books.rows(f"SELECT {CANONICAL} AS content FROM entries AS entry ORDER BY sequence LIMIT 3")
    assert links[2].hash == sha256(b"".join(row.content for row in rows)).digest()


async def test_a_tail_without_hashes_goes_on_from_the_last_hash(books: Books) -> None:
    member = uuid4()
    for _ in range(3):
        await books.earn(earn_of(member))
    async with books.database.transaction() as session:
        await session.execute(text("UPDATE entries SET hash = NULL WHERE sequence > 1"))
        await session.execute(ANCHOR, {"member_ids": [member]})
    first, second, third = await books.rows(
        f"SELECT hash, {CANONICAL} AS content FROM entries AS entry ORDER BY sequence"
    )
    assert second.hash is None
    assert third.hash == sha256(first.hash + second.content + third.content).digest()


async def test_a_tail_without_a_hash_gets_one_before_anything_expires_behind_it(
    books: Books,
) -> None:
    member = uuid4()
    await books.earn(earn_of(member))
    await forget(books)
    await books.pass_time(366 * DAY)
    await books.expire()
    await books.earn(earn_of(member))
    rows = await books.rows(f"SELECT hash, {CANONICAL} AS content FROM entries AS entry ORDER BY sequence")
    assert rows[0].hash == sha256(rows[0].content).digest()
    assert rows[1].hash == sha256(rows[0].hash + rows[1].content).digest()
    assert rows[2].hash == sha256(rows[1].hash + rows[2].content).digest()
    await assert_heads(books)
