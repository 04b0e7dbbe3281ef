"""One connection to a cache on this host. It is used by one thread at a time.

**Invariant:** a connection ends when nothing is read any more that it pins: before that the cache would use the memory for
other objects.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import sys
import threading
from collections import deque
from typing import Any, Deque, Set, Tuple

from ...._wire.ha import arena_pb2 as wire
from .mapping import Pin

_TIMEOUT = 60.0
_HELLO_TIMEOUT = 5.0
_LENGTH = struct.Struct("<I")
_READ_BYTES = 256 << 10


class Link:
    """A connection."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        self._busy = threading.Lock()
        self._pinned: Set[int] = set()
        self._released: Deque[int] = deque()
        self.is_retired = False
        """It takes no more requests, and ends when nothing is pinned."""

    @classmethod
    def connect(cls, name: str, token: str) -> Tuple[Link, int, int]:
        """A connection, a descriptor of the memory, and its size. Raises OSError."""
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            stream.settimeout(_HELLO_TIMEOUT)
            stream.connect("\0" + name)
            stream.sendall(_framed(wire.ArenaRequest(hello=wire.ArenaHello(token=token))))
            data, descriptors, _, _ = socket.recv_fds(stream, 4096, 1)
            if not descriptors:
                raise OSError("the cache gave no memory")
            os.set_inheritable(descriptors[0], False)
            try:
                while len(data) < _LENGTH.size + (_LENGTH.unpack_from(data)[0] if len(data) >= 4 else 0):
                    more = stream.recv(4096)
                    if not more:
                        raise OSError("the cache has ended the connection")
                    data += more
                reply = wire.ArenaReply.FromString(data[_LENGTH.size :])
                stream.settimeout(_TIMEOUT)
                return cls(stream), descriptors[0], reply.welcome.bytes
            except BaseException:
                os.close(descriptors[0])
                raise
        except BaseException:
            stream.close()
            raise

    def call(self, request: wire.ArenaRequest) -> wire.ArenaReply:
        """Asks, and waits for the reply. Raises OSError: then the connection takes no more requests."""
        with self._busy:
            try:
                self._send(request)
                return self._receive()
            except BaseException:  # also an interrupt: a reply that nobody has read would be taken for the next one
                self.retire()
                raise

    def _send(self, request: wire.ArenaRequest) -> None:
        while self._released:
            request.released.append(self._released.popleft())
        self._stream.sendall(_framed(request))

    def _receive(self) -> wire.ArenaReply:
        data = self._stream.recv(_READ_BYTES)
        while True:
            if len(data) >= _LENGTH.size:
                missing = _LENGTH.size + _LENGTH.unpack_from(data)[0] - len(data)
                if not missing:
                    return wire.ArenaReply.FromString(memoryview(data)[_LENGTH.size :].tobytes())
                if missing < 0:
                    raise OSError("the cache has sent more than was asked for")
            more = self._stream.recv(_READ_BYTES)
            if not more:
                raise OSError("the cache has ended the connection")
            data += more

    # ── what is held ────────────────────────────────────────────────────────────────────────────────────────────────

    def pin(self, number: int) -> Pin:
        """Keeps what the cache has pinned for this connection, until it is dropped."""
        self._pinned.add(number)
        return Pin(lambda: self._unpinned(number))

    def give_back(self, number: int) -> None:
        """Room that will not be used."""
        self._released.append(number)

    def _unpinned(self, number: int) -> None:
        # Called by whoever drops the last reference, in the middle of anything: it waits for nothing.
        if sys.is_finalizing():
            return  # the end of the process tells it all
        self._pinned.discard(number)
        if self.is_retired:
            self._end_if_unused()
            return
        self._released.append(number)
        self.tell_released()

    def tell_released(self) -> None:
        """Says what is needed no longer, unless somebody is talking: they will say it."""
        while self._released and not self.is_retired and self._busy.acquire(blocking=False):
            try:
                self._send(wire.ArenaRequest())
            except OSError:
                self.retire()
            finally:
                self._busy.release()

    def retire(self) -> None:
        """No more requests."""
        self.is_retired = True
        self._end_if_unused()

    def _end_if_unused(self) -> None:
        if not self._pinned:
            # Closed, not shut down: a fork may have it, too.
            with contextlib.suppress(OSError):
                self._stream.close()

    def on_fork(self, in_child: bool) -> None:
        """What is pinned is pinned for both processes, until both are done with it: neither asks here any more."""
        if in_child:
            self._busy = threading.Lock()
        if in_child or self._pinned:
            self.retire()


def _framed(message: Any) -> bytes:
    data: bytes = message.SerializeToString()
    return _LENGTH.pack(len(data)) + data
