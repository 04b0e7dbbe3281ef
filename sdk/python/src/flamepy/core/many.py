"""Many tasks at once: their outputs as they come, in order or not, with a bound on what is under way.

Invariant: whoever gives up (leaves the loop, meets an error, runs out of time) ends what is still under way.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any, Callable, Deque, Dict, Iterable, Iterator, Optional, Union

from .errors import FlameError
from .future import Decode, failure, late
from .progress import Progress
from .types import TaskOptions, TaskState

_SUCCEED = int(TaskState.SUCCEED)


class Slot:
    """One task of a batch."""

    __slots__ = ("batch", "index", "number", "options", "payload", "wanted")

    def __init__(self, batch: Batch, index: int, payload: Optional[bytes], options: Optional[TaskOptions]) -> None:
        self.batch = batch
        self.index = index
        self.payload = payload
        self.options = options
        self.number = 0
        self.wanted = True

    def is_wanted(self) -> bool:
        return self.wanted

    def accept(self, number: int) -> None:
        self.number = number

    def finish(self, state: int, output: Optional[bytes], message: Optional[str]) -> Batch:
        batch = self.batch
        if state == _SUCCEED:
            batch.arrived.append((self.index, output, None))
        else:
            batch.arrived.append((self.index, None, failure(batch.stream.session, self.number, state, message)))
        return batch

    def refuse(self, error: FlameError) -> Batch:
        self.batch.arrived.append((self.index, None, error))
        return self.batch


class Batch:
    """The ends that have come and have not been taken. Filled by the engine, emptied by one thread."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.arrived: Deque[Any] = deque()
        self._changed = threading.Event()

    def flush(self) -> None:
        self._changed.set()

    def wait(self, until: Optional[float], timeout: Optional[float]) -> None:
        """Until something has come."""
        while not self.arrived:
            self._changed.clear()
            if self.arrived:
                return
            left = None if until is None else until - time.monotonic()
            if (left is not None and left <= 0) or not self._changed.wait(left):
                raise late(timeout)


def run_map(
    stream: Any,
    inputs: Iterable[Any],
    encode: Callable[[Any], Optional[bytes]],
    decode: Optional[Decode],
    options: Optional[TaskOptions],
    ordered: bool,
    in_flight: int,
    timeout: Optional[float],
    return_exceptions: bool,
    progress: Union[bool, str],
    total: Optional[int],
) -> Iterator[Any]:
    """Outputs of one task for each input."""
    batch = Batch(stream)
    until = None if timeout is None else time.monotonic() + timeout
    source = iter(inputs)
    pending: Dict[int, Slot] = {}
    ready: Dict[int, Any] = {}
    submitted = taken = 0
    exhausted = False
    with Progress(progress, total) as bar:
        try:
            while True:
                # What was taken out of order waits in `ready` and counts too: memory stays bounded.
                while not exhausted and len(pending) + len(ready) < in_flight:
                    try:
                        one = next(source)
                    except StopIteration:
                        exhausted = True
                        break
                    slot = pending[submitted] = Slot(batch, submitted, encode(one), options)
                    submitted += 1
                    stream.put(slot)
                    if len(batch.arrived) >= _TAKE_AT:
                        break
                if taken == submitted and exhausted:
                    return
                batch.wait(until, timeout)
                came = 0
                while batch.arrived:
                    index, output, error = batch.arrived.popleft()
                    del pending[index]
                    came += 1
                    if error is None and decode is not None:
                        output = decode(output)
                    elif error is not None:
                        if not return_exceptions:
                            raise error
                        output = error
                    if ordered:
                        ready[index] = output
                    else:
                        taken += 1
                        bar.add(1)
                        yield output
                if ordered:
                    while taken in ready:
                        output = ready.pop(taken)
                        taken += 1
                        yield output
                    bar.add(came)
        finally:
            for slot in pending.values():
                slot.wanted = False
            for slot in pending.values():
                stream.cancel(slot)


# So many ends wait before submitting pauses: whoever consumes gets them soon.
_TAKE_AT = 256
