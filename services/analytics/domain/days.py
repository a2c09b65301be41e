"""Whose day it is: a figure of a day is about the local day of the shop."""

from collections.abc import Mapping
from datetime import date, datetime
from zoneinfo import ZoneInfo

__all__ = ["ShopDays"]


class ShopDays:
    """The local day of an instant, by shop (`<source>/<shop_id>`), or by the default zone."""

    def __init__(self, default: ZoneInfo, by_shop: Mapping[str, ZoneInfo]) -> None:
        self._default = default
        self._by_shop = dict(by_shop)

    def day_of(self, instant: datetime, source: str = "", shop_id: str = "") -> date:
        """The date that clocks at the shop show at an aware `instant`; without a shop, the default zone's."""
        zone = self._by_shop.get(f"{source}/{shop_id}", self._default) if self._by_shop else self._default
        return instant.astimezone(zone).date()
