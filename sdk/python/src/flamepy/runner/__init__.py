"""Functions, classes and objects of the current project as services of a cluster.

    from flamepy.runner import Runner

    def add(a, b):
        return a + b

    with Runner("add-app") as runner:
        service = runner.service(add)
        print(service(1, 2).get())

Names, parameters and pickles are those of the published package. Values travel as pickles: whoever may submit tasks to a
service, or write to the object cache, can run code where they are read.

| module | holds |
|---|---|
| `runner` | `Runner`; start here |
| `service`, `scaling` | one function, class or instance as a service, and how many executors it gets |
| `future` | what becomes of a call |
| `arguments`, `answer`, `types` | what travels: calls, results, and what a service is made of |
| `package`, `storage` | the project as an archive, and where it goes |
| `runpy`, `state` | the service side, and the state of a stateful instance |
| `helper` | what a task carries, for people: `get_data` |
| `e2e` | `python -m flamepy.runner`: whether all of it works on a cluster |
"""

from typing import Any

from .helper import ErrorType, RunnerError, get_data
from .runner import ObjectFuture, ObjectFutureIterator, Runner, RunnerService
from .types import RunnerContext, RunnerRequest, SessionContext

__all__ = [
    "ErrorType",
    "FlameRunpyService",
    "ObjectFuture",
    "ObjectFutureIterator",
    "Runner",
    "RunnerContext",
    "RunnerError",
    "RunnerRequest",
    "RunnerService",
    "SessionContext",
    "get_data",
]


def __getattr__(name: str) -> Any:
    if name == "FlameRunpyService":  # not imported before it is asked for: `python -m` runs its module as the main one
        from .runpy import FlameRunpyService

        return FlameRunpyService
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
