"""Our stream in bare frames, on a unix socket of its own: what a worker offers in `FLAME_FRAMES_ENDPOINT`. A frame is a
length of four bytes, most significant first, and a message.

A wake-up of a thread costs as much as everything else that is done for a short task. So there are only two threads: one
reads, and the one that runs user code writes its answers itself.

**Invariant:** an answer waits for nothing but tasks that are done within a moment (`_HELD_NS`). When one of these takes
longer than those before it, the reader takes the answer away within a tick (`_TICK_MS`).
**Invariant:** one thread writes at a time, and nobody waits for it: whoever writes takes along what is there when it is
done. The worker always reads, so writing ends.

There is one connection, and it is the life of the service: when it ends, so does the service.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from time import perf_counter_ns
from typing import Callable, Optional

from .._wire.ha import service_pb2 as wire
from ..core.errors import FlameError, FlameErrorCode
from .desk import Desk, Said
from .orders import Order
from .path import MESSAGE_BYTES_MAX, checked, refused
from .stream import IN_FLIGHT_MAX, StreamOutbox, TooMany, on_frame

_LENGTH_BYTES = 4

# Room for what one look at the socket finds; the system's own buffer is hardly larger.
_READ_BYTES = 256 * 1024

# Frames that are ready together leave in one write, until they have so many bytes.
_WRITE_BYTES_GOAL = 1 << 20

# So long answers gather while one short task follows the other, in nanoseconds.
_HELD_NS = 500_000

# So often the reader looks for answers that were held back, in milliseconds, while there is something to do.
_TICK_MS = 10

_NOT_TAKEN = "the worker sent what this service cannot take"


class Line:
    """The connection to the worker, and what a runner asks for orders, as it would ask the desk."""

    def __init__(self, desk: Desk, path: str) -> None:
        self._desk = desk
        self._path = path
        self._outbox = StreamOutbox(desk)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.settimeout(None)  # whatever user code has made the default
        # Only one service listens and one worker connects, so neither is ever replaced.
        self._connection: Optional[socket.socket] = None
        self._reader = threading.Thread(target=self._read, name="flame-frames", daemon=True)
        self._incoming = bytearray()
        self._room = memoryview(bytearray(_READ_BYTES))
        self._writing = threading.Lock()
        # Since when answers may have been held back.
        self._held_since = 0
        self._failure: Optional[FlameError] = None
        self._is_closing = False

    @property
    def source(self) -> Line:
        """What the runner asks for orders."""
        return self

    def open(self) -> None:
        """Listens."""
        checked(self._path)
        try:
            self._listener.bind(self._path)
            self._listener.listen(1)
        except OSError as error:
            self._listener.close()
            raise refused(self._path, error.strerror or str(error)) from None
        self._desk.open(self._outbox)
        self._reader.start()

    def on_ending(self) -> None:
        """Nothing more is begun: says so of what waited."""
        self._flush()

    def close(self) -> None:
        """When the desk has ended: lets what was said leave. Raises FlameError when the worker is to blame for the end."""
        with self._writing:
            while self._outbox.has_words():
                self._write()
        self._is_closing = True
        for one in (self._listener, self._connection):
            if one is not None:
                _end(one)
        self._reader.join()
        if self._failure is not None:
            raise self._failure

    # ── the runner's side: as of the desk ───────────────────────────────────────────────────────────────────────────

    def wait(self, said: Optional[Said]) -> Order:
        """Says what became of the order before, if there was one, and waits for the next. Raises [Ended]."""
        return self.poll(said) or self._desk.wait(None)

    def poll(self, said: Optional[Said]) -> Optional[Order]:
        """As [wait], but None when there is no order now."""
        order = self._desk.poll(said)
        if order is None:
            self._flush()
            return None
        now = perf_counter_ns()
        if now - self._held_since > _HELD_NS:
            self._flush()
            self._held_since = now
        return order

    def wake_with(self, wake: Optional[Callable[[], None]]) -> None:
        """Calls `wake` whenever there may be something to [poll]."""
        self._desk.wake_with(wake)

    def _flush(self) -> None:
        """Says what there is to say, unless another thread is at it, which will take it along."""
        while self._outbox.has_words() and self._writing.acquire(blocking=False):
            try:
                self._write()
            finally:
                self._writing.release()

    def _write(self) -> None:
        """One write. With the lock held."""
        frames = bytearray()
        while len(frames) < _WRITE_BYTES_GOAL:
            frame = self._outbox.take_frame()
            if frame is None:
                break
            message = frame.SerializeToString()
            frames += len(message).to_bytes(_LENGTH_BYTES, "big")
            frames += message
        # When the worker reads no more, the reader will find out.
        with contextlib.suppress(OSError):
            if self._connection is not None:
                self._connection.sendall(frames)

    # ── the reader's side ───────────────────────────────────────────────────────────────────────────────────────────

    def _read(self) -> None:
        with self._listener:
            try:
                connection, _ = self._listener.accept()
            except OSError as error:
                if not self._is_closing:
                    self._fail(f"cannot accept its worker: {error}")
                return
        connection.settimeout(None)
        self._connection = connection
        try:
            self._serve(connection)
        except TooMany:
            self._fail(f"{_NOT_TAKEN}: more than {IN_FLIGHT_MAX} tasks at a time")
        except Exception as error:  # of the reader of messages, or a kind of frame that is not known
            self._fail(f"{_NOT_TAKEN}: {error}")
        # What runs is told; when it is done, the service ends.
        self._outbox.close()
        self._desk.end()
        _end(connection)
        with self._writing:
            connection.close()

    def _fail(self, why: str) -> None:
        self._failure = FlameError(FlameErrorCode.INTERNAL, why)
        self._desk.end()

    def _serve(self, connection: socket.socket) -> None:
        """Takes what comes, until nothing comes any more."""
        poller = select.poll()
        poller.register(connection, select.POLLIN)
        while True:
            if poller.poll(_TICK_MS if self._desk.is_busy() else None):
                try:
                    size = connection.recv_into(self._room)
                except OSError:
                    size = 0  # it was cut
                if size == 0:
                    return
                self._incoming += self._room[:size]
                self._take_frames()
            self._flush()

    def _take_frames(self) -> None:
        incoming, at = self._incoming, 0
        while len(incoming) >= at + _LENGTH_BYTES:
            begin = at + _LENGTH_BYTES
            length = int.from_bytes(incoming[at:begin], "big")
            if length > MESSAGE_BYTES_MAX:
                raise ValueError(f"a frame of {length} bytes, at most {MESSAGE_BYTES_MAX} are allowed")
            if len(incoming) < begin + length:
                break
            at = begin + length
            on_frame(wire.ServiceDown.FromString(bytes(incoming[begin:at])), self._outbox, self._desk)
        del incoming[:at]


def _end(one: socket.socket) -> None:
    """Whoever waits for it waits no more."""
    with contextlib.suppress(OSError):  # it was ended or closed already
        one.shutdown(socket.SHUT_RDWR)
