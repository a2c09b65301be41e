"""`regulars keys`: who may call the services."""

import asyncio
import json
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cli.commands.options import HomeOption, JsonOption
from cli.databases import databases_of, reachable_servers
from cli.platform import SERVICES, Home
from shared.auth import GeneratedKey, InvalidScope, KeyInfo, create_key, generate_key, list_keys, revoke_key
from shared.clock import utc_now
from shared.problems import NotFound

__all__ = ["register"]

keys = typer.Typer(help="API keys: make, list and revoke them.", no_args_is_help=True)


def services_of(scopes: list[str]) -> dict[str, list[str]]:
    """Which scopes go to which service's database. Raises typer.BadParameter."""
    wanted: dict[str, list[str]] = {}
    for scope in scopes:
        service = scope.partition(":")[0]
        if scope != "*" and service not in SERVICES:
            raise typer.BadParameter(f"{scope!r} names none of {', '.join(SERVICES)}")
        for name in SERVICES if scope == "*" else [service]:
            wanted.setdefault(name, []).append(scope)
    return wanted


@keys.command("create")
def create(
    name: Annotated[str, typer.Argument(help="What the key is for; shown in lists.")],
    scope: Annotated[
        list[str], typer.Option(help="<service>:read, :write or :admin, or *; repeat for more.")
    ],
    days: Annotated[int | None, typer.Option(min=1, help="Days until it expires.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key. The secret is shown once and stored nowhere."""
    wanted = services_of(scope)
    where = Home(home)
    try:
        with reachable_servers(where):
            key = asyncio.run(_create(where, name, wanted, days))
    except InvalidScope as error:
        raise typer.BadParameter(str(error)) from error
    if as_json:
        print(json.dumps({"key_id": key.key_id, "key": key.secret, "services": sorted(wanted)}))
        return
    print(key.secret)
    Console(stderr=True).print(f"Opens {', '.join(wanted)}. It is not shown again.", highlight=False)


async def _create(home: Home, name: str, wanted: dict[str, list[str]], days: int | None) -> GeneratedKey:
    expires_at = None if days is None else utc_now() + timedelta(days=days)
    key = generate_key()
    async with databases_of(home, wanted) as databases, AsyncExitStack() as transactions:
        # All are written before the first commits, so that a database that is away leaves no half key.
        for service, scopes in wanted.items():
            session = await transactions.enter_async_context(databases[service].transaction())
            await create_key(session, name=name, scopes=scopes, expires_at=expires_at, key=key)
    return key


@keys.command("list")
def show(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List keys, revoked ones included."""
    where = Home(home)
    with reachable_servers(where):
        known = asyncio.run(_known(where))
    rows = [_row(infos) for infos in known.values()]
    if as_json:
        print(json.dumps(rows))
        return
    table = Table()
    for heading in ("id", "name", "scopes", "created", "expires", "state"):
        table.add_column(heading)
    for row in rows:
        state = "[red]revoked[/]" if row["revoked_at"] else "[green]valid[/]"
        created, expires = str(row["created_at"])[:16], str(row["expires_at"] or "never")[:16]
        table.add_row(
            str(row["key_id"]), str(row["name"]), " ".join(row["scopes"] or []), created, expires, state
        )
    Console().print(table)


async def _known(home: Home) -> dict[str, list[KeyInfo]]:
    """What each service knows of each key, by its id."""
    known: dict[str, list[KeyInfo]] = {}
    async with databases_of(home, SERVICES) as databases:
        for database in databases.values():
            async with database.reading() as session:
                for info in await list_keys(session):
                    known.setdefault(info.key_id, []).append(info)
    return known


def _row(infos: list[KeyInfo]) -> dict[str, str | list[str] | None]:
    first = infos[0]
    revoked = [info.revoked_at for info in infos if info.revoked_at is not None]
    return {
        "key_id": first.key_id,
        "name": first.name,
        "scopes": sorted({scope for info in infos for scope in info.scopes}),
        "created_at": first.created_at.isoformat(),
        "expires_at": first.expires_at.isoformat() if first.expires_at else None,
        "revoked_at": min(revoked).isoformat() if len(revoked) == len(infos) else None,
    }


@keys.command("revoke")
def revoke(
    key_id: Annotated[str, typer.Argument(help="The id, as `keys list` shows it.")], home: HomeOption = None
) -> None:
    """Revoke a key everywhere; running services notice within seconds."""
    where = Home(home)
    with reachable_servers(where):
        services = asyncio.run(_revoke(where, key_id))
    if not services:
        Console(stderr=True).print(f"There is no key {key_id}.")
        raise typer.Exit(1)
    print(f"revoked in {', '.join(services)}")


async def _revoke(home: Home, key_id: str) -> list[str]:
    revoked = []
    async with databases_of(home, SERVICES) as databases:
        for service, database in databases.items():
            try:
                async with database.transaction() as session:
                    await revoke_key(session, key_id)
            except NotFound:
                continue
            revoked.append(service)
    return revoked


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(keys, name="keys")
