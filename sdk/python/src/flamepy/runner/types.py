"""What travels between a Runner and its services, by the names and in the module of the published package: pickles name
both, and each side reads what the other has written.

What is ours comes after the published fields and has a default, which is what an instance has that came from a
published client.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Tuple, Union

from ..core.cache import ObjectRef
from . import scaling

SESSION_ID_CHARS_MAX = 128

INLINE_BYTES = 64 * 1024
"""Results of at most so many bytes come with the task's answer; larger ones go through the object cache. Answers are
recorded by all coordinators: they are for small things."""


@dataclass
class SessionContext:
    """Chooses the session of a service: set it as `_session_context` of what is given to `Runner.service`."""

    session_id: Optional[str] = None
    application_name: Optional[str] = None

    def __post_init__(self) -> None:
        if self.session_id is None:
            return
        if not isinstance(self.session_id, str):
            raise scaling.invalid(f"session_id must be a string, got {type(self.session_id)}")
        if not self.session_id:
            raise scaling.invalid("session_id cannot be empty string")
        if len(self.session_id) > SESSION_ID_CHARS_MAX:
            raise scaling.invalid(f"session_id too long ({len(self.session_id)} chars, max {SESSION_ID_CHARS_MAX})")


@dataclass
class RunnerContext:
    """What a service is made of: its pickle is in the object cache, as bytes, and a reference to it is the common data of
    the session.

    Options that are None are as the kind of the object has it: see `scaling`.
    """

    execution_object: Any
    stateful: Optional[bool] = None
    autoscale: Optional[bool] = None
    warmup: int = 0
    min_instances: int = field(default=0, init=False)
    max_instances: Optional[int] = field(default=None, init=False)
    inline_bytes: int = 0
    """Results of at most so many bytes come with the answer. 0: the client reads nothing but references."""

    def __post_init__(self) -> None:
        plan = scaling.plan(self.execution_object, self.stateful, self.autoscale, self.warmup)
        self.stateful, self.autoscale = plan.stateful, plan.autoscale
        self.min_instances, self.max_instances = plan.min_instances, plan.max_instances


@dataclass
class RunnerRequest:
    """One call. `method` is None for what is called itself. Arguments that are an `ObjectRef` are read by the service."""

    method: Optional[str] = None
    args: Optional[Tuple[Any, ...]] = None
    kwargs: Optional[Dict[str, Any]] = None

    def __post_init__(self) -> None:
        if self.method is not None and not isinstance(self.method, str):
            raise scaling.invalid(f"method must be a string or None, got {type(self.method)}")
        if self.args is not None and not isinstance(self.args, (tuple, list)):
            raise scaling.invalid(f"args must be a tuple or list, got {type(self.args)}")
        if self.kwargs is not None and not isinstance(self.kwargs, dict):
            raise scaling.invalid(f"kwargs must be a dict, got {type(self.kwargs)}")


@dataclass
class BoundRequest:
    """A call whose arguments contain results of other calls, or are large."""

    body: Union[bytes, ObjectRef]
    """The pickle of a `RunnerRequest`, with a hole for each such result; or where it is."""
    bound: List[Union[bytes, ObjectRef]]
    """For each hole the result as it travels, or where it is."""


@dataclass
class SavedState:
    """A stateful instance after its calls: takes the place of the `RunnerContext` in the object cache."""

    context: RunnerContext
    """Without its object."""
    state: bytes
    """The pickle of the object."""
    applied: Dict[str, bytes]
    """The last calls that changed it, with their answers: a call that is made again, because its worker was lost with the
    answer, changes nothing."""
    token: int = 0
    """Of the task that wrote it."""
