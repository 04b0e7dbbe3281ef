"""Reads what the tasks of a service carry, for people and tools that look at tasks: `get_data`."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Dict, Optional, Tuple

from ..core.errors import FlameError, FlameErrorCode

_DEPTH_MAX = 10


class ErrorType(Enum):
    """What was wrong with the data."""

    DECODE_ERROR = "decode_error"
    CACHE_RETRIEVAL_ERROR = "cache_retrieval_error"
    DATA_FORMAT_ERROR = "data_format_error"


class RunnerError(FlameError):
    """Data of a task that cannot be read."""

    def __init__(
        self,
        error_type: ErrorType,
        message: str,
        cause: Optional[Exception] = None,
        key: Optional[str] = None,
        data_type: Optional[str] = None,
        *,
        code: FlameErrorCode = FlameErrorCode.INVALID_ARGUMENT,
    ) -> None:
        super().__init__(code, message)
        self.error_type = error_type
        self.cause = cause
        self.key = key
        """Of the object that could not be had."""
        self.data_type = data_type

    def __str__(self) -> str:
        return f"[{self.error_type.value}] {self.message}"

    def __reduce__(self) -> Tuple[Any, ...]:
        return RunnerError, (self.error_type, self.message, self.cause, self.key, self.data_type)


@dataclass
class TaskInputData:
    """A call."""

    type: str = field(default="input", init=False)
    method: Optional[str] = None
    args: Optional[Tuple[Any, ...]] = None
    kwargs: Optional[Dict[str, Any]] = None
    metadata: Dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> Dict[str, Any]:
        return {
            "type": self.type,
            "method": self.method,
            "args": self.args,
            "kwargs": self.kwargs,
            "metadata": self.metadata,
        }


@dataclass
class TaskOutputData:
    """A result."""

    type: str = field(default="output", init=False)
    result: Any = None
    metadata: Dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> Dict[str, Any]:
        return {"type": self.type, "result": self.result, "metadata": self.metadata}


def get_data(data: bytes) -> Dict[str, Any]:
    """What the input or output of a task of a service says.

    A dict with `type`: of an input `method`, `args`, `kwargs`; of an output `result`; of both `metadata`, with the key of
    the object that it was in. References in arguments are followed, also in lists, tuples and dicts. Unpickles: only for
    data that can be trusted. Raises RunnerError.
    """
    # Here, because those modules use what is above.
    from ..core.cache import ObjectRef
    from ..core.cache.ref import try_decode
    from . import answer

    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise RunnerError(
            ErrorType.DECODE_ERROR, f"data of a task is bytes, not {type(data).__name__}", data_type=type(data).__name__
        )
    data = bytes(data)
    metadata: Dict[str, Any] = {}
    if answer.is_answer(data):
        found = answer.decode(data)
        if found.state_version:
            metadata["state_version"] = found.state_version
        if found.ref is None:
            return TaskOutputData(result=found.value(), metadata=metadata).to_dict()
        ref: Optional[ObjectRef] = found.ref
    else:
        ref = try_decode(data)
    if ref is not None:
        metadata["object_ref_key"] = ref.key
        return _shown(_read(ref), metadata)
    if data[:1] != b"\x80":
        raise RunnerError(
            ErrorType.DECODE_ERROR,
            "Failed to decode data: it is neither a reference, nor a result, nor a pickle",
            data_type="bytes",
        )
    return _shown(_unpickled(data), metadata)


def _shown(value: Any, metadata: Dict[str, Any]) -> Dict[str, Any]:
    from . import arguments
    from .types import BoundRequest, RunnerRequest

    if isinstance(value, BoundRequest):
        value = _guarded(lambda: arguments.opened(value))
    if isinstance(value, RunnerRequest):
        args = None if value.args is None else tuple(_resolved(one, 0) for one in value.args)
        kwargs = None if value.kwargs is None else {name: _resolved(one, 0) for name, one in value.kwargs.items()}
        return TaskInputData(value.method, args, kwargs, metadata).to_dict()
    return TaskOutputData(value, metadata).to_dict()


def _resolved(value: Any, depth: int) -> Any:
    from ..core.cache import ObjectRef

    if depth > _DEPTH_MAX:
        raise RunnerError(
            ErrorType.DATA_FORMAT_ERROR, f"the data is nested deeper than {_DEPTH_MAX}", data_type=type(value).__name__
        )
    if isinstance(value, ObjectRef):
        return _read(value)
    if type(value) in (list, tuple):
        return type(value)(_resolved(one, depth + 1) for one in value)
    if type(value) is dict:
        return {name: _resolved(one, depth + 1) for name, one in value.items()}
    return value


def _read(ref: Any) -> Any:
    from ..core.cache import get_object

    try:
        return get_object(ref)
    except Exception as error:
        raise RunnerError(
            ErrorType.CACHE_RETRIEVAL_ERROR, f"Failed to retrieve object from cache: {error}", error, ref.key
        ) from error


def _unpickled(data: bytes) -> Any:
    import pickle

    return _guarded(lambda: pickle.loads(data))


def _guarded(call: Any) -> Any:
    try:
        return call()
    except RunnerError:
        raise
    except Exception as error:  # a pickle may raise anything
        raise RunnerError(
            ErrorType.DECODE_ERROR, f"Failed to decode data: {error}", error, data_type="bytes"
        ) from error
