"""How many executors a service gets, and whether it has a state: the table of the guide.

| object | autoscale | stateful |
|---|---|---|
| function, builtin, anything that can be called | True | False; True is refused |
| class | False | False; True is refused |
| instance | False | False; True is one executor whose state survives |

Autoscaled: at least `warmup` executors, and as many as there is work for. Fixed: `warmup` executors, or one.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from enum import Enum
from typing import Any, Optional

from ..core.cache.errors import ObjectError
from ..core.errors import FlameErrorCode


class RunnerArgumentError(ObjectError):
    """An argument that cannot be meant. A ValueError, too, as the published package raises."""


def invalid(message: str, remedy: Optional[str] = None) -> RunnerArgumentError:
    return RunnerArgumentError(FlameErrorCode.INVALID_ARGUMENT, message, remedy=remedy)


class Kind(Enum):
    """What is made a service."""

    FUNCTION = "function"
    CLASS = "class"
    INSTANCE = "instance"


@dataclass(frozen=True)
class Plan:
    stateful: bool
    autoscale: bool
    min_instances: int
    max_instances: Optional[int]


def kind_of(execution_object: Any) -> Kind:
    """A class is a class although it can be called; whatever else can be called is a function."""
    if inspect.isclass(execution_object):
        return Kind.CLASS
    return Kind.FUNCTION if callable(execution_object) else Kind.INSTANCE


def plan(execution_object: Any, stateful: Optional[bool], autoscale: Optional[bool], warmup: int) -> Plan:
    """What is asked for, with what was left open filled in. Raises for what does not go together."""
    kind = kind_of(execution_object)
    for name, value in (("stateful", stateful), ("autoscale", autoscale)):
        if value is not None and not isinstance(value, bool):
            raise invalid(f"{name} must be True, False or None, not {value!r}")
    if isinstance(warmup, bool) or not isinstance(warmup, int) or warmup < 0:
        raise invalid("warmup must be a non-negative integer.")
    if stateful and kind is not Kind.INSTANCE:
        raise invalid(
            f"a {kind.value} has no state: stateful=True is for instances only",
            "leave stateful out, or pass an instance, as in service(Counter(10), stateful=True)",
        )
    scales = autoscale if autoscale is not None else kind is Kind.FUNCTION
    if stateful and scales:
        raise invalid("a stateful instance has one executor: autoscale=True cannot be", "leave autoscale out")
    if stateful and warmup > 1:
        raise invalid(
            f"a stateful instance has one executor: warmup={warmup} cannot be, only 0 or 1",
            "without stateful=True it is that many instances, each with a state of its own that is not kept",
        )
    if scales:
        return Plan(bool(stateful), True, warmup, None)
    return Plan(bool(stateful), False, warmup or 1, warmup or 1)
