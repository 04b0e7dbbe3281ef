"""A cache in this process that shares memory: the socket, the memory and `Objects.Local`, over a few objects. It knows no
rules but that of the memory: a place is used again when nobody has it any more."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict, List, Optional, Tuple

import grpc

from flamepy._wire.ha import arena_pb2 as wire
from flamepy._wire.ha import objects_pb2 as objects

PAGE = 4096
LEAD = 60


class FakeArena:
    """One cache."""

    def __init__(self, pages: int = 4096, port: str = "") -> None:
        self.memory = os.memfd_create("fake-arena")
        self.bytes = pages * PAGE
        os.ftruncate(self.memory, self.bytes)
        self.name, self.token = f"fake-{uuid.uuid4().hex}", uuid.uuid4().hex
        self.lock = threading.Lock()
        self.taken: Dict[int, int] = {}
        """Pages by the first, and who has them: as often as an object, room or pin does."""
        self.sizes: Dict[int, int] = {}
        self.objects: Dict[str, Tuple[int, Any]] = {}
        """Version, and bytes or place and size."""
        self.requests: List[str] = []
        self.answer: Optional[wire.ArenaReply] = None
        """Given instead of an answer."""
        self.streams: List[socket.socket] = []
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind("\0" + self.name)
        self.listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()
        self.server = grpc.server(ThreadPoolExecutor(2))
        local = grpc.unary_unary_rpc_method_handler(
            lambda request, context: objects.LocalObjectsReply(socket=self.name, token=self.token),
            objects.LocalObjectsRequest.FromString,
            objects.LocalObjectsReply.SerializeToString,
        )
        self.server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("flame.ha.v1.Objects", {"Local": local}),)
        )
        self.endpoint = f"grpc://127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.server.start()

    def stop(self) -> None:
        self.server.stop(0).wait()
        self.break_connections()
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        os.close(self.memory)

    def break_connections(self) -> None:
        for stream in self.streams:
            with contextlib.suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)

    # ── memory ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def used(self) -> int:
        with self.lock:
            return len(self.taken)

    def _room(self, size: int) -> Optional[int]:
        with self.lock:
            pages = -(-(size + LEAD) // PAGE)
            first = 0
            for start in sorted(self.taken):
                if start - first >= pages:
                    break
                first = start + self.sizes[start]
            if (first + pages) * PAGE > self.bytes:
                return None
            self.taken[first], self.sizes[first] = 1, pages
            return first

    def _take(self, first: int) -> None:
        with self.lock:
            self.taken[first] += 1

    def _free(self, first: int) -> None:
        with self.lock:
            self.taken[first] -= 1
            if not self.taken[first]:
                del self.taken[first], self.sizes[first]

    def delete(self, key: str) -> None:
        _, content = self.objects.pop(key)
        if isinstance(content, tuple):
            self._free(content[0])

    # ── connections ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                stream, _ = self.listener.accept()
                self.streams.append(stream)
                threading.Thread(target=self._serve, args=(stream,), daemon=True).start()

    def _serve(self, stream: socket.socket) -> None:
        held: Dict[int, Tuple[int, int]] = {}
        with contextlib.suppress(OSError, EOFError), stream:
            hello = _receive(stream).hello
            if hello.token != self.token:
                return
            welcome = _framed(wire.ArenaReply(welcome=wire.ArenaWelcome(bytes=self.bytes)))
            socket.send_fds(stream, [welcome], [self.memory])
            while True:
                request = _receive(stream)
                for number in request.released:
                    if number in held:
                        self._free(held.pop(number)[0])
                what = request.WhichOneof("request")
                if what is not None:
                    self.requests.append(what)
                    answer = self.answer or getattr(self, f"_{what}")(getattr(request, what), held)
                    stream.sendall(_framed(answer))
        for first, _ in held.values():
            self._free(first)

    def _create(self, create: Any, held: Dict[int, Tuple[int, int]]) -> wire.ArenaReply:
        first = self._room(create.size)
        if first is None:
            return wire.ArenaReply(elsewhere=wire.ArenaElsewhere(reason="it is full"))
        number = len(self.requests)
        held[number] = (first, create.size)
        return wire.ArenaReply(room=wire.ArenaRoom(id=number, offset=first * PAGE + LEAD))

    def _seal(self, seal: Any, held: Dict[int, Tuple[int, int]]) -> wire.ArenaReply:
        header = seal.header
        key = header.key if header.key.count("/") == 2 else f"{header.key}/{uuid.uuid4().hex}"
        version, before = self.objects.get(key, (0, None))
        content: Any = held.pop(seal.room) if seal.WhichOneof("content") == "room" else seal.data
        if header.if_exists == objects.IF_EXISTS_EXPECT and header.expected_version != version:
            if isinstance(content, tuple):
                self._free(content[0])
            return wire.ArenaReply(error=wire.ArenaError(code=10, message=f"it has version {version}"))
        if isinstance(before, tuple):
            self._free(before[0])
        self.objects[key] = (version + 1, content)
        return wire.ArenaReply(sealed=objects.ObjectInfo(endpoint=self.endpoint, key=key, version=version + 1))

    def _get(self, get: Any, held: Dict[int, Tuple[int, int]]) -> wire.ArenaReply:
        if get.key not in self.objects:
            return wire.ArenaReply(error=wire.ArenaError(code=5, message="nobody has put it"))
        version, content = self.objects[get.key]
        header = objects.ObjectHeader(info=objects.ObjectInfo(key=get.key, version=version), extent=objects.EXTENT_FULL)
        if get.version == version:
            header.extent = objects.EXTENT_NOT_MODIFIED
            return wire.ArenaReply(object=wire.ArenaObject(header=header))
        if not isinstance(content, tuple):
            part = wire.ArenaPart(version=version, size=len(content), data=content)
            return wire.ArenaReply(object=wire.ArenaObject(header=header, parts=[part]))
        self._take(content[0])
        number = len(self.requests)
        held[number] = content
        part = wire.ArenaPart(version=version, size=content[1], offset=content[0] * PAGE + LEAD)
        return wire.ArenaReply(object=wire.ArenaObject(header=header, parts=[part], pin=number))


def _framed(message: Any) -> bytes:
    data = message.SerializeToString()
    return struct.pack("<I", len(data)) + data


def _receive(stream: socket.socket) -> wire.ArenaRequest:
    return wire.ArenaRequest.FromString(_exactly(stream, *struct.unpack("<I", _exactly(stream, 4))))


def _exactly(stream: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = stream.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data
