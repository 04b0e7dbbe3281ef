"""How the benchmark speaks with a program that puts and gets objects: ours (`bench/python/cache_objects.py`) and a peer's
do the same, in the same phases.

It prints one line of JSON when it is ready. To a line `PHASE COUNT` it says a line when it is warm; the next line starts it,
and one line of JSON has its figures. It ends when its standard input does. Nothing else is on its standard output.

Only putting and getting is timed. A value that was got is looked at, every page of it, within the time of the get: memory
that is mapped costs when it is touched. Values are no two alike, and each is compared with what was put. What was put is
dropped between the timed calls, before there is more of it than a store holds easily.
"""

import sys
import time

import numpy
import protocol

PAGE_BYTES = 4096
# At most so many bytes are kept, and so many objects.
KEPT_BYTES, KEPT_MAX = 300_000_000, 100

SIZES = {"200k": 200_000, "1m": 1_000_000, "100m": 100_000_000}


class Maker:
    """Values of one size: bytes where they are small, an array otherwise."""

    def __init__(self, size):
        self.size = size
        self.as_bytes = size <= SIZES["200k"]
        self.array = numpy.arange(size, dtype=numpy.uint32).astype(numpy.uint8)

    def make(self, number):
        self.array[:8] = numpy.frombuffer(number.to_bytes(8, "little"), numpy.uint8)
        return self.array.tobytes() if self.as_bytes else self.array

    def look_at(self, value):
        """Touches every page; the sum and the number are what `check` wants."""
        array = numpy.frombuffer(value, numpy.uint8) if self.as_bytes else value
        return int(array[::PAGE_BYTES].sum()), bytes(array[:8]), array.nbytes

    def check(self, number, seen):
        self.make(number)
        if seen != self.look_at(self.array.tobytes() if self.as_bytes else self.array):
            raise AssertionError(f"object {number} is not what was put: {seen}")


class Timed:
    def __init__(self):
        self.latencies_ms = []

    def call(self, function, *arguments):
        began = time.perf_counter()
        result = function(*arguments)
        self.latencies_ms.append((time.perf_counter() - began) * 1000)
        return result


def kept_max(size):
    return max(1, min(KEPT_MAX, KEPT_BYTES // size))


def batches(count, size):
    """Numbers, in lists of as many as are kept at a time."""
    most = kept_max(size)
    for first in range(0, count, most):
        yield range(first, min(count, first + most))


def put(store, size, count, timed):
    maker = Maker(size)
    for numbers in batches(count, size):
        refs = []
        for number in numbers:
            value = maker.make(number)
            refs.append(timed.call(store.put, value))
        maker.check(numbers[-1], maker.look_at(store.get(refs[-1])))
        store.drop(refs)


def get(store, size, count, timed):
    maker = Maker(size)
    for numbers in batches(count, size):
        refs = [store.put(maker.make(number)) for number in numbers]
        for number, ref in zip(numbers, refs):
            seen = timed.call(lambda ref: maker.look_at(store.get(ref)), ref)
            maker.check(number, seen)
        store.drop(refs)


def through(store, value):
    ref = store.put(value)
    return ref, store.get(ref)


def put_and_get(store, size, count, timed):
    maker = Maker(size)
    for numbers in batches(count, size):
        refs = []
        for number in numbers:
            value = maker.make(number)
            ref, got = timed.call(through, store, value)
            maker.check(number, maker.look_at(got))
            refs.append(ref)
        store.drop(refs)


KINDS = {"put": put, "get": get, "put-get": put_and_get}


def steps(store, phase, count):
    """Two steps: getting warm, and what is measured."""
    kind, size = phase.rsplit("-", 1)
    action, size = KINDS[kind], SIZES[size]
    # Twice as many as are kept at a time: every place that will be used was used before.
    action(store, size, min(count, 2 * kept_max(size)), Timed())
    timed = Timed()
    yield {"warm": phase}
    action(store, size, count, timed)
    took_s = sum(timed.latencies_ms) / 1000
    yield {"took_s": took_s, "bytes": size * count, "latencies_ms": timed.latencies_ms}


def serve(version, start):
    """Does what it is told with the store that `start()` gives."""
    line = protocol.Line()
    store = start()
    try:
        line.say(ready=True, version=version)
        for told in sys.stdin:
            phase, count = told.split()
            both = steps(store, phase, int(count))
            line.say(**next(both))
            if not sys.stdin.readline():
                sys.exit("nobody wants to measure any more")
            line.say(**next(both))
    finally:
        store.close()
