"""How values become the bytes of inputs, outputs and common data.

| codec | carries | read by |
|---|---|---|
| `JSON` (default) | pydantic models, dataclasses, builtin types; bytes inside them as base64url text | any language |
| `MESSAGE_PACK` | the same, smaller, bytes as they are; needs the extra `flamepy[msgpack]` | any language |
| `PICKLE` | whatever cloudpickle takes | Python of the same version |

Both sides must use the same one. A value that is bytes itself travels as it is, under any codec.

**Invariant:** a value is checked against the type that its receiver declares; what does not fit is a [CodecError] that
names the field, what was expected and what came.
**Invariant:** nothing is unpickled unless the receiver chose `PICKLE`: reading a pickle runs code of whoever wrote it.
"""

from __future__ import annotations

import types
import typing
from functools import lru_cache
from typing import Any, List, Optional, Protocol, Tuple, Union

from ._remote import PlainFailure, cut

if typing.TYPE_CHECKING:
    import pydantic

__all__ = ["JSON", "MESSAGE_PACK", "PICKLE", "Codec", "CodecError", "decode_output", "encode_input"]

Bytes = (bytes, bytearray, memoryview)

# Of a value that does not fit so much is shown, in bytes, and so many of its faults.
_VALUE_BYTES_MAX = 80
_FAULTS_MAX = 8


class CodecError(PlainFailure, ValueError):
    """A value that cannot be encoded or decoded as the type that was declared for it."""


class Codec(Protocol):
    """Turns values into bytes and back. Both methods raise [CodecError]."""

    @property
    def name(self) -> str:
        """How it is called in messages."""

    def encode(self, value: Any, kind: Any = Any) -> bytes:
        """The bytes of `value`, which is declared to be a `kind`."""

    def decode(self, data: bytes, kind: Any = Any) -> Any:
        """The value in `data`, which is to be a `kind`."""


class _Checking:
    """A codec that checks values by their types."""

    @staticmethod
    def prepare(kind: Any) -> None:
        """Refuses a type whose values cannot be checked, and makes the first check as fast as the others."""
        _adapter(kind)


class _Json(_Checking):
    name = "JSON"

    def encode(self, value: Any, kind: Any = Any) -> bytes:
        adapter = _adapter_for(value, kind, self.name)
        try:
            return adapter.dump_json(value, warnings="error")
        except ValueError as error:  # pydantic's and those of values that JSON has no place for
            raise CodecError(_cannot_encode(self.name, value, kind, error)) from None

    def decode(self, data: bytes, kind: Any = Any) -> Any:
        import pydantic

        adapter = _adapter(kind)
        try:
            return _checked(adapter.validate_json(data), kind)
        except pydantic.ValidationError as error:
            raise CodecError(_misfit(self.name, kind, error, len(data))) from None


class _MessagePack(_Checking):
    name = "MessagePack"

    def encode(self, value: Any, kind: Any = Any) -> bytes:
        import pydantic_core

        packer = _msgpack()
        adapter = _adapter_for(value, kind, self.name)
        try:
            plain = adapter.dump_python(value, warnings="error")
            raw: bytes = packer.packb(plain, default=pydantic_core.to_jsonable_python, use_bin_type=True)
        except (ValueError, TypeError, OverflowError) as error:
            raise CodecError(_cannot_encode(self.name, value, kind, error)) from None
        return raw

    def decode(self, data: bytes, kind: Any = Any) -> Any:
        import pydantic

        packer = _msgpack()
        adapter = _adapter(kind)
        try:
            value = packer.unpackb(data, raw=False, strict_map_key=False)
        except (ValueError, packer.exceptions.UnpackException) as error:
            raise CodecError(f"{len(data)} bytes that are not {self.name}: {error}") from None
        try:
            return _checked(adapter.validate_python(value), kind)
        except pydantic.ValidationError as error:
            raise CodecError(_misfit(self.name, kind, error, len(data))) from None


class _Pickle:
    name = "pickle"

    def encode(self, value: Any, kind: Any = Any) -> bytes:
        import cloudpickle

        try:
            raw: bytes = cloudpickle.dumps(value)
        except Exception as error:  # the value's own code runs here
            raise CodecError(_cannot_encode(self.name, value, kind, error)) from None
        return raw

    def decode(self, data: bytes, kind: Any = Any) -> Any:
        import cloudpickle

        try:
            value = cloudpickle.loads(data)
        except Exception as error:  # the value's own code runs here
            raise CodecError(f"{len(data)} bytes that cannot be unpickled: {type(error).__name__}: {error}") from None
        if kind is not Any and isinstance(kind, type) and not isinstance(value, kind):
            raise CodecError(f"expected {name_of(kind)}, got {_shown(value)}")
        return value


JSON: Codec = _Json()
MESSAGE_PACK: Codec = _MessagePack()
PICKLE: Codec = _Pickle()


def encode_input(value: Any, codec: Codec = JSON) -> Optional[bytes]:
    """The input of a task for `value`: none for None, bytes as they are, everything else by the codec."""
    if value is None:
        return None
    if isinstance(value, Bytes):
        return bytes(value)
    return codec.encode(value)


def decode_output(data: Optional[bytes], kind: Any = None, codec: Codec = JSON) -> Any:
    """The value of a task's output: None when there is none, bytes when no other `kind` is asked for."""
    if data is None or kind is None or kind in Bytes:
        return data
    return codec.decode(data, kind)


def name_of(kind: Any) -> str:
    """How a type is called in messages."""
    if isinstance(kind, type) and not typing.get_args(kind):
        return kind.__qualname__
    return str(kind).replace("typing.", "")


def is_optional(kind: Any) -> bool:
    """Whether None is a value of `kind`."""
    if kind is None or kind is type(None) or kind is Any:
        return True
    return any(is_optional(one) for one in _members(kind))


def is_bytes(kind: Any) -> bool:
    """Whether a value of `kind` travels as it is."""
    if kind in Bytes:
        return True
    members = [one for one in _members(kind) if one is not type(None)]
    return len(members) == 1 and is_bytes(members[0])


def _members(kind: Any) -> Tuple[Any, ...]:
    """The types of a union."""
    origin = typing.get_origin(kind)
    is_union = origin is Union or (origin is not None and origin is getattr(types, "UnionType", None))
    return typing.get_args(kind) if is_union else ()


@lru_cache(maxsize=1024)
def _adapter_of(kind: Any) -> pydantic.TypeAdapter[Any]:
    import pydantic

    # A setting is refused beside a type that may have its own; beside a union it is taken as what holds otherwise.
    settings = pydantic.ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
    try:
        adapter: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(Optional[kind], config=settings)
        if not getattr(adapter, "pydantic_complete", True):  # from 2.10 on; earlier releases refuse at once
            adapter.rebuild(force=True, raise_errors=True)
        return adapter
    except (pydantic.errors.PydanticUserError, pydantic.errors.PydanticUndefinedAnnotation) as error:
        # What follows the first sentence is for whoever calls pydantic.
        why = " ".join(str(error.message).split()).partition(". ")[0]
        raise CodecError(f"{name_of(kind)} cannot be checked: {why}") from None


def _adapter(kind: Any) -> pydantic.TypeAdapter[Any]:
    try:
        return _adapter_of(kind)
    except TypeError:  # not hashable, such as Annotated[int, []]
        return _adapter_of.__wrapped__(kind)


def _adapter_for(value: Any, kind: Any, codec: str) -> pydantic.TypeAdapter[Any]:
    if value is None and not is_optional(kind):
        raise CodecError(
            f"NoneType cannot be encoded as {name_of(kind)} in {codec}: expected {name_of(kind)}, got None"
        )
    return _adapter(kind)


def _checked(value: Any, kind: Any) -> Any:
    """Takes back that None was let through."""
    if value is None and not is_optional(kind):
        raise CodecError(f"expected {name_of(kind)}, got null")
    return value


def _msgpack() -> Any:
    try:
        import msgpack
    except ImportError:
        raise CodecError("MessagePack needs a package that is not here: pip install 'flamepy[msgpack]'") from None
    return msgpack


def _cannot_encode(codec: str, value: Any, kind: Any, error: Exception) -> str:
    text = " ".join(str(error).split()).replace("Pydantic serializer warnings: ", "")
    declared = "" if kind is Any else f" as {name_of(kind)}"
    return cut(f"{type(value).__qualname__} cannot be encoded{declared} in {codec}: {text}", 1000)


def _misfit(codec: str, kind: Any, error: pydantic.ValidationError, size: int) -> str:
    """What does not fit, field by field."""
    faults: List[str] = []
    for fault in error.errors(include_url=False, include_context=False):
        if fault["type"] == "json_invalid":
            return f"{size} bytes that are not {codec}: {fault['msg'].replace('Invalid JSON: ', '')}"
        where = ".".join(str(step) for step in fault["loc"])
        what = fault["msg"].replace("Input should be", "should be")
        text = "is missing" if fault["type"] == "missing" else f"{what}, got {_shown(fault['input'])}"
        faults.append(f"{where}: {text}" if where else text)
    more = len(faults) - _FAULTS_MAX
    del faults[_FAULTS_MAX:]
    if more > 0:
        faults.append(f"and {more} more")
    return f"not a valid {name_of(kind)}: " + "; ".join(faults)


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:  # somebody else's __repr__
        text = "a value that cannot be shown"
    return f"{cut(text, _VALUE_BYTES_MAX)} ({type(value).__qualname__})"
