"""The state of a stateful instance: in the object cache after every call that changed it.

A process that dies takes nothing along that was answered: the next one begins with the state of the cache. The calls
that were applied last are kept with it, so that a call that is made again, because its answer was lost with its worker,
gets the answer of then and changes nothing.

**Invariant:** a state is written only in the place of the one that it was made from. Whoever finds another one there
begins again from that, or stops when it is of a later run: then this executor was given up.
**Invariant:** a call that raises has changed nothing.
"""

from __future__ import annotations

import logging
from typing import Any, Callable, Dict, Optional

from ..core.cache import ObjectRef, VersionConflict, values
from ..core.cache.objects import load
from ..core.cache.own import replace_if
from ..core.errors import FlameError, FlameErrorCode
from . import arguments
from .types import RunnerContext, SavedState

logger = logging.getLogger("flamepy.runner")

# Answers that are kept with a state: the last ones, up to so many bytes, and never fewer than so many.
_APPLIED_BYTES_MAX = 64 * 1024
_APPLIED_MIN = 16

# How often a call begins again because others have changed the state meanwhile.
_TRIES = 10


class State:
    """Of one instance, in the process that serves it."""

    def __init__(self, ref: ObjectRef, context: RunnerContext) -> None:
        self._ref = ref
        self.context = context
        self._version = 0
        self._raw = b""
        self._object: Any = None
        self._applied: Dict[str, bytes] = {}
        self._token = 0

    @classmethod
    def of(cls, ref: ObjectRef, found: Any, version: int) -> State:
        """The state in what the cache has: what the client made, or what a call has left."""
        context = found.context if isinstance(found, SavedState) else found
        state = cls(ref, context)
        state._take(found, version)
        return state

    def call(self, task_id: str, token: int, run: Callable[[Any], Any], answer: Callable[[Any, int], bytes]) -> bytes:
        """Runs a call on the instance and returns its answer, when the state that it left is in the cache."""
        for _ in range(_TRIES):
            known = self._applied.get(task_id)
            if known is not None:
                logger.info("call %s was applied by an earlier run", task_id)
                return known
            try:
                result = run(self._object)
                raw = bytes(values.pickled(self._object)[4:])
            except BaseException:
                self._restore()
                raise
            if raw == self._raw:
                return answer(result, self._version)
            reply = answer(result, self._version + 1)
            if self._write(task_id, token, raw, reply):
                return reply
        raise FlameError(
            FlameErrorCode.ABORTED,
            f"the state was changed by others {_TRIES} times while this call ran: nothing was done",
        )

    def _write(self, task_id: str, token: int, raw: bytes, reply: bytes) -> bool:
        applied = _last_of({**self._applied, task_id: reply})
        token = max(token, self._token)
        saved = SavedState(_without_object(self.context), raw, applied, token)
        try:
            ref = replace_if(self._ref, saved, self._version)
        except VersionConflict:
            self._reload(token)
            return False
        except BaseException:
            self._restore()
            raise
        self._raw, self._applied, self._token, self._version = raw, applied, token, ref.version
        return True

    def _reload(self, token: int) -> None:
        found, version = load(ObjectRef(self._ref.endpoint, self._ref.key))
        if not isinstance(found, SavedState):
            raise FlameError(FlameErrorCode.ABORTED, "the instance was put anew while this call ran: nothing was done")
        self._take(found, version)
        if self._token > token:
            raise FlameError(FlameErrorCode.ABORTED, "another executor has taken the instance over: nothing was done")

    def _take(self, found: Any, version: int) -> None:
        if isinstance(found, SavedState):
            self._raw, self._applied, self._token = found.state, dict(found.applied), found.token
        else:
            self._raw = bytes(values.pickled(found.execution_object)[4:])
        self._version = version
        self._restore()

    def _restore(self) -> None:
        """The instance as it was last written."""
        self._object = arguments.unpickled(self._raw, "the state of the instance")


def _without_object(context: RunnerContext) -> RunnerContext:
    copy = RunnerContext.__new__(RunnerContext)
    copy.__dict__.update(context.__dict__, execution_object=None)
    return copy


def _last_of(applied: Dict[str, bytes]) -> Dict[str, bytes]:
    kept: Dict[str, bytes] = {}
    size = 0
    for task_id in reversed(applied):
        size += len(applied[task_id]) + len(task_id)
        if size > _APPLIED_BYTES_MAX and len(kept) >= _APPLIED_MIN:
            break
        kept[task_id] = applied[task_id]
    return dict(reversed(list(kept.items())))


def state_of(ref: ObjectRef, found: Any, version: int) -> Optional[State]:
    """The state of a session, when it has one."""
    context = found.context if isinstance(found, SavedState) else found
    return State.of(ref, found, version) if context.stateful else None
