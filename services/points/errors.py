"""Why the points service says no; the docstring is the message."""

from shared.problems import Conflict, Forbidden, NotFound, Refusal


class InsufficientPoints(Refusal):
    """The member has not enough available points."""


class InvalidPoints(Refusal):
    """Points are a whole number of at least one, and no more than one entry may hold."""


class HoldNotFound(NotFound):
    """There is no such hold."""


class HoldExpired(Conflict):
    """The hold was not captured in time: its points are free again."""


class HoldAlreadyCaptured(Conflict):
    """The hold was captured before."""


class HoldAlreadyVoided(Conflict):
    """The hold was voided before."""


class HoldExceeded(Refusal):
    """A capture takes no more than is held."""


class HoldConflict(Conflict):
    """There is another hold under this id."""


class HoldInThePast(Refusal):
    """A hold ends in the future."""


class TransferToOneself(Refusal):
    """Points are transferred between two members, and these are one."""


class MemberErased(Refusal):
    """The member was erased: what they were given would be forfeited."""

    status = 410


class TransferConflict(Conflict):
    """There is another transfer under this id."""


class RewardNotFound(NotFound):
    """There is no such reward in the catalogue."""


class RewardNotAvailable(Refusal):
    """The reward cannot be redeemed now: its time has not come, is over, or it was retired."""


class RewardOutOfStock(Refusal):
    """Nothing of the reward is left."""


class MemberLimitReached(Refusal):
    """The member has redeemed this reward as often as one member may."""


class DailyLimitReached(Refusal):
    """The member has redeemed this reward as often as one member may on one day of the program's calendar."""


class PeriodLimitReached(Refusal):
    """The member has redeemed this reward as often as one member may in a week or month."""


class TierRequired(Refusal):
    """The reward is for members of other tiers."""


class OrderRequired(Refusal):
    """Free shipping is redeemed for an order: name it."""


class DrawRequired(Refusal):
    """A lottery is drawn from, not redeemed: use /v1/draws."""


class BenefitAlreadyDecided(Conflict):
    """Free shipping was decided for this order before: it is applied, or the order was cancelled."""


class NotCancellable(Conflict):
    """The redemption can no longer be called off, or never could."""


class FulfilmentOutOfOrder(Conflict):
    """The goods have gone further than that already, or were called off."""


class NothingToFulfil(Conflict):
    """The redemption is of nothing that is packed and shipped."""


class NotFreeShipping(Refusal):
    """Only a free-shipping reward of the catalogue can be chosen for every order."""


class ShippingNotCovered(Refusal):
    """The postage is more than the reward covers, or in another currency."""


class LotteryNotFound(NotFound):
    """There is no such lottery."""


class DrawNotFound(NotFound):
    """There is no such draw."""


class InvalidPrize(Refusal):
    """A prize that is a reward names a coupon, tier upgrade, goods or gift of the catalogue."""


class RedemptionNotFound(NotFound):
    """There is no such redemption."""


class InvalidWindow(Refusal):
    """A reward ends after it starts."""


class RuleInThePast(Conflict):
    """A rule version takes effect after every version before it and never in the past."""


class RuleNotFound(NotFound):
    """There is no such version of the earning rules."""


class OrderNotKnown(NotFound):
    """Neither a payment nor a refund of this order has been heard of for this member."""


class BackTestNotFound(NotFound):
    """There is no such back-test."""


class TooManyBackTests(Conflict):
    """As many back-tests as may wait are under way; ask again when one is done."""


class RuleIsActive(Conflict):
    """A version of the earning rules never changes once it is in force; make a draft of a new one."""


class RuleRequired(Conflict):
    """The first version of the earning rules stays: the ledger could judge no order without it."""


class InvalidRuleSet(Refusal):
    """The rule set cannot be read; `pointer` says where and `reason` why."""


class UnknownOrderCurrency(Refusal):
    """The order is in no currency that points know the minor unit of."""


class TooManyPoints(Refusal):
    """The order would earn more points than one entry may hold."""


class ExpiryOutOfRange(Refusal):
    """The points would expire beyond the end of the calendar."""


class RefundCurrencyMismatch(Refusal):
    """The refund is in another currency than its order."""


class AdjustmentNotFound(NotFound):
    """There is no such adjustment."""


class AlreadyDecided(Conflict):
    """The adjustment waits for nobody: it was posted, approved or rejected, or it has lapsed."""


class OwnApproval(Forbidden):
    """A proposal is decided by another key than the one that made it."""


class ExpiryInThePast(Refusal):
    """Points that are given expire later than now."""


class OpeningConflict(Conflict):
    """This row was brought in before, and said something else."""
