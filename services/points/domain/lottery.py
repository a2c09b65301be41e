"""The lottery: draws that anyone can recompute once the server's seed is revealed.

Before a round begins the program publishes a commitment, the SHA-256 of a secret seed; a draw is an HMAC
under that seed of what the member sent and of how many draws they had made; when the round is over the seed
is revealed. So the program cannot choose a seed after it knows the draws, and the member cannot choose a
nonce after they know the seed.

Sources: M. Blum, "Coin flipping by telephone" (1981), for commit and reveal; the "provably fair" scheme of
online games (hashed server seed, client seed, nonce), for what is mixed; RFC 2104 for HMAC; NIST SP 800-90A
Rev. 1, appendix A.5.1 (simple discard method), for numbers without modulo bias.
"""

import hashlib
import hmac
import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from itertools import accumulate, count
from typing import Any, Final
from uuid import UUID

SEED_BYTES: Final = 32
HMAC_RANGE: Final = 2**256

NOTHING: Final = "nothing"
POINTS: Final = "points"

WON: Final = "won"
EXHAUSTED: Final = "exhausted"


@dataclass(frozen=True, slots=True)
class Prize:
    """One line of the odds. `stock` is what there is of it in this version, None for as many as are won.

    A prize of `points` opens a lot that lives `lifetime_days` (None: for ever); a prize of `reward` grants
    `reward_id` of the catalogue; `nothing` is a line like any other, so that the odds add up in the open.
    """

    number: int
    name: str
    kind: str
    weight: int
    stock: int | None = None
    points: int | None = None
    lifetime_days: int | None = None
    reward_id: UUID | None = None


@dataclass(frozen=True)
class Odds:
    """One version of a lottery's odds. A version never changes; a round is drawn under one of them."""

    version: int
    prizes: Sequence[Prize]
    effective_at: datetime | None = None
    _bounds: list[int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_bounds", list(accumulate(prize.weight for prize in self.prizes)))

    @property
    def total_weight(self) -> int:
        """Weights of all lines together: tickets are numbers below it."""
        return self._bounds[-1]

    def prize_at(self, ticket: int) -> Prize:
        """Return the line that a ticket hits: they lie one after the other, each as wide as it weighs."""
        if not 0 <= ticket < self.total_weight:
            raise ValueError(f"there is no ticket {ticket} among {self.total_weight}")
        return self.prizes[bisect_right(self._bounds, ticket)]

    def digest(self) -> str:
        """Return the SHA-256 of the odds, in hexadecimal; published with the round's commitment."""
        return _digest({"version": self.version, "prizes": [asdict(prize) for prize in self.prizes]})


@dataclass(frozen=True, slots=True)
class Round:
    """A span of time under one seed and one version of the odds; rounds of a lottery never overlap."""

    lottery_id: UUID
    number: int
    commitment: str
    seed: bytes
    odds_version: int
    starts_at: datetime
    ends_at: datetime
    committed_at: datetime

    def is_at(self, instant: datetime) -> bool:
        """Say whether a draw at `instant` belongs to this round."""
        return self.starts_at <= instant < self.ends_at


def commitment_of(seed: bytes) -> str:
    """Return what is published of a seed before its round: its SHA-256, in hexadecimal."""
    return hashlib.sha256(seed).hexdigest()


def blocks(seed: bytes, member_id: UUID, client_nonce: str, draw_number: int) -> Iterator[int]:
    """Yield numbers below 2^256 for a draw: HMAC-SHA256(seed, `member|nonce|number`), big-endian.

    The ones after the first have `|1`, `|2`, … appended; they are for the one draw in 10^62 or fewer whose
    first block must be discarded.
    """
    message = f"{member_id}|{client_nonce}|{draw_number}"
    for attempt in count():
        text = message if attempt == 0 else f"{message}|{attempt}"
        yield int.from_bytes(hmac.digest(seed, text.encode(), "sha256"), "big")


def uniform(numbers: Iterable[int], below: int, *, out_of: int = HMAC_RANGE) -> int:
    """Return a number below `below`, each as likely as the other, from numbers uniform below `out_of`.

    What lies past the last whole multiple of `below` is discarded, since it would favour the small numbers.
    """
    if not 0 < below <= out_of:
        raise ValueError(f"there is no number between 0 and {below}")
    limit = out_of - out_of % below
    return next(number for number in numbers if number < limit) % below


def ticket_of(seed: bytes, member_id: UUID, client_nonce: str, draw_number: int, total_weight: int) -> int:
    """Return the ticket of a draw: a number below the total weight."""
    return uniform(blocks(seed, member_id, client_nonce, draw_number), total_weight)


def outcome_of(prize: Prize, stock_before: int | None) -> str:
    """Return what a draw that hit `prize` comes to. A prize that is gone is nothing; no other odds change."""
    if prize.kind == NOTHING:
        return NOTHING
    if prize.stock is not None and not stock_before:
        return EXHAUSTED
    return WON


@dataclass(frozen=True, slots=True)
class Draw:
    """A draw with all that decided it; `stock_before` is what was left of the prize that the ticket hit."""

    id: UUID
    lottery_id: UUID
    round_number: int
    commitment: str
    odds_version: int
    odds_digest: str
    member_id: UUID
    client_nonce: str
    draw_number: int
    ticket: int
    prize_number: int
    stock_before: int | None
    outcome: str
    cost_points: int
    drawn_at: datetime

    def receipt(self) -> str:
        """Return the SHA-256 of the draw, in hexadecimal: who keeps it can tell if the record changes."""
        return _digest(asdict(self))


def problems_of(draw: Draw, odds: Odds, seed: bytes, receipt: str) -> list[str]:
    """Recompute a draw from the revealed seed and say what does not agree; nothing means it was fair."""
    problems = []
    if commitment_of(seed) != draw.commitment:
        problems.append("the seed is not the one that was committed to")
    if (odds.version, odds.digest()) != (draw.odds_version, draw.odds_digest):
        problems.append("the odds are not those of the draw")
    if draw.receipt() != receipt:
        problems.append("the record is not the one that the receipt was given for")
    ticket = ticket_of(seed, draw.member_id, draw.client_nonce, draw.draw_number, odds.total_weight)
    if ticket != draw.ticket:
        problems.append(f"the ticket is {ticket} and not {draw.ticket}")
    prize = odds.prize_at(ticket)
    if prize.number != draw.prize_number:
        problems.append(f"the ticket hits prize {prize.number} and not {draw.prize_number}")
    if (prize.stock is None) != (draw.stock_before is None):
        problems.append("the stock that the draw met is not recorded")
    elif draw.stock_before is not None and not 0 <= draw.stock_before <= (prize.stock or 0):
        problems.append("the stock that the draw met is more than there ever was")
    if outcome_of(prize, draw.stock_before) != draw.outcome:
        problems.append(f"the outcome is not {draw.outcome!r}")
    return problems


def oversold(odds: Odds, draws: Iterable[Draw]) -> list[int]:
    """Return the prizes whose wins under one version are not the units of the stock, counted down once each.

    With all draws of a version at hand this shows that nothing was oversold, and that no prize was called
    exhausted before its last unit had been won.
    """
    met: dict[int, list[int]] = {prize.number: [] for prize in odds.prizes if prize.stock is not None}
    missed: set[int] = set()
    for draw in draws:
        if draw.prize_number in met and draw.outcome == WON:
            met[draw.prize_number].append(draw.stock_before or 0)
        elif draw.outcome == EXHAUSTED:
            missed.add(draw.prize_number)
    stocks = {prize.number: prize.stock or 0 for prize in odds.prizes}
    bad = []
    for number, units in met.items():
        left = stocks[number] - len(units)
        counted_down = sorted(units, reverse=True) == list(range(stocks[number], left, -1))
        if left < 0 or not counted_down or (number in missed and left > 0):
            bad.append(number)
    return bad


def round_span(length: timedelta, previous_end: datetime | None, now: datetime) -> tuple[datetime, datetime]:
    """Return when the next round starts and ends: right after the one before, or now if that is long over."""
    start = now if previous_end is None or previous_end < now else previous_end
    return start, start + length


def _digest(value: Mapping[str, Any]) -> str:
    """SHA-256 over canonical JSON: sorted keys, no spaces, ids and instants as text."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=_as_text)
    return hashlib.sha256(text.encode()).hexdigest()


def _as_text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
