"""An object cache in this process, which serves the published protocol over Arrow Flight.

It keeps what it was sent: for opaque objects the parts with their versions, for native Arrow the table. Versions of a key
go on after a deletion, unless `forget_versions`.
"""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Optional, Tuple

import pyarrow as pa
import pyarrow.flight as flight

from flamepy.core.cache import bson

RESPONSE = pa.schema([("version", pa.uint64()), ("kind", pa.utf8()), ("data", pa.binary())])
LEGACY = pa.schema([("version", pa.uint64()), ("data", pa.binary())])
PATCHES_MAX = 1000


@dataclass
class Stored:
    """An object: its base (bytes, or a table) with its version, and the patches after it."""

    base: Any
    base_version: int
    patches: List[Tuple[int, bytes]] = field(default_factory=list)

    @property
    def version(self) -> int:
        return self.patches[-1][0] if self.patches else self.base_version


class FakeCache(flight.FlightServerBase):
    """One node. Several share objects when they are given the same `objects`."""

    def __init__(self, objects: Optional[Dict[str, Stored]] = None) -> None:
        super().__init__("grpc://127.0.0.1:0")
        self.objects: Dict[str, Stored] = {} if objects is None else objects
        self.lock = threading.RLock()
        self.calls: List[Tuple[str, str]] = []
        self.is_legacy = False
        """Answers with two columns, as early caches do."""
        self.on_write: Optional[Callable[[str], None]] = None
        """Called before an object is written, with its key: it may raise."""

    @property
    def endpoint(self) -> str:
        return f"grpc://127.0.0.1:{self.port}"

    def stop(self) -> None:
        """As if it had been killed."""
        self.shutdown()
        self.wait()

    def keys(self, prefix: str = "") -> List[str]:
        with self.lock:
            return sorted(key for key in self.objects if key.startswith(prefix))

    def count(self, call: str) -> int:
        return sum(name == call for name, _ in self.calls)

    # ── what is asked ───────────────────────────────────────────────────────────────────────────────────────────────

    def do_put(self, context: Any, descriptor: Any, reader: Any, writer: Any) -> None:
        schema = reader.schema
        is_native = bool(schema.metadata) and b"flame.cache.format" in schema.metadata
        if descriptor.descriptor_type == flight.DescriptorType.CMD:
            command = descriptor.command.decode()
            assert command.startswith("PATCH:"), command
            self._answer(writer, command[6:], self._patch(command[6:], is_native, reader))
            return
        (path,) = descriptor.path
        key = path.decode()
        if key.count("/") == 1:
            key = f"{key}/{uuid.uuid4()}"
        self.calls.append(("put", key))
        base = reader.read_all() if is_native else b"".join(_data(reader))
        if self.on_write is not None:
            self.on_write(key)
        with self.lock:
            version = self.objects[key].version + 1 if key in self.objects else 1
            self.objects[key] = Stored(base, version)
        self._answer(writer, key, version)

    def _patch(self, key: str, is_native: bool, reader: Any) -> int:
        self.calls.append(("patch", key))
        data = b"".join(_data(reader))
        with self.lock:
            found = self.objects.get(key)
            if found is None:
                raise pa.ArrowKeyError(f"object {key} not found")
            if is_native or isinstance(found.base, pa.Table):
                raise pa.ArrowInvalid(f"object {key} is a table: it takes no patches")
            if len(found.patches) >= PATCHES_MAX:
                raise pa.ArrowInvalid(f"object {key} has {PATCHES_MAX} patches, the most there may be")
            found.patches.append((found.version + 1, data))
            return found.version

    def _answer(self, writer: Any, key: str, version: int) -> None:
        # One field more than a reference has: readers of answers must not mind.
        fields = {"endpoint": self.endpoint, "key": key, "version": version, "more": "x"}
        writer.write(pa.py_buffer(bson.encode(fields)))

    def do_get(self, context: Any, ticket: Any) -> Any:
        key, _, known = ticket.ticket.decode().partition(":")
        self.calls.append(("get", f"{key}:{known}"))
        client = int(known or 0)
        with self.lock:
            found = self.objects.get(key)
            if found is None:
                raise pa.ArrowKeyError(f"object {key} not found")
            version, base, patches = found.version, found.base, list(found.patches)
            base_version = found.base_version
        is_same = client == version and client != 0
        if isinstance(base, pa.Table) and not is_same:
            metadata = {**(base.schema.metadata or {}), b"flame.cache.version": str(version).encode()}
            schema = base.schema.with_metadata(metadata)
            table = base.replace_schema_metadata(metadata)
            batches = table.to_batches() or [pa.RecordBatch.from_pylist([], schema=schema)]
            return flight.RecordBatchStream(pa.RecordBatchReader.from_batches(schema, batches))
        rows = [(at, "patch", data) for at, data in patches]
        if is_same:
            rows = []
        elif base_version <= client < version:
            rows = [one for one in rows if one[0] > client]
        else:
            rows.insert(0, (base_version, "base", base))
        return flight.GeneratorStream(LEGACY if self.is_legacy else RESPONSE, (self._row(*one) for one in rows))

    def _row(self, version: int, kind: str, data: bytes) -> Any:
        if self.is_legacy:
            return pa.RecordBatch.from_arrays(
                [pa.array([version], pa.uint64()), pa.array([data], pa.binary())], schema=LEGACY
            )
        columns = [pa.array([version], pa.uint64()), pa.array([kind]), pa.array([data], pa.binary())]
        return pa.RecordBatch.from_arrays(columns, schema=RESPONSE)

    def do_action(self, context: Any, action: Any) -> Any:
        assert action.type == "DELETE", action.type
        target = action.body.to_pybytes().decode()
        self.calls.append(("delete", target))
        with self.lock:
            if target.count("/") == 2:
                self.objects.pop(target, None)
            else:
                prefix = target[:-1] if target.endswith("/*") else f"{target}/"
                for key in [key for key in self.objects if key.startswith(prefix)]:
                    del self.objects[key]
        return [flight.Result(pa.py_buffer(b"OK"))]

    def get_flight_info(self, context: Any, descriptor: Any) -> Any:
        where = flight.FlightEndpoint(b"", [self.endpoint])
        return flight.FlightInfo(RESPONSE, descriptor, [where], -1, -1)


def _data(reader: Any) -> List[bytes]:
    return [value for chunk in reader for value in chunk.data.column("data").to_pylist()]


def eventually(condition: Callable[[], Any], what: str, seconds: float = 20.0) -> Any:
    until = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < until, f"in vain: {what}"
        time.sleep(0.005)
