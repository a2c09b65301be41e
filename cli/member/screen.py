"""How a member looks on a screen: panels from 80 columns on, side by side where there is room."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cli.member.reading import Found
from shared.money import decimal_text, is_currency

__all__ = ["show_found", "show_member"]

SIDE_BY_SIDE_COLUMNS = 110
# More than fit on a screen; the answer of the service holds all of them.
MANY = 12
# Persian and Hindi names are spelt with them, and emoji are put together.
JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"
# Why a tier falls, by the code that the service says.
FALLS = {"period_end": "", "refund": " for a refund"}
STATES = {"paid": "green", "placed": "yellow", "refunded": "magenta", "cancelled": "red"}


def show_member(found: Found, console: Console) -> None:
    """Print everything about one member."""
    member = found.member
    about = _panel("member", _about(member), subtitle=member["member_id"])
    standing, points = _panel("tier and stage", _standing(member)), _points_panel(found)
    if console.width >= SIDE_BY_SIDE_COLUMNS:
        sides = Table.grid(expand=True, padding=(0, 1))
        sides.add_column(ratio=1)
        sides.add_column(ratio=1)
        sides.add_row(about, Group(standing, points))
        console.print(sides)
    else:
        console.print(about, standing, points, sep="\n")
    console.print(_panel("latest orders", _orders(member["recent_orders"])))
    if found.points is not None:
        console.print(_panel("latest entries", _entries(found.entries, found.orders)))
    console.print(Text("Times are UTC.", style="dim"))


def show_found(members: list[dict[str, Any]], console: Console) -> None:
    """Print members one a row."""
    table = Table()
    for heading, wraps in (("member", False), ("name", True), ("known as", True), ("tier", False)):
        table.add_column(heading, no_wrap=not wraps)
    for member in members:
        names = _lines(f"{each['source']}:{each['external_id']}" for each in member["identities"])
        table.add_row(member["member_id"], _text(member["display_name"]), names, _text(member["tier"]))
    console.print(table)


def _panel(title: str, body: RenderableType, subtitle: str | None = None) -> Panel:
    return Panel(
        body, title=f"[bold]{title}[/]", title_align="left", subtitle=subtitle, subtitle_align="right"
    )


def _about(member: dict[str, Any]) -> RenderableType:
    rows = _Facts()
    if member["erased_at"]:
        rows.add("erased", Text(_day(member["erased_at"]), style="bold red"))
    rows.add("name", _text(member["display_name"], style="bold"))
    lives = [member["country"], member["time_zone"], member["locale"]]
    rows.add("lives in", _text(" · ".join(each for each in lives if each) or None))
    rows.add("birthday", _text(member["birthday"]))
    rows.add("joined", _text(_day(member["created_at"])))
    rows.add("known as", _lines(f"{each['source']}:{each['external_id']}" for each in member["identities"]))
    rows.add("also", _lines(member["merged_ids"]))
    rows.add("reached at", _lines(_address(each) for each in member["contact_points"]))
    rows.add("consents", _consents(member["consents"]))
    rows.add("tags", _lines(_tag(each) for each in member["tags"]))
    rows.add("groups", _text(", ".join(member["groups"]) or None))
    own = member["attributes"]
    rows.add("attributes", _lines(f"{name}: {_value(value)}" for name, value in own.items()))
    return rows.grid


def _standing(member: dict[str, Any]) -> RenderableType:
    standing, currency = member["standing"], member["spend_currency"]
    rows = _Facts()
    since = f" since {_day(standing['since'])}" if standing["since"] else ""
    rows.add("tier", Text.assemble((_clean(standing["tier"] or "none"), "bold cyan"), (since, "dim")))
    # Nothing comes of what the erased could still reach, and nothing moves a locked tier.
    is_gone = member["erased_at"] is not None
    if standing["is_locked"]:
        until = _day(standing["locked_until"]) if standing["locked_until"] else "somebody unlocks it"
        rows.add("locked", _text(f"until {until}, whatever is earned"))
    elif not is_gone:
        _add_terms(rows, standing, currency)
        rows.add("next", _missing(standing, currency))
    stage_since = f" since {_day(member['stage_since'])}" if member["stage_since"] else ""
    rows.add("stage", Text.assemble((_clean(member["stage"]), "bold"), (stage_since, "dim")))
    if not is_gone:
        rows.add("coming", _coming(member["lifecycle"]))
    rows.add("spent", _text(_money(member["spend_minor"], currency)))
    last = f", the last on {_day(member['last_order_at'])}" if member["last_order_at"] else ""
    rows.add("orders", _text(f"{member['orders_count']:,}{last}"))
    return rows.grid


def _add_terms(rows: "_Facts", standing: dict[str, Any], currency: str) -> None:
    """Until when the tier holds, what puts it at risk, and what would keep it."""
    ends_at, falls_at = standing["ends_at"], standing["falls_at"]
    is_in_grace = falls_at is not None and standing["falls_reason"] == "period_end"
    if is_in_grace:
        rows.add("held until", _text(f"{_day(ends_at)}, in grace since" if ends_at else None))
    elif ends_at:
        given = ", bought or kept by a rule" if standing.get("is_given") else ""
        rows.add("holds until", _text(f"{_day(ends_at)}{given}"))
    if falls_at:
        reason = standing["falls_reason"]
        why = FALLS.get(reason, f" ({_clean(reason)})" if reason else "")
        rows.add("at risk", Text(f"falls on {_day(falls_at)}{why}", style="bold red"))
    kept = _kept(standing["prolonged_if"], currency)
    if kept is not None and is_in_grace:
        kept.append(" before it falls")
    rows.add("kept", kept)


def _missing(standing: dict[str, Any], currency: str) -> Text:
    if standing["next_tier"] is None:
        return Text("the highest tier that can be earned", style="dim")
    missing = [standing[f"missing_{name}"] for name in ("spend_minor", "orders", "points")]
    until = f", by {_day(standing['counts_until'])}" if standing["counts_until"] else ""
    return Text.assemble(
        (_clean(standing["next_tier"]), "bold"), f" with {_ways(missing, currency)} more{until}"
    )


def _ways(missing: list[int | None], currency: str) -> str:
    """What is missing of spend, orders and points, any of which is enough."""
    spend, orders, points = missing
    return " or ".join(
        [
            *([_money(spend, currency)] if spend is not None else []),
            *([_count(orders, "order")] if orders is not None else []),
            *([_count(points, "point")] if points is not None else []),
        ]
    )


def _kept(needed: dict[str, Any] | None, currency: str) -> Text | None:
    """What prolongs the tier at its end."""
    if needed is None:
        return None
    missing = [needed[name] for name in ("spend_minor", "orders", "points")]
    return Text("for another period" if 0 in missing else f"with {_ways(missing, currency)} more")


def _coming(lifecycle: dict[str, Any]) -> Text | None:
    """The stage that a member comes into without buying, and from when on."""
    if lifecycle["next_stage"] is None:
        return None
    stage = lifecycle["next_stage"]
    # Only the way down is one that an order would spare.
    unless = " without an order" if stage in ("decline", "lost") else ""
    return Text(f"{_clean(stage)} from {_day(lifecycle['next_at'])} on{unless}")


def _points_panel(found: Found) -> Panel:
    points = found.points
    if points is None:
        return _panel("points", Text(_clean(found.points_missing or "unknown"), style="yellow"))
    rows = _Facts()
    rows.add("to spend", Text(f"{points['available_points']:,}", style="bold green"))
    for name, label in (("held", "held"), ("pending", "pending"), ("debt", "owed")):
        count = points[f"{name}_points"]
        if count:
            rows.add(label, Text(f"{count:,}", style="red" if name == "debt" else "yellow"))
    so_far = [f"{name.replace('_', ' ')} {count:,}" for name, count in points["lifetime"].items() if count]
    rows.add("so far", _text(", ".join(so_far) or "nothing yet"))
    matures = points.get("maturities", [])
    rows.add("matures", _lines(f"{each['points']:>9,}  {_matures(each)}" for each in matures))
    expires = points["expirations"]
    dates = (f"{each['points']:>9,}  on {_day(each['expires_at'])}" for each in expires)
    rows.add("expires", _lines(dates, at_most=len(expires)))
    return _panel("points", rows.grid)


def _orders(orders: list[dict[str, Any]]) -> RenderableType:
    if not orders:
        return Text("none yet", style="dim")
    table = Table(box=None, expand=True, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("placed", no_wrap=True)
    table.add_column("order", ratio=2, overflow="fold")
    table.add_column("state", no_wrap=True)
    table.add_column("total", justify="right", no_wrap=True)
    table.add_column("lines", ratio=4, overflow="fold")
    for order in orders:
        total = Text(_money(order["total_minor"], order["currency"]))
        if order["refunded_minor"]:
            total.append(f"\n-{_money(order['refunded_minor'], order['currency'])}", style="magenta")
        table.add_row(
            _minute(order["placed_at"]),
            _text(f"{order['source']} {order['external_order_id']}"),
            _state(order),
            total,
            _lines(_line(each) for each in order["lines"] or ()),
        )
    return table


def _state(order: dict[str, Any]) -> Text:
    state = Text(order["state"], style=STATES.get(order["state"], ""))
    return (
        state.append(f"\ndelivered {_day(order['delivered_at'])}", style="dim")
        if order["delivered_at"]
        else state
    )


def _entries(entries: list[dict[str, Any]], orders: list[dict[str, Any]]) -> RenderableType:
    if not entries:
        return Text("none yet", style="dim")
    table = Table(box=None, expand=True, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("when", no_wrap=True)
    table.add_column("points", justify="right", no_wrap=True)
    table.add_column("what", no_wrap=True)
    table.add_column("why", ratio=1, overflow="fold")
    names = {order["order_id"]: order["external_order_id"] for order in orders}
    for entry in entries:
        points, name = entry["points"], names.get(entry.get("order_id"))
        style = "green" if points > 0 else "red" if points < 0 else "dim"
        table.add_row(
            _minute(entry["occurred_at"]),
            Text(f"{points:+,}", style=style),
            _text(entry["kind"].replace("_", " ")),
            _text(f"{entry['reason']} ({name})" if name else entry["reason"]),
        )
    return table


class _Facts:
    """Labels and values one below the other; what is not known is left out."""

    def __init__(self) -> None:
        self.grid = Table.grid(padding=(0, 2, 0, 0), expand=True)
        self.grid.add_column(style="dim", no_wrap=True)
        self.grid.add_column(ratio=1, overflow="fold")

    def add(self, label: str, value: Text | None) -> None:
        if value is not None and value.plain:
            self.grid.add_row(label, value)


def _clean(words: str) -> str:
    """What others wrote, without what would steer the terminal."""
    return "".join(
        each if each.isprintable() or each in JOINERS else "\N{REPLACEMENT CHARACTER}" for each in words
    )


def _text(words: str | None, style: str = "") -> Text:
    return Text(_clean(words), style=style) if words else Text()


def _lines(lines: Iterable[str], *, at_most: int = MANY) -> Text:
    """One below the other, and of many the first ones."""
    shown = [_clean(line) for line in lines]
    text = Text("\n".join(shown[:at_most]))
    if len(shown) > at_most:
        text.append(f"\nand {len(shown) - at_most} more", style="dim")
    return text


def _address(point: dict[str, Any]) -> str:
    return f"{point['channel']} {point['address']}{' ✓' if point['verified'] else ''}"


def _consents(consents: list[dict[str, Any]]) -> Text:
    text = Text()
    for number, each in enumerate(consents[:MANY]):
        said, style = ("yes", "green") if each["granted"] else ("no", "red")
        text.append("\n" if number else "").append(said, style=style)
        text.append(f" to {_clean(each['channel'])} {_clean(each['purpose'])}")
        text.append(f" since {_day(each['stated_at'])}", style="dim")
    return text


def _tag(tag: dict[str, Any]) -> str:
    until = f" until {_day(tag['expires_at'])}" if tag["expires_at"] else ""
    return f"{tag['tag']} (by {tag['source']}{until})"


def _line(line: dict[str, Any]) -> str:
    returned = f", {line['refunded_quantity']} returned" if line["refunded_quantity"] else ""
    return f"{line['quantity']} × {line['title'] or line['sku']}{returned}"


def _matures(maturity: dict[str, Any]) -> str:
    return f"on {_day(maturity['matures_at'])}" if maturity["matures_at"] else "when their order is delivered"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_value(each)}" for name, each in value.items()) + "}"
    return ", ".join(map(_value, value)) if isinstance(value, list) else str(value)


def _count(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _money(amount_minor: int, currency: str) -> str:
    if not is_currency(currency):
        return f"{amount_minor:,} {_clean(currency)}"
    whole, point, part = decimal_text(amount_minor, currency).partition(".")
    return f"{int(whole):,}{point}{part} {currency}"


def _instant(written: str) -> datetime:
    return datetime.fromisoformat(written).astimezone(UTC)


def _day(written: str) -> str:
    return _instant(written).date().isoformat()


def _minute(written: str) -> str:
    return _instant(written).strftime("%Y-%m-%d %H:%M")
