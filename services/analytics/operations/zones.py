"""Whose day counts, as the settings say."""

from functools import lru_cache

from services.analytics.domain import ShopDays
from services.analytics.settings import settings
from shared.clock import zone

__all__ = ["shop_days"]


@lru_cache
def shop_days() -> ShopDays:
    """The days of shops by this process's settings."""
    chosen = settings()
    return ShopDays(
        zone(chosen.default_time_zone), {shop: zone(name) for shop, name in chosen.shop_time_zones.items()}
    )
