"""The three steps of sending, each a transaction of its caller: claim, mark as submitted, settle.

Between the second and the third the messages are on the wire. A process that dies there leaves them
`submitted`; when their lease runs out they are settled as unknown by `recover`.
"""

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.messaging.channels import Channel, Endpoint, Outgoing, metrics
from services.messaging.domain import (
    Limits,
    Outcome,
    Settlement,
    State,
    after_crash,
    gate,
    settle,
)
from services.messaging.operations.outcomes import announce
from services.messaging.operations.unsubscribing import unsubscribe_url
from services.messaging.repository import contacts, messages, recovery, sending, templates, webhooks
from services.messaging.repository.messages import Move, Standing
from services.messaging.repository.sending import Claimed
from services.messaging.repository.templates import TemplateRow
from services.messaging.settings import settings
from services.messaging.templates import RenderingFailed, RenderingSkipped, render

__all__ = ["Ready", "claim", "hold", "recover", "release", "settle_attempts", "submit"]

SUPPRESSION_REASON = "bad_address"
EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Ready:
    """A claimed message that passed the gate again and is rendered."""

    standing: Standing
    outgoing: Outgoing


async def claim(session: AsyncSession, channel: Channel, *, limit: int) -> tuple[list[Ready], int]:
    """Claim due messages; drop what the gate stops now, fail what cannot be rendered.

    Returns what is ready to be sent, and how many were claimed.
    """
    claimed = await sending.claim_due(
        session,
        channel=channel.name,
        needs_address=channel.needs_address,
        limit=limit,
        lease_seconds=settings().dispatch_lease_seconds,
    )
    if not claimed:
        return [], 0
    versions = {(item.standing.template, item.standing.template_version) for item in claimed}
    contents = await templates.load_contents(session, versions)
    endpoints = await _endpoints(session, claimed)
    ready: list[Ready] = []
    stopped: list[Move] = []
    for item in claimed:
        content = contents[item.standing.template, item.standing.template_version]
        prepared = _prepare(item, content, endpoints)
        if isinstance(prepared, Ready):
            ready.append(prepared)
        else:
            stopped.append(prepared)
    await _stop(session, stopped, State.CLAIMED)
    return ready, len(claimed)


async def _endpoints(session: AsyncSession, claimed: Sequence[Claimed]) -> dict[UUID, Endpoint]:
    wanted = {item.webhook_id for item in claimed if item.webhook_id is not None}
    if not wanted:
        return {}
    found = await webhooks.find_webhooks(session, list(wanted))
    return {
        identity: Endpoint(row.url, row.secret) for identity, row in found.items() if row.disabled_at is None
    }


def _prepare(item: Claimed, template: TemplateRow, endpoints: dict[UUID, Endpoint]) -> Ready | Move:
    """Judge and render one message, or say where it goes instead."""
    message = item.standing
    verdict = gate(message.purpose, item.contact)
    if verdict.state is not State.QUEUED:
        return Move(message.id, message.epoch, State.DROPPED, verdict.reason, "sending")
    unsubscribe = (
        unsubscribe_url(message.member_id, message.channel, message.purpose)
        if message.purpose == "marketing"
        else None
    )
    values = {
        "member": item.member,
        "event": item.facts,
        "shop": {"name": settings().mail_from_name},
        "unsubscribe_url": unsubscribe,
    }
    try:
        rendered = render(template.content, template.content_hash, values)
    except RenderingSkipped as skipped:
        return Move(message.id, message.epoch, State.DROPPED, skipped.reason, "rendering")
    except RenderingFailed as failed:
        return Move(message.id, message.epoch, State.FAILED, failed.reason, "rendering")
    return Ready(
        message,
        Outgoing(
            id=message.id,
            member_id=message.member_id,
            purpose=message.purpose,
            trigger=message.trigger,
            subject=rendered.subject,
            text=rendered.text,
            html=rendered.html,
            address=item.contact.address,
            unsubscribe_url=unsubscribe,
            endpoint=None if item.webhook_id is None else endpoints.get(item.webhook_id),
        ),
    )


async def _stop(session: AsyncSession, moves: Sequence[Move], before: State) -> None:
    moved = await messages.move(session, moves, [before])
    states = {move.id: State(move.state) for move in moves}
    for message in moved:
        metrics.MESSAGES.labels(message.channel, states[message.id]).inc()
    await announce(session, [(message, states[message.id]) for message in moved])


async def submit(session: AsyncSession, ready: Sequence[Ready]) -> list[Ready]:
    """Write down that messages go out now. Commit before anything is sent, and send only what is returned."""
    allowed = await sending.mark_submitted(
        session,
        [item.standing for item in ready],
        lease_seconds=settings().dispatch_lease_seconds,
    )
    return [item for item in ready if item.standing.id in allowed]


async def hold(session: AsyncSession, identities: Collection[UUID]) -> None:
    """Renew the leases of messages that are being worked on."""
    await sending.renew_leases(session, sorted(identities), lease_seconds=settings().dispatch_lease_seconds)


async def release(session: AsyncSession, ready: Sequence[Ready]) -> None:
    """Put back claimed messages that were not begun."""
    moves = [
        Move(item.standing.id, item.standing.epoch, State.QUEUED, item.standing.reason, "") for item in ready
    ]
    await messages.move(session, moves, [State.CLAIMED])


async def settle_attempts(session: AsyncSession, results: Sequence[tuple[Ready, Outcome]]) -> None:
    """Write down what became of submitted messages, as far as they are still this dispatcher's."""
    limits = _limits()
    settled = {
        item.standing.id: (
            item,
            settle(
                item.standing.purpose,
                item.standing.attempts + 1,
                outcome,
                limits,
                random.random(),  # noqa: S311 - jitter, not a secret
            ),
        )
        for item, outcome in results
    }
    moves = [_move(item.standing, settlement) for item, settlement in settled.values()]
    moved = await messages.move(session, moves, [State.SUBMITTED, State.UNKNOWN])
    suppressed = []
    for message in moved:
        item, settlement = settled[message.id]
        metrics.MESSAGES.labels(message.channel, settlement.state).inc()
        if settlement.suppress and item.outgoing.address is not None:
            suppressed.append((message.channel, item.outgoing.address))
    if suppressed:
        await contacts.suppress_for_a_while(
            session, suppressed, reason=SUPPRESSION_REASON, seconds=settings().suppression_seconds
        )
    await announce(session, [(message, settled[message.id][1].state) for message in moved])


def _move(message: Standing, settlement: Settlement) -> Move:
    # What went well is told by the state; every other outcome is kept with the message.
    stage = "" if settlement.state in (State.ACCEPTED, State.DELIVERED) else "sending"
    return Move(
        message.id,
        message.epoch,
        settlement.state,
        settlement.reason,
        stage,
        settlement.wait_seconds,
        settlement.counts,
    )


def _limits() -> Limits:
    chosen = settings()
    return Limits(chosen.message_max_attempts, chosen.retry_base_seconds, chosen.retry_cap_seconds)


async def recover(session: AsyncSession, *, limit: int) -> int:
    """Take over what dead dispatchers left behind, and give up what grew too old; return how many moved."""
    put_back = await recovery.give_up_claims(session, limit=limit)
    limits = _limits()
    lost = await recovery.lost_submissions(session, limit=limit)
    moves = [
        _move(
            message,
            after_crash(
                message.purpose,
                message.attempts,
                limits,
                random.random(),  # noqa: S311 - jitter, not a secret
            ),
        )
        for message in lost
    ]
    await _stop(session, moves, State.SUBMITTED)
    old = await recovery.expire_old(
        session, lifetime_seconds=settings().message_lifetime_seconds, limit=limit
    )
    expired = [Move(message.id, message.epoch, State.FAILED, EXPIRED, "sending") for message in old]
    await _stop(session, expired, State.QUEUED)
    return put_back + len(lost) + len(old)
