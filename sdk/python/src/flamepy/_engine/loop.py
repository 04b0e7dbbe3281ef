"""The thread of the engine.

Invariant: there is one per process; a fork never touches that of its parent. It gets one of its own if the parent has never
connected. Else gRPC does not work in it, and every use says so at once instead of hanging.
Invariant: a call that would wait on the engine's own thread for that thread is refused, not left hanging.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import os
import threading
from typing import Any, Callable, Coroutine, List, Optional, TypeVar

from ..core.errors import FlameError, FlameErrorCode

T = TypeVar("T")

# What gRPC does in a fork of a process whose connections are in use crashes the fork, now and then, whatever it is for
# (grpcio 1.85). It does nothing without this, unless somebody has chosen otherwise. Read when gRPC is first used.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")

# How long the end of the process waits for connections to close.
_STOP_SECONDS = 2.0


class Engine:
    """A daemon thread that runs an event loop."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.is_parents = False
        """It was made before this process was forked."""
        self.loop = asyncio.new_event_loop()
        self._is_used = False
        self._closers: List[Callable[[], Coroutine[Any, Any, None]]] = []
        self._thread = threading.Thread(target=self._run, name="flamepy-engine", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    @property
    def is_here(self) -> bool:
        """Whether this is the thread of the engine."""
        return threading.current_thread() is self._thread

    @property
    def is_used(self) -> bool:
        """Whether a connection was ever made."""
        return self._is_used

    def start(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Runs it on the engine; what comes out is told by the future."""
        self._check_process(work)
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs it on the engine and waits for what comes out."""
        try:
            self.check_may_wait()
        except FlameError:
            work.close()
            raise
        future = self.start(work)
        try:
            return future.result()
        except BaseException:
            # Ctrl-C: nobody wants it any more. Once it is done this changes nothing.
            future.cancel()
            raise

    def check_may_wait(self) -> None:
        """The engine's own thread may not wait for the engine."""
        if self.is_here:
            raise FlameError(
                FlameErrorCode.INVALID_STATE,
                "a blocking call of flamepy was made inside a callback of flamepy, which would wait for itself",
                remedy="hand the call to another thread, or use flamepy.aio",
            )

    async def await_(self, work: Coroutine[Any, Any, T]) -> T:
        """The same for a caller that is a coroutine of any loop."""
        return await asyncio.wrap_future(self.start(work))

    def post(self, call: Callable[..., object], *arguments: object) -> None:
        """Runs a function on the engine, soon."""
        try:
            self.loop.call_soon_threadsafe(call, *arguments)
        except RuntimeError:
            # The loop is closed: the process ends.
            return

    def on_stop(self, close: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._is_used = True
        self._closers.append(close)

    def forget_on_stop(self, close: Callable[[], Coroutine[Any, Any, None]]) -> None:
        if close in self._closers:
            self._closers.remove(close)

    def stop(self) -> None:
        """Closes every connection and ends the thread."""
        if self.pid != os.getpid() or self.loop.is_closed() or not self._thread.is_alive():
            return

        async def close_all() -> None:
            await asyncio.gather(*(close() for close in list(self._closers)), return_exceptions=True)

        try:
            asyncio.run_coroutine_threadsafe(close_all(), self.loop).result(_STOP_SECONDS)
        except (concurrent.futures.TimeoutError, RuntimeError):
            # What is left open ends with the process.
            pass
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(_STOP_SECONDS)

    def _check_process(self, work: Coroutine[Any, Any, Any]) -> None:
        if self.pid == os.getpid():
            return
        work.close()
        raise of_parent()


_engine: Optional[Engine] = None
_lock = threading.Lock()
_is_spoiled = False


def engine() -> Engine:
    """The engine of this process."""
    global _engine
    if _is_spoiled:
        raise of_parent()
    here = _engine
    if here is not None and here.pid == os.getpid():
        return here
    with _lock:
        if _engine is None or _engine.pid != os.getpid():
            _engine = Engine()
        return _engine


def of_parent() -> FlameError:
    """What is told in a fork."""
    return FlameError(
        FlameErrorCode.INVALID_STATE,
        "this process was forked from one that has used flamepy: gRPC does not work in it",
        remedy="start it otherwise (multiprocessing.get_context('spawn'), or 'forkserver'), or connect in the children "
        "only",
    )


def _after_fork() -> None:
    global _engine, _lock, _is_spoiled
    _lock = threading.Lock()
    _is_spoiled = _is_spoiled or (_engine is not None and _engine.is_used)
    if _engine is not None:
        _engine.is_parents = True
    # The parent's thread is not here. Its objects are left alone: to end them would end what the parent uses.
    _engine = None


def _at_exit() -> None:
    if _engine is not None:
        _engine.stop()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
