"""The metadata that every table of members is declared on, and the columns that many of them have."""

from sqlalchemy import Column, DateTime, ForeignKey, Text, Uuid, text
from sqlalchemy.orm import DeclarativeBase

from shared.database import new_metadata
from shared.platform_tables import add_platform_tables

__all__ = [
    "INSTANT",
    "ROOM",
    "Base",
    "external_order_columns",
    "member_column",
    "metadata",
    "stamp_column",
]


class Base(DeclarativeBase):
    """Declarative base that carries the tables every service has."""

    metadata = new_metadata()


add_platform_tables(Base.metadata)
metadata = Base.metadata

INSTANT = DateTime(timezone=True)
# Rows that change soon after they were written keep room on their page, so that no index has to follow.
ROOM = {"fillfactor": 85}


def member_column(name: str = "member_id", *, primary_key: bool = False) -> "Column[object]":
    """The member that a row is about, who need only be there at the commit."""
    return Column(
        name,
        Uuid,
        ForeignKey("members.id", deferrable=True, initially="DEFERRED"),
        nullable=False,
        primary_key=primary_key,
    )


def stamp_column(name: str) -> "Column[object]":
    """An instant that is read off the database's clock when the row is written."""
    return Column(name, INSTANT, nullable=False, server_default=text("clock_timestamp()"))


def external_order_columns() -> "list[Column[object]]":
    """What a shop calls an order."""
    return [Column(name, Text, nullable=False) for name in ("source", "shop_id", "external_order_id")]
