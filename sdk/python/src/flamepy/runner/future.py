"""What becomes of a call.

**Invariant:** a future ends once, with a result or with the error that says why there is none; what it gives out is
nobody else's.
"""

from __future__ import annotations

import concurrent.futures
import threading
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, Iterator, List, Optional, Tuple, Union

from ..core.cache import ObjectRef
from ..core.cache.objects import put_payload
from ..core.errors import FlameError, FlameErrorCode, TaskFailedError
from ..core.future import late
from . import answer, arguments
from .scaling import invalid

if TYPE_CHECKING:
    from concurrent.futures import Future


class ObjectFuture:
    """The result of a remote call, which may not be there yet.

    Passed to another call it stands for its result: that is not fetched here, and nobody waits for it.
    """

    def __init__(self, future: Future[Optional[bytes]], prefix: Optional[str] = None) -> None:
        self._future = future
        self._prefix = prefix
        self._lock = threading.Lock()
        self._ref: Optional[ObjectRef] = None

    def get(self, timeout: Optional[float] = None) -> Any:
        """The result. Raises why there is none, or DEADLINE_EXCEEDED after `timeout` seconds; the call goes on then."""
        return self._answer(timeout).value()

    def ref(self, timeout: Optional[float] = None) -> ObjectRef:
        """A reference to the result. One that came with the answer is put into the object cache first."""
        found = self._answer(timeout)
        if found.ref is not None:
            return found.ref
        with self._lock:
            if self._ref is None:
                if self._prefix is None:
                    raise FlameError(
                        FlameErrorCode.INVALID_STATE, "the result is in no object cache, but came by itself"
                    )
                self._ref = put_payload(self._prefix, found.payload)
            return self._ref

    def wait(self, timeout: Optional[float] = None) -> None:
        """Waits for the end of the call, without its result. Raises as `get` does."""
        self._output(timeout)

    def done(self) -> bool:
        """Whether the call has ended, however."""
        return self._future.done()

    def running(self) -> bool:
        """Whether it is a task of the cluster that has not ended."""
        return self._future.running()

    def exception(self, timeout: Optional[float] = None) -> Optional[BaseException]:
        """Why there is no result; None when there is one. Waits for the end of the call."""
        try:
            self._output(timeout)
        except (Exception, concurrent.futures.CancelledError) as error:
            if not self._future.done():
                raise
            return error
        return None

    def cancel(self) -> bool:
        """Nobody wants the result any more: the task is ended, whether it waits or runs. False when it has ended."""
        return self._future.cancel()

    def cancelled(self) -> bool:
        return self._future.cancelled()

    @property
    def state_version(self) -> int:
        """The version that the state of a stateful instance had after this call; 0 for other services. Waits."""
        return self._answer(None).state_version

    def __repr__(self) -> str:
        state = "cancelled" if self.cancelled() else "done" if self.done() else "not done"
        return f"<ObjectFuture {state}>"

    def __reduce__(self) -> Tuple[Any, ...]:
        return arguments.leave_hole(self)

    # ── inside ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def travelling(self) -> Union[bytes, ObjectRef]:
        """The result as an argument of another call: itself when it is small, else where it is."""
        found = self._answer(0)
        if found.payload is not None:
            return bytes(found.payload)
        assert found.ref is not None
        return found.ref

    def _answer(self, timeout: Optional[float]) -> answer.Answer:
        return answer.decode(self._output(timeout))

    def _output(self, timeout: Optional[float]) -> Optional[bytes]:
        try:
            return self._future.result(timeout)
        except concurrent.futures.TimeoutError:
            if self._future.done() or timeout is None:
                raise  # the call itself has failed with that
            raise late(timeout) from None
        except concurrent.futures.CancelledError:
            raise FlameError(FlameErrorCode.CANCELLED, "the call was cancelled") from None


ObjectFuture.__module__ = "flamepy.runner.runner"


class ObjectFutureIterator:
    """Futures as they end, each once."""

    def __init__(self, futures: Iterable[ObjectFuture], timeout: Optional[float] = None) -> None:
        self._futures = list(futures)
        self._timeout = timeout

    def __iter__(self) -> Iterator[ObjectFuture]:
        by_future: Dict[Any, List[ObjectFuture]] = {}
        for one in checked(self._futures):
            by_future.setdefault(one._future, []).append(one)
        try:
            for done in concurrent.futures.as_completed(list(by_future), self._timeout):
                yield from by_future[done]
        except concurrent.futures.TimeoutError:
            raise late(self._timeout or 0) from None


ObjectFutureIterator.__module__ = "flamepy.runner.runner"


def checked(futures: Iterable[ObjectFuture]) -> List[ObjectFuture]:
    """A list of nothing but futures."""
    found = list(futures)
    for one in found:
        if not isinstance(one, ObjectFuture):
            raise invalid(f"an ObjectFuture is expected, not {type(one).__name__}")
    return found


# ── calls that wait for others ──────────────────────────────────────────────────────────────────────────────────────


class ArgumentFailedError(TaskFailedError):
    """A call that never began, because there is no result of another one that it takes: that one's error is the cause."""


class Chained(concurrent.futures.Future[Optional[bytes]]):
    """The output of a call that begins when the calls have ended whose results it takes, and the one before it in its
    service has begun, if that has an order.

    Nobody waits for that: the last of them hands it to a thread that submits. When one of them fails, this one does.
    """

    def __init__(
        self,
        needed: List[ObjectFuture],
        after: Optional[Chained],
        submit: Callable[[], Future[Optional[bytes]]],
        name: str,
    ) -> None:
        super().__init__()
        self._submit = submit
        self._name = name
        self._gate = threading.Lock()
        self._left = len(needed) + (after is not None)
        self._task: Optional[Future[Optional[bytes]]] = None
        self._begun: Future[None] = concurrent.futures.Future()
        self._turn = after._begun if after is not None else None
        for one in needed:
            one._future.add_done_callback(self._on_end)
        if self._turn is not None:
            self._turn.add_done_callback(self._on_turn)

    @property
    def has_begun(self) -> bool:
        """Whether calls after it may begin: it was submitted, or never will be."""
        return self._begun.done()

    def cancel(self) -> bool:
        if not super().cancel():
            return False
        if self._state == "CANCELLED":
            self.set_running_or_notify_cancel()  # whoever waits for many futures is told
        with self._gate:
            task = self._task
        if task is not None:
            task.cancel()
        self._give_up_turn()
        return True

    def running(self) -> bool:
        return self._task is not None and not self.done()

    def _on_end(self, ended: Future[Optional[bytes]]) -> None:
        if ended.cancelled() or ended.exception() is not None:
            # On another thread: a chain of any length may fail by its first call.
            _submitter().submit(self._fail_by, ended)
        else:
            self._on_turn()

    def _on_turn(self, _: object = None) -> None:
        with self._gate:
            self._left -= 1
            is_last = self._left == 0
        if is_last and not self.done():
            _submitter().submit(self._begin)

    def _fail_by(self, ended: Future[Optional[bytes]]) -> None:
        self._fail(self._reason(ended))
        self._give_up_turn()

    def _give_up_turn(self) -> None:
        """It is over before it has begun: those after it wait for the one before it."""
        if self._turn is None:
            self._let_pass()
        else:
            self._turn.add_done_callback(lambda _: _submitter().submit(self._let_pass))

    def _let_pass(self) -> None:
        with self._gate:
            if self._begun.done():
                return
            # Callbacks only hand calls to other threads, so the gate may be held.
            self._begun.set_result(None)

    def _reason(self, ended: Future[Optional[bytes]]) -> BaseException:
        if ended.cancelled():
            return FlameError(FlameErrorCode.CANCELLED, f"an argument of {self._name} was cancelled")
        cause = ended.exception()
        while isinstance(cause, ArgumentFailedError):
            cause = cause.__cause__
        code = cause.code if isinstance(cause, FlameError) else FlameErrorCode.INTERNAL
        text = cause.message if isinstance(cause, FlameError) else str(cause)
        error = ArgumentFailedError(code, f"an argument of {self._name} failed: {text}")
        error.__cause__ = cause
        return error

    def _begin(self) -> None:
        if self.done():
            return  # cancelled meanwhile
        try:
            task = self._submit()
        except BaseException as error:
            self._fail(error)
            return
        finally:
            self._let_pass()
        with self._gate:
            self._task = task
        if self.cancelled():
            task.cancel()
        task.add_done_callback(self._on_output)

    def _on_output(self, task: Future[Optional[bytes]]) -> None:
        if task.cancelled():
            self.cancel()
        elif task.exception() is not None:
            self._fail(task.exception())
        else:
            self._settle(lambda: self.set_result(task.result()))

    def _fail(self, error: Optional[BaseException]) -> None:
        self._settle(lambda: self.set_exception(error))

    def _settle(self, settle: Callable[[], None]) -> None:
        try:
            settle()
        except concurrent.futures.InvalidStateError:
            return  # it has ended: cancelled, or failed by another argument


# So many calls are submitted side by side that waited for others; each waits only while too much is under way.
_SUBMITTERS = 4
_pool: Optional[concurrent.futures.ThreadPoolExecutor] = None
_pool_lock = threading.Lock()


def _submitter() -> concurrent.futures.ThreadPoolExecutor:
    global _pool
    with _pool_lock:
        if _pool is None:
            _pool = concurrent.futures.ThreadPoolExecutor(_SUBMITTERS, thread_name_prefix="flamepy-runner")
        return _pool
