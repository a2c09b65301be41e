"""Tables of members."""

from services.members.models import standing
from services.members.models.tables import Base, metadata

__all__ = ["Base", "metadata", "standing"]
