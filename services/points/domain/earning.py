"""Earning: what an order earns, as a function of the order, the member as projected, and the rule set alone.

Points are reckoned exactly, as fractions, and rounded once for the whole order. What was rounded is then
allocated to the lines by largest remainder, so that the lines add up to the order and each knows its own.
"""

from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from math import ceil, floor, lcm, prod
from typing import Any, Final, NamedTuple, TypeAlias

from services.points.domain.accounts import MAX_ENTRY_POINTS, PointsOutOfRange
from services.points.domain.facts import Line, MemberFacts, PaidOrder, line_facts, order_facts
from services.points.domain.rule_sets import Rate, Rounding, RuleSet
from shared.conditions import Condition, evaluate
from shared.money import allocate, exponent

# Why an order earned nothing, as explanations say it.
NOTHING_PAID: Final = "nothing_paid"
NO_RATE: Final = "no_exchange_rate"
EXCLUDED: Final = "excluded"
BELOW_STEP: Final = "below_one_step"
NO_RULE: Final = "no_rule_applies"


_Factor: TypeAlias = tuple[str, Fraction]


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


class _Answers:
    """Conditions answered on one order, each fact gathered once."""

    def __init__(self, rules: RuleSet, order: PaidOrder, member: MemberFacts) -> None:
        self._rules = rules
        self._now = order.paid_at
        self._order: dict[str, Any] = dict(
            order_facts(rules.order_fields, order, member, rules.birthday_days)
        )

    def holds(self, condition: Condition | None, line: Line | None = None) -> bool:
        """Say whether a condition holds of the order, or of one of its lines."""
        if condition is None:
            return True
        facts = self._order if line is None else {**self._order, **line_facts(self._rules.line_fields, line)}
        return evaluate(condition, facts, self._now)


def judge(rules: RuleSet, order: PaidOrder, member: MemberFacts) -> Judgement:
    """Return what an order earns before caps; raises `PointsOutOfRange` and `UnknownCurrency`."""
    answers = _Answers(rules, order, member)
    lines = order.lines
    excluded = [rules.exclude is not None and answers.holds(rules.exclude, line) for line in lines]
    amounts, rest_minor = _basis(rules, order, excluded)
    basis_minor = sum(amounts) + rest_minor
    rate, step, exchange_rate = _rate_of(rules, order.currency)
    base = _base(rate, step, basis_minor)
    general, factors = _general_factors(rules, answers, member)
    if rules.multiplies_lines:
        shares = _by_line(rules, answers, order, (amounts, rest_minor), base, (general, factors))
    else:
        # One factor for all: the shares are those of the money, and no fraction is needed to find them.
        points = _rounded(base * _combined(rules, general), rules.rounding)
        shares = allocate(points, [*amounts, rest_minor])
    flat, line_bonuses = _line_bonuses(rules, answers, lines, excluded)
    bonuses = [bonus for bonus in rules.order_bonuses if answers.holds(bonus.when)]
    parts = Parts(
        tuple(share + extra for share, extra in zip(shares, flat, strict=False)),
        shares[-1],
        tuple(bonus.points for bonus in bonuses),
    )
    if parts.total > MAX_ENTRY_POINTS:
        raise PointsOutOfRange(f"{parts.total} points are more than one entry may hold")
    return Judgement(
        parts,
        basis_minor,
        tuple((name, _text(factor)) for name, factor in factors) + tuple(line_bonuses),
        tuple(bonus.id for bonus in bonuses),
        tuple(line.line_no for line, out in zip(lines, excluded, strict=True) if out),
        str(exchange_rate) if exchange_rate is not None else None,
        None if parts.total else _why_nothing(rules, order, basis_minor, rate, base),
    )


def _by_line(
    rules: RuleSet,
    answers: _Answers,
    order: PaidOrder,
    basis: tuple[Sequence[int], int],
    base: Fraction | int,
    factors: tuple[list[_Factor], list[_Factor]],
) -> list[int]:
    """Return the points of each line and of the rest, where lines have factors of their own."""
    amounts, rest_minor = basis
    general, all_factors = factors
    basis_minor = sum(amounts) + rest_minor
    exact: list[Fraction] = []
    for line, amount in zip(order.lines, amounts, strict=True):
        own = _own_factors(rules, answers, line) if amount else []
        all_factors += [item for item in own if item not in all_factors]
        share = base * Fraction(amount, basis_minor) if amount else Fraction(0)
        exact.append(share * _combined(rules, [*general, *own]))
    rest = base * Fraction(rest_minor, basis_minor) if rest_minor else Fraction(0)
    exact.append(rest * _combined(rules, general))
    return _share_out(_rounded(sum(exact, Fraction(0)), rules.rounding), exact)


def bonuses_held(rules: RuleSet, order: PaidOrder, member: MemberFacts) -> frozenset[str]:
    """Return the bonuses that an order qualifies for, such as one of which a part was refunded."""
    answers = _Answers(rules, order, member)
    return frozenset(bonus.id for bonus in rules.order_bonuses if answers.holds(bonus.when))


def _why_nothing(rules: RuleSet, order: PaidOrder, basis_minor: int, rate: Rate | None, base: object) -> str:
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
    weights = [_weight(rules, line) for line in order.lines]
    if not any(weights):
        # Nothing tells the lines apart, or there are none.
        return [0] * len(weights), (0 if any(excluded) else goods) + rest
    amounts = allocate(goods, weights)
    return [0 if out else amount for amount, out in zip(amounts, excluded, strict=True)], rest


def _weight(rules: RuleSet, line: Line) -> int:
    amount = line.unit_price_minor * line.quantity
    if not rules.basis.discount:
        amount -= line.discount_minor
    if not rules.basis.tax:
        amount -= line.tax_minor
    return max(0, amount)


def _rate_of(rules: RuleSet, currency: str) -> tuple[Rate | None, Fraction, Decimal | None]:
    """Return the rate of a currency, its step in that currency's minor units, and what converted it."""
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


def _base(rate: Rate | None, step: Fraction, basis_minor: int) -> Fraction | int:
    """Return the points that the money alone gives."""
    if rate is None or basis_minor <= 0:
        return 0
    if rate.whole:
        return basis_minor * step.denominator // step.numerator * rate.points
    return Fraction(basis_minor * step.denominator * rate.points, step.numerator)


def _general_factors(
    rules: RuleSet, answers: _Answers, member: MemberFacts
) -> tuple[list[_Factor], list[_Factor]]:
    """Return the factors that hold for the whole order, and a list of all that took part to go on with."""
    found: list[_Factor] = []
    for multiplier in rules.multipliers:
        if multiplier.by_line:
            continue
        factor = multiplier.factor
        if factor is None:
            factor = Fraction(member.tier_percent, 100) if member.tier_percent is not None else None
        if factor is not None and answers.holds(multiplier.when):
            found.append((multiplier.id, factor))
    return found, list(found)


def _own_factors(rules: RuleSet, answers: _Answers, line: Line) -> list[_Factor]:
    return [
        (multiplier.id, multiplier.factor)
        for multiplier in rules.multipliers
        if multiplier.by_line and multiplier.factor is not None and answers.holds(multiplier.when, line)
    ]


def _combined(rules: RuleSet, factors: Sequence[_Factor]) -> Fraction | int:
    """Return what multipliers make together: the largest, their product, or the sum of what each adds."""
    values = [factor for _, factor in factors]
    if not values:
        return 1
    if rules.combine == "max":
        return max(values)
    if rules.combine == "product":
        return prod(values, start=Fraction(1))
    return max(Fraction(0), 1 + sum((value - 1 for value in values), Fraction(0)))


def _line_bonuses(
    rules: RuleSet, answers: _Answers, lines: Sequence[Line], excluded: Sequence[bool]
) -> tuple[list[int], list[tuple[str, str]]]:
    """Return the flat points of each line, and which bonuses gave them."""
    flat = [0] * len(lines)
    applied: dict[str, int] = {}
    for index, line in enumerate(lines):
        for bonus in rules.line_bonuses:
            if excluded[index] or not answers.holds(bonus.when, line):
                continue
            points = bonus.points * (line.quantity if bonus.per_unit else 1)
            flat[index] += points
            applied[bonus.id] = applied.get(bonus.id, 0) + points
    return flat, [(name, f"+{points}") for name, points in applied.items()]


def _share_out(points: int, exact: Sequence[Fraction]) -> list[int]:
    """Allocate rounded points by the exact shares."""
    scale = lcm(*(share.denominator for share in exact))
    return allocate(points, [int(share * scale) for share in exact])


def _rounded(points: Fraction | int, rounding: Rounding) -> int:
    if isinstance(points, int):
        return points
    if rounding == "floor":
        return floor(points)
    if rounding == "ceiling":
        return ceil(points)
    return round(points) if rounding == "half_even" else floor(points + Fraction(1, 2))


def _text(factor: Fraction) -> str:
    """Write a factor as people do: 1.5, 2."""
    number = Decimal(factor.numerator) / Decimal(factor.denominator)
    return f"{number.quantize(Decimal('0.0001'), ROUND_HALF_EVEN).normalize():f}"
