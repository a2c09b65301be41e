"""The audit: books that are right have no findings, and whatever is tampered with is named exactly."""

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text

from services.points import operations
from services.points.app import service
from services.points.jobs import audit_ledger
from services.points.settings import PointsSettings
from shared.auth import create_key
from shared.database import Database
from shared.metrics import REGISTRY
from shared.testing import api_client
from tests.fixtures.moment import now
from tests.points.ledger import DAY, Books, coupon, earn_of, refund_of

KIM, LEE, MAX = (UUID(int=number) for number in (1, 2, 3))


async def history(books: Books) -> None:
    """Three members: Kim earns, spends, returns and loses points; Lee has some; Max earned nothing yet."""
    reward = coupon(30)
    await books.add(reward)
    order = earn_of(KIM)
    await books.earn(order, earn_of(KIM, 5_000, paid_at=now() - 300 * DAY), earn_of(LEE), earn_of(MAX, 99))
    await books.redeem((KIM, reward.id))
    await books.refund(refund_of(order, 4_000))
    await books.move_clock(100 * DAY)
    await books.expire()


async def tamper(books: Books, *statements: str) -> None:
    """Write past the service, and past the constraints where they would notice."""
    async with books.database.transaction() as session:
        for statement in statements:
            await session.execute(text(statement))


async def found(books: Books) -> list[tuple[str, UUID | None, int | None]]:
    """(check, member, sequence) of everything that disagrees."""
    return [(each.check, each.member_id, each.sequence) for each in await books.findings()]


async def test_books_that_are_right_have_no_findings(books: Books) -> None:
    assert await books.findings() == []
    await history(books)
    assert await books.findings() == []
    entries = await books.rows("SELECT kind FROM entries WHERE member_id = '" + str(KIM) + "'")
    assert [entry.kind for entry in entries] == ["earn", "earn", "redeem", "claw_back", "expire"]


async def test_the_points_of_an_entry(books: Books) -> None:
    await history(books)
    await tamper(books, f"UPDATE entries SET points = 60 WHERE member_id = '{KIM}' AND sequence = 2")
    findings = await found(books)
    assert ("chain_broken", KIM, 2) in findings
    assert {("balance", KIM, None), ("earned_points", KIM, None)} <= set(findings)
    assert {member_id for _, member_id, _ in findings} == {KIM}


async def test_the_points_of_an_entry_and_every_figure_that_follows_from_it(books: Books) -> None:
    """Who knows the tables well can make everything add up again; the chain still tells."""
    await history(books)
    await tamper(
        books,
        f"UPDATE entries SET points = 150 WHERE member_id = '{LEE}'",
        f"UPDATE lots SET points = 150, remaining_points = 150 WHERE member_id = '{LEE}'",
        f"UPDATE accounts SET open_points = 150, earned_points = 150 WHERE member_id = '{LEE}'",
    )
    assert await found(books) == [("chain_broken", LEE, 1)]


@pytest.mark.parametrize(
    "change",
    [
        "reason = 'A gift'",
        "actor = 'nobody'",
        "occurred_at = occurred_at + interval '1 microsecond'",
        "recorded_at = recorded_at - interval '1 microsecond'",
        "about_id = member_id",
        "rule_version = 7",
        "basis_minor = basis_minor + 1",
        "currency = 'EUR'",
        "detail = '{}'",
        "reference = 'r'",
    ],
)
async def test_whatever_an_entry_says(books: Books, change: str) -> None:
    await history(books)
    await tamper(books, f"UPDATE entries SET {change} WHERE member_id = '{LEE}'")
    assert await found(books) == [("chain_broken", LEE, 1)]


async def test_an_entry_that_is_gone(books: Books) -> None:
    await history(books)
    await tamper(books, f"DELETE FROM entries WHERE member_id = '{KIM}' AND sequence = 3")
    findings = await found(books)
    assert ("sequence_gap", KIM, 4) in findings
    assert {("spent_points", KIM, None), ("balance", KIM, None)} <= set(findings)


async def test_the_latest_entry_that_is_gone(books: Books) -> None:
    await history(books)
    await tamper(books, f"DELETE FROM entries WHERE member_id = '{KIM}' AND sequence = 5")
    assert ("sequence", KIM, None) in await found(books)


async def cut_off(books: Books) -> None:
    """Take away Lee's second entry, with all that follows from it."""
    await books.earn(earn_of(LEE, 5_000))
    await tamper(
        books,
        f"DELETE FROM lots WHERE id IN (SELECT id FROM entries WHERE member_id = '{LEE}' AND sequence = 2)",
        f"DELETE FROM entries WHERE member_id = '{LEE}' AND sequence = 2",
        f"UPDATE accounts SET sequence = 1, open_points = 100, earned_points = 100 WHERE member_id = '{LEE}'",
    )


async def test_the_latest_entry_that_is_gone_with_all_that_follows_from_it(books: Books) -> None:
    """Cut off cleanly, what is left of a chain is whole; the account still knows where it ended."""
    await history(books)
    await cut_off(books)
    assert await found(books) == [("chain_cut", LEE, 2)]
    await tamper(books, f"UPDATE accounts SET head_sequence = 1 WHERE member_id = '{LEE}'")
    assert await found(books) == [("chain_cut", LEE, 1)]
    await tamper(books, f"UPDATE accounts SET head_sequence = 0 WHERE member_id = '{LEE}'")
    assert await found(books) == [("chain_cut", LEE, 0)]


async def test_entries_after_the_end_was_cut_off_do_not_hide_it(books: Books) -> None:
    await history(books)
    await cut_off(books)
    await books.earn(earn_of(LEE, 7_000))
    assert await found(books) == [("chain_broken", LEE, 2)]


async def test_what_an_older_release_has_entered_meanwhile_is_no_finding(books: Books) -> None:
    """It goes on with the chain and tells no account of it; the next entry looks the end up."""
    await history(books)
    await books.earn(earn_of(LEE, 5_000))
    (first,) = await books.rows(f"SELECT hash FROM entries WHERE member_id = '{LEE}' AND sequence = 1")
    await tamper(
        books,
        f"UPDATE accounts SET head = '\\x{first.hash.hex()}', head_sequence = 1 WHERE member_id = '{LEE}'",
    )
    assert await found(books) == []
    await books.earn(earn_of(LEE))
    assert await found(books) == []
    (account,) = await books.rows(f"SELECT head_sequence, sequence FROM accounts WHERE member_id = '{LEE}'")
    assert tuple(account) == (3, 3)


async def test_an_entry_that_nobody_posted(books: Books) -> None:
    await history(books)
    await tamper(
        books,
        "INSERT INTO entries (member_id, sequence, id, kind, contra, points, about_id, rule_version, actor,"
        f" reason, occurred_at, recorded_at, hash) SELECT member_id, 2, '{MAX}', kind, contra, 0, '{KIM}',"
        " rule_version, actor, reason, occurred_at, recorded_at, hash FROM entries"
        f" WHERE member_id = '{LEE}'",
        f"UPDATE accounts SET sequence = 2 WHERE member_id = '{LEE}'",
    )
    assert await found(books) == [("chain_broken", LEE, 2)]


@pytest.mark.parametrize(
    ("hash_", "check", "sequence"),
    [("sha256('x')", "chain_broken", 3), ("NULL", "chain_broken", 4)],
)
async def test_a_hash_that_was_rewritten(books: Books, hash_: str, check: str, sequence: int) -> None:
    await history(books)
    await tamper(books, f"UPDATE entries SET hash = {hash_} WHERE member_id = '{KIM}' AND sequence = 3")
    findings = await found(books)
    assert findings[0] == (check, KIM, sequence)
    assert {member_id for _, member_id, _ in findings} == {KIM}


async def test_the_latest_hash_that_is_gone(books: Books) -> None:
    await history(books)
    await tamper(books, f"UPDATE entries SET hash = NULL WHERE member_id = '{LEE}'")
    assert await found(books) == [("hash_missing", LEE, 1)]


async def test_entries_swapped_between_members(books: Books) -> None:
    await history(books)
    other = uuid4()
    await tamper(
        books,
        *(
            f"UPDATE {table} SET member_id = '{new}' WHERE member_id = '{old}'"
            for old, new in ((LEE, other), (MAX, LEE), (other, MAX))
            for table in ("accounts", "entries", "lots")
        ),
    )
    assert await found(books) == [("chain_broken", LEE, 1), ("chain_broken", MAX, 1)]


async def test_a_lot_that_was_filled_up(books: Books) -> None:
    await history(books)
    await tamper(
        books, f"UPDATE lots SET remaining_points = points WHERE member_id = '{KIM}' AND remaining_points > 0"
    )
    findings = await books.findings()
    assert [(each.check, each.member_id) for each in findings] == [("open_points", KIM), ("lot_moves", KIM)]
    assert findings[1].lot_id is not None
    assert (findings[1].expected, findings[1].found) == (40, 0)


async def test_a_lot_that_is_gone_or_larger_than_its_entry(books: Books) -> None:
    await history(books)
    await tamper(books, f"UPDATE lots SET points = 101, remaining_points = 101 WHERE member_id = '{LEE}'")
    assert await found(books) == [("open_points", LEE, None), ("lot_larger_than_entry", LEE, 1)]
    await tamper(books, f"DELETE FROM lots WHERE member_id IN ('{LEE}', '{KIM}')")
    checks = {check for check, _, _ in await found(books)}
    assert {"open_points", "lot_missing"} <= checks


async def test_the_date_of_a_lot(books: Books) -> None:
    await books.earn(earn_of(KIM), earn_of(LEE, paid_at=now() - 10 * DAY))
    assert await found(books) == []
    for date in ("expires_at + interval '10 days'", "expires_at - interval '10 days'", "NULL"):
        await tamper(books, f"UPDATE lots SET expires_at = {date} WHERE member_id = '{LEE}'")
        assert await found(books) == [("lot_date", LEE, 1)]
        await tamper(
            books,
            "UPDATE lots SET expires_at = other.expires_at - interval '10 days' FROM lots AS other"
            f" WHERE lots.member_id = '{LEE}' AND other.member_id = '{KIM}'",
        )
        assert await found(books) == []


async def test_a_date_of_expiry_is_no_figure_but_what_expired_is(books: Books) -> None:
    await history(books)
    await tamper(books, f"UPDATE lots SET expired_points = 0 WHERE member_id = '{KIM}'")
    assert [check for check, _, _ in await found(books)] == ["lot_expired"]


async def test_moves_that_were_changed(books: Books) -> None:
    await history(books)
    await tamper(
        books,
        "UPDATE lot_moves SET points = 29 FROM entries WHERE entries.id = entry_id AND kind = 'redeem'",
    )
    findings = await found(books)
    assert findings[0] == ("entry_moves", KIM, 3)
    assert [check for check, _, _ in findings] == ["entry_moves", "lot_moves"]


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ("earned_points = earned_points + 1, spent_points = spent_points + 1", "earned_points"),
        ("open_points = open_points + 5, adjusted_points = adjusted_points + 5", "adjusted_points"),
        ("forfeited_points = 7, transferred_points = 7", "forfeited_points"),
        ("debt_points = 1, open_points = open_points + 1", "open_points"),
        ("held_points = 1", "held_points"),
        ("sequence = sequence + 1", "sequence"),
    ],
)
async def test_a_cached_figure_of_an_account(books: Books, change: str, check: str) -> None:
    await history(books)
    await tamper(books, f"UPDATE accounts SET {change} WHERE member_id = '{LEE}'")
    findings = await found(books)
    assert (check, LEE, None) in findings
    assert {member_id for _, member_id, _ in findings} == {LEE}


async def test_an_account_that_is_gone(books: Books) -> None:
    """Also one behind the last that is left: the last stretch has no end."""
    await history(books)
    await tamper(books, "DELETE FROM accounts")
    members = {member_id for check, member_id, _ in await found(books) if check == "account_missing"}
    assert members == {KIM, LEE, MAX}


async def test_a_ledger_in_stretches_shows_the_same(books: Books) -> None:
    await history(books)
    await tamper(books, "UPDATE entries SET reason = 'x' WHERE sequence = 1")
    after, seen, entries = None, [], 0
    for _ in range(5):
        async with books.database.reading() as session:
            part = await operations.audit_accounts(session, after=after, accounts=1)
        seen += [each.member_id for each in part.findings]
        entries += part.entries
        after = part.end
        if after is None:
            break
    assert after is None
    assert (seen, entries) == ([KIM, LEE, MAX], 7)


async def test_entries_older_than_the_chain_are_no_finding_until_somebody_changes_them(books: Books) -> None:
    await history(books)
    await tamper(books, "UPDATE entries SET hash = NULL", "UPDATE accounts SET head = '', head_sequence = 0")
    await books.earn(earn_of(KIM), earn_of(LEE), earn_of(MAX))
    assert await books.findings() == []
    await tamper(books, f"UPDATE entries SET reason = 'x' WHERE member_id = '{KIM}' AND sequence = 2")
    assert await found(books) == [("chain_broken", KIM, 5)]


@pytest.fixture
async def client(points_database: Database) -> AsyncIterator[httpx.AsyncClient]:
    settings = PointsSettings(database_url=points_database.url, role="api")
    async with api_client(service.application(settings), key="rk_development") as caller:
        yield caller


async def test_the_api_shows_a_stretch_at_a_time(client: httpx.AsyncClient, books: Books) -> None:
    await history(books)
    page = (await client.get("/v1/audit/accounts", params={"limit": 2})).json()
    assert (page["accounts"], page["entries"], page["findings"]) == (2, 6, [])
    rest = (await client.get("/v1/audit/accounts", params={"cursor": page["next_cursor"]})).json()
    assert (rest["accounts"], rest["entries"], rest["next_cursor"]) == (1, 1, None)
    total = page["members_points"] + sum(page["contra_points"].values())
    assert (total, rest["members_points"]) == (0, 0)
    lots = (await client.get("/v1/audit/lots")).json()
    assert (lots["lots"], lots["findings"], lots["next_cursor"]) == (3, [], None)
    await tamper(books, f"UPDATE entries SET actor = 'x' WHERE member_id = '{KIM}' AND sequence = 2")
    one = (await client.get(f"/v1/audit/accounts/{KIM}")).json()
    (finding,) = one["findings"]
    assert (finding["check"], finding["member_id"], finding["sequence"]) == ("chain_broken", str(KIM), 2)
    assert (one["accounts"], one["entries"], one["lots"]) == (1, 5, 2)
    nobody = (await client.get(f"/v1/audit/accounts/{uuid4()}")).json()
    assert (nobody["accounts"], nobody["findings"]) == (0, [])


async def test_auditing_takes_an_administrator(client: httpx.AsyncClient, points_database: Database) -> None:
    async with points_database.transaction() as session:
        reader = await create_key(session, name="reader", scopes=["points:read"])
    headers = {"Authorization": f"Bearer {reader.secret}"}
    assert (await client.get("/v1/audit/accounts", headers=headers)).status_code == 403


def gauge(what: str) -> float | None:
    """What the metric says of accounts or lots."""
    return REGISTRY.get_sample_value("regulars_ledger_findings", {"what": what})


async def test_the_job_goes_round_and_tells_the_metric(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.points.jobs.settings", lambda: PointsSettings(audit_slice_accounts=1))
    await history(books)

    async def rounds() -> int:
        (row,) = await books.rows("SELECT rounds FROM audit_rounds WHERE what = 'accounts'")
        return int(row.rounds)

    async def whole_round() -> None:
        before = await rounds()
        for _ in range(10):
            assert await audit_ledger(books.database) == 0
            if await rounds() > before:
                return
        pytest.fail("the round never ends")

    await whole_round()
    assert gauge("accounts") == 0
    await tamper(books, f"UPDATE entries SET points = points + 1 WHERE member_id = '{LEE}'")
    await whole_round()
    findings = gauge("accounts")
    assert findings is not None
    assert findings > 0
    await tamper(books, f"UPDATE entries SET points = points - 1 WHERE member_id = '{LEE}'")
    # The latest whole round still knew of it.
    await whole_round()
    await whole_round()
    assert gauge("accounts") == 0


async def test_a_stretch_that_another_replica_compared_counts_once(books: Books) -> None:
    await history(books)
    async with books.database.reading() as session:
        part = await operations.audit_next(session, "accounts", rows=1)
    for _ in range(2):
        async with books.database.transaction() as session:
            await operations.note_audit(session, "accounts", part)
    (row,) = await books.rows("SELECT checked, after_id FROM audit_rounds WHERE what = 'accounts'")
    assert tuple(row) == (1, KIM)
