"""The Python SDK of Flame: sessions, tasks and services.

    import flamepy

    with flamepy.create_session("my-app") as session:
        print(session.invoke(b"hello"))

Everything that the published package `flamepy` 0.6.0 has for sessions, tasks and services is here by the same name. The
object cache (`flamepy.cache`) and `flamepy.runner` are not in this release: importing them says so.

| module | holds |
|---|---|
| `flamepy` | the blocking client, services, values and errors |
| `flamepy.aio` | the client for event loops |
| `flamepy.core` | the same names as here, and a few more |
| `flamepy.instance` | services that are one typed function: `FlameInstance` |
| `flamepy.service` | services of Python objects, and their sessions |
| `flamepy.tools` | ready-made applications: scripts on the workers |
| `flamepy.codec` | how values become bytes |
"""

# `core` comes first: the engine and `core` need parts of each other.
# ruff: isort: off
from ._version import COMPATIBLE_WITH, __version__
from .core import *  # noqa: F403
from .core import __all__ as _core
from . import aio, codec, instance, service, tools, util
from .core.service import Cancellation, Publisher, TaskCancelled
from .instance import FlameInstance, task_context
# ruff: isort: on

__all__ = [
    "COMPATIBLE_WITH",
    "Cancellation",
    "FlameInstance",
    "Publisher",
    "TaskCancelled",
    "__version__",
    "aio",
    "codec",
    "instance",
    "service",
    "task_context",
    "tools",
    "util",
    *_core,
]


def __getattr__(name: str) -> object:
    if name in ("Request", "Response"):  # of examples of earlier releases; not made before somebody asks: see there
        return getattr(instance, name)
    if name in _ABSENT:
        raise AttributeError(
            f"flamepy.{name} belongs to the {_ABSENT[name]}, which is not in this release of flamepy "
            f"({__version__}); the published flamepy {COMPATIBLE_WITH} has it"
        )
    raise AttributeError(f"module 'flamepy' has no attribute {name!r}")


_ABSENT = {
    **dict.fromkeys(["ObjectRef", "get_object", "put_object", "update_object", "cache"], "object cache"),
    "runner": "Runner",
}
