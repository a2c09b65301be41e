"""The page behind a share link, as HTML that works without JavaScript, and its QR code."""

from datetime import UTC, datetime
from functools import lru_cache
from importlib import resources
from io import BytesIO
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit
from zoneinfo import ZoneInfo

import segno
from fastapi import Request
from liquid import CachingFileSystemLoader, Environment
from sqlalchemy import Row

from services.campaigns.domain import PACIFIC
from services.campaigns.settings import settings
from shared.clock import UnknownZone, zone
from shared.money import decimal_text

__all__ = ["asset", "gone_page", "group_page", "public_url", "qr_png", "qr_svg"]

FOLDER = resources.files(__package__)
ASSETS = {"group.css": "text/css; charset=utf-8", "group.js": "text/javascript; charset=utf-8"}
QR_MODULE_PIXELS = 8
MAX_ZONE_CHARACTERS = 64

# Where a link can be shared with one tap; `{url}` and `{text}` are percent-encoded.
SHARE_TARGETS = (
    ("WhatsApp", "https://wa.me/?text={text}%20{url}"),
    ("Telegram", "https://t.me/share/url?url={url}&text={text}"),
    ("VK", "https://vk.com/share.php?url={url}&title={text}"),
    ("Facebook", "https://www.facebook.com/sharer/sharer.php?u={url}"),
    ("X", "https://x.com/intent/post?url={url}&text={text}"),
    ("Weibo", "https://service.weibo.com/share/share.php?url={url}&title={text}"),
    ("E-mail", "mailto:?subject={text}&body={url}"),
)

GONE = {
    "unknown": (
        "We do not know this link",
        "It may have been cut off on its way. Ask whoever sent it to send it again.",
    ),
    "formed": ("This group is complete", "Everyone in it gets the group price. There are no seats left."),
    "ended": ("This group-buy has ended", "Nobody can join it any more."),
}


@lru_cache
def _templates() -> Environment:
    with resources.as_file(FOLDER) as folder:
        return Environment(loader=CachingFileSystemLoader(folder), autoescape=True)


def public_url(request: Request, token: str) -> str:
    """Return the address of a share link as buyers reach it."""
    base = settings().public_url or str(request.base_url)
    return f"{base.rstrip('/')}/g/{token}"


def asset(name: str) -> tuple[bytes, str] | None:
    """Return a static file of the page and its media type."""
    if name not in ASSETS:
        return None
    return (FOLDER / name).read_bytes(), ASSETS[name]


def group_page(group: Row[Any], token: str, url: str, zone_name: str | None) -> str:
    """Return the page of an open group."""
    text = f"Join my group for {group.title}"
    saved_minor = group.normal_price_minor - group.price_minor
    return str(
        _templates()
        .get_template("group.html")
        .render(
            title=group.title,
            price=_money(group.price_minor, group.currency),
            normal_price=_money(group.normal_price_minor, group.currency),
            percent=saved_minor * 100 // group.normal_price_minor,
            group_size=group.group_size,
            seats_left=max(0, group.seats_left),
            seats_taken=group.group_size - max(0, group.seats_left),
            left=time_left(group.read_at, group.deadline_at),
            now_ms=int(group.read_at.timestamp() * 1000),
            deadline_ms=int(group.deadline_at.timestamp() * 1000),
            deadline_iso=group.deadline_at.astimezone(UTC).isoformat(timespec="seconds"),
            times=_times(group.deadline_at, zone_name),
            url=url,
            token=token,
            checkout=checkout_url(group.checkout_url, token),
            share_text=text,
            targets=[
                {"name": name, "url": target.format(url=quote(url, safe=""), text=quote(text, safe=""))}
                for name, target in SHARE_TARGETS
            ],
        )
    )


def gone_page(why: str) -> str:
    """Return a friendly page without a price: for `unknown` links, `formed` groups and those that `ended`."""
    headline, text = GONE[why]
    return str(_templates().get_template("gone.html").render(headline=headline, text=text))


def checkout_url(base: str | None, token: str) -> str | None:
    """Return the storefront's checkout with the link's token as its ticket; None without a checkout."""
    if base is None:
        return None
    parts = urlsplit(base)
    query = urlencode([*parse_qsl(parts.query, keep_blank_values=True), ("group_token", token)])
    return urlunsplit(parts._replace(query=query))


def time_left(now: datetime, deadline: datetime) -> str:
    """Return how long a group still takes people in, in words."""
    minutes, seconds = divmod(max(0, int((deadline - now).total_seconds())), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def qr_svg(url: str) -> bytes:
    """Return a QR code as an SVG document."""
    out = BytesIO()
    segno.make(url, error="m", micro=False).save(out, kind="svg", scale=QR_MODULE_PIXELS, light="#fff")
    return out.getvalue()


def qr_png(url: str) -> bytes:
    """Return a QR code as a PNG image."""
    out = BytesIO()
    segno.make(url, error="m", micro=False).save(out, kind="png", scale=QR_MODULE_PIXELS)
    return out.getvalue()


def _money(amount_minor: int, currency: str) -> str:
    return f"{decimal_text(amount_minor, currency)} {currency}"


def _times(instant: datetime, zone_name: str | None) -> list[dict[str, str]]:
    """Return the instant on several walls: the visitor's if they ask for it, the seller's, and UTC."""
    times = [
        {"label": "Pacific", "text": _wall(instant, zone(PACIFIC))},
        {"label": "UTC", "text": _wall(instant)},
    ]
    if zone_name is not None and len(zone_name) <= MAX_ZONE_CHARACTERS:
        try:
            times.insert(0, {"label": zone_name, "text": _wall(instant, zone(zone_name))})
        except UnknownZone:
            return times
    return times


def _wall(instant: datetime, place: ZoneInfo | None = None) -> str:
    local = instant.astimezone(place or UTC)
    return f"{local:%a} {local.day} {local:%b %Y, %H:%M:%S %Z}"
