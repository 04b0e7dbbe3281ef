"""The service of a session whose inputs, outputs and context are Python objects."""

from __future__ import annotations

import inspect
from typing import Any, Callable, Optional, TypeVar

from ..codec import PICKLE
from ..core.errors import FlameError, FlameErrorCode
from ..core.service import FlameService, SessionContext, TaskContext, run
from ._context import Context

F = TypeVar("F", bound=Callable[..., Any])


class FlameInstance(FlameService):
    """A service that is one function of objects. It takes the task's input, or nothing.

    `context_updates="process"` allows `update_context` also without an object cache; see there.
    """

    def __init__(self, *, context_updates: Optional[str] = None) -> None:
        if context_updates not in (None, "process"):
            raise ValueError(f"context_updates must be None or 'process', not {context_updates!r}")
        self._keeps_updates = context_updates == "process"
        self._function: Optional[Callable[..., Any]] = None
        self._takes_input = False
        self._context: Optional[Context] = None

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
        """The context of the session as it is now; None if it has none."""
        return None if self._context is None else self._context.get()

    def update_context(self, data: Any) -> None:
        """Replaces the context of the session, for everybody: this process, other executors, `Session.context()` of the
        client. Of several that do so at a time the last one stays.

        It takes an object cache, which clients and workers have configured, and a session that was made with a context.
        A context that came within the session instead is replaced **in this process only**, for later tasks of this
        session, if the instance was made with `context_updates="process"`; otherwise FlameError INVALID_STATE.
        """
        context = self._context
        if context is None:
            raise FlameError(FlameErrorCode.INVALID_STATE, "no session is served now")
        if not context.is_shared and not self._keeps_updates:
            raise _not_shared(context)
        context.replace(data)

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
        found = Context(context.common_data())
        found.get()  # one that cannot be read refuses the session, not each of its tasks
        self._context = found

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


async def _encoded_later(result: Any) -> bytes:
    return PICKLE.encode(await result)


def _not_shared(context: Context) -> FlameError:
    if context.is_there:
        return FlameError(
            FlameErrorCode.INVALID_STATE,
            "update_context needs an object cache, and the context of this session came within the session",
            remedy="configure an object cache for the client that makes the session (FLAME_CACHE_ENDPOINT). Or, if one "
            "executor serves the session and its state may be lost with it, make the instance with "
            'FlameInstance(context_updates="process")',
        )
    return FlameError(
        FlameErrorCode.INVALID_STATE,
        "update_context has nothing to update: the session was made without a context",
        remedy="give flamepy.service.Session a ctx",
    )
