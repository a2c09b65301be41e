"""The base that every table of points is declared on."""

from sqlalchemy import text
from sqlalchemy.orm import DeclarativeBase

from shared.database import new_metadata
from shared.platform_tables import add_platform_tables


class Base(DeclarativeBase):
    """Declarative base that carries the tables every service has."""

    metadata = new_metadata()


add_platform_tables(Base.metadata)

NOW = text("clock_timestamp()")

ZERO = text("0")
