"""`regulars verify draw`: recompute a draw of the lottery from the seed that was revealed."""

import json
from dataclasses import fields
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.console import Console

from cli.commands.asking import EXIT_UNREACHABLE, asking_points
from cli.commands.options import HomeOption, JsonOption, PointsUrlOption, key_option
from cli.platform import Home
from services.points.domain import Draw, Odds, Prize
from services.points.domain.lottery import problems_of
from shared.settings import DEVELOPMENT_KEY

__all__ = ["read_draw", "verify_draw"]

EXIT_FINDINGS = 1

REQUEST_TIMEOUT_SECONDS = 30.0


def verify_draw(
    draw_id: Annotated[UUID, typer.Argument(help="The draw.")],
    commitment: Annotated[
        str | None,
        typer.Option(help="The round's commitment, as you noted it before the draw.", show_default=False),
    ] = None,
    receipt: Annotated[
        str | None, typer.Option(help="The receipt that the draw was answered with.", show_default=False)
    ] = None,
    home: HomeOption = None,
    url: PointsUrlOption = None,
    key: Annotated[str, key_option("points:read")] = DEVELOPMENT_KEY,
    as_json: JsonOption = False,
) -> None:
    """Recompute a draw from the seed of its round: commitment, odds, ticket, prize, stock and receipt.

    Without the commitment and the receipt that you kept, they are taken from the answer itself. Exit code 0:
    fair. 1: something does not agree, and is listed. 2: points could not be asked, or the round is not over.
    """
    address = url or Home(home).url("points")
    with asking_points(address, key, timeout_seconds=REQUEST_TIMEOUT_SECONDS) as ask:
        shown = ask(f"/v1/draws/{draw_id}", {})
    if shown["seed"] is None:
        Console(stderr=True).print(f"the seed is revealed when the round is over: {shown['round_ends_at']}")
        raise typer.Exit(EXIT_UNREACHABLE)
    draw, odds = read_draw(shown)
    problems = problems_of(draw, odds, bytes.fromhex(shown["seed"]), receipt or shown["receipt"])
    if commitment is not None and commitment.lower() != draw.commitment:
        problems.append("the commitment is not the one that you noted")
    if as_json:
        print(json.dumps({"draw_id": str(draw_id), "verified": not problems, "problems": problems}))
    else:
        for problem in problems:
            print(problem)
        if not problems:
            prize = odds.prize_at(draw.ticket)
            print(f"fair: ticket {draw.ticket} of {odds.total_weight} hits {prize.name!r}, {draw.outcome}")
    if problems:
        raise typer.Exit(EXIT_FINDINGS)


def read_draw(shown: dict[str, Any]) -> tuple[Draw, Odds]:
    """Read a draw and its odds off the answer of `GET /v1/draws/{id}`."""
    record = shown | {
        "id": UUID(shown["draw_id"]),
        "lottery_id": UUID(shown["lottery_id"]),
        "member_id": UUID(shown["member_id"]),
        "drawn_at": datetime.fromisoformat(shown["drawn_at"]).astimezone(UTC),
    }
    prizes = [
        Prize(**prize | {"reward_id": UUID(prize["reward_id"]) if prize["reward_id"] else None})
        for prize in shown["prizes"]
    ]
    draw = Draw(**{each.name: record[each.name] for each in fields(Draw)})
    return draw, Odds(draw.odds_version, prizes)
