"""Tables of members.

Every writer of an order, a refund or a cancellation locks the member's row first, in the order of ids; that
row is the aggregate, and the lock is what keeps the events of one member in order. Foreign keys to members
are checked at the commit, so that a new member can be written once, with all that its first batch brought.
"""

from services.members.models import consents, orders, people, persons, standing
from services.members.models.base import Base, metadata

__all__ = ["Base", "consents", "metadata", "orders", "people", "persons", "standing"]
