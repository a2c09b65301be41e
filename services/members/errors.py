"""Why members refuses; the docstring is the message."""

from shared.problems import Conflict, NotFound, Refusal

__all__ = [
    "CancellationConflict",
    "MemberErased",
    "MemberNotFound",
    "OrderConflict",
    "OrderNotFound",
    "OrderTotalMismatch",
    "RefundConflict",
    "RefundExceedsOrder",
    "RefundLinesMismatch",
    "TooManyItems",
    "TooManyTags",
    "UnknownOrderLine",
]


class OrderConflict(Conflict):
    """An order of this number came before with other content."""


class RefundConflict(Conflict):
    """A refund of this number came before with other content."""


class CancellationConflict(Conflict):
    """The order was cancelled before with other content."""


class OrderTotalMismatch(Refusal):
    """The total is not what the lines, the shipping and the discount add up to."""


class RefundExceedsOrder(Refusal):
    """More would be refunded than was paid and is left."""


class RefundLinesMismatch(Refusal):
    """The refunded lines and shipping add up to more than the refund's amount."""


class UnknownOrderLine(Refusal):
    """The order has no line of that number."""


class TooManyItems(Refusal):
    """The batch has more items than one request may carry."""


class TooManyTags(Refusal):
    """The member would have more tags than one profile holds."""


class MemberNotFound(NotFound):
    """There is no such member."""


class MemberErased(Refusal):
    """The member was erased, and nothing more can be known about them."""

    status = 410


class OrderNotFound(NotFound):
    """There is no such order."""
