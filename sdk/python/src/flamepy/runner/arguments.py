"""The arguments of a call on their way: results of other calls go as they are, or as references, wherever they stand.

A future that is met while arguments are pickled leaves a hole, whatever it is part of: a list, a dict, an object of the
user's. The service fills the holes while it unpickles. So the arguments are those of the moment of the call, also when
what it waits for comes later, and nobody searches through them.

**Invariant:** only what *is* a reference or a future is read; bytes that look like a reference stay bytes.
"""

from __future__ import annotations

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Tuple, Union

from ..core.cache import ObjectRef, get_object, put_object, values
from ..core.cache.errors import ObjectError
from .scaling import invalid
from .types import BoundRequest, RunnerRequest

if TYPE_CHECKING:
    from .future import ObjectFuture

# More than this goes through the object cache: inputs of tasks are recorded by all coordinators.
INPUT_BYTES_MAX = 256 * 1024

_ARGUMENTS = "the arguments of the call"

# So many objects are read side by side.
_READERS = 8


class _Here(threading.local):
    """What pickling finds, and what unpickling fills in, on this thread."""

    found: Optional[List[Any]] = None
    values: Optional[Sequence[Any]] = None


_here = _Here()


# ── the caller's side ───────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Packed:
    """A call, pickled; and the futures in it."""

    body: Union[bytes, ObjectRef]
    futures: List[ObjectFuture]

    def input(self, prefix: str) -> bytes:
        """The input of the task. All futures have ended well by now."""
        if not self.futures and isinstance(self.body, bytes):
            return self.body
        bound: List[Union[bytes, ObjectRef]] = [future.travelling() for future in self.futures]
        if sum(len(one) for one in bound if isinstance(one, bytes)) > INPUT_BYTES_MAX:
            bound = [future.ref() for future in self.futures]
        import cloudpickle

        data: bytes = cloudpickle.dumps(BoundRequest(self.body, bound))
        return data


def pack(method: Optional[str], args: Tuple[Any, ...], kwargs: Dict[str, Any], prefix: str, name: str) -> Packed:
    """Pickles a call. `prefix` is where it goes if it is large, `name` what errors call it."""
    import cloudpickle

    futures: List[ObjectFuture] = []
    before, _here.found = _here.found, futures
    try:
        body: bytes = cloudpickle.dumps(RunnerRequest(method, args or None, kwargs or None))
    except Exception as error:  # whatever the objects' own methods raise
        raise invalid(
            f"cannot pickle the arguments of {name}: {type(error).__name__}: {error}",
            "pass what can be pickled: no connections, locks or open files",
        ) from error
    finally:
        _here.found = before
    return Packed(put_object(prefix, body) if len(body) > INPUT_BYTES_MAX else body, futures)


def leave_hole(future: ObjectFuture) -> Tuple[Any, ...]:
    """How a future is pickled: as a hole, if it is an argument of a call."""
    if _here.found is None:
        raise TypeError("an ObjectFuture cannot be pickled: pass it to a service as an argument, or send its ref()")
    _here.found.append(future)
    return hole, (len(_here.found) - 1,)


def hole(index: int) -> Any:
    """What stands in pickles for a result of another call."""
    if _here.values is None:
        raise invalid("these arguments contain results of other calls, and can be read together with them only")
    return _here.values[index]


# ── the service's side ──────────────────────────────────────────────────────────────────────────────────────────────


def unpack(data: Optional[bytes]) -> RunnerRequest:
    """The call in the input of a task, with its arguments."""
    if data is None:
        raise invalid("the task has no input: it is not a call of Runner")
    request = unpickled(data, _ARGUMENTS)
    if isinstance(request, BoundRequest):
        request = opened(request)
    if not isinstance(request, RunnerRequest):
        raise invalid(f"the task's input is a {type(request).__qualname__}, not a call of Runner")
    args, kwargs = list(request.args or ()), dict(request.kwargs or {})
    places: List[Tuple[Any, Any, ObjectRef]] = [
        (args, at, one) for at, one in enumerate(args) if type(one) is ObjectRef
    ]
    places += [(kwargs, name, one) for name, one in kwargs.items() if type(one) is ObjectRef]
    for (holder, at, _), value in zip(places, _read([ref for _, _, ref in places])):
        holder[at] = value
    return RunnerRequest(request.method, tuple(args), kwargs)


def opened(request: BoundRequest) -> Any:
    """The call in it, its holes filled."""
    body = request.body if isinstance(request.body, bytes) else get_object(request.body)
    refs = [one for one in request.bound if isinstance(one, ObjectRef)]
    fetched = iter(_read(refs))
    found = [next(fetched) if isinstance(one, ObjectRef) else values.decode(one) for one in request.bound]
    before, _here.values = _here.values, found
    try:
        return unpickled(body, _ARGUMENTS)
    finally:
        _here.values = before


def _read(refs: List[ObjectRef]) -> List[Any]:
    if len(refs) < 2:
        return [get_object(ref) for ref in refs]
    with ThreadPoolExecutor(min(_READERS, len(refs)), thread_name_prefix="flame-read") as pool:
        return list(pool.map(get_object, refs))


def unpickled(data: bytes, what: str) -> Any:
    """Unpickles, and says what helps when that fails for want of a module."""
    try:
        return pickle.loads(data)
    except ObjectError:
        raise
    except (ImportError, AttributeError) as error:
        raise invalid(f"{what} cannot be unpickled: {error}", IMPORT_REMEDY) from error
    except Exception as error:  # a pickle may raise anything
        raise invalid(f"{what} cannot be unpickled: {type(error).__name__}: {error}") from error


IMPORT_REMEDY = (
    "keep functions and classes importable from the packaged project, and name the packages they need: "
    "Runner(dependencies=[...]), or the project's pyproject.toml"
)
