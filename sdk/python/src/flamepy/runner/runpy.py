"""The service side of Runner: `python -m flamepy.runner.runpy`, the command of its applications.

It serves our Runner and the published one. What the client is, the context in the object cache says: one that asks for
no inline results reads references only.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import sys
from typing import Any, Optional

from ..core.cache import ObjectRef, values
from ..core.cache.objects import load, put_payload
from ..core.cache.ref import try_decode
from ..core.errors import FlameError, FlameErrorCode
from ..core.service import FlameService, SessionContext, TaskContext, run
from . import answer, arguments
from .scaling import invalid
from .state import State, state_of
from .types import RunnerContext, RunnerRequest, SavedState

logger = logging.getLogger("flamepy.runner")


class FlameRunpyService(FlameService):
    """Runs the calls of one session after the other."""

    def __init__(self) -> None:
        self._object: Any = None
        self._state: Optional[State] = None
        self._inline_bytes = 0
        self._prefix = ""

    def on_session_enter(self, context: SessionContext) -> None:
        ref = try_decode(context.common_data())
        if ref is None:
            raise invalid(
                "the session has no reference to a RunnerContext as its common data",
                "sessions of this application are made by flamepy.runner.Runner",
            )
        # Version 0: what an earlier session of this process has read is not looked at.
        found, version = load(ObjectRef(ref.endpoint, ref.key))
        if isinstance(found, bytes):  # as clients put it, also published ones
            found = arguments.unpickled(found, "what the service is made of")
        if not isinstance(found, (RunnerContext, SavedState)):
            raise invalid(f"the session's common data leads to a {type(found).__qualname__}, not to a RunnerContext")
        made = found.context if isinstance(found, SavedState) else found
        self._prefix = f"{context.application.name}/{context.session_id}"
        self._inline_bytes = made.inline_bytes
        self._state = state_of(ref, found, version)
        if self._state is None:
            self._object = made.execution_object() if inspect.isclass(made.execution_object) else made.execution_object
        logger.info("session %s: %s", context.session_id, "a stateful instance" if self._state else type(self._object))

    def on_task_invoke(self, context: TaskContext) -> bytes:
        request = arguments.unpack(context.input)
        if self._state is not None:
            call = functools.partial(_call, request)
            return self._state.call(context.task_id, context.token or 0, call, self._answer)
        return self._answer(_call(request, self._object), 0)

    def on_session_leave(self) -> None:
        self._object = self._state = None

    def _answer(self, result: Any, state_version: int) -> bytes:
        payload = self._payload(result)
        if not isinstance(payload, values.Native):
            view = memoryview(payload)
            if view.nbytes <= self._inline_bytes:
                return answer.Answer(payload=view, state_version=state_version).encode()
        ref = put_payload(self._prefix, payload)
        if not self._inline_bytes:
            return ref.encode()
        return answer.Answer(ref=ref, state_version=state_version).encode()

    def _payload(self, result: Any) -> Any:
        """The result as it travels. A small table goes as bytes, so that it can go with the answer."""
        try:
            native = values.native(result)
            if native is None or sum(batch.nbytes for batch in native.batches) <= self._inline_bytes // 2:
                found = values.encode(result)
                if native is None or memoryview(found).nbytes <= self._inline_bytes:
                    return found
            return native
        except FlameError as error:
            raise FlameError(error.code, f"the result of the call: {error.message}", remedy=error.remedy) from error


def _call(request: RunnerRequest, target: Any) -> Any:
    if request.method is None:
        function = target
        if not callable(function):
            raise invalid(f"a {type(target).__qualname__} cannot be called: the call names no method")
    elif request.method.startswith("_") or not callable(getattr(target, request.method, None)):
        raise FlameError(
            FlameErrorCode.INVALID_ARGUMENT, f"{type(target).__qualname__} has no public method {request.method!r}"
        )
    else:
        function = getattr(target, request.method)
    result = function(*(request.args or ()), **(request.kwargs or {}))
    return asyncio.run(_awaited(result)) if inspect.iscoroutine(result) else result


async def _awaited(result: Any) -> Any:
    return await result


def main() -> int:
    """Serves the worker that started this process."""
    # The folder of the project is where the worker starts it; modules of it are importable as for the client.
    if "" not in sys.path:
        sys.path.insert(0, "")
    run(FlameRunpyService())
    return 0


if __name__ == "__main__":
    sys.exit(main())
