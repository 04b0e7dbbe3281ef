"""Many tasks of one session over one stream.

Tasks are handed over one by one and travel in frames of many: whatever has gathered while a few frames are under way
becomes the next one. So a single task leaves at once, and under load frames grow by themselves, without a timer. Results
come back in frames of many, in the order in which the cluster recorded them.

A stream outlives the node it began on: it goes on at the next coordinator under the same client id, sends what was not
answered again under the same numbers, and names the position up to which it has results.

Invariant: a numbered frame keeps its number and its content until it is answered, and the coordinators take a number
once. When the client id has expired, frames without an answer end as UNKNOWN_OUTCOME: they are never sent again under
another id.
Invariant: every submitted task gets exactly one end: a result, or the error that ended its wait.
Invariant: following results begins only when every frame sent again is answered, and no new one is sent before. A result
that was recorded before its task is known on both sides would be left out and never come again.
Invariant: the engine is woken for what is put in only when it has said that it sleeps.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Any, Deque, Dict, Iterable, List, Optional, Set, Tuple, Union

from .._grpc import grpc
from .._wire.ha import session_pb2 as ha
from .._wire.v1 import frontend_pb2 as frontend
from .._wire.v1 import types_pb2
from ..core.errors import FlameError, FlameErrorCode
from . import methods
from .backoff import Backoff
from .cluster import Cluster, closed
from .fate import Fate, Kind, error_of_status, fate_of, gave_up, not_ours, unknown_outcome
from .frame import Cancel, Frame, Marker, Receiver, Sink, gather
from .loop import Engine
from .room import TASK_BYTES, Room

_log = logging.getLogger("flamepy")

FEATURE_LEVEL = 1

# Few: what comes meanwhile gathers and travels together.
FRAMES_UNDER_WAY_MAX = 4

# Ranges of tasks that are named to a coordinator; beyond it neighbours are joined.
_RANGES_MAX = 65_536

# Tasks that are asked for one by one at a time, when positions mean nothing any more.
_QUESTIONS_MAX = 16

# For the other side to end a stream that this side has ended.
_CLOSE_SECONDS = 2.0

_DOING = "run tasks"
_ENDED_STATES = (2, 3, 4)


class _Left(Exception):
    """Why a link is left."""

    def __init__(self, fate: Optional[Fate] = None, error: Optional[FlameError] = None, expired: str = "") -> None:
        super().__init__(fate or error or expired)
        self.fate = fate
        """Try another coordinator."""
        self.error = error
        """No coordinator will say otherwise."""
        self.expired = expired
        """The client id means nothing any more."""


class _Link:
    """The stream to one coordinator."""

    __slots__ = ("at", "bytes", "call", "credit_bytes", "credit_frames", "follow_after", "frames", "heard", "since")

    def __init__(self, at: int, call: Any, opened: ha.Opened, now: float) -> None:
        self.at = at
        self.call = call
        self.credit_bytes = opened.credit_bytes
        self.credit_frames = opened.credit_frames
        self.bytes = 0
        self.frames = 0
        self.follow_after: Optional[int] = None
        """Results are followed once this frame and all before it are answered; None when they are followed."""
        self.since = self.heard = now

    def has_credit(self, cost: int) -> bool:
        """Whether a frame of this cost may go out now. One that is larger than the credit goes alone."""
        return self.frames == 0 or (self.frames < self.credit_frames and self.bytes + cost <= self.credit_bytes)


class SessionStream:
    """Submits tasks of one session. `put` and what follows it up to the next line may be called by any thread."""

    def __init__(self, engine: Engine, cluster: Cluster, session: str) -> None:
        self.room = Room()
        self._engine = engine
        self._loop = engine.loop
        self._cluster = cluster
        self.session = session
        self.users = 0
        self._queue: Deque[Any] = deque()
        self._asleep = False
        self._started = False
        self._over: Optional[FlameError] = None
        # From here on only the engine's thread.
        self._closing = False
        self._client = 0
        self._next = 1
        self._unanswered: Dict[int, Frame] = {}
        self._unfinished: Dict[int, Any] = {}
        self._position: Optional[ha.Position] = None
        self._link: Optional[_Link] = None
        self._sleeper: Optional[asyncio.Future[None]] = None
        self._down: Optional[_Left] = None
        self._was_served = self._has_opened = False
        self._has_progressed = False
        self._backoff = Backoff(len(cluster.places))
        self._markers: List[Tuple[int, Marker]] = []
        self._asking: Optional[asyncio.Task[None]] = None
        self._driver: Optional[asyncio.Task[None]] = None

    # ── any thread ──────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def is_over(self) -> bool:
        """Whether nothing can be submitted any more."""
        return self._over is not None or self._engine.is_parents

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way."""
        return not (self._queue or self._unanswered or self._unfinished)

    def put(self, receiver: Receiver) -> None:
        """Submits a task. Waits only while there is no room."""
        payload = receiver.payload
        size = TASK_BYTES if payload is None else TASK_BYTES + len(payload)
        self.room.take(size, 1, forced=self._engine.is_here)
        self._queue.append(receiver)
        self._notify()

    def put_many(self, receivers: List[Any]) -> None:
        """Submits tasks that are small together. Waits only while there is no room."""
        size = TASK_BYTES * len(receivers) + sum(len(one.payload) for one in receivers if one.payload is not None)
        self.room.take(size, len(receivers), forced=self._engine.is_here)
        self._queue.extend(receivers)
        self._notify()

    async def put_async(self, receiver: Receiver) -> None:
        """The same for a coroutine of any loop."""
        payload = receiver.payload
        await self.room.take_async(TASK_BYTES if payload is None else TASK_BYTES + len(payload), 1)
        self._queue.append(receiver)
        self._notify()

    def cancel(self, receiver: Any) -> None:
        """Nobody wants this task any more. It must already say so itself."""
        self._engine.post(self._cancel, receiver)

    def close(self) -> None:
        """Ends the stream once everything submitted is answered. Results that are waited for still arrive."""
        self._engine.post(self._close)

    def _notify(self) -> None:
        if self._over is not None:
            # The driver has gone: what is in the queue would wait for ever.
            self._engine.post(self._refuse_queue)
        elif not self._started:
            self._started = True
            self._engine.post(self._start)
        elif self._asleep:
            self._asleep = False
            self._engine.post(self._wake)

    # ── the engine's thread ─────────────────────────────────────────────────────────────────────────────────────────

    def _start(self) -> None:
        if self._driver is None and self._over is None:
            self._driver = self._loop.create_task(self._run())

    def _wake(self) -> None:
        sleeper = self._sleeper
        if sleeper is not None and not sleeper.done():
            sleeper.set_result(None)

    async def _sleep(self) -> None:
        """Until there is something to look at."""
        self._sleeper = self._loop.create_future()
        self._asleep = True
        if self._queue and self._can_take():
            # It came in between.
            self._asleep = False
            return
        await self._sleeper

    def _cancel(self, receiver: Any) -> None:
        # A task without a number is dropped before it is sent, or ended when it is accepted.
        number = receiver.number
        if number and self._unfinished.get(number) is receiver:
            self._drop(number)

    def _drop(self, number: int) -> None:
        del self._unfinished[number]
        self.room.give(0, 1)
        self._queue.append(Cancel(number))
        self._wake()

    def _close(self) -> None:
        self._closing = True
        if self._driver is None:
            self._end(closed())
        else:
            self._wake()

    async def flushed(self) -> None:
        """Waits until everything that was submitted before is answered."""
        if self._over is not None or not (self._queue or self._unanswered):
            return
        marker = Marker(self._loop.create_future())
        self._queue.append(marker)
        self._started = True
        self._start()
        self._wake()
        await marker.reached

    async def ended(self) -> None:
        """Waits for the end after `close`, within reason."""
        if self._driver is not None:
            await asyncio.wait([self._driver], timeout=_CLOSE_SECONDS)

    def abandon(self, error: FlameError) -> None:
        """Ends it at once; everybody is told the error."""
        if self._driver is not None:
            self._driver.cancel()
        self._fail(error)

    def _pass_markers(self) -> None:
        """Those that are at the front, and those whose frames are answered."""
        queue, markers = self._queue, self._markers
        while queue and type(queue[0]) is Marker:
            markers.append((self._next - 1, queue.popleft()))
        if markers:
            first = next(iter(self._unanswered), self._next)
            while markers and markers[0][0] < first:
                markers.pop(0)[1].tell()

    async def _run(self) -> None:
        late: Optional[float] = None
        try:
            await self._cluster.turn_to_leader()
            while self._over is None:
                if self.is_idle:
                    late = None
                    if self._closing:
                        return None
                    if self._has_opened:
                        # Without a link: it broke while nothing was under way.
                        self._was_served = False
                        await self._sleep()
                        continue
                try:
                    await self._serve()
                    return None
                except _Left as left:
                    if left.error is not None:
                        return self._fail(left.error)
                    fate = left.fate or Fate(Kind.LOST, left.expired, grpc.StatusCode.ABORTED)
                    if left.expired:
                        self._forget_client(left.expired)
                if self._has_progressed:
                    self._has_progressed, late = False, None
                if fate.is_hopeless and not self._was_served and len(self._cluster.places) == 1:
                    return self._fail(gave_up(fate, self._cluster.endpoints.text, _DOING))
                # Time without progress: it runs from the first failure on.
                options = self._cluster.options
                now = self._loop.time()
                late = late or now + (options.patience if self._was_served else options.deadline)
                wait = self._backoff.wait_after(fate.wait)
                if now + wait >= late:
                    return self._fail(gave_up(fate, self._cluster.endpoints.text, _DOING))
                await asyncio.sleep(wait)
        except FlameError as error:
            self._fail(error)
        except Exception as error:  # a defect must not leave anybody waiting
            self._fail(FlameError(FlameErrorCode.INTERNAL, f"the stream of session {self.session} failed: {error!r}"))
            raise
        finally:
            self._fail(closed())

    # ── one link ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _serve(self) -> None:
        """Serves one link. Returns when all is done; else raises why it is left."""
        at, place = self._cluster.here()
        call = place.channel.stream_stream(
            methods.SESSION_STREAM, ha.SessionUp.SerializeToString, ha.SessionDown.FromString
        )()
        reader: Optional[asyncio.Task[None]] = None
        self._down = None
        try:
            link = self._link = await self._open(at, call)
            reader = self._loop.create_task(self._read(link))
            await self._write(link)
            # The other side ends the stream, and with it the client id.
            await asyncio.wait([reader], timeout=_CLOSE_SECONDS)
        except _Left as left:
            if left.fate is not None:
                self._cluster.leave(at)
            raise
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            # The reader knows better why.
            if reader is not None:
                await asyncio.wait([reader], timeout=1.0)
            down = self._down or _left_by(error)
            if down.fate is not None:
                self._cluster.leave(at)
            raise down from None
        except asyncio.CancelledError:
            if self._over is None and self._down is not None:
                # It is the call that was cancelled: see the watchdog.
                self._cluster.leave(at)
                raise self._down from None
            raise
        finally:
            if self._link is not None:
                options = self._cluster.options
                # A link that held so long shows that there was a coordinator to be reached.
                self._has_progressed |= self._loop.time() - self._link.since > options.attempt_timeout
            self._link = None
            if reader is not None:
                reader.cancel()
            call.cancel()

    async def _open(self, at: int, call: Any) -> _Link:
        limit = self._cluster.options.attempt_timeout

        async def first() -> Any:
            hello = ha.OpenStream(feature_level=FEATURE_LEVEL, session_id=self.session, client=self._client)
            await call.write(ha.SessionUp(open=hello))
            return await call.read()

        try:
            message = await asyncio.wait_for(first(), limit)
        except asyncio.TimeoutError:
            raise _Left(_silent(limit)) from None
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            raise await _why(call, error) from None
        if message is grpc.aio.EOF:
            raise await _why(call, None)
        if message.WhichOneof("frame") != "opened":
            raise _wrong("something else before Opened")
        opened = message.opened
        if opened.client == 0 or self._client not in (0, opened.client):
            raise _wrong(f"client id {opened.client} for {self._client}")
        self._client = opened.client
        if self._position is None or not (self._unfinished or self._unanswered):
            self._position = opened.position
        for frame in self._unanswered.values():
            frame.is_sent = False
        link = _Link(at, call, opened, self._loop.time())
        link.follow_after = next(reversed(self._unanswered), 0) if self._unanswered else 0
        self._was_served = self._has_opened = True
        return link

    async def _write(self, link: _Link) -> None:
        """Sends what may be sent, until the link is left or everything is over."""
        limit = self._cluster.options.attempt_timeout
        watchdog: Optional[asyncio.TimerHandle] = None

        def look() -> None:
            nonlocal watchdog
            now = self._loop.time()
            if self._unanswered and now - link.heard > limit and self._down is None:
                self._down = _Left(_silent(limit))
                # Also if what is being written finds no way out.
                link.call.cancel()
                self._wake()
            watchdog = self._loop.call_later(limit / 4, look)

        look()
        try:
            while self._down is None:
                message = self._next_message(link)
                if message is not None:
                    await link.call.write(message)
                    continue
                if self._closing and self.is_idle:
                    await link.call.done_writing()
                    return
                if self._down is None:
                    await self._sleep()
            raise self._down
        finally:
            if watchdog is not None:
                watchdog.cancel()

    def _can_take(self) -> bool:
        link = self._link
        return link is None or (len(self._unanswered) < FRAMES_UNDER_WAY_MAX and link.follow_after is None)

    def _next_message(self, link: _Link) -> Optional[ha.SessionUp]:
        """What may be sent now."""
        unanswered = self._unanswered
        self._pass_markers()
        if link.follow_after is not None and (not unanswered or next(iter(unanswered)) > link.follow_after):
            link.follow_after = None
            return self._watch()
        frame = next((one for one in unanswered.values() if not one.is_sent), None)
        if frame is None:
            if not self._queue or not self._can_take():
                return None
            dropped: List[Any] = []
            frame = gather(self._next, self._queue, dropped)
            if dropped:
                size = sum(TASK_BYTES + len(one.payload or b"") for one in dropped)
                self.room.give(size, len(dropped))
            if frame is None:
                self._pass_markers()
                return None
            self._next += 1
            unanswered[frame.seq] = frame
        if not link.has_credit(frame.cost):
            return None
        if link.frames == 0:
            # Silence counts from here.
            link.heard = self._loop.time()
        frame.is_sent = True
        frame.submit.below = next(iter(unanswered))
        link.bytes += frame.cost
        link.frames += 1
        return frame.message

    def _watch(self) -> ha.SessionUp:
        ranges = [ha.TaskRange(first=first, last=last) for first, last in ranges_of(self._unfinished)]
        return ha.SessionUp(watch=ha.WatchFrom(**{"from": self._position}, own=True, tasks=ranges))

    async def _read(self, link: _Link) -> None:
        call = link.call
        try:
            while True:
                message = await call.read()
                if message is grpc.aio.EOF:
                    raise await _why(call, None)
                link.heard = self._loop.time()
                self._receive(message, link)
        except _Left as left:
            self._down = self._down or left
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            self._down = self._down or await _why(call, error)
        except asyncio.CancelledError:
            self._down = self._down or _Left(Fate(Kind.LOST, "the stream was cancelled", grpc.StatusCode.CANCELLED))
            raise
        except Exception as error:  # a defect must not leave anybody waiting
            _log.exception("the stream of session %s failed", self.session)
            self._down = self._down or _wrong(f"what this client could not take: {error!r}")
        finally:
            self._wake()

    def _receive(self, message: ha.SessionDown, link: _Link) -> None:
        kind = message.WhichOneof("frame")
        if kind == "results":
            self._on_results(message.results)
        elif kind == "accepted":
            self._on_accepted(message.accepted, link)
            self._wake()
        elif kind == "resync":
            self._position = message.resync.now
            self._ask()
        elif kind == "trimmed":
            # Results may be among what has left: each task still waited for says itself what became of it.
            self._position = getattr(message.trimmed, "from")
            self._ask()
        elif kind == "opened":
            raise _wrong("Opened twice")
        else:
            # A later release; it says nothing that this one waits for.
            return
        self._has_progressed = True
        self._backoff.reset()

    def _on_accepted(self, accepted: ha.Accepted, link: _Link) -> None:
        frame = self._unanswered.get(accepted.seq)
        if frame is None or not frame.is_sent:
            raise _wrong(f"an answer to frame {accepted.seq}, which does not wait for one")
        receivers = frame.receivers
        if not accepted.HasField("error") and accepted.count != len(receivers):
            raise _wrong(f"{accepted.count} tasks for frame {accepted.seq}, which has {len(receivers)}")
        del self._unanswered[accepted.seq]
        link.bytes -= frame.cost
        link.frames -= 1
        if accepted.HasField("error"):
            error = accepted.error
            self._refuse(receivers, error_of_status(error.code, error.message, _DOING))
            self.room.give(frame.size, len(receivers))
            return
        number = accepted.first_task
        unwanted = 0
        unfinished = self._unfinished
        for receiver in receivers:
            receiver.accept(number)
            if receiver.is_wanted():
                unfinished[number] = receiver
            else:
                unwanted += 1
                self._queue.append(Cancel(number))
            number += 1
        self.room.give(frame.size, unwanted)

    def _on_results(self, results: ha.Results) -> None:
        touched: Set[Sink] = set()
        pop = self._unfinished.pop
        ended = 0
        for result in results.results:
            receiver = pop(result.task, None)
            if receiver is None:
                continue
            ended += 1
            output = result.output if result.HasField("output") else None
            sink = receiver.finish(result.state, output, result.message if result.HasField("message") else None)
            if sink is not None:
                touched.add(sink)
        for cancelled in results.cancelled:
            for number in self._numbers(cancelled.first, cancelled.last):
                ended += 1
                sink = pop(number).finish(4, None, None)
                if sink is not None:
                    touched.add(sink)
        for sink in touched:
            sink.flush()
        if ended:
            self.room.give(0, ended)
        self._position = results.position
        if self._closing:
            self._wake()

    def _numbers(self, first: int, last: int) -> List[int]:
        """Tasks between, that are waited for."""
        if last - first < len(self._unfinished):
            return [number for number in range(first, last + 1) if number in self._unfinished]
        return sorted(number for number in self._unfinished if first <= number <= last)

    # ── what has gone wrong ─────────────────────────────────────────────────────────────────────────────────────────

    def _ask(self) -> None:
        """Asks for every task that is waited for: results may have been missed."""
        if self._asking is not None:
            self._asking.cancel()
        self._asking = self._loop.create_task(self._ask_for(sorted(self._unfinished)))

    async def _ask_for(self, numbers: List[int]) -> None:
        left = iter(numbers)

        async def asker() -> None:
            for number in left:
                request = frontend.GetTaskRequest(task_id=str(number), session_id=self.session)
                try:
                    task = await self._cluster.read(methods.GET_TASK, request, "get task")
                except FlameError as error:
                    self._end_one(number, error)
                    continue
                # What has not ended is told by results.
                if task.status.state in _ENDED_STATES:
                    self._end_one(number, task)

        await asyncio.gather(*(asker() for _ in range(_QUESTIONS_MAX)))

    def _end_one(self, number: int, end: Union[FlameError, types_pb2.Task]) -> None:
        receiver = self._unfinished.pop(number, None)
        if receiver is None:
            return
        if isinstance(end, FlameError):
            sink = receiver.refuse(end)
        else:
            output = end.spec.output if end.spec.HasField("output") else None
            state = end.status.state
            message = next((one.message for one in end.status.events if one.code == state), None)
            sink = receiver.finish(state, output, message)
        if sink is not None:
            sink.flush()
        self.room.give(0, 1)

    def _forget_client(self, why: str) -> None:
        """The client has expired: nobody can say what became of the frames without an answer."""
        self._client, self._next = 0, 1
        # Every frame before them is answered, in its way.
        self._markers = [(0, marker) for _, marker in self._markers]
        frames, self._unanswered = list(self._unanswered.values()), {}
        for frame in frames:
            self._refuse(frame.receivers, unknown_outcome(why, _DOING))
            self.room.give(frame.size, len(frame.receivers))

    def _refuse(self, receivers: Iterable[Any], error: FlameError) -> None:
        touched = {receiver.refuse(error) for receiver in receivers}
        for sink in touched:
            if sink is not None:
                sink.flush()

    def _refuse_queue(self) -> None:
        waiting = []
        while self._queue:
            waiting.append(self._queue.popleft())
        for one in waiting:
            if type(one) is Marker:
                one.tell()
        self._refuse((one for one in waiting if type(one) not in (Cancel, Marker)), self._over or closed())

    def _fail(self, error: FlameError) -> None:
        self._end(error)
        known = error.code in (FlameErrorCode.NOT_FOUND, FlameErrorCode.INTERNAL)
        unanswered = error if known else unknown_outcome(error.message, _DOING)
        frames, self._unanswered = list(self._unanswered.values()), {}
        for frame in frames:
            self._refuse(frame.receivers, unanswered)
        unfinished, self._unfinished = list(self._unfinished.values()), {}
        self._refuse(unfinished, error)

    def _end(self, error: FlameError) -> None:
        """No more submits; the first reason stays."""
        if self._over is not None:
            return
        self._over = error
        self.room.close(error)
        if self._asking is not None:
            self._asking.cancel()
        self._refuse_queue()
        markers, self._markers = self._markers, []
        for _, marker in markers:
            marker.tell()


async def _why(call: Any, error: Optional[BaseException]) -> _Left:
    """Why a stream has ended."""
    if isinstance(error, grpc.aio.AioRpcError):
        return _left_by(error)
    code = await call.code()
    if code == grpc.StatusCode.OK:
        return _Left(Fate(Kind.LOST, "the stream ended", grpc.StatusCode.UNAVAILABLE))
    return _left_by(
        grpc.aio.AioRpcError(code, await call.initial_metadata(), await call.trailing_metadata(), await call.details())
    )


def _left_by(error: BaseException) -> _Left:
    if not isinstance(error, grpc.aio.AioRpcError):
        return _Left(Fate(Kind.LOST, f"the stream ended: {error!r}", grpc.StatusCode.UNAVAILABLE))
    if error.code() == grpc.StatusCode.ABORTED:
        return _Left(expired=error.details() or "the client has expired")
    fate = fate_of(error)
    if fate.kind != Kind.ANSWERED or fate.code in (grpc.StatusCode.INTERNAL, grpc.StatusCode.DATA_LOSS):
        # This coordinator has failed; another may not.
        return _Left(fate)
    if fate.code == grpc.StatusCode.UNIMPLEMENTED:
        return _Left(error=not_ours(_DOING))
    return _Left(error=error_of_status(fate.code, fate.why, _DOING))


def _silent(limit: float) -> Fate:
    return Fate(Kind.LOST, f"no answer within {limit:g} s", grpc.StatusCode.DEADLINE_EXCEEDED)


def _wrong(what: str) -> _Left:
    return _Left(error=FlameError(FlameErrorCode.INTERNAL, f"the coordinator sent {what}"))


def ranges_of(numbers: Iterable[int]) -> List[Tuple[int, int]]:
    """Runs of numbers that cover all of these; when they are too many, some others are among them."""
    ranges: List[Tuple[int, int]] = []
    for number in sorted(numbers):
        if ranges and ranges[-1][1] + 1 == number:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    while len(ranges) > _RANGES_MAX:
        ranges = [(pair[0][0], pair[-1][1]) for pair in (ranges[at : at + 2] for at in range(0, len(ranges), 2))]
    return ranges
