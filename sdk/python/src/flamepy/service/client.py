"""A session whose inputs, outputs and context are Python objects."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Dict, Optional, Type, Union

from ..codec import PICKLE
from ..core import client as core
from ..core.errors import FlameError, FlameErrorCode
from ..core.future import TaskFuture
from ..core.types import ResourceRequirement
from ..util import short_name
from ._context import Context, drop_context, encode_context, is_cached, put_context


class Session:
    """A session of a service made with `flamepy.service.FlameInstance`.

    `name` makes a session of that application, with `ctx` as the context of all its tasks; `session_id` takes one that
    is open already. Exactly one of the two is given.

    The context is an object in the object cache if one is configured (`FLAME_CACHE_ENDPOINT`, `cache.endpoint`). Without
    one it has at most 1 MiB, and does not change.
    """

    def __init__(
        self,
        name: Optional[str] = None,
        ctx: Optional[Any] = None,
        session_id: Optional[str] = None,
        resreq: Optional[Union[ResourceRequirement, Dict[str, Any]]] = None,
    ) -> None:
        if (name is None) == (session_id is None):
            raise ValueError("exactly one of name and session_id must be given")
        if session_id is not None:
            if ctx is not None or resreq is not None:
                raise ValueError("ctx and resreq are for a new session: the one that is open has its own")
            self._session: Optional[core.Session] = core.open_session(session_id, codec=PICKLE)
        else:
            assert name is not None
            self._session = _created(name, ctx, _resources(resreq))
        self._context: Optional[Context] = None

    def id(self) -> Optional[str]:
        """The id of the session; None after `close`."""
        return None if self._session is None else self._session.id

    def context(self) -> Any:
        """The context of the session as it is now; None if it was made without one."""
        session = self._open()
        if self._context is None:
            self._context = Context(session.common_data())
        return self._context.get()

    def invoke(self, req: Any) -> Any:
        """Runs a task and waits for what it returns."""
        # Also bytes and None are pickled, as published. What comes back is unpickled by the session's codec.
        return self._open().invoke(PICKLE.encode(req))

    def run(self, req: Any) -> TaskFuture:
        """Submits a task and returns at once; the future has what the task returns."""
        return self._open().run(PICKLE.encode(req))

    def close(self) -> None:
        """Closes the session. A second time does nothing."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    def _open(self) -> core.Session:
        if self._session is None:
            raise FlameError(FlameErrorCode.INVALID_STATE, "the session is closed")
        return self._session


def _created(name: str, context: Any, resreq: Optional[ResourceRequirement]) -> core.Session:
    if context is None:
        return core.create_session(name, resreq=resreq, codec=PICKLE)
    if not is_cached():
        return core.create_session(name, common_data=encode_context(context), resreq=resreq, codec=PICKLE)
    session_id = short_name(name)
    prefix = f"{name}/{session_id}"
    common_data = put_context(prefix, context)
    try:
        return core.create_session(name, common_data, session_id, resreq=resreq, codec=PICKLE)
    except FlameError:
        drop_context(prefix)
        raise


def _resources(resreq: Optional[Union[ResourceRequirement, Dict[str, Any]]]) -> Optional[ResourceRequirement]:
    """Accepts a dict like `{"cpu": 1, "memory": "64g"}`."""
    if resreq is None or isinstance(resreq, ResourceRequirement):
        return resreq
    return ResourceRequirement.from_string(",".join(f"{name}={value}" for name, value in resreq.items()))
