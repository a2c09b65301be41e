"""Earning: what an order earns, as a function of the order, the member as projected, and the rule set alone.

Points are reckoned exactly, in integers over a common denominator, and rounded once for the whole order. What
was rounded is then allocated to the lines by largest remainder: lines add up to the order, each with its own.
"""

from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from functools import lru_cache
from math import prod
from typing import Final, NamedTuple, TypeAlias

from services.points.domain.accounts import MAX_ENTRY_POINTS, PointsOutOfRange
from services.points.domain.facts import Line, MemberFacts, PaidOrder
from services.points.domain.rule_sets import Basis, Rate, Rounding, RuleSet, When
from shared.conditions import Test
from shared.money import allocate, exponent

# Why an order earned nothing, as explanations say it.
NOTHING_PAID: Final = "nothing_paid"
NO_RATE: Final = "no_exchange_rate"
EXCLUDED: Final = "excluded"
BELOW_STEP: Final = "below_one_step"
NO_RULE: Final = "no_rule_applies"

# A multiplier's name, and its factor times the scale of the rule set.
_Factor: TypeAlias = tuple[str, int]


class Parts(NamedTuple):
    """Points by what they were given for: each line in order, the postage and the rest, each bonus in order.

    `rest` is what no line stands for: postage, or an order whose lines are not known.
    """

    lines: tuple[int, ...]
    rest: int
    bonuses: tuple[int, ...]

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.lines) + self.rest + sum(self.bonuses)

    def cut_to(self, points: int) -> "Parts":
        """Share fewer points out in the same proportions."""
        if points == self.total:
            return self
        shares = allocate(points, [*self.lines, self.rest, *self.bonuses])
        count = len(self.lines)
        return Parts(tuple(shares[:count]), shares[count], tuple(shares[count + 1 :]))


class Judgement(NamedTuple):
    """What a rule set gives for an order, before caps, and why.

    `basis_minor` is in the order's currency; `factors` are the multipliers that took part, with what they
    made; `bonuses` names those of `parts.bonuses`.
    """

    parts: Parts
    basis_minor: int
    factors: tuple[tuple[str, str], ...]
    bonuses: tuple[str, ...]
    excluded: tuple[int, ...]
    exchange_rate: str | None
    why_nothing: str | None


def judge(rules: RuleSet, order: PaidOrder, member: MemberFacts) -> Judgement:
    """Return what an order earns before caps; raises `PointsOutOfRange` and `UnknownCurrency`."""
    lines = _Lines(rules, order, member)
    excluded = lines.excluded()
    amounts, rest_minor = _basis(rules, order, excluded)
    basis_minor = sum(amounts) + rest_minor
    rate, step, per, exchange_rate = _rate_of(rules, order.currency)
    base, base_parts = _base(rate, step, per, basis_minor)
    general = lines.general_factors()
    own = lines.own_factors(amounts)
    if own is None:
        # One factor for all: the shares are those of the money.
        weights = [*amounts, rest_minor]
        factor, factor_parts = _combined(rules, general)
        points = _rounded(base * factor, base_parts * factor_parts, rules.rounding)
        taking_part = general
    else:
        weights, factor_parts = _weights(rules, general, own, amounts, rest_minor)
        points = 0
        if base:
            points = _rounded(base * sum(weights), base_parts * basis_minor * factor_parts, rules.rounding)
        taking_part = list(dict.fromkeys([*general, *(factor for some in own for factor in some)]))
    flat, line_bonuses = lines.bonuses(excluded)
    bonuses = [bonus for bonus in rules.order_bonuses if lines.order_passes(bonus.when)]
    flat_points = sum(flat) + sum(bonus.points for bonus in bonuses)
    if points + flat_points > MAX_ENTRY_POINTS:
        raise PointsOutOfRange(f"{points + flat_points} points are more than one entry may hold")
    shares = allocate(points, weights)
    rest = shares.pop()
    if line_bonuses:
        shares = [share + extra for share, extra in zip(shares, flat, strict=True)]
    scale = rules.plan.scale
    return Judgement(
        Parts(tuple(shares), rest, tuple([bonus.points for bonus in bonuses])),
        basis_minor,
        tuple([(name, factor_text(factor, scale)) for name, factor in taking_part] + line_bonuses),
        tuple([bonus.id for bonus in bonuses]),
        tuple([line.line_no for line, out in zip(order.lines, excluded, strict=True) if out])
        if excluded
        else (),
        exchange_rate,
        None if points + flat_points else _why_nothing(rules, order, basis_minor, rate, base),
    )


class _Lines:
    """Conditions answered on one order and on its lines, each fact gathered once and only if it matters."""

    def __init__(self, rules: RuleSet, order: PaidOrder, member: MemberFacts) -> None:
        self._rules = rules
        self._plan = rules.plan
        self._order = order
        self._now = order.paid_at
        self._percent = member.tier_percent
        self._facts = rules.plan.asked.of_order(order, member)
        self._line_facts: list[dict[str, object]] | None = None

    def order_passes(self, when: When) -> bool:
        """Say whether what a condition asks of the order holds."""
        return when.order is None or when.order(self._facts, self._now)

    def _passing(self, test: Test) -> list[bool]:
        """Say of which lines holds what is asked of lines."""
        if self._line_facts is None:
            self._line_facts = self._plan.asked.of_lines(self._facts, self._order.lines)
        now = self._now
        return [test(facts, now) for facts in self._line_facts]

    def excluded(self) -> list[bool]:
        """Say which lines count for nothing; an empty list if none can."""
        when = self._rules.exclude
        if when is None or not self.order_passes(when):
            return []
        return [True] * len(self._order.lines) if when.line is None else self._passing(when.line)

    def general_factors(self) -> list[_Factor]:
        """Return the factors that hold for the whole order."""
        return [
            (multiplier.id, factor)
            for multiplier, scaled in self._plan.general
            if (factor := self._factor(scaled)) is not None and self.order_passes(multiplier.when)
        ]

    def own_factors(self, amounts: Sequence[int]) -> list[list[_Factor]] | None:
        """Return the factors that each line has beside; None if none has any."""
        found: list[list[_Factor]] | None = None
        for multiplier, scaled in self._plan.by_line:
            factor, test = self._factor(scaled), multiplier.when.line
            if factor is None or test is None or not self.order_passes(multiplier.when):
                continue
            for index, passes in enumerate(self._passing(test)):
                if passes and amounts[index]:
                    found = found or [[] for _ in amounts]
                    found[index].append((multiplier.id, factor))
        return found

    def _factor(self, scaled: int | None) -> int | None:
        if scaled is not None or self._percent is None:
            return scaled
        return self._percent * self._plan.scale // 100

    def bonuses(self, excluded: Sequence[bool]) -> tuple[list[int], list[tuple[str, str]]]:
        """Return the flat points of each line, and which bonuses gave them."""
        lines = self._order.lines
        flat = [0] * len(lines)
        applied: list[tuple[str, str]] = []
        for bonus in self._rules.line_bonuses:
            if not self.order_passes(bonus.when):
                continue
            test = bonus.when.line
            passing = [True] * len(lines) if test is None else self._passing(test)
            total, applies = 0, False
            for index, line in enumerate(lines):
                if passing[index] and not (excluded and excluded[index]):
                    points = bonus.points * (line.quantity if bonus.per_unit else 1)
                    flat[index] += points
                    total, applies = total + points, True
            if applies:
                applied.append((bonus.id, f"+{total}"))
        return flat, applied


def _weights(
    rules: RuleSet,
    general: list[_Factor],
    own: list[list[_Factor]],
    amounts: Sequence[int],
    rest_minor: int,
) -> tuple[list[int], int]:
    """Return what each line and the rest weigh with their factors, and of what the weights are parts."""
    combined = [_combined(rules, [*general, *some]) for some in own]
    combined.append(_combined(rules, general))
    whole = max(parts for _, parts in combined)
    weights = [
        amount * factor * (whole // parts)
        for amount, (factor, parts) in zip([*amounts, rest_minor], combined, strict=True)
    ]
    return weights, whole


def bonuses_held(rules: RuleSet, order: PaidOrder, member: MemberFacts) -> frozenset[str]:
    """Return the bonuses that an order qualifies for, such as one of which a part was refunded."""
    lines = _Lines(rules, order, member)
    return frozenset(bonus.id for bonus in rules.order_bonuses if lines.order_passes(bonus.when))


def _why_nothing(rules: RuleSet, order: PaidOrder, basis_minor: int, rate: Rate | None, base: int) -> str:
    if order.total_minor == 0:
        return NOTHING_PAID
    if basis_minor == 0:
        return EXCLUDED
    if rate is None:
        return NO_RULE if rules.base is None else NO_RATE
    return BELOW_STEP if rate.points and base == 0 else NO_RULE


def _basis(rules: RuleSet, order: PaidOrder, excluded: Sequence[bool]) -> tuple[list[int], int]:
    """Return what counts of each line, and of what no line stands for, in minor units."""
    basis = rules.basis
    total = order.total_minor - (0 if basis.tax else order.tax_minor)
    if basis.discount:
        total += max(0, order.discount_minor - order.redeemed_minor)
    if basis.redeemed:
        total += order.redeemed_minor
    shipping = min(order.shipping_minor, order.total_minor)
    goods = max(0, total - shipping)
    rest = shipping if basis.shipping else 0
    weights = [_weight(basis, line) for line in order.lines]
    weight = sum(weights)
    if not weight:
        # Nothing tells the lines apart, or there are none.
        return weights, (0 if any(excluded) else goods) + rest
    amounts = weights if weight == goods else allocate(goods, weights)
    if excluded:
        amounts = [0 if out else amount for amount, out in zip(amounts, excluded, strict=True)]
    return amounts, rest


def _weight(basis: Basis, line: Line) -> int:
    amount = line.unit_price_minor * line.quantity
    if not basis.discount:
        amount -= line.discount_minor
    if not basis.tax:
        amount -= line.tax_minor
    return max(0, amount)


def _rate_of(rules: RuleSet, currency: str) -> tuple[Rate | None, int, int, str | None]:
    """Return the rate of a currency, its step in minor units (numerator, denominator), what converts it."""
    known = rules.plan.rates.get(currency)
    if known is None:
        rate, step, exchange_rate = _rate_read(rules, currency)
        text = str(exchange_rate) if exchange_rate is not None else None
        known = rules.plan.rates[currency] = (rate, step.numerator, step.denominator, text)
    return known


def _rate_read(rules: RuleSet, currency: str) -> tuple[Rate | None, Fraction, Decimal | None]:
    places = exponent(currency)
    own = rules.by_currency.get(currency)
    if own is not None:
        return own, own.step_minor, None
    if rules.base is None:
        return None, Fraction(1), None
    if rules.currency is None:
        return rules.base, rules.base.step_minor * 10**places, None
    if rules.currency == currency:
        return rules.base, rules.base.step_minor, None
    exchange_rate = rules.rates.get(currency)
    if exchange_rate is None:
        return None, Fraction(1), None
    # Amounts stay in the order's currency: the step is what is converted, which loses nothing.
    scale = Fraction(10) ** (places - exponent(rules.currency))
    return rules.base, rules.base.step_minor * scale / Fraction(exchange_rate), exchange_rate


def _base(rate: Rate | None, step: int, per: int, basis_minor: int) -> tuple[int, int]:
    """Return the points that the money alone gives, as a numerator and a denominator."""
    if rate is None or basis_minor <= 0:
        return 0, 1
    if rate.whole:
        return basis_minor * per // step * rate.points, 1
    return basis_minor * per * rate.points, step


def _combined(rules: RuleSet, factors: Sequence[_Factor]) -> tuple[int, int]:
    """Return what multipliers make together, as a numerator and a denominator.

    That is the largest, their product, or the sum of what each adds.
    """
    if not factors:
        return 1, 1
    scale = rules.plan.scale
    if rules.combine == "max" or len(factors) == 1:
        return max([factor for _, factor in factors]), scale
    if rules.combine == "product":
        return prod([factor for _, factor in factors]), int(scale ** len(factors))
    return max(0, scale + sum([factor - scale for _, factor in factors])), scale


def _rounded(points: int, parts: int, rounding: Rounding) -> int:
    """Round so many parts of a point to whole points."""
    if rounding == "floor" or parts == 1:
        return points // parts
    if rounding == "ceiling":
        return -(-points // parts)
    if rounding == "half_up":
        return (2 * points + parts) // (2 * parts)
    whole, rest = divmod(points, parts)
    return whole + (2 * rest > parts or (2 * rest == parts and whole % 2))


@lru_cache(maxsize=1024)
def factor_text(scaled: int, scale: int) -> str:
    """Write a scaled factor as people do: 1.5, 2."""
    number = Decimal(scaled) / Decimal(scale)
    return f"{number.quantize(Decimal('0.0001'), ROUND_HALF_EVEN).normalize():f}"
