"""The Python SDK of Flame: sessions, tasks and services.

    import flamepy

    with flamepy.create_session("my-app") as session:
        print(session.invoke(b"hello"))

Everything that the published package `flamepy` 0.6.0 has is here by the same name.

| module | holds |
|---|---|
| `flamepy` | the blocking client, services, values and errors |
| `flamepy.aio` | the client for event loops |
| `flamepy.core` | the same names as here, and a few more |
| `flamepy.instance` | services that are one typed function: `FlameInstance` |
| `flamepy.service` | services of Python objects, and their sessions |
| `flamepy.tools` | ready-made applications: scripts on the workers |
| `flamepy.cache` | values too large for tasks: `put_object`, `get_object` |
| `flamepy.runner` | functions, classes and objects of this project as services: `Runner` |
| `flamepy.codec` | how values become bytes |
"""

# `core` comes first: the engine and `core` need parts of each other.
# ruff: isort: off
import importlib
from typing import TYPE_CHECKING, List

from ._version import COMPATIBLE_WITH, __version__
from .core.names import *  # noqa: F403
from .core.names import __all__ as _core
from . import aio, codec, instance, service, tools, util
from .core.service import Cancellation, Publisher, TaskCancelled
from .instance import FlameInstance, task_context
# ruff: isort: on

if TYPE_CHECKING:
    from . import cache, runner
    from .core.cache import ObjectRef, get_object, put_object, update_object

# They come when somebody asks for them: most programs never do.
_OF_CACHE = ["ObjectRef", "get_object", "put_object", "update_object"]
_MODULES = ["cache", "runner"]

__all__ = [
    "COMPATIBLE_WITH",
    "Cancellation",
    "FlameInstance",
    "ObjectRef",
    "Publisher",
    "TaskCancelled",
    "__version__",
    "aio",
    "cache",
    "codec",
    "get_object",
    "instance",
    "put_object",
    "runner",
    "service",
    "task_context",
    "tools",
    "update_object",
    "util",
    *_core,
]


def __getattr__(name: str) -> object:
    if name in ("Request", "Response"):  # of examples of earlier releases; not made before somebody asks: see there
        return getattr(instance, name)
    if name in _OF_CACHE:
        return getattr(importlib.import_module("flamepy.core.cache"), name)
    if name in _MODULES:
        return importlib.import_module(f"flamepy.{name}")
    raise AttributeError(f"module 'flamepy' has no attribute {name!r}")


def __dir__() -> List[str]:
    return sorted({*globals(), *__all__})
