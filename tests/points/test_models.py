"""The tables are what the migrations make, and they refuse what must never be stored."""

from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from services.points.models import Base
from shared.database import Database
from shared.migrations import differences
from tests.points.ledger import Books, earn_of


async def test_models_and_migrations_agree(points_database: Database) -> None:
    assert await differences(Base.metadata, points_database) == []


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("UPDATE lots SET remaining_points = -1", "ck_lots_(remaining|pinned)_points"),
        ("UPDATE lots SET remaining_points = points + 1", "ck_lots_(remaining|expired)_points"),
        ("UPDATE lots SET expired_points = 1", "ck_lots_expired_points"),
        ("UPDATE accounts SET open_points = open_points + 1", "ck_accounts_balance"),
        ("UPDATE accounts SET debt_points = -1, open_points = open_points - 1", "ck_accounts_debt_points"),
        ("UPDATE accounts SET held_points = open_points + 1", "ck_accounts_held_points"),
        ("UPDATE entries SET points = -1", "ck_entries_sign"),
        ("UPDATE entries SET contra = 'expiry'", "ck_entries_kind"),
        ("UPDATE entries SET rule_version = NULL", "ck_entries_rule_version"),
        (
            "INSERT INTO entries SELECT member_id, sequence + 1, id, kind, contra, points, about_id,"
            " reference, rule_version, basis_minor, currency, actor, reason, occurred_at, recorded_at"
            " FROM entries",
            "uq_entries_natural_key",
        ),
    ],
)
async def test_the_database_refuses_books_that_do_not_add_up(
    books: Books, statement: str, constraint: str
) -> None:
    await books.earn(earn_of(uuid4()))
    with pytest.raises(IntegrityError, match=constraint):
        async with books.database.transaction() as session:
            await session.execute(text(statement))
