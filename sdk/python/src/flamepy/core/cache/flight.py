"""The published protocol of object caches, over Arrow Flight: what is sent for each operation, and what comes back.

| operation | call |
|---|---|
| put, update, upload | DoPut with a path: the prefix, or the key of one object |
| patch | DoPut with the command `PATCH:<key>` |
| get, download | DoGet of `<key>:<version that the reader has>`; 0: nothing |
| delete | the action `DELETE` with a key, a prefix or `app/*` |

**Invariant:** an error of any kind leaves here as a FlameError with the code that the cache gave.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Iterable, Iterator, List, Optional, Tuple

from ..errors import FlameErrorCode
from . import bson, values
from .errors import ObjectError, VersionConflict, invalid, missing
from .local import Kept
from .ref import ObjectRef, of_fields

# Seconds. Uploads and downloads of any size are done by then, or nobody is there.
TIMEOUT = 300.0

_PIECE_BYTES = 1 << 20

CODES = {
    "INVALID_ARGUMENT": FlameErrorCode.INVALID_ARGUMENT,
    "FAILED_PRECONDITION": FlameErrorCode.INVALID_STATE,
    "ALREADY_EXISTS": FlameErrorCode.ALREADY_EXISTS,
    "DEADLINE_EXCEEDED": FlameErrorCode.DEADLINE_EXCEEDED,
    "RESOURCE_EXHAUSTED": FlameErrorCode.RESOURCE_EXHAUSTED,
    "UNAVAILABLE": FlameErrorCode.UNAVAILABLE,
    "PERMISSION_DENIED": FlameErrorCode.PERMISSION_DENIED,
    "UNAUTHENTICATED": FlameErrorCode.UNAUTHENTICATED,
    "UNIMPLEMENTED": FlameErrorCode.UNIMPLEMENTED,
    "CANCELLED": FlameErrorCode.CANCELLED,
    "DATA_LOSS": FlameErrorCode.DATA_LOSS,
    "OUT_OF_RANGE": FlameErrorCode.OUT_OF_RANGE,
}

_TOLD = re.compile(r"with message: (?P<text>.*?)(?:\. gRPC client debug context: (?P<code>[A-Z_]+):|$)", re.DOTALL)

NEVER_SENT = "failed to connect"


class Broken(Exception):
    """The node was not reached, or went away, or cannot serve now."""

    def __init__(self, text: str, was_sent: bool) -> None:
        super().__init__(text)
        self.was_sent = was_sent
        """The node may have got the call, and may have done what it asks for."""


def told(error: BaseException, what: str, key: str) -> Exception:
    """What to raise for an error of Arrow Flight."""
    match = _TOLD.search(str(error))
    code, text = (match["code"], match["text"]) if match else (None, str(error))
    if code == "UNAVAILABLE" or type(error).__name__ == "FlightUnavailableError":
        return Broken(text, NEVER_SENT not in text)
    if code == "NOT_FOUND" or (code is None and isinstance(error, KeyError)):
        return missing(key, text)
    if code == "ABORTED":
        return VersionConflict(FlameErrorCode.ABORTED, f"{what} {key}: {text}")
    return ObjectError(CODES.get(code or "", FlameErrorCode.INTERNAL), f"{what} {key}: {text}")


def _schema() -> Any:
    import pyarrow as pa

    return pa.schema([("version", pa.uint64()), ("data", pa.binary())])


def row(data: Any) -> Any:
    """A payload as the one row that caches keep."""
    import pyarrow as pa

    size = memoryview(data).nbytes
    if size > values.ROW_BYTES_MAX:
        raise invalid(
            f"the object has {size} bytes, at most {values.ROW_BYTES_MAX} travel in one piece",
            "write it to a file and use upload_object, or split it",
        )
    offsets = pa.array([0, size], pa.int32()).buffers()[1]
    column = pa.Array.from_buffers(pa.binary(), 1, [None, offsets, pa.py_buffer(data)])
    return pa.RecordBatch.from_arrays([pa.array([0], pa.uint64()), column], schema=_schema())


def pieces(file: Any) -> Iterator[Any]:
    """A file as rows. An empty one has none."""
    while True:
        data = file.read(_PIECE_BYTES)
        if not data:
            return
        yield row(data)


# ── writing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def put(client: Any, path: str, payload: Any) -> ObjectRef:
    """Puts an object below a prefix, or in the place of the one with that key."""
    import pyarrow.flight as flight

    return _write(client, flight.FlightDescriptor.for_path(path), payload, "put", path)


def patch(client: Any, key: str, payload: Any) -> ObjectRef:
    """Adds a part to an object."""
    import pyarrow.flight as flight

    return _write(client, flight.FlightDescriptor.for_command(f"PATCH:{key}"), payload, "patch", key)


def _write(client: Any, descriptor: Any, payload: Any, what: str, key: str) -> ObjectRef:
    import pyarrow as pa
    import pyarrow.flight as flight

    schema, batches = _parts_of(payload)
    answer = None
    try:
        writer, reader = client.do_put(descriptor, schema, flight.FlightCallOptions(timeout=TIMEOUT))
        with writer:
            for batch in batches:
                writer.write_batch(batch)
            writer.done_writing()
            answer = reader.read()
    except (pa.ArrowException, flight.FlightError, OSError) as error:
        raise told(error, what, key) from error
    if answer is None:
        raise ObjectError(FlameErrorCode.INTERNAL, f"{what} {key}: the cache did not say where it put the object")
    return of_fields(bson.decode(answer.to_pybytes()))


def _parts_of(payload: Any) -> Tuple[Any, Iterable[Any]]:
    if isinstance(payload, values.Native):
        return payload.schema, payload.batches
    if isinstance(payload, Iterator):
        return _schema(), payload
    return _schema(), [row(payload)]


def delete(client: Any, target: str) -> None:
    """Deletes an object, those of a prefix, or all of an application. What is not there is no error."""
    import pyarrow as pa
    import pyarrow.flight as flight

    try:
        action = flight.Action("DELETE", target.encode())
        answers = list(client.do_action(action, flight.FlightCallOptions(timeout=TIMEOUT)))
    except (pa.ArrowException, flight.FlightError, OSError) as error:
        raise told(error, "delete", target) from error
    if not answers:
        raise ObjectError(FlameErrorCode.INTERNAL, f"delete {target}: the cache did not answer")


def serving_endpoint(client: Any, path: str) -> Optional[str]:
    """Where the cache says that objects of this path are; None when it names nothing."""
    import pyarrow as pa
    import pyarrow.flight as flight

    try:
        info = client.get_flight_info(flight.FlightDescriptor.for_path(path), flight.FlightCallOptions(timeout=TIMEOUT))
    except (pa.ArrowException, flight.FlightError, OSError) as error:
        raise told(error, "look up", path) from error
    for endpoint in info.endpoints:
        for one in endpoint.locations:
            return str(one.uri.decode() if isinstance(one.uri, bytes) else one.uri)
    return None


# ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Fetched:
    """What a cache answers: the object (`base` is there), or what is new in it, or nothing new."""

    version: int = 0
    base: Any = None
    patches: List[Tuple[int, Any]] = field(default_factory=list)

    def onto(self, kept: Optional[Kept], key: str) -> Kept:
        """The object, given what the reader has."""
        if self.base is not None:
            return Kept(self.version, self.base, self.patches)
        if kept is None:
            raise missing(key)
        return Kept(self.version, kept.base, kept.patches + self.patches) if self.patches else kept


def fetch(client: Any, key: str, version: int) -> Fetched:
    """Asks for an object of which the reader has this version."""
    import pyarrow as pa
    import pyarrow.flight as flight

    try:
        reader = client.do_get(flight.Ticket(f"{key}:{version}".encode()), flight.FlightCallOptions(timeout=TIMEOUT))
        schema = reader.schema
        if values.is_native(schema):
            return Fetched(values.native_version(schema), reader.read_all())
        return _assembled(_rows(reader, key), version, key)
    except (pa.ArrowException, flight.FlightError, OSError) as error:
        raise told(error, "get", key) from error


def payload_of(client: Any, key: str) -> Iterator[memoryview]:
    """The bytes of an object in pieces. Raises for one that is a table or has patches."""
    import pyarrow as pa
    import pyarrow.flight as flight

    try:
        reader = client.do_get(flight.Ticket(f"{key}:0".encode()), flight.FlightCallOptions(timeout=TIMEOUT))
        if values.is_native(reader.schema):
            raise invalid(f"{key} is a table, no file", "read it with get_object")
        is_there = False
        for _, kind, data in _rows(reader, key):
            if kind == "patch":
                raise invalid(f"{key} has patches, it is no file", "read it with get_object and a deserializer")
            is_there = True
            yield data
    except (pa.ArrowException, flight.FlightError, OSError) as error:
        raise told(error, "download", key) from error
    if not is_there:
        raise missing(key)


def _rows(reader: Any, key: str) -> Iterator[Tuple[int, str, memoryview]]:
    """Version, kind and data of each row. Older caches send no kind: the first row is the base there."""
    has_kind = "kind" in reader.schema.names
    if not {"version", "data"}.issubset(reader.schema.names):
        raise ObjectError(FlameErrorCode.INTERNAL, f"get {key}: the cache sent the columns {reader.schema.names}")
    count = 0
    for chunk in reader:
        batch = chunk.data
        versions = batch.column("version")
        kinds, datas = batch.column("kind") if has_kind else None, batch.column("data")
        for index in range(batch.num_rows):
            kind = kinds[index].as_py() if kinds is not None else ("patch" if count else "base")
            count += 1
            yield versions[index].as_py(), kind, memoryview(datas[index].as_buffer())


def _assembled(rows: Iterable[Tuple[int, str, memoryview]], known: int, key: str) -> Fetched:
    """The answer, after a look at whether it is one."""
    found = Fetched(known)
    bases: List[memoryview] = []
    for version, kind, data in rows:
        if kind == "base" and not found.patches and (not bases or version == found.version):
            bases.append(data)  # a large one may come in several pieces
        elif kind == "patch" and version > found.version:
            found.patches.append((version, data))
        else:
            raise ObjectError(
                FlameErrorCode.DATA_LOSS, f"get {key}: a {kind} of version {version} after version {found.version}"
            )
        found.version = version
    if bases:
        found.base = bases[0] if len(bases) == 1 else memoryview(b"".join(bases))
    return found
