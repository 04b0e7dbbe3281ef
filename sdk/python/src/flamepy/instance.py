"""A service that is one function: `FlameInstance`, `@entrypoint`, `run`.

```python
ins = flamepy.FlameInstance()

@ins.entrypoint
def crawl(page: WebPage) -> Answer:
    ...

ins.run()
```

The annotations say what travels: pydantic models, dataclasses and builtin types by the instance's codec (JSON unless
another is given), `bytes` as they are. What does not fit its annotation fails the task with a text that names the
field.

**Invariant:** an entrypoint that could never be called is refused when it is declared or when the service starts, not
with its first task.
**Invariant:** the function that is decorated stays as it is and can be called, and tested, without a cluster.
"""

from __future__ import annotations

import inspect
import typing
from typing import Any, Callable, Dict, Iterable, List, Optional, Tuple, TypeVar, Union, overload

from . import codec as codecs
from ._remote import PlainFailure
from ._service.context import ApplicationContext, SessionContext, TaskContext, current_task
from ._service.publisher import Key, Publisher
from .codec import Codec, CodecError, is_bytes, is_optional, name_of
from .core.errors import FlameError, FlameErrorCode
from .core.service import FlameService, run

if typing.TYPE_CHECKING:
    from pydantic import BaseModel

    Request = BaseModel
    Response = BaseModel

__all__ = ["FlameInstance", "Request", "Response", "task_context"]

F = TypeVar("F", bound=Callable[..., Any])


def __getattr__(name: str) -> Any:
    # The names that examples of earlier releases derive their models from.
    if name in ("Request", "Response"):
        from pydantic import BaseModel

        return BaseModel
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def task_context() -> TaskContext:
    """The task that the calling code runs for: its id, input, token, attempt and cancellation.

    It is known in the thread, or asyncio task, that runs the entrypoint and in asyncio tasks begun there; threads that
    user code starts must be given it. Raises FlameError INVALID_STATE when no task runs.
    """
    context = current_task.get()
    if context is None:
        raise FlameError(FlameErrorCode.INVALID_STATE, "no task runs here: task_context() is for code of an entrypoint")
    return context


class FlameInstance(FlameService):
    """A service made of functions. Sessions come one after the other, and tasks of a session in their order."""

    def __init__(self, codec: Codec = codecs.JSON) -> None:
        self._codec = codec
        self._entrypoint: Optional[_Function] = None
        self._context: Optional[_Function] = None
        self._context_kind: Any = Any
        self._context_value: Any = None
        self._session: Optional[SessionContext] = None
        self._publisher = Publisher()

    # ── declaring ───────────────────────────────────────────────────────────────────────────────────────────────────

    def entrypoint(self, function: F) -> F:
        """Declares the function that runs a task. It takes the task's input, or nothing, and returns its output.

        A parameter annotated `TaskContext` or `SessionContext` is given just that. An `async def` runs on the
        service's event loop.
        """
        if self._entrypoint is not None:
            raise FlameError(
                FlameErrorCode.INVALID_STATE,
                f"{_name(function)} cannot be the entrypoint: {self._entrypoint.name} is; a service has one",
            )
        self._entrypoint = _Function(function)
        return function

    @overload
    def context(self) -> Any: ...

    @overload
    def context(self, declared: F) -> F: ...

    def context(self, declared: Optional[Callable[..., Any]] = None) -> Any:
        """As a decorator, declares what takes the common data of a session: a function, which is called when a session
        with common data begins, or just its type. Without an argument, what the session's common data holds: None if
        there is none."""
        if declared is None:
            return self._context_value
        if self._context is not None or self._context_kind is not Any:
            raise FlameError(FlameErrorCode.INVALID_STATE, "the context is declared already")
        if isinstance(declared, type):
            self._context_kind = declared
        else:
            self._context = _Function(declared)
        return declared

    def run(self) -> None:
        """Serves the worker that started this process, until it is told to end. See `flamepy.run`."""
        if self._entrypoint is None:
            raise FlameError(
                FlameErrorCode.INVALID_STATE,
                "the service has no entrypoint",
                remedy="put @ins.entrypoint above the function that runs a task",
            )
        self._entrypoint.prepare(self._codec)
        if self._context is not None:
            self._context.prepare(self._codec)
        run(self)

    # ── where we are ────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def session_id(self) -> str:
        """The session that this process serves."""
        return self._entered().session_id

    @property
    def application(self) -> ApplicationContext:
        """The application of that session."""
        return self._entered().application

    @property
    def tokens(self) -> Dict[str, str]:
        """The secrets of that session, by service name."""
        return self._entered().tokens

    def task_context(self) -> TaskContext:
        """As `flamepy.task_context`."""
        return task_context()

    def publish(self, keys: Iterable[Key]) -> None:
        """Says that this executor holds `keys`: tasks with that affinity are rather given to it."""
        self._publisher.publish(keys)

    def retract(self, keys: Iterable[Key]) -> None:
        """Says that this executor does not hold `keys` any more."""
        self._publisher.retract(keys)

    # ── being called ────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def _is_async(self) -> bool:
        return any(function is not None and function.is_async for function in (self._entrypoint, self._context))

    def publisher(self) -> Publisher:
        return self._publisher

    def on_session_enter(self, context: SessionContext) -> Any:
        self._session = context
        self._context_value = None
        data = context.common_data()
        if self._context is None:
            self._context_value = None if data is None else self._decode_context(data)
            return None
        if data is None and not self._context.wants_nothing():
            return None
        value = self._context.input_of(data, self._codec)
        self._context_value = value
        return self._context.call(value, context, None)

    def on_task_invoke(self, context: TaskContext) -> Any:
        if self._entrypoint is None:
            raise PlainFailure("the service has no entrypoint")
        function = self._entrypoint
        result = function.call(function.input_of(context.input, self._codec), self._session, context)
        if function.is_async:
            return _output_later(function, result, self._codec)
        return function.output_of(result, self._codec)

    def on_session_leave(self) -> None:
        self._session = None
        self._context_value = None

    def _decode_context(self, data: bytes) -> Any:
        if is_bytes(self._context_kind):
            return data
        try:
            return self._codec.decode(data, self._context_kind)
        except CodecError as error:
            if self._context_kind is Any:
                return data  # nobody said that it would be anything else
            raise CodecError(f"the common data of the session: {error}") from None

    def _entered(self) -> SessionContext:
        if self._session is None:
            raise FlameError(FlameErrorCode.INVALID_STATE, "no session is served now")
        return self._session


async def _output_later(function: _Function, result: Any, codec: Codec) -> Optional[bytes]:
    return function.output_of(await result, codec)


class _Function:
    """A function of the user's, and what its annotations say."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self.name = _name(function)
        self.is_async = any(map(inspect.iscoroutinefunction, (function, getattr(function, "__call__", None))))  # noqa: B004
        self._parameters = self._parameters_of(function)
        self._is_resolved = False
        # Filled in by `resolve`.
        self._payload: Optional[inspect.Parameter] = None
        self._kind: Any = Any
        self._returns: Any = Any
        self._is_raw = True
        self._needs_input = False
        self._takes_input_only = False
        # For each parameter: what it is given, or the default that it keeps.
        self._given: List[Tuple[str, Any]] = []

    def resolve(self) -> None:
        """Reads the annotations. They may name classes that are written below the function, so not before it runs."""
        if self._is_resolved:
            return
        kinds = self._annotations()
        payloads: List[inspect.Parameter] = []
        given: List[Tuple[str, Any]] = []
        for parameter in self._parameters:
            kind = kinds.get(parameter.name, bytes)
            if kind in (TaskContext, Optional[TaskContext]):
                given.append(("task", None))
            elif kind in (SessionContext, Optional[SessionContext]):
                given.append(("session", None))
            elif parameter.default is not parameter.empty and payloads:
                given.append(("default", parameter.default))
            else:
                payloads.append(parameter)
                given.append(("input", None))
        if len(payloads) > 1:
            names = ", ".join(parameter.name for parameter in payloads)
            raise FlameError(
                FlameErrorCode.INVALID_ARGUMENT,
                f"{self.name} takes {len(payloads)} inputs ({names}), a task has one",
                remedy="put them into one model or dataclass",
            )
        if payloads:
            self._payload = payloads[0]
            self._kind = kinds.get(self._payload.name, bytes)
            self._is_raw = is_bytes(self._kind)
            has_default = self._payload.default is not inspect.Parameter.empty
            self._needs_input = not has_default and not is_optional(self._kind)
        self._returns = kinds.get("return", Any)
        self._given = given
        self._takes_input_only = [what for what, _ in given] == ["input"]
        self._is_resolved = True

    def prepare(self, codec: Codec) -> None:
        """Finds out before the first task whether what it takes and gives can travel."""
        self.resolve()
        check: Optional[Callable[[Any], None]] = getattr(codec, "prepare", None)
        if check is None:
            return  # a codec of the user's own
        try:
            if self._payload is not None and not self._is_raw:
                check(self._kind)
            if not is_bytes(self._returns):
                check(self._returns)
        except CodecError as error:
            raise FlameError(FlameErrorCode.INVALID_ARGUMENT, f"an annotation of {self.name}: {error}") from None

    def wants_nothing(self) -> bool:
        """Whether it can be called without an input."""
        self.resolve()
        return not self._needs_input

    def input_of(self, data: Optional[bytes], codec: Codec) -> Any:
        """The value for the parameter that takes the input."""
        if not self._is_resolved:
            self.resolve()
        parameter = self._payload
        if parameter is None:
            return None
        if data is None:
            if self._needs_input:
                raise CodecError(f"{self.name} needs an input, {name_of(self._kind)}, and there is none")
            return None if parameter.default is parameter.empty else parameter.default
        if self._is_raw:
            return data
        try:
            return codec.decode(data, self._kind)
        except CodecError as error:
            raise CodecError(f"{parameter.name} of {self.name}: {error}") from None

    def call(self, value: Any, session: Optional[SessionContext], task: Optional[TaskContext]) -> Any:
        if self._takes_input_only:
            return self._function(value)
        known = {"input": value, "session": session, "task": task}
        return self._function(*(known.get(what, default) for what, default in self._given))

    def output_of(self, value: Any, codec: Codec) -> Optional[bytes]:
        """The output of a task for what the function returned."""
        if value is None and is_optional(self._returns):
            return None
        if isinstance(value, codecs.Bytes) and (self._returns is Any or is_bytes(self._returns)):
            return bytes(value)
        try:
            if self._returns is type(None) or is_bytes(self._returns):
                got = type(value).__qualname__
                raise CodecError(f"expected {name_of(self._returns)}, got {got}")
            return codec.encode(value, self._returns)
        except CodecError as error:
            raise CodecError(f"what {self.name} returned: {error}") from None

    def _annotations(self) -> Dict[str, Any]:
        function = inspect.unwrap(self._function)
        if not inspect.isroutine(function):
            function = type(function).__call__
        try:
            return typing.get_type_hints(function, include_extras=True)
        except NameError as error:
            raise FlameError(
                FlameErrorCode.INVALID_ARGUMENT,
                f"an annotation of {self.name} names something that is not there: {error}",
                remedy="import it where the function is written, not for type checkers only",
            ) from None
        except TypeError as error:
            raise FlameError(
                FlameErrorCode.INVALID_ARGUMENT,
                f"an annotation of {self.name} cannot be read: {error}",
                remedy="before Python 3.10 write Optional[X] for X | None, and Union[X, Y] for X | Y",
            ) from None

    @staticmethod
    def _parameters_of(function: Callable[..., Any]) -> List[inspect.Parameter]:
        """The parameters that can be given by position."""
        parameters: List[inspect.Parameter] = []
        for parameter in inspect.signature(function).parameters.values():
            if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
                parameters.append(parameter)
            elif parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty:
                raise FlameError(
                    FlameErrorCode.INVALID_ARGUMENT,
                    f"{_name(function)} cannot be called with an input alone: it needs {parameter.name}",
                )
        return parameters


def _name(function: Callable[..., Any]) -> str:
    name: Union[str, Any] = getattr(function, "__name__", None)
    return name if isinstance(name, str) else type(function).__name__
