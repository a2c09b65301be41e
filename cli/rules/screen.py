"""Earning rules and back-tests as people look at them."""

import json
from typing import Any

from rich.console import Console
from rich.table import Table

__all__ = ["show_report", "show_version", "show_versions"]


def show_versions(rules: dict[str, Any], console: Console) -> None:
    """Print all versions, the newest first, and which one is in force."""
    table = Table()
    for heading in ("version", "status", "name", "in force from", "until", "by"):
        table.add_column(heading, no_wrap=heading != "name")
    current = rules["current"]["version"]
    for rule in sorted(rules["versions"] + rules["drafts"], key=lambda each: -each["version"]):
        table.add_row(
            str(rule["version"]),
            "in force" if rule["version"] == current else rule["status"],
            rule["name"] or "",
            rule["effective_at"] or "",
            rule["ended_at"] or "",
            rule["activated_by"] or rule["created_by"],
        )
    console.print(table)


def show_version(rule: dict[str, Any], console: Console) -> None:
    """Print one version with its terms."""
    console.print(
        f"version {rule['version']}, {rule['status']}: {rule['name'] or 'unnamed'}",
        highlight=False,
        markup=False,
    )
    if rule["terms"] is None:
        lifetime = (
            "for ever" if rule["lot_lifetime_days"] is None else f"for {rule['lot_lifetime_days']} days"
        )
        console.print(f"{rule['points_per_unit']} points for each whole unit of the currency, {lifetime}")
        return
    console.print_json(json.dumps(rule["terms"]))


def show_report(report: dict[str, Any], console: Console) -> None:
    """Print what a back-test has found: points, liability, tiers, winners and losers."""
    what = "terms" if report["version"] is None else f"version {report['version']}"
    console.print(f"{what} on orders paid from {report['paid_from']} until {report['paid_until']}")
    table = Table()
    for heading in ("", "granted", "would be", "change"):
        table.add_column(heading, justify="left" if heading == "" else "right", no_wrap=True)
    for name, of in (("points", ""), ("liability", "liability_")):
        figures = [report[f"{when}_{of}points"] for when in ("granted", "draft", "change")]
        table.add_row(name, f"{figures[0]:,}", f"{figures[1]:,}", f"{figures[2]:+,}")
    console.print(table)
    console.print(
        f"{report['orders_changed']:,} of {report['orders']:,} orders change; "
        f"of {report['members']:,} members {report['members_gaining']:,} gain "
        f"and {report['members_losing']:,} lose"
    )
    if report["capped_orders"]:
        console.print(f"caps cut {report['capped_points']:,} points of {report['capped_orders']:,} orders")
    if report["orders_refused"]:
        console.print(f"[yellow]{report['orders_refused']:,} orders cannot be judged by it[/]")
    if report["orders_without_lines"]:
        console.print(f"of {report['orders_without_lines']:,} orders the lines are not known")
    _show_tiers(report, console)
    for name in ("winners", "losers"):
        if report[name]:
            console.print(f"most of the {name}:")
            for each in report[name]:
                console.print(f"  {each['member_id']}  {each['points']:+,}", highlight=False)


def _show_tiers(report: dict[str, Any], console: Console) -> None:
    tiers = report["tiers"]
    if tiers is None:
        return
    if report["status"] != "done":
        console.print("[yellow]members has not said yet what becomes of all tiers; so far:[/]")
    console.print(f"tiers: {tiers['members_up']:,} members up, {tiers['members_down']:,} down")
    for move in tiers["moves"]:
        between = f"{move['from_tier'] or 'none'} → {move['to_tier'] or 'none'}"
        console.print(f"  {between}: {move['members']:,}", highlight=False, markup=False)
