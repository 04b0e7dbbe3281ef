"""The service of a session whose inputs, outputs and context are Python objects."""

from __future__ import annotations

import inspect
from typing import Any, Callable, Optional, TypeVar

from ..codec import PICKLE
from ..core.errors import FlameError, FlameErrorCode
from ..core.service import FlameService, SessionContext, TaskContext, run
from ._context import decode_context

F = TypeVar("F", bound=Callable[..., Any])


class FlameInstance(FlameService):
    """A service that is one function of objects. It takes the task's input, or nothing.

    `context_updates="process"` allows `update_context`; see there.
    """

    def __init__(self, *, context_updates: Optional[str] = None) -> None:
        if context_updates not in (None, "process"):
            raise ValueError(f"context_updates must be None or 'process', not {context_updates!r}")
        self._keeps_updates = context_updates == "process"
        self._function: Optional[Callable[..., Any]] = None
        self._takes_input = False
        self._context: Any = None
        self._session_id: Optional[str] = None

    def entrypoint(self, func: F) -> F:
        """Declares the function that runs a task. An `async def` runs on the service's event loop."""
        parameters = inspect.signature(func).parameters.values()
        needed = [one for one in parameters if one.default is one.empty and one.kind is not one.VAR_POSITIONAL]
        if len(needed) > 1 or any(one.kind is one.KEYWORD_ONLY for one in needed):
            raise FlameError(
                FlameErrorCode.INVALID_ARGUMENT,
                f"{getattr(func, '__name__', 'the entrypoint')} must have no parameter or one, the task's input",
            )
        self._function = func
        self._takes_input = len(parameters) > 0
        return func

    def context(self) -> Any:
        """The context of the session; None if it has none."""
        return self._context

    def update_context(self, data: Any) -> None:
        """Replaces the context, for later tasks of this session **in this process only**.

        Elsewhere nobody sees it: neither other executors of the session, nor `Session.context()` of the client, nor the
        next process when this one ends. That takes an object cache, which there is not yet. It is therefore refused
        with FlameError INVALID_STATE unless the instance was made with `context_updates="process"`.
        """
        if self._session_id is None:
            raise FlameError(FlameErrorCode.INVALID_STATE, "no session is served now")
        if not self._keeps_updates:
            raise FlameError(
                FlameErrorCode.INVALID_STATE,
                "update_context needs an object cache, which this cluster does not have",
                remedy="if one executor serves the session and its state may be lost with it, make the instance with "
                'FlameInstance(context_updates="process"); otherwise return the new state to the client',
            )
        self._context = data

    def run(self) -> None:
        """Serves the worker that started this process, until it is told to end. See `flamepy.run`."""
        if self._function is None:
            raise FlameError(
                FlameErrorCode.INVALID_STATE,
                "the service has no entrypoint",
                remedy="put @ins.entrypoint above the function that runs a task",
            )
        run(self)

    # ── being called ────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def _is_async(self) -> bool:
        return inspect.iscoroutinefunction(self._function)

    def on_session_enter(self, context: SessionContext) -> None:
        self._context = decode_context(context.common_data())
        self._session_id = context.session_id

    def on_task_invoke(self, context: TaskContext) -> Any:
        if self._function is None:
            raise FlameError(FlameErrorCode.INVALID_STATE, "the service has no entrypoint")
        if self._takes_input:
            result = self._function(None if context.input is None else PICKLE.decode(context.input))
        else:
            result = self._function()
        return _encoded_later(result) if inspect.isawaitable(result) else PICKLE.encode(result)

    def on_session_leave(self) -> None:
        self._context = None
        self._session_id = None


async def _encoded_later(result: Any) -> bytes:
    return PICKLE.encode(await result)
