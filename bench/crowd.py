"""A made-up crowd in the databases of members and points: the same one every time, made where it is stored.

Everything follows from the number of a row and a seed by a hash function, and every table is one statement
over `generate_series`. Constraints and indexes are taken away and made again afterwards, in the transaction
that fills the table, so that a table costs its rows and each index one sort. Balances are what lots and
entries add up to, spend is what orders add up to. Left out are lot moves, and of the hashes all but the last
one of an account, as in a ledger that is older than its chain.
"""

import asyncio
import time
from collections.abc import Sequence
from uuid import UUID

import asyncpg

__all__ = ["ENTRIES_PER_MEMBER", "fill_members", "fill_points", "member_id"]

SEED = 20_040_704
ENTRIES_PER_MEMBER = 10
ORDERS_PER_MEMBER = 2


# Each table as (name, columns, rows as of $1 members). A member's id is its number, so that who asks for a
# random one needs no look-up.
def dice(number: str, sides: int) -> str:
    """A number from 0 below `sides`, as SQL that hangs on nothing but a number in SQL."""
    return f"abs(hashint8extended({number}, {SEED}) % {sides})::int"


ID = "('019aa000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid"
ORDER_ID = "('019aa000-0000-7001-8000-' || lpad(to_hex(o), 12, '0'))::uuid"


def entry_id(sequence: str) -> str:
    """The id of an entry of the member `m`, as SQL."""
    return f"('019aa000-0000-7002-8000-' || lpad(to_hex(m.n * 16 + {sequence}), 12, '0'))::uuid"


ENTRY_ID = entry_id("k.sequence")
JOINED = f"timestamptz '2025-01-01' + make_interval(mins => {dice('n', 500_000)})"


def price(order: str) -> str:
    """What an order costs, in minor units."""
    return f"(100 + {dice(order, 20_000)})"


SPEND = " + ".join(price(f"n * {ORDERS_PER_MEMBER} + {k}") for k in range(ORDERS_PER_MEMBER))

Filling = tuple[str, str, str]

MEMBERS: Sequence[Filling] = (
    (
        "members",
        "id, created_at, display_name, locale, time_zone, country, birthday, tier, tier_rank, tier_version,"
        " spend_minor, orders_count, last_order_at, purchases_count, first_purchase_at, last_purchase_at,"
        " revision",
        f"""
        SELECT {ID}, joined, 'Member ' || n, 'en-US', 'Europe/Berlin', 'DE',
               date '1960-01-01' + (n % 15000)::int,
               CASE WHEN spend >= 20000 THEN 'silver' ELSE 'bronze' END, (spend >= 20000)::int,
               (SELECT max(version) FROM tiers), spend, {ORDERS_PER_MEMBER}, joined + interval '40 days',
               {ORDERS_PER_MEMBER}, joined, joined + interval '40 days', {ORDERS_PER_MEMBER}
        FROM (SELECT n, {JOINED} AS joined, {SPEND} AS spend FROM generate_series(0, $1::bigint - 1) AS n
              OFFSET 0) AS made
        """,
    ),
    (
        "identities",
        "source, external_id, member_id, first_seen_at",
        f"SELECT 'bench', 'c-' || lpad(n::text, 9, '0'), {ID}, {JOINED} FROM generate_series(0, $1 - 1) AS n",
    ),
    (
        "contact_points",
        "member_id, channel, address, verified, added_at",
        f"""
        SELECT {ID}, 'email', 'c-' || n || '@example.test', true, {JOINED}
        FROM generate_series(0, $1 - 1) AS n
        """,
    ),
    (
        "consents",
        "member_id, channel, purpose, granted, stated_at, source",
        f"""
        SELECT {ID}, 'email', 'marketing', {dice("n", 3)} > 0, {JOINED}, 'order'
        FROM generate_series(0, $1 - 1) AS n
        """,
    ),
    (
        "orders",
        "id, member_id, source, shop_id, external_order_id, currency, total_minor, shipping_minor,"
        " discount_minor, redeemed_minor, placed_at, paid_at, content, received_at",
        f"""
        SELECT {ORDER_ID}, {ID}, 'bench', 'bench', 'o-' || lpad(o::text, 9, '0'), 'USD', price, 0, 0, 0,
               placed, placed, decode('00', 'hex'), placed
        FROM (SELECT o, n, {price("o")} AS price,
                     {JOINED} + make_interval(days => (o % 2)::int * 40) AS placed
              FROM (SELECT o, o / {ORDERS_PER_MEMBER} AS n
                    FROM generate_series(0, $1::bigint * {ORDERS_PER_MEMBER} - 1) AS o) AS numbered
              OFFSET 0) AS made
        """,
    ),
    (
        "order_lines",
        "order_id, line_no, sku, product_id, title, quantity, unit_price_minor, discount_minor, tax_minor",
        f"""
        SELECT {ORDER_ID}, 1, 'sku-' || o % 500, 'p-' || o % 100, 'Something of the catalogue', 1,
               {price("o")}, 0, 0
        FROM generate_series(0, $1::bigint * {ORDERS_PER_MEMBER} - 1) AS o
        """,
    ),
)


# The ten entries of a member: seven earn, two spend and one expires. The first lot was spent, the second
# has expired, the third is half spent, and four are open and expire on four days. What each earned is in an
# array, so that it is reckoned once.
LOTS_PER_MEMBER = 7
EARNED = ", ".join(f"100 + {dice(f'n * {LOTS_PER_MEMBER} + {lot}', 400)}" for lot in range(LOTS_PER_MEMBER))
BUYERS = f"""
    (SELECT n, {ID} AS id, ARRAY[{EARNED}] AS earned, {JOINED} AS joined
     FROM generate_series(0, $1::bigint - 1) AS n OFFSET 0) AS m
"""
ENTRY_KINDS = """
    (VALUES (1, 'earn', 'issuance', 1, 1), (2, 'earn', 'issuance', 2, 1), (3, 'earn', 'issuance', 3, 1),
            (4, 'earn', 'issuance', 4, 1), (5, 'earn', 'issuance', 5, 1), (6, 'earn', 'issuance', 6, 1),
            (7, 'earn', 'issuance', 7, 1), (8, 'redeem', 'redemption', 1, -1), (9, 'expire', 'expiry', 2, -1),
            (10, 'redeem', 'redemption', 3, -2)) AS k(sequence, kind, contra, lot, share)
"""
# A lot's remaining and expired share of what it earned, and the day of next month on which it expires.
LOT_KINDS = """
    (VALUES (1, 0, 0, 1), (2, 0, 1, 2), (3, 2, 0, 3), (4, 1, 0, 4), (5, 1, 0, 5), (6, 1, 0, 6), (7, 1, 0, 7))
        AS k(sequence, remaining, expired, day)
"""

# In a crowd with due points the first open lot of one account is past its date, of the next one the first
# two, and so on up to all five: three on average. The second half of the members is due a day later.
DUE_ON = "timestamptz '2026-01-01' + (n >= $1 / 2)::int * interval '1 day'"
DUE_LOTS = "(m.n % 5 + 1)"
# As in any ledger whose points live for a time, what was earned before expires before what is earned now.
NEXT_MONTH = "date_trunc('day', now(), 'UTC') + interval '30 days'"
LATER = f"{NEXT_MONTH} + day * interval '1 day'"
EXPIRY = {False: LATER, True: f"CASE WHEN day - 2 <= {DUE_LOTS} THEN {DUE_ON} ELSE {LATER} END"}


def points_tables(*, due: bool) -> Sequence[Filling]:
    """The tables of points; with `due`, some lots of every account are past their date."""
    return (
        (
            "accounts",
            "member_id, sequence, head, head_sequence, open_points, earned_points, spent_points,"
            " expired_points, next_expiry_at",
            f"""
            SELECT id, {ENTRIES_PER_MEMBER}, sha256(uuid_send(last_id)), {ENTRIES_PER_MEMBER},
                   e[3] - e[3] / 2 + e[4] + e[5] + e[6] + e[7],
                   e[1] + e[2] + e[3] + e[4] + e[5] + e[6] + e[7], e[1] + e[3] / 2, e[2],
                   {DUE_ON if due else f"{NEXT_MONTH} + interval '3 days'"}
            FROM (SELECT n, id, earned AS e, {entry_id(str(ENTRIES_PER_MEMBER))} AS last_id FROM {BUYERS})
                 AS made
            """,
        ),
        (
            "entries",
            "member_id, sequence, id, kind, contra, points, about_id, rule_version, basis_minor, currency,"
            " actor, reason, occurred_at, recorded_at, hash",
            f"""
            SELECT id, sequence, entry_id, kind, contra, points, entry_id, 1, points * 100, 'USD', 'bench',
                   'What the bench made up', at, at,
                   CASE sequence WHEN {ENTRIES_PER_MEMBER} THEN sha256(uuid_send(entry_id)) END
            FROM (SELECT m.id, {ENTRY_ID} AS entry_id, k.kind, k.contra, k.sequence,
                         CASE k.share WHEN 1 THEN earned[lot] WHEN -1 THEN -earned[lot]
                              ELSE -(earned[lot] / 2) END AS points,
                         m.joined + k.sequence * interval '50 days' AS at
                  FROM {BUYERS} CROSS JOIN {ENTRY_KINDS} OFFSET 0) AS made
            """,
        ),
        (
            "lots",
            "id, member_id, points, remaining_points, expired_points, earned_at, expires_at",
            f"""
            SELECT {ENTRY_ID}, m.id, earned[sequence],
                   CASE remaining WHEN 0 THEN 0 WHEN 1 THEN earned[sequence]
                        ELSE earned[sequence] - earned[sequence] / 2 END,
                   expired * earned[sequence], m.joined + sequence * interval '50 days', {EXPIRY[due]}
            FROM {BUYERS} CROSS JOIN {LOT_KINDS}
            """,
        ),
    )


# Unique keys that tell duplicates to writers; ten million entries of theirs take long.
ONLY_FOR_WRITERS = frozenset({"uq_entries_natural_key", "uq_orders_external"})

CONSTRAINTS = """
SELECT conrelid::regclass::text AS at, conname AS name, contype,
    pg_get_constraintdef(oid) AS definition
FROM pg_constraint WHERE conrelid = ANY($1::regclass[]) AND contype IN ('p', 'u', 'f', 'c')
    OR confrelid = ANY($1::regclass[]) ORDER BY contype = 'f' DESC, contype = 'c' DESC
"""
INDEXES = """
SELECT indexrelid::regclass::text AS name, indrelid::regclass::text AS at,
    pg_get_indexdef(indexrelid) AS definition
FROM pg_index WHERE indrelid = ANY($1::regclass[])
    AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
"""
# Enough for the sort of an index in memory, and as many processes as there are processors.
SESSION = (
    "SET maintenance_work_mem = '512MB'",
    "SET max_parallel_maintenance_workers = 2",
    "SET statement_timeout = 0",
    "SET client_min_messages = warning",
)


def member_id(number: int) -> UUID:
    """Return the id of the member with this number, from 0."""
    return UUID(f"019aa000-0000-7000-8000-{number:012x}")


async def fill_members(url: str, members: int) -> float:
    """Fill a migrated database of members; return the seconds it took."""
    return await _fill(url, MEMBERS, members)


async def fill_points(url: str, members: int, *, due: bool = False, for_writers: bool = False) -> float:
    """Fill a migrated database of points, ten entries per member; return the seconds it took.

    With `due` some lots of every account are past their date; `for_writers` makes the unique keys too that
    only writers look into.
    """
    left_out = frozenset() if for_writers else ONLY_FOR_WRITERS
    return await _fill(url, points_tables(due=due), members, left_out)


async def _fill(
    url: str, tables: Sequence[Filling], members: int, left_out: frozenset[str] = ONLY_FOR_WRITERS
) -> float:
    started = time.perf_counter()
    connection = await asyncpg.connect(url)
    try:
        for statement in SESSION:
            await connection.execute(statement)
        taken = await _strip(connection, [name for name, _, _ in tables])
        constraints, indexes = ([each for each in kind if each["name"] not in left_out] for kind in taken)
        await asyncio.gather(*(_fill_table(url, table, members, constraints, indexes) for table in tables))
    finally:
        await connection.close()
    return time.perf_counter() - started


async def _strip(
    connection: "asyncpg.Connection[asyncpg.Record]", tables: list[str]
) -> tuple[list[asyncpg.Record], list[asyncpg.Record]]:
    """Take constraints and indexes from tables; return what there was."""
    constraints = await connection.fetch(CONSTRAINTS, tables)
    indexes = await connection.fetch(INDEXES, tables)
    for each in constraints:
        await connection.execute(f'ALTER TABLE {each["at"]} DROP CONSTRAINT "{each["name"]}"')
    for each in indexes:
        await connection.execute(f"DROP INDEX {each['name']}")
    return constraints, indexes


async def _fill_table(
    url: str,
    table: Filling,
    members: int,
    constraints: Sequence[asyncpg.Record],
    indexes: Sequence[asyncpg.Record],
) -> None:
    name, columns, rows = table
    connection = await asyncpg.connect(url)
    try:
        for statement in SESSION:
            await connection.execute(statement)
        async with connection.transaction():
            # A table that is new in its transaction needs no log of its rows where nothing is replicated.
            await connection.execute(f"TRUNCATE {name}")
            await connection.execute(f"ALTER TABLE {name} SET (autovacuum_enabled = off)")
            await connection.execute(f"INSERT INTO {name} ({columns}) {rows}", members)
            for each in constraints:
                if each["at"] == name and each["contype"] != b"f":
                    # Checks hold for what comes; what the crowd is made of need not be read again for them.
                    unproved = " NOT VALID" if each["contype"] == b"c" else ""
                    await connection.execute(
                        f'ALTER TABLE {name} ADD CONSTRAINT "{each["name"]}" {each["definition"]}{unproved}'
                    )
            for each in indexes:
                if each["at"] == name:
                    await connection.execute(each["definition"])
        # As a table that has been there for a while. That of entries is the longest, and no page reads it.
        await connection.execute(f"{'ANALYZE' if name == 'entries' else 'VACUUM (ANALYZE)'} {name}")
    finally:
        await connection.close()
