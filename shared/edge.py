"""The HTTP edge: where a request becomes a transaction, and where that transaction commits.

`TransactionalRoute` serves every ordinary route. It begins a transaction, claims the `Idempotency-Key`,
runs the route, keeps its answer beside its effect and commits; only then is the answer sent. A refusal
rolls everything back. `?dry_run=true` runs the same code and rolls back as well.

Hot single-item routes go through `Desk`, which does the same for a group of requests at once.
"""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

from fastapi import Depends, Query, Request, Response
from fastapi.routing import APIRoute
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from shared import idempotency, metrics
from shared.auth import Caller
from shared.database import Database
from shared.group_commit import GroupCommit
from shared.idempotency import Answer, Claim
from shared.problems import BadRequest, IdempotencyConflict, Refusal, Unauthenticated
from shared.settings import ServiceSettings

__all__ = [
    "Answered",
    "Desk",
    "DryRun",
    "Platform",
    "Transaction",
    "TransactionalRoute",
    "desk",
    "glance",
    "in_transaction",
    "is_idempotency_key",
    "platform",
]

C = TypeVar("C")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])

READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
REPLAYED = {"Idempotency-Replayed": "true"}
_GLANCES = "regulars_glances"
# All that FastAPI reads as true: a route that believes in a dry run must get one.
TRUE_WORDS = frozenset({"1", "on", "t", "true", "y", "yes"})

DryRun = Annotated[
    bool, Query(description="Decide and answer as usual, then roll everything back: nothing changes.")
]


class InvalidIdempotencyKey(BadRequest):
    """An Idempotency-Key has 1 to 255 printable ASCII characters."""


@dataclass(frozen=True, slots=True)
class Platform:
    """What a running service hands to its edge; kept in `app.state.platform`."""

    settings: ServiceSettings
    database: Database
    authenticate: Callable[[Request], Awaitable[Caller]]
    desks: dict[str, "Desk[Any, Any]"]


def platform(request: Request) -> Platform:
    """Return the platform of the service that answers this request."""
    found: Platform = request.app.state.platform
    return found


async def in_transaction(request: Request, work: Callable[[AsyncSession], Awaitable[Response]]) -> Response:
    """Run what a plain route decides to do as one transaction, with all that `TransactionalRoute` gives."""

    async def answer(request: Request) -> Response:
        return await work(request.state.session)

    return await _commit(request, platform(request).database, answer)


class _RollBack(Exception):
    """Leaves the transaction of a dry run."""


def _wants_dry_run(request: Request) -> bool:
    return request.query_params.get("dry_run", "").lower() in TRUE_WORDS


def is_idempotency_key(key: str) -> bool:
    """Say whether the value of an `Idempotency-Key` header can be one."""
    return 1 <= len(key) <= idempotency.MAX_KEY_LENGTH and key.isascii() and key.isprintable()


def _key_of(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is None or is_idempotency_key(key):
        return key
    raise InvalidIdempotencyKey


async def _claim_of(request: Request) -> Claim | None:
    """Return the idempotency claim of a request, or None if it has no key or is a dry run."""
    key = _key_of(request)
    if key is None or _wants_dry_run(request):
        return None
    caller = await platform(request).authenticate(request)
    return idempotency.claim_of(
        caller=caller.key_id,
        method=request.method,
        path=request.url.path,
        query=request.url.query,
        key=key,
        body=await request.body(),
    )


def glance(endpoint: F) -> F:
    """Marks a hot GET endpoint that reads by one statement, which needs no transaction around it.

    Stands below the route decorator.
    """
    setattr(endpoint, _GLANCES, True)
    return endpoint


class TransactionalRoute(APIRoute):
    """A route whose whole work is one transaction, committed before its answer is sent."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()
        glances = hasattr(self.endpoint, _GLANCES)

        async def handle(request: Request) -> Response:
            database = platform(request).database
            if "authorization" in request.headers or "x-api-key" in request.headers:
                # Judged before a connection is taken: requests that each held one while the look-up of
                # their key waited for another would starve the pool. Who may not pass is told by `require`.
                with suppress(Unauthenticated):
                    await platform(request).authenticate(request)
            if request.method in READING_METHODS:
                async with database.glance() if glances else database.reading() as session:
                    request.state.session = session
                    return await answer(request)
            return await _commit(request, database, answer)

        return handle


async def _commit(
    request: Request, database: Database, answer: Callable[[Request], Coroutine[Any, Any, Response]]
) -> Response:
    claim = await _claim_of(request)
    response: Response | None = None
    try:
        async with database.transaction() as session:
            request.state.session = session
            if claim is not None:
                known = await idempotency.claim(session, claim)
                if known is not None:
                    return _known(known).response()
            response = await answer(request)
            if _wants_dry_run(request):
                # What is still to be written could fail as well.
                await session.catch_up()
                raise _RollBack
            if response.status_code >= 400:
                # A problem that was answered instead of raised has no effect either.
                raise _RollBack
            if claim is not None:
                stored = Answer(response.status_code, bytes(response.body))
                await idempotency.store(session, claim, stored)
                metrics.IDEMPOTENCY.labels("first").inc()
    except _RollBack:
        assert response is not None
        if _wants_dry_run(request):
            response.headers["Dry-Run"] = "true"
    assert response is not None
    return response


class Answered(NamedTuple):
    """What a command came to: the status and JSON body of its answer, given for the first time or again."""

    status: int
    body: bytes
    replayed: bool = False

    def response(self) -> Response:
        """Return the answer to send."""
        headers = REPLAYED if self.replayed else None
        return Response(self.body, status_code=self.status, headers=headers, media_type="application/json")


def _known(known: Answer | Refusal) -> Answered:
    """Answer a request whose key was used before: again as the first time, or with a refusal."""
    if isinstance(known, Refusal):
        metrics.IDEMPOTENCY.labels("conflict").inc()
        raise known
    metrics.IDEMPOTENCY.labels("replayed").inc()
    return Answered(known.status, known.body, replayed=True)


async def _session(request: Request) -> AsyncSession:
    session: AsyncSession = request.state.session
    return session


Transaction = Annotated[AsyncSession, Depends(_session)]


class _Submission(NamedTuple, Generic[C]):
    command: C
    claim: Claim | None


class Desk(Generic[C, R]):
    """A group-committed operation behind a hot route, with idempotency for every command.

    `operation` takes a session and commands and returns one result or `Refusal` per command; `encode` turns
    a result into the JSON body of its answer, whose status is `status`, or what that says of the result.
    Routes that use a desk are plain routes:

        @router.post("/v1/redemptions")
        async def redeem(request: Request, body: RedeemRequest, caller: ...) -> Response:
            return await desk(request, "redeem").answer(request, body.command())
    """

    def __init__(
        self,
        name: str,
        operation: Callable[[AsyncSession, Sequence[C]], Awaitable[Sequence[R | Refusal]]],
        encode: Callable[[R], bytes],
        *,
        status: int | Callable[[R], int] = 200,
    ) -> None:
        self.name = name
        self._operation = operation
        self._encode = encode
        self._status = status
        self._database: Database | None = None
        self._group: GroupCommit[_Submission[C], Answered] | None = None

    def open(
        self, database: Database, *, max_batch: int, max_queue: int, linger_seconds: float = 0.0
    ) -> None:
        """Begin to take commands; called when the service starts."""
        self._database = database
        self._group = GroupCommit(
            self._execute,
            name=self.name,
            max_batch=max_batch,
            max_queue=max_queue,
            linger_seconds=linger_seconds,
        )

    async def close(self) -> None:
        """Answer everything that was taken."""
        if self._group is not None:
            await self._group.close()

    async def answer(self, request: Request, command: C) -> Response:
        """Run one command in the next batch and return its answer; raise its refusal."""
        claim = await _claim_of(request)
        if _wants_dry_run(request):
            return await self._rehearse(command)
        return (await self.submit(command, claim)).response()

    async def submit(self, command: C, claim: Claim | None) -> Answered:
        """Run one command in the next batch, as the request that `claim` tells of; raise its refusal."""
        assert self._group is not None
        return await self._group.submit(_Submission(command, claim))

    async def _rehearse(self, command: C) -> Response:
        assert self._database is not None
        response = None
        try:
            async with self._database.transaction() as session:
                (result,) = await self._operation(session, [command])
                if isinstance(result, Refusal):
                    raise result
                await session.catch_up()
                response = self._answered(result).response()
                response.headers["Dry-Run"] = "true"
                raise _RollBack
        except _RollBack:
            assert response is not None
            return response

    async def _execute(self, submissions: Sequence[_Submission[C]]) -> list[Answered | Refusal]:
        while True:
            try:
                return await self._transact(submissions)
            except IntegrityError as error:
                # Somebody has stored an answer for one of the keys meanwhile; the next try will find it.
                if not idempotency.is_overtaken(error):
                    raise

    async def _transact(self, submissions: Sequence[_Submission[C]]) -> list[Answered | Refusal]:
        assert self._database is not None
        answers: dict[int, Answered | Refusal] = {}
        # All rounds share one transaction: if it fails, nothing of it has happened and it can be run again.
        async with self._database.transaction() as session:
            for indexes in _rounds(submissions):
                done = await self._run(session, [submissions[index] for index in indexes])
                answers.update(zip(indexes, done, strict=True))
        return [answers[index] for index in range(len(submissions))]

    async def _run(
        self, session: AsyncSession, submissions: Sequence[_Submission[C]]
    ) -> list[Answered | Refusal]:
        """Run those of the commands whose keys are new as one batch, and keep their answers."""
        known = await idempotency.known(session, [item.claim for item in submissions if item.claim])
        new = [item for item in submissions if item.claim is None or item.claim not in known]
        results = iter(await self._operation(session, [item.command for item in new]) if new else [])
        answers: list[Answered | Refusal] = []
        kept: list[tuple[Claim, Answer]] = []
        refused: list[Claim] = []
        for item in submissions:
            if item.claim is not None and item.claim in known:
                answers.append(_replay(known[item.claim]))
                continue
            result = next(results)
            answer = result if isinstance(result, Refusal) else self._answered(result)
            answers.append(answer)
            if item.claim is None:
                continue
            if isinstance(answer, Refusal):
                refused.append(item.claim)
            else:
                kept.append((item.claim, Answer(answer.status, answer.body)))
        await idempotency.keep(session, kept, refused)
        return answers

    def _answered(self, result: R) -> Answered:
        status = self._status(result) if callable(self._status) else self._status
        return Answered(status, self._encode(result))


def _rounds(submissions: Sequence[_Submission[Any]]) -> list[list[int]]:
    """Spread requests that share a key over rounds, so that a twin finds what its elder left behind."""
    rounds: list[list[int]] = []
    met: dict[tuple[str, str], int] = {}
    for index, submission in enumerate(submissions):
        place = 0
        if submission.claim is not None:
            identity = (submission.claim.scope, submission.claim.key)
            place = met.get(identity, -1) + 1
            met[identity] = place
        if place == len(rounds):
            rounds.append([])
        rounds[place].append(index)
    return rounds


def _replay(known: Answer | IdempotencyConflict) -> Answered | Refusal:
    try:
        return _known(known)
    except Refusal as refusal:
        return refusal


def desk(request: Request, name: str) -> Desk[Any, Any]:
    """Return one of the service's desks by name."""
    return platform(request).desks[name]
