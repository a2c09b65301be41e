"""The migrations of every service, from the first on, lead to the platform tables that are declared."""

import hashlib

import pytest
from sqlalchemy import Connection, text

from cli.embedded.postgres import EmbeddedPostgres
from shared import platform_migrations
from shared.database import new_metadata
from shared.platform_tables import add_platform_tables
from tests.fixtures.services import SERVICES, cloned_database

LOOK = text(
    """
    SELECT table_name, column_name AS name, concat_ws(' ', data_type, udt_name, is_nullable, column_default,
           is_identity, identity_generation) AS what
    FROM information_schema.columns WHERE table_schema = :schema
    UNION ALL
    SELECT tablename, indexname, replace(indexdef, schemaname || '.', '') FROM pg_indexes
    WHERE schemaname = :schema
    UNION ALL
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = CAST(:schema AS regnamespace)
    """
)


def schema_of(connection: Connection, schema: str, tables: set[str]) -> set[tuple[str, str, str]]:
    """Columns, indexes and constraints of these tables, as PostgreSQL describes them."""
    connection.execute(text(f"SET LOCAL search_path TO {schema}"))
    return {tuple(row) for row in connection.execute(LOOK, {"schema": schema}) if row.table_name in tables}


@pytest.mark.parametrize("service", SERVICES)
async def test_a_migrated_database_has_the_tables_that_are_declared(
    service: str, postgres: EmbeddedPostgres, migrated_templates: set[str]
) -> None:
    declared = new_metadata()
    add_platform_tables(declared)

    def compare(connection: Connection) -> None:
        migrated = schema_of(connection, "public", set(declared.tables))
        connection.execute(text("CREATE SCHEMA declared"))
        connection.execute(text("SET LOCAL search_path TO declared"))
        declared.create_all(connection)
        assert migrated == schema_of(connection, "declared", set(declared.tables))
        assert {name for name, _, _ in migrated} == set(declared.tables)

    async with (
        cloned_database(postgres, migrated_templates, service) as database,
        database.engine.begin() as connection,
    ):
        await connection.run_sync(compare)


@pytest.mark.parametrize(
    ("statements", "digest"),
    [
        (platform_migrations.V1, "fbeb78e2e4379e9a52d85bbf61b03548adc3f0da388656f3526d7fde122ce4f3"),
        (platform_migrations.V2, "ec87363721af30721f8f17d8ee001e49496ec1a96b9525c6bda581e92ac423ba"),
    ],
    ids=["v1", "v2"],
)
def test_what_was_released_stays_as_it_was(statements: str, digest: str) -> None:
    """Databases exist that were made by it: change the tables by another function and a migration."""
    assert hashlib.sha256(statements.encode()).hexdigest() == digest
