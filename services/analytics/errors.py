"""Why analytics refuses; the docstring is the message."""

from shared.problems import NotFound, Refusal

__all__ = [
    "CampaignNotFound",
    "ImpossibleAmount",
    "ImpossibleTime",
    "MemberNotFound",
    "RangeTooLong",
    "TooManyRows",
    "UnknownCurrency",
]


class ImpossibleTime(Refusal):
    """The event says that it happened before 1970 or more than a day from now."""


class ImpossibleAmount(Refusal):
    """The event holds an amount so large that sums with it would not fit into 64 bits."""


class UnknownCurrency(Refusal):
    """The currency is not an active ISO 4217 code with a minor unit."""


class RangeTooLong(Refusal):
    """The range of days is empty, runs backwards or is longer than one answer covers."""


class TooManyRows(Refusal):
    """The table would have more rows than one file may hold; ask for fewer days or a coarser grouping."""


class MemberNotFound(NotFound):
    """Analytics has heard nothing of such a member."""


class CampaignNotFound(NotFound):
    """Analytics has heard nothing of such an activity."""
