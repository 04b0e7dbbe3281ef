"""A service on its socket, and the signals that end it."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from types import FrameType
from typing import TYPE_CHECKING, Any, Callable, Dict, Optional, Union

from .desk import Desk
from .runner import Runner

if TYPE_CHECKING:
    from ..core.service import FlameService
    from .frames import Line
    from .grpc_socket import GrpcSocket


class Server:
    """Serves one service on one socket, once."""

    def __init__(self, service: FlameService, path: str, *, in_frames: bool = False) -> None:
        self._desk = Desk()
        self._path = path
        self._socket: Union[Line, GrpcSocket]
        # Each is imported where it is needed: one that speaks frames has no use for gRPC, which takes long to load.
        if in_frames:
            from .frames import Line

            self._socket = Line(self._desk, path)
        else:
            from .grpc_socket import GrpcSocket

            self._socket = GrpcSocket(self._desk, path)
        self._runner = Runner(service, self._socket.source)

    def serve(self) -> None:
        """Serves until [stop] or a signal. User code runs on the calling thread."""
        # Whoever sees the socket may send a signal.
        with _Signals(self.stop):
            self._socket.open()
            try:
                self._runner.run()
            finally:
                self._desk.end()
                try:
                    self._socket.close()
                finally:
                    # The worker may have removed it already.
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(self._path)

    def stop(self) -> None:
        """What runs is ended and answered; nothing else is begun. Returns at once."""
        self._desk.end()
        self._socket.on_ending()


class _Signals:
    """Calls `stop` on SIGTERM and SIGINT while it is entered, and gives the signals back afterwards.

    A handler runs on the main thread between any two instructions, perhaps of code that holds the lock that `stop`
    needs; and a main thread that is just about to wait for something runs no handler before that comes. So another
    thread listens to a pipe, which Python writes to the moment that a signal arrives. A second SIGINT is a
    KeyboardInterrupt, as without us.
    """

    _ENOUGH = 0

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        self._before: Dict[int, Any] = {}
        self._pipe_before = -1
        self._thread: Optional[threading.Thread] = None

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # only the main thread hears signals; whoever calls from another one handles them
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._thread = threading.Thread(target=self._listen, name="flame-signals", daemon=True)
        self._thread.start()
        self._pipe_before = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._on_signal)

    def __exit__(self, *_: object) -> None:
        if self._thread is None:
            return
        for number, handler in self._before.items():
            # None: it was set by something that is not Python, and cannot be named.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        signal.set_wakeup_fd(self._pipe_before)
        self._tell(self._ENOUGH)
        self._thread.join()
        os.close(self._read)
        os.close(self._write)

    def _on_signal(self, number: int, _frame: Optional[FrameType]) -> None:
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        # User code may have given Python another pipe, as asyncio does for its own signal handlers.
        self._tell(number)

    def _tell(self, number: int) -> None:
        with contextlib.suppress(BlockingIOError):  # full: there is enough to be read
            os.write(self._write, bytes([number]))

    def _listen(self) -> None:
        while True:
            (number,) = os.read(self._read, 1)
            if number == self._ENOUGH:
                return
            if number in (signal.SIGTERM, signal.SIGINT):
                self._stop()
