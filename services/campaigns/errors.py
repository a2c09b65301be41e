"""What campaigns refuses, and in which words."""

from shared.problems import Conflict, NotFound, Refusal


class ActivityNotFound(NotFound):
    """There is no such activity."""


class GroupNotFound(NotFound):
    """There is no such group."""


class SkuNotFound(NotFound):
    """The activity does not offer this SKU."""


class PromotionNotFound(NotFound):
    """There is no such promotion."""


class NonexistentLocalTime(Refusal):
    """The clock in Los Angeles skips this time when it goes forward."""


class AmbiguousLocalTime(Refusal):
    """The clock in Los Angeles shows this time twice when it goes back; say which by fold 0 or 1."""


class ActivityTooLong(Refusal):
    """An activity takes at most 180 calendar days."""


class ActivityEndsTooEarly(Refusal):
    """An activity ends after its start and after now."""


class PriceTooLow(Refusal):
    """The discount leaves less than one minor unit of the price."""


class UnknownTimeZone(Refusal):
    """This is not a time zone of the IANA database."""


class SkuLocked(Conflict):
    """A SKU is in another promotion of the shop that overlaps in time."""


class ActivityAlreadyOver(Conflict):
    """The activity has ended, so there is nothing to cancel."""


class ActivityNotActive(Conflict):
    """The activity is not active now."""


class TooLittleTimeLeft(Conflict):
    """The activity ends too soon to open a group."""


class GroupNotOpen(Conflict):
    """The group is not open yet: its initiator has not paid."""


class GroupClosed(Conflict):
    """The group takes nobody in any more."""


class GroupFull(Conflict):
    """Every seat of the group is taken.

    Carries `alternatives`: what the buyer can do instead.
    """


class AlreadyInGroup(Conflict):
    """The member has a seat in this group."""


class OutOfStock(Conflict):
    """The activity's stock of this SKU does not suffice."""


class OrderLimitExceeded(Refusal):
    """The activity allows fewer units in one order."""


class MemberLimitExceeded(Refusal):
    """The activity allows fewer units per member."""


class GroupLimitExceeded(Conflict):
    """The member has as many open groups as the activity allows."""


class AmountTooLarge(Refusal):
    """Quantity times price is more than any order can be."""


class ReferenceTaken(Conflict):
    """Another promotion has this reference."""


HOLD_REFUSALS: dict[str, type[Refusal]] = {
    refusal.code: refusal
    for refusal in (
        ActivityNotActive,
        TooLittleTimeLeft,
        GroupNotOpen,
        GroupClosed,
        GroupFull,
        AlreadyInGroup,
        OutOfStock,
        OrderLimitExceeded,
        MemberLimitExceeded,
        GroupLimitExceeded,
    )
}
