"""Draw: a member pays, a lot is drawn and what it won is granted, all in one transaction.

The ticket follows from the round's secret seed and from what the member sent (domain/lottery.py), so nothing
that happens here can change it. Prizes with a stock are locked once they are hit, after accounts and rewards.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.points.domain import Draw, Odds, Prize, Reward, Round
from services.points.domain.lottery import WON, outcome_of, ticket_of
from services.points.domain.rewards import LOTTERY
from services.points.errors import DrawNotFound, LotteryNotFound
from services.points.operations.counter import Counter, Redeem, Redeemed
from services.points.operations.ledger import Ledger
from services.points.operations.rounds import prepare_rounds
from services.points.repository import lottery as repository
from services.points.repository import rewards as reward_repository
from services.points.repository.lottery import DrawRow, OddsRow, PrizeKey
from shared.events import LotteryDrawn, PointsEarned
from shared.outbox import emit
from shared.problems import Refusal

# The round of now and the one or two that are committed to ahead.
SHOWN_ROUNDS = 10


class DrawLot(NamedTuple):
    """Have a member draw from a lottery."""

    member_id: UUID
    lottery_id: UUID
    client_nonce: str
    actor: str
    # Only say whether it could be done, and what it would cost.
    rehearse: bool = False


@dataclass(frozen=True, slots=True)
class Drawn:
    """A draw that was paid for; what came of it is unknown in a rehearsal."""

    redeemed: Redeemed
    row: DrawRow | None
    prize: Prize | None
    points_won: int
    available_points: int


class _Lot(NamedTuple):
    """A draw that is paid for and whose ticket is known."""

    redeemed: Redeemed
    command: DrawLot
    round: Round
    odds: Odds
    number: int
    ticket: int
    prize: Prize

    @property
    def key(self) -> PrizeKey:
        return PrizeKey(self.command.lottery_id, self.odds.version, self.prize.number)


async def draw(session: AsyncSession, commands: Sequence[DrawLot]) -> list[Drawn | Refusal]:
    """Draw in the order given: who comes first gets the last of a prize.

    A rehearsal says who could draw and what it would cost, and not what would come of it: otherwise anybody
    could try nonces until one wins. Points that are won can be spent once the batch is through.
    """
    rehearse = any(command.rehearse for command in commands)
    ledger = await Ledger.open(session, {command.member_id for command in commands}, create=False)
    sales = [Redeem(command.member_id, command.lottery_id, None, command.actor) for command in commands]
    counter = await Counter.open(session, ledger, sales)
    lotteries = {key: reward for key, reward in counter.rewards.items() if reward.kind == LOTTERY}
    rounds = {} if rehearse else await _rounds_now(session, ledger, lotteries)
    served = [
        counter.serve(sale)
        if sale.reward_id in lotteries
        else LotteryNotFound(lottery_id=str(sale.reward_id))
        for sale in sales
    ]
    if rehearse:
        return [
            Drawn(result, None, None, 0, result.available_points) if isinstance(result, Redeemed) else result
            for result in served
        ]
    paid = {
        index: (result, commands[index])
        for index, result in enumerate(served)
        if isinstance(result, Redeemed)
    }
    lots = await _tickets(session, paid, rounds)
    drawn = await _settle(session, counter, lots)
    await counter.close(session)
    await repository.add_draws(session, [each.row for each in drawn.values() if each.row is not None])
    await emit(session, ledger.events)
    return [drawn[index] if isinstance(result, Redeemed) else result for index, result in enumerate(served)]


async def _rounds_now(
    session: AsyncSession, ledger: Ledger, lotteries: Mapping[UUID, Reward]
) -> dict[UUID, tuple[Round, Odds]]:
    """Return the round of this moment with its odds, for lotteries that can be drawn from.

    The job commits to rounds ahead of time. Where it has not, the round is committed to now.
    """
    now = ledger.now
    running = {key: reward for key, reward in lotteries.items() if reward.is_available(now)}
    if not running:
        return {}
    known = await repository.rounds_from(session, running, now)
    late = sorted(key for key in running if not any(each.is_at(now) for each in known.get(key, ())))
    if late:
        for lottery_id in late:
            await reward_repository.lock_reward(session, lottery_id)
        await prepare_rounds(session, [running[lottery_id] for lottery_id in late], now)
        known = await repository.rounds_from(session, running, now)
    odds = await repository.odds_of(session, running)
    return {
        lottery_id: (current, _version(odds[lottery_id], current.odds_version))
        for lottery_id, rounds in known.items()
        for current in rounds
        if current.is_at(now)
    }


def _version(versions: Sequence[OddsRow], number: int) -> Odds:
    return next(row.odds for row in versions if row.odds.version == number)


async def _tickets(
    session: AsyncSession,
    paid: Mapping[int, tuple[Redeemed, DrawLot]],
    rounds: Mapping[UUID, tuple[Round, Odds]],
) -> dict[int, _Lot]:
    """Number the draws that are paid for, and compute their tickets."""
    keys = {
        (command.lottery_id, rounds[command.lottery_id][0].number, redeemed.member_id)
        for redeemed, command in paid.values()
    }
    last = await repository.last_draws(session, sorted(keys))
    lots: dict[int, _Lot] = {}
    for index, (redeemed, command) in paid.items():
        current, odds = rounds[command.lottery_id]
        key = (command.lottery_id, current.number, redeemed.member_id)
        number = last[key] = last.get(key, 0) + 1
        ticket = ticket_of(current.seed, redeemed.member_id, command.client_nonce, number, odds.total_weight)
        lots[index] = _Lot(redeemed, command, current, odds, number, ticket, odds.prize_at(ticket))
    return lots


async def _settle(session: AsyncSession, counter: Counter, lots: Mapping[int, _Lot]) -> dict[int, Drawn]:
    """Lock the prizes that were hit, hand them out in order, and grant them."""
    left = await repository.lock_prizes(
        session, (lot.key for lot in lots.values() if lot.prize.stock is not None)
    )
    met = dict(left)
    won = {lot.prize.reward_id for lot in lots.values() if lot.prize.reward_id is not None}
    rewards = await reward_repository.rewards_by_id(session, sorted(won)) if won else {}
    rows: dict[int, DrawRow] = {}
    for index, lot in lots.items():
        stock_before = left.get(lot.key)
        outcome = outcome_of(lot.prize, stock_before)
        if outcome == WON and stock_before is not None:
            left[lot.key] = stock_before - 1
        rows[index] = _record(counter, lot, stock_before, outcome, rewards)
    await repository.save_prizes(session, {key: units for key, units in left.items() if units != met[key]})
    drawn: dict[int, Drawn] = {}
    for index, row in rows.items():
        lot = lots[index]
        points = lot.prize.points or 0 if row.draw.outcome == WON else 0
        if points:
            _credit(counter.ledger, lot, row, points)
        _announce(counter.ledger, lot, row, points)
        account = counter.ledger.accounts[row.draw.member_id]
        drawn[index] = Drawn(lot.redeemed, row, lot.prize, points, account.balance_points)
    return drawn


def _record(
    counter: Counter, lot: _Lot, stock_before: int | None, outcome: str, rewards: Mapping[UUID, Reward]
) -> DrawRow:
    redeemed = lot.redeemed
    record = Draw(
        id=redeemed.redemption_id,
        lottery_id=lot.command.lottery_id,
        round_number=lot.round.number,
        commitment=lot.round.commitment,
        odds_version=lot.odds.version,
        odds_digest=lot.odds.digest(),
        member_id=redeemed.member_id,
        client_nonce=lot.command.client_nonce,
        draw_number=lot.number,
        ticket=lot.ticket,
        prize_number=lot.prize.number,
        stock_before=stock_before,
        outcome=outcome,
        cost_points=redeemed.points,
        drawn_at=redeemed.redeemed_at,
    )
    granted = None
    if outcome == WON and lot.prize.reward_id is not None:
        reward = rewards[lot.prize.reward_id]
        granted = counter.give(reward, redeemed.member_id, draw_id=record.id, actor=lot.command.actor)
    return DrawRow(record, record.receipt(), granted)


def _credit(ledger: Ledger, lot: _Lot, row: DrawRow, points: int) -> None:
    """Enter points that were won; the version of the odds is the rule that gave them."""
    account = ledger.accounts[row.draw.member_id]
    now, reason = ledger.now, f"Won {lot.prize.name}"
    days = lot.prize.lifetime_days
    expires_at = now + timedelta(days=days) if days is not None else None
    entry_id = ledger.enter(
        account,
        "earn",
        points,
        about_id=row.draw.id,
        reference="prize",
        actor=lot.command.actor,
        reason=reason,
        occurred_at=now,
        rule_version=lot.odds.version,
        origin_id=row.draw.member_id,
    )
    origin_id = row.draw.member_id
    ledger.credit(account, points, lot_id=entry_id, earned_at=now, expires_at=expires_at, origin_id=origin_id)
    ledger.events.append(
        PointsEarned(
            member_id=account.member_id,
            entry_id=entry_id,
            points=points,
            expires_at=expires_at,
            reason=reason,
            rule_version=lot.odds.version,
            earned_at=now,
            balance_points=account.balance_points,
        )
    )


def _announce(ledger: Ledger, lot: _Lot, row: DrawRow, points: int) -> None:
    record = row.draw
    ledger.events.append(
        LotteryDrawn(
            member_id=record.member_id,
            draw_id=record.id,
            lottery_id=record.lottery_id,
            round_number=record.round_number,
            outcome=record.outcome,
            prize_number=record.prize_number,
            prize_name=lot.prize.name,
            points_won=points,
            redemption_id=row.prize_redemption_id,
            cost_points=record.cost_points,
            receipt=row.receipt,
            drawn_at=record.drawn_at,
        )
    )


async def show_lottery(session: AsyncSession, lottery_id: UUID) -> tuple[Reward, list[OddsRow], list[Round]]:
    """Return a lottery, all its odds, and the round of now with those to come; raises `LotteryNotFound`."""
    lottery = await _lottery(session, lottery_id)
    odds = (await repository.odds_of(session, [lottery_id]))[lottery_id]
    rounds = [
        each
        for each, over in await repository.list_rounds(session, lottery_id, before=None, limit=SHOWN_ROUNDS)
        if not over
    ]
    return lottery, odds[::-1], rounds[::-1]


async def show_rounds(
    session: AsyncSession, lottery_id: UUID, *, before: int | None, limit: int
) -> list[tuple[Round, bool]]:
    """Return rounds of a lottery, the newest first, and whether each is over; raises `LotteryNotFound`."""
    await _lottery(session, lottery_id)
    return await repository.list_rounds(session, lottery_id, before=before, limit=limit)


async def show_draw(session: AsyncSession, draw_id: UUID) -> tuple[DrawRow, Odds, Round, bool]:
    """Return a draw, its odds, its round and whether that is over; raises `DrawNotFound`."""
    row = await repository.draw(session, draw_id)
    if row is None:
        raise DrawNotFound(draw_id=str(draw_id))
    lottery_id = row.draw.lottery_id
    odds = (await repository.odds_of(session, [lottery_id]))[lottery_id]
    current, over = await repository.round_of(session, lottery_id, row.draw.round_number)
    return row, _version(odds, row.draw.odds_version), current, over


async def show_draws(
    session: AsyncSession, lottery_id: UUID, round_number: int, *, after: UUID | None, limit: int
) -> list[DrawRow]:
    """Return the draws of a round in the order they were made; raises `LotteryNotFound`."""
    await _lottery(session, lottery_id)
    return await repository.list_draws(session, lottery_id, round_number, after=after, limit=limit)


async def _lottery(session: AsyncSession, lottery_id: UUID) -> Reward:
    lottery = (await reward_repository.rewards_by_id(session, [lottery_id])).get(lottery_id)
    if lottery is None or lottery.kind != LOTTERY:
        raise LotteryNotFound(lottery_id=str(lottery_id))
    return lottery
