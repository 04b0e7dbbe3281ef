"""Our stream in bare frames, on a unix socket of its own: what a worker offers in `FLAME_FRAMES_ENDPOINT`. A frame is a
length of four bytes, most significant first, and a message.

A wake-up of a thread costs as much as everything else that is done for a short task. So the thread that runs user code reads
orders and writes answers itself. While many short tasks lie on the desk it looks at the socket now and then. While one task
keeps it busy, a helper does.

**Invariant:** an answer waits for nothing but the end of tasks that are done within a moment (`_LOOK_NS`); when one of
these takes longer than those before it, the helper takes the answer away.
**Invariant:** what comes while user code runs is heard within two ticks of the helper (`_TICK_MS`).
**Invariant:** only one thread reads at a time, and only one writes. A worker always reads, so writing ends.

There is one connection, and it is the life of the service: when it ends, so does the service.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from time import perf_counter_ns
from typing import TYPE_CHECKING, Callable, Optional

from .._wire.ha import service_pb2 as wire
from ..core.errors import FlameError, FlameErrorCode
from .desk import Desk, Said
from .orders import Order
from .path import MESSAGE_BYTES_MAX, checked, refused
from .stream import IN_FLIGHT_MAX, StreamOutbox, TooMany, on_frame

if TYPE_CHECKING:
    import asyncio

_LENGTH_BYTES = 4

# Room for what one look at the socket finds; the system's own buffer is hardly larger.
_READ_BYTES = 256 * 1024

# Frames that are ready together leave in one write, until they have so many bytes.
_WRITE_BYTES_GOAL = 1 << 20

# So often somebody who runs one short task after the other looks at the socket, in nanoseconds.
_LOOK_NS = 200_000

# So often the helper looks whether a task keeps the runner busy, in milliseconds.
_TICK_MS = 10

# After so many ticks without a task it does so no more, until there is one.
_QUIET_TICKS = 50


class Line:
    """The connection to the worker, and what a runner asks for orders (as it would ask the desk)."""

    def __init__(self, desk: Desk, path: str) -> None:
        self._desk = desk
        self._path = path
        self._outbox = StreamOutbox(desk)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._connection: Optional[socket.socket] = None
        self._reading, self._writing = threading.Lock(), threading.Lock()
        self._incoming = bytearray()
        self._room = memoryview(bytearray(_READ_BYTES))
        self._is_over = False
        self._failure: Optional[FlameError] = None
        # When the runner last looked at the socket.
        self._looked = 0
        # The loop on which the runner lives, if it does.
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._poller = select.poll()
        # Rung when a runner that waits for the socket has something else to do.
        self._bell = _Bell()
        self._helper = _Helper(self, desk)

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
        self._poller.register(self._listener, select.POLLIN)
        self._poller.register(self._bell, select.POLLIN)
        self._desk.open(self._outbox)
        self._desk.wake_with(self._bell.ring)
        self._helper.start()

    def on_ending(self) -> None:
        """Nothing more is begun: says so of what waited."""
        self.flush()

    def close(self) -> None:
        """When the desk has ended: lets what was said leave. Raises FlameError when the worker is to blame for the end."""
        self._helper.end()
        self.flush()
        self._desk.close(self._outbox)
        for one in (self._listener, self._connection, self._bell):
            if one is not None:
                one.close()
        if self._failure is not None:
            raise self._failure

    # ── the runner's side: as of the desk ───────────────────────────────────────────────────────────────────────────

    def wait(self, said: Optional[Said]) -> Order:
        """Says what became of the order before, if there was one, and waits for the next. Raises [Ended]."""
        order = self.poll(said)
        while order is None:
            self._wait_for_the_socket()
            order = self.poll(None)
        return order

    def poll(self, said: Optional[Said]) -> Optional[Order]:
        """As [wait], but None when there is no order now."""
        order = self._desk.poll(said)
        if order is None:
            if said is not None:
                self._helper.on_changed()
            self.flush()
            return None
        self._helper.on_changed()
        now = perf_counter_ns()
        if now - self._looked > _LOOK_NS:
            self._looked = now
            self.hear()
            self.flush()
        return order

    def wake_with(self, wake: Optional[Callable[[], None]]) -> None:
        """Calls `wake` whenever there may be something to [poll]. On the event loop that runs, which hears the socket from
        now on."""
        import asyncio

        self._desk.wake_with(wake)
        loop, heard = asyncio.get_running_loop(), self._connection or self._listener
        self._loop = None if wake is None else loop
        if wake is None:
            loop.remove_reader(heard)
        else:
            loop.add_reader(heard, self._on_readable)

    def _wait_for_the_socket(self) -> None:
        for number, _ in self._poller.poll():
            if number == self._bell.fileno():
                self._bell.hush()
            else:
                self.hear()
        self._looked = perf_counter_ns()

    def _on_readable(self) -> None:
        """In the event loop."""
        self.hear()
        self.flush()
        self._looked = perf_counter_ns()
        if self._is_over and self._loop is not None and self._connection is not None:
            self._loop.remove_reader(self._connection)

    # ── whoever has the time ────────────────────────────────────────────────────────────────────────────────────────

    def hear(self) -> None:
        """Takes what is there, without waiting for more."""
        with self._reading:
            if self._is_over:
                return
            if self._connection is None:
                self._accept()
                return
            try:
                size = self._connection.recv_into(self._room, 0, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError:
                size = 0  # it was cut: over as well
            if size == 0:
                self._on_over()
                return
            self._incoming += self._room[:size]
            try:
                self._take_frames()
            except TooMany:
                self._on_over(f"more than {IN_FLIGHT_MAX} tasks at a time")
            except Exception as error:  # of the reader of messages, or a kind of frame that is not known
                self._on_over(str(error))

    def flush(self) -> None:
        """Says what there is to say."""
        while self._outbox.has_words():
            with self._writing:
                frames = bytearray()
                while len(frames) < _WRITE_BYTES_GOAL:
                    frame = self._outbox.take_frame()
                    if frame is None:
                        break
                    message = frame.SerializeToString()
                    frames += len(message).to_bytes(_LENGTH_BYTES, "big")
                    frames += message
                # When nobody reads any more, whoever reads here will find out.
                with contextlib.suppress(OSError):
                    if self._connection is not None:
                        self._connection.sendall(frames)

    def connection(self) -> Optional[socket.socket]:
        """The connection while there may be something to hear."""
        return None if self._is_over else self._connection

    # ── while reading ───────────────────────────────────────────────────────────────────────────────────────────────

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        connection.settimeout(None)
        self._connection = connection
        if self._loop is not None:
            self._loop.remove_reader(self._listener)
            self._loop.add_reader(connection, self._on_readable)
        self._poller.unregister(self._listener)
        self._poller.register(connection, select.POLLIN)

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

    def _on_over(self, why: Optional[str] = None) -> None:
        """Nothing is heard any more: what runs is told, and then the service ends."""
        self._is_over = True
        if why is not None:
            self._failure = FlameError(FlameErrorCode.INTERNAL, f"the worker sent what this service cannot take: {why}")
        self._outbox.close()
        self._desk.end()


class _Helper:
    """Looks at the socket while a task keeps the runner busy."""

    def __init__(self, line: Line, desk: Desk) -> None:
        self._line = line
        self._desk = desk
        self._bell = _Bell()
        # Until the runner does something else than now.
        self._is_resting = False
        self._is_ended = False
        self._thread = threading.Thread(target=self._run, name="flame-frames", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """Waits for the end of its thread."""
        self._is_ended = True
        self._bell.ring()
        self._thread.join()
        self._bell.close()

    def on_changed(self) -> None:
        """The runner does something else than before. By the runner."""
        if self._is_resting:
            self._is_resting = False
            self._bell.ring()

    def _run(self) -> None:
        tick = select.poll()
        tick.register(self._bell, select.POLLIN)
        seen = quiet = 0
        while not self._is_ended:
            if tick.poll(_TICK_MS):
                self._bell.hush()
            number = self._desk.running()
            if number == 0:
                quiet += 1
                if quiet >= _QUIET_TICKS:
                    self._rest(number)
                    quiet = 0
            else:
                quiet = 0
                if number == seen:
                    self._stand_in(number)
            seen = number

    def _stand_in(self, number: int) -> None:
        """For a runner that has the same order since a tick at least, until it has done it."""
        while self._desk.running() == number and not self._is_ended:
            self._line.flush()
            self._line.hear()
            self._line.flush()
            self._rest(number)

    def _rest(self, number: int) -> None:
        """Until the runner does something else than this order (0: than wait for one), or there is something to hear."""
        connection = self._line.connection() if number else None
        waiting = select.poll()
        waiting.register(self._bell, select.POLLIN)
        if connection is not None:
            waiting.register(connection, select.POLLIN)
        with self._desk.lock:
            if self._desk.running() != number or self._is_ended:
                return
            self._is_resting = True
        if any(descriptor == self._bell.fileno() for descriptor, _ in waiting.poll()):
            self._bell.hush()
        self._is_resting = False


class _Bell:
    """Wakes somebody who waits for sockets. Rung after its end, it is silent."""

    def __init__(self) -> None:
        self._heard, self._rung = socket.socketpair()
        self._heard.setblocking(False)
        self._rung.setblocking(False)

    def fileno(self) -> int:
        return self._heard.fileno()

    def ring(self) -> None:
        with contextlib.suppress(OSError):  # full: it will be heard
            self._rung.send(b"!")

    def hush(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._heard.recv(64)

    def close(self) -> None:
        self._heard.close()
        self._rung.close()
