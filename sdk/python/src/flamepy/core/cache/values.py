"""How an object becomes bytes or Arrow batches, and an object again.

| value | travels as |
|---|---|
| tables, record batches, data frames of pandas and polars, whatever has `to_arrow` | native Arrow, its kind marked |
| numbers in a numpy array | bytes that begin with `FLM\\x01`: an Arrow tensor |
| an Arrow array | `FLM\\x03` |
| everything else | `FLM\\x00`: a pickle of cloudpickle |

Patches are always bytes; there a table is `FLM\\x02` and a record batch `FLM\\x04`. These are the formats of the published
package: each reads what the other has written.

**Invariant:** what is read never shares memory that anybody can write to: arrays over the bytes that came are read-only,
tables cannot be changed, everything else is made anew for each reader.

Reading a pickle runs the code of whoever wrote it: a cache is read by those who trust all who may write to it.
"""

from __future__ import annotations

import io
import pickle
import sys
from dataclasses import dataclass
from typing import Any, List, Optional

from ..errors import FlameErrorCode
from .errors import ObjectError, invalid

PICKLE, TENSOR, TABLE, ARRAY, BATCH = b"FLM\x00", b"FLM\x01", b"FLM\x02", b"FLM\x03", b"FLM\x04"
_PREFIX_BYTES = 4

_MARK = b"flame.cache."
FORMAT, VERSION, LOGICAL_TYPE = _MARK + b"format", _MARK + b"version", _MARK + b"logical_type"
_NATIVE_FORMAT = b"arrow-table-v1"

# One row of the column `data` has at most this many bytes: its offsets have 32 bits.
ROW_BYTES_MAX = (1 << 31) - 1 - 64

# Native batches are cut so that a message has about as many.
_BATCH_BYTES = 64 << 20

# Kinds of numbers that a tensor gives back as they were. Others travel as pickles.
_TENSOR_KINDS = "iuf"


@dataclass
class Native:
    """A table with the schema it travels with."""

    schema: Any
    batches: List[Any]


def native(value: Any) -> Optional[Native]:
    """The value as native Arrow; None when it travels as bytes."""
    if "pyarrow" not in sys.modules and not callable(getattr(type(value), "to_arrow", None)) and not _is_frame(value):
        return None  # whoever made a table has imported it
    import pyarrow as pa

    if isinstance(value, pa.Table):
        return _native(value, b"pyarrow.table")
    if isinstance(value, pa.RecordBatch):
        return _native(pa.Table.from_batches([value]), b"pyarrow.record_batch")
    if _is_frame(value):
        try:
            return _native(pa.Table.from_pandas(value), b"pandas.dataframe")
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
            return None  # columns of any objects: a pickle keeps them
    if callable(getattr(type(value), "to_arrow", None)):
        table = value.to_arrow()
        if isinstance(table, pa.Table):
            return _native(table, b"polars.dataframe" if _is_polars(value) else b"dataset")
    return None


def _is_frame(value: Any) -> bool:
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(value, getattr(pandas, "DataFrame", ()))


def _is_polars(value: Any) -> bool:
    polars = sys.modules.get("polars")
    return polars is not None and isinstance(value, getattr(polars, "DataFrame", ()))


def _native(table: Any, kind: bytes) -> Native:
    import pyarrow as pa

    metadata = {FORMAT: _NATIVE_FORMAT, VERSION: b"0", LOGICAL_TYPE: kind}
    schema = table.schema.with_metadata({**_plain(table.schema), **metadata})
    rows = max(1, table.num_rows * _BATCH_BYTES // table.nbytes) if table.nbytes else None
    batches = table.replace_schema_metadata(schema.metadata).to_batches(max_chunksize=rows)
    # A table without rows is a table, too: it sends one batch without any.
    return Native(schema, batches or [pa.RecordBatch.from_pylist([], schema=schema)])


def _plain(schema: Any) -> dict:  # type: ignore[type-arg]
    """The metadata that the user gave it."""
    return {key: value for key, value in (schema.metadata or {}).items() if not key.startswith(_MARK)}


def is_native(schema: Any) -> bool:
    return bool(schema.metadata) and FORMAT in schema.metadata


def native_version(schema: Any) -> int:
    text = (schema.metadata or {}).get(VERSION, b"0")
    try:
        return int(text)
    except ValueError:
        raise invalid(f"the cache sent {text!r} as the version of a table") from None


def from_native(table: Any) -> Any:
    """The value that was put."""
    kind = (table.schema.metadata or {}).get(LOGICAL_TYPE, b"")
    table = table.replace_schema_metadata(_plain(table.schema) or None)
    if kind == b"pyarrow.record_batch":
        import pyarrow as pa

        batches = table.combine_chunks().to_batches()
        return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)
    if kind == b"pandas.dataframe":
        _require("pandas", "a data frame of pandas")
        return table.to_pandas()
    if kind == b"polars.dataframe":
        _require("polars", "a data frame of polars")
        import polars

        return polars.from_arrow(table)
    return table


def _require(name: str, what: str) -> None:
    import importlib

    try:
        importlib.import_module(name)
    except ImportError as error:
        raise ObjectError(
            FlameErrorCode.INVALID_STATE, f"the object is {what}: {error}", remedy=f"pip install {name}"
        ) from error


# ── bytes ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def encode(value: Any) -> Any:
    """The value as a buffer that begins with how to read it."""
    numpy, arrow = sys.modules.get("numpy"), sys.modules.get("pyarrow")
    if numpy is not None and type(value) is getattr(numpy, "ndarray", None):
        found = _tensor(value, numpy)
        if found is not None:
            return found
    if arrow is not None and isinstance(value, (arrow.Table, arrow.RecordBatch, arrow.Array)):
        return _stream(value, arrow)
    return pickled(value)


def pickled(value: Any) -> memoryview:
    """The value as a pickle, with its prefix."""
    import cloudpickle

    out = io.BytesIO()
    out.write(PICKLE)
    try:
        cloudpickle.CloudPickler(out, protocol=cloudpickle.DEFAULT_PROTOCOL).dump(value)
    except Exception as error:  # whatever the value's own methods raise
        kind = type(value).__qualname__
        raise ObjectError(
            FlameErrorCode.INVALID_ARGUMENT,
            f"cannot pickle the {kind}: {type(error).__name__}: {error}",
            remedy="keep connections, locks, open files and the like out of it, or give it a __reduce__",
        ) from error
    return out.getbuffer()


def _tensor(value: Any, numpy: Any) -> Any:
    if value.dtype.kind not in _TENSOR_KINDS or not value.dtype.isnative or not value.size or value.dtype.itemsize > 8:
        return None
    import pyarrow as pa

    tensor = pa.Tensor.from_numpy(numpy.ascontiguousarray(value) if value.ndim else value)
    buffer = pa.allocate_buffer(_PREFIX_BYTES + pa.ipc.get_tensor_size(tensor))
    view = memoryview(buffer).cast("B")
    view[:_PREFIX_BYTES] = TENSOR
    # A sink of its own: the tensor is aligned to where it begins.
    pa.ipc.write_tensor(tensor, pa.FixedSizeBufferWriter(pa.py_buffer(view[_PREFIX_BYTES:])))
    return buffer


def _stream(value: Any, pa: Any) -> Any:
    if isinstance(value, pa.Table):
        prefix, batches, schema = TABLE, value.to_batches(), value.schema
    elif isinstance(value, pa.RecordBatch):
        prefix, batches, schema = BATCH, [value], value.schema
    else:
        prefix, schema = ARRAY, pa.schema([pa.field("data", value.type)])
        batches = [pa.RecordBatch.from_arrays([value], schema=schema)]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return b"".join((prefix, memoryview(sink.getvalue())))


def decode(data: Any) -> Any:
    """The value in a buffer. Bytes without a known beginning, as clients in other languages put them, stay bytes."""
    view = memoryview(data)
    prefix, rest = bytes(view[:_PREFIX_BYTES]), view[_PREFIX_BYTES:]
    if prefix == PICKLE:
        return _unpickled(rest)
    if prefix in (TENSOR, TABLE, ARRAY, BATCH):
        return _from_arrow(prefix, rest)
    if prefix[:1] == b"\x80":  # a pickle of an early release, without a prefix
        return _unpickled(view)
    return bytes(view)


def _unpickled(data: memoryview) -> Any:
    try:
        return pickle.loads(data)
    except (ImportError, AttributeError) as error:
        raise ObjectError(
            FlameErrorCode.INVALID_STATE,
            f"the object cannot be unpickled here: {error}",
            remedy="what it is made of must be importable where it is read: install the package, or keep the code in "
            "the project that is packaged",
        ) from error
    except Exception as error:  # anything may be in there
        raise ObjectError(
            FlameErrorCode.INTERNAL, f"the object cannot be unpickled: {type(error).__name__}: {error}"
        ) from error


def _from_arrow(prefix: bytes, rest: memoryview) -> Any:
    import pyarrow as pa

    source = pa.BufferReader(pa.py_buffer(rest))
    try:
        if prefix == TENSOR:
            array = pa.ipc.read_tensor(source).to_numpy()
            if not array.flags.aligned:  # where it lies in the message that brought it is chance
                array = array.copy()
            array.flags.writeable = False
            return array
        table = pa.ipc.open_stream(source).read_all()
    except pa.ArrowException as error:
        raise ObjectError(FlameErrorCode.DATA_LOSS, f"the object is not what its beginning says: {error}") from error
    if prefix == TABLE:
        return table
    if prefix == ARRAY:
        return table.column("data").combine_chunks()
    batches = table.to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)
