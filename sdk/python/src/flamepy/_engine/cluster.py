"""All coordinators of one cluster, the leader among them, and the one loop in which every call is tried.

Any coordinator serves any call, so a client talks to one and goes to the next when that one is gone. Every change carries
a mark (`requests`): sent again after a lost answer it is done once, and answered as the first time. What a server that
knows no request ids does with a repeat:

| call | a repeat after a lost answer, without request ids |
|---|---|
| CreateTask | carries the same key; a session makes one task of a key |
| CreateSession with a drawn id | nobody else draws that id: if it exists, this call made it, and it is fetched |
| CreateSession with a chosen id, Register | an id is taken once; "exists already" may speak of this call: unknown outcome |
| OpenSession, Close, Suspend, Resume, Update | what is so already stays so |
| DeleteSession, Unregister | what is gone stays gone: "not found" is success |
| CancelTask | a task ends once |

Invariant: a call ends within its deadline; an attempt within `Options.attempt_timeout`.
Invariant: an error that says "nothing was done" speaks of all attempts, not of the last one.
Invariant: a place keeps its number: coordinators that are heard of are added behind those that were given, and only if
one of those is among the members; who reaches a cluster by other addresses than its own learns none of those.
"""

from __future__ import annotations

import asyncio
from typing import Any, AsyncIterator, Dict, Generic, List, Optional, Set, Tuple, TypeVar

from google.protobuf.message import Message

from .._grpc import grpc
from .._wire.ha import cluster_pb2 as ha
from ..core.errors import FlameError, FlameErrorCode
from . import methods
from .backoff import Backoff
from .channel import Options, open_channel
from .endpoints import ENDPOINTS_MAX, Endpoint, Endpoints
from .fate import Kind, error_of_status, fate_of, gave_up, unknown_outcome
from .methods import Method
from .requests import Heard, Key, Mark

R = TypeVar("R", bound=Message)

# How often a change that comes too late for the memory of the coordinators begins anew.
_RENEWED_MAX = 5

# How long the question for the leader may hold up the first stream.
_LEADER_SECONDS = 1.0

_DEPENDS_ON_STATE = (
    FlameErrorCode.NOT_FOUND,
    FlameErrorCode.ALREADY_EXISTS,
    FlameErrorCode.INVALID_STATE,
    FlameErrorCode.RESOURCE_EXHAUSTED,
    FlameErrorCode.PERMISSION_DENIED,
)


class Place:
    """One coordinator."""

    def __init__(self, endpoint: Endpoint, channel: grpc.aio.Channel) -> None:
        self.endpoint = endpoint
        self.channel = channel
        self._unary: Dict[str, Any] = {}

    def unary(self, method: Method[Any]) -> Any:
        call = self._unary.get(method.path)
        if call is None:
            call = self.channel.unary_unary(method.path, methods.serialize, method.parse)
            self._unary[method.path] = call
        return call

    def stream(self, method: Method[Any]) -> Any:
        return self.channel.unary_stream(method.path, methods.serialize, method.parse)


class Outcome(Generic[R]):
    """The end of a call."""

    __slots__ = ("after_lost", "doing", "error", "number", "reply")

    def __init__(
        self, doing: str, reply: Optional[R], error: Optional[FlameError], after_lost: bool, number: int = 0
    ) -> None:
        self.doing = doing
        self.reply = reply
        self.error = error
        self.after_lost = after_lost
        """An earlier attempt may have changed something: a refusal may speak of that one."""
        self.number = number
        """Certain: nothing was done, because the coordinators could not tell; the number that was to be named."""

    def of_read(self) -> R:
        if self.error is not None:
            raise self.error
        assert self.reply is not None
        return self.reply

    def of_change(self) -> R:
        """A refusal says that nothing was done; when it answers a repeat, it cannot know that."""
        if self.error is not None and self.after_lost and self.error.code in _DEPENDS_ON_STATE:
            why = f"the repeat was refused: {self.error.message}"
            raise unknown_outcome(why, self.doing) from self.error
        return self.of_read()

    def is_refused(self, code: FlameErrorCode) -> bool:
        return self.error is not None and self.error.code == code


class Cluster:
    """A client of one cluster. Lives on the engine."""

    def __init__(self, endpoints: Endpoints, options: Options) -> None:
        self.endpoints = endpoints
        self.options = options
        self.places: List[Place] = []
        for endpoint in endpoints.all:
            self._add(endpoint)
        self._current = 0
        self._knows_leader = False
        self._heard = Heard()
        self.is_closed = False

    def _add(self, endpoint: Endpoint) -> None:
        self.places.append(Place(endpoint, open_channel(endpoint, self.endpoints.tls, self.options)))

    async def close(self) -> None:
        """Ends every connection. What is under way ends with an error."""
        self.is_closed = True
        places, self.places = self.places, []
        await asyncio.gather(*(place.channel.close() for place in places), return_exceptions=True)

    # ── which coordinator ───────────────────────────────────────────────────────────────────────────────────────────

    def here(self) -> Tuple[int, Place]:
        """The coordinator that worked last, and its number for `leave`."""
        if self.is_closed:
            raise closed()
        return self._current, self.places[self._current]

    def leave(self, at: int) -> None:
        """Goes on to the next coordinator, unless another call already has."""
        if self._current == at and self.places:
            self._current = (at + 1) % len(self.places)
        self._knows_leader = False

    def is_here(self, at: Optional[int]) -> bool:
        """Whether this coordinator is still the one that `here` gives. For any thread."""
        return self._current == at

    async def turn_to_leader(self) -> None:
        """Makes the leader the coordinator of this client, if it is among those that can be turned to."""
        if len(self.endpoints.all) < 2 or self._knows_leader:
            return
        at, place = self.here()
        try:
            limit = min(_LEADER_SECONDS, self.options.attempt_timeout)
            members: ha.MembersReply = await place.unary(methods.MEMBERS)(ha.MembersRequest(), timeout=limit)
        except grpc.aio.AioRpcError:
            # Who does not answer will be noticed by the stream itself.
            return
        self.hear_of(members)
        leader = next((one for one in members.members if one.id == members.leader), None)
        endpoint = leader and self.endpoints.member(leader.client_endpoint)
        if endpoint is None:
            return
        self._knows_leader = True
        for number, known in enumerate(self.places):
            if known.endpoint == endpoint and self._current == at:
                self._current = number

    def hear_of(self, members: ha.MembersReply) -> None:
        """These are all members, by the word of one of them. Who was given one coordinator only wants that one."""
        self._heard.note(members.next_request)
        if len(self.endpoints.all) < 2:
            return
        told = [self.endpoints.member(one.client_endpoint) for one in members.members]
        known: Set[Endpoint] = {place.endpoint for place in self.places}
        if not known.intersection(one for one in told if one):
            return
        for endpoint in told:
            if endpoint and endpoint not in known and len(self.places) < ENDPOINTS_MAX:
                self._add(endpoint)

    # ── calls ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def connect(self) -> None:
        """Waits until any coordinator has answered anything."""
        limit = self.options.connect_timeout
        until = _now() + limit
        backoff = Backoff(len(self.places))
        hopeless = 0
        while True:
            at, place = self.here()
            left = until - _now()
            try:
                timeout = max(min(self.options.attempt_connect_timeout, left), 0.001)
                self.hear_of(await place.unary(methods.MEMBERS)(ha.MembersRequest(), timeout=timeout))
                return
            except grpc.aio.AioRpcError as error:
                fate = fate_of(error)
                if fate.kind == Kind.ANSWERED or (fate.kind == Kind.NOT_DONE and not _never_up(error)):
                    # It is there; what it thinks of calls, they will say.
                    return
            self.leave(at)
            hopeless = hopeless + 1 if fate.is_hopeless else 0
            doing = "connect"
            if hopeless >= len(self.places):
                raise gave_up(fate, self.endpoints.text, doing)
            wait = backoff.wait_after(fate.wait)
            if _now() + wait >= until:
                raise FlameError(
                    FlameErrorCode.INVALID_CONFIG,
                    f"failed to connect: nobody answered at {self.endpoints.text} within {limit:g} s: {fate.why}",
                    remedy="check that the cluster runs, and the endpoints (the argument, FLAME_ENDPOINT, "
                    "~/.flame/flame.yaml)",
                )
            await asyncio.sleep(wait)

    async def read(self, method: Method[R], request: Message, doing: str) -> R:
        """A call that changes nothing."""
        return (await self.call(method, request, doing, None)).of_read()

    async def call(
        self, method: Method[R], request: Message, doing: str, key: Optional[Key], was_tried: bool = False
    ) -> Outcome[R]:
        """A call that changes nothing, or that has a key. `was_tried`: an attempt was made elsewhere, and is lost."""
        return await self._try(method, request, doing, key, _now() + self.options.deadline, was_tried)

    async def wait(self, method: Method[R], request: Message, doing: str) -> R:
        """A call that changes nothing and waits for something that is under way, which goes on while nobody serves it."""
        return (await self._try(method, request, doing, None, _now() + self.options.patience)).of_read()

    async def change(self, method: Method[R], request: Message, doing: str) -> Outcome[R]:
        """A change: all attempts together do it once."""
        until = _now() + self.options.deadline
        seen = self._heard.number()
        if seen is None:
            members = await self._try(methods.MEMBERS, ha.MembersRequest(), doing, None, until)
            if members.error is not None and not members.is_refused(FlameErrorCode.UNIMPLEMENTED):
                raise members.error
            seen = members.reply.next_request if members.reply is not None else 0
            self._heard.note(seen)
        for _ in range(_RENEWED_MAX):
            outcome = await self._try(method, request, doing, Mark(seen), until)
            if not outcome.number:
                break
            # No other attempt may have done it: it begins anew, as another change.
            seen = outcome.number
            self._heard.note(seen)
        return outcome

    async def _try(
        self,
        method: Method[R],
        request: Message,
        doing: str,
        mark: Optional[Mark],
        until: float,
        after_lost: bool = False,
    ) -> Outcome[R]:
        """Tries a call until it is answered, or must not be tried again, or the deadline is reached. `mark`: None for
        what only reads."""
        hopeless = 0
        backoff = Backoff(len(self.places))
        metadata = mark.metadata if mark is not None else None
        is_known = mark is not None and mark.is_known
        while True:
            at, place = self.here()
            timeout = max(min(self.options.attempt_timeout, until - _now()), 0.001)
            try:
                reply = await place.unary(method)(request, timeout=timeout, metadata=metadata)
                return Outcome(doing, reply, None, after_lost and not is_known)
            except grpc.aio.AioRpcError as error:
                fate = fate_of(error)
            except asyncio.CancelledError:
                if self.is_closed:
                    raise closed() from None
                raise
            if fate.kind == Kind.ANSWERED:
                refusal = error_of_status(fate.code, fate.why, doing)
                if fate.number and after_lost:
                    refusal = unknown_outcome(fate.why, doing)
                number = 0 if after_lost else fate.number
                return Outcome(doing, None, refusal, after_lost and not is_known, number)
            if fate.kind == Kind.LOST and mark is not None:
                after_lost = True
                if not mark.may_repeat():
                    return Outcome(doing, None, unknown_outcome(fate.why, doing), after_lost)
            self.leave(at)
            if self.is_closed:
                raise closed()
            hopeless = hopeless + 1 if fate.is_hopeless else 0
            wait = backoff.wait_after(fate.wait)
            if hopeless >= len(self.places) or _now() + wait >= until:
                error_ = unknown_outcome(fate.why, doing) if after_lost else gave_up(fate, self.endpoints.text, doing)
                return Outcome(doing, None, error_, after_lost)
            await asyncio.sleep(wait)

    async def follow(self, method: Method[R], request: Message, doing: str, patience: float) -> AsyncIterator[R]:
        """Messages of a stream that is opened again elsewhere when it breaks: whoever reads knows what came twice. Ends
        with the stream's good end, or with an error when nobody serves it for `patience`."""
        backoff = Backoff(len(self.places))
        late: Optional[float] = None
        was_served = False
        while True:
            at, place = self.here()
            call = place.stream(method)(request)
            try:
                async for message in call:
                    was_served, late = True, None
                    backoff.reset()
                    yield message
                return
            except grpc.aio.AioRpcError as error:
                fate = fate_of(error)
            except asyncio.CancelledError:
                if self.is_closed:
                    raise closed() from None
                raise
            finally:
                call.cancel()
            if fate.kind == Kind.ANSWERED:
                raise error_of_status(fate.code, fate.why, doing)
            self.leave(at)
            wait = backoff.wait_after(fate.wait)
            late = late or _now() + (patience if was_served else self.options.deadline)
            if _now() + wait >= late:
                raise gave_up(fate, self.endpoints.text, doing)
            await asyncio.sleep(wait)


def closed() -> FlameError:
    return FlameError(FlameErrorCode.INVALID_STATE, "this connection is closed", remedy="connect again")


def _never_up(error: grpc.aio.AioRpcError) -> bool:
    return not error.trailing_metadata() and not error.initial_metadata()


def _now() -> float:
    return asyncio.get_running_loop().time()
