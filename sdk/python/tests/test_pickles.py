"""Pickles whose large buffers are used where they lie, and that everybody else reads as pickles."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from flamepy.core.cache import pickles, values
from flamepy.core.cache.pickles import _marks

PREFIX = len(pickles.PICKLE)


def make():
    frozen = np.arange(90_000)
    frozen.flags.writeable = False
    value = {
        "floats": np.arange(100_000.0),
        "columns": np.ones((500, 300), order="F"),
        "flags": np.ones(200_000, dtype=bool),
        "small": np.arange(5),
        "frozen": frozen,
        "bytes": b"x" * 200_000,
        "array": bytearray(b"y" * 100_000),
        "text": "t" * 100_000,
    }
    value["again"] = value["floats"]
    return value


def check(found):
    expected = make()
    assert found.keys() == expected.keys()
    for name, one in expected.items():
        assert np.array_equal(found[name], one) if isinstance(one, np.ndarray) else found[name] == one, name
    assert found["again"] is found["floats"]
    assert found["columns"].flags.f_contiguous
    assert found["floats"].flags.writeable and not found["frozen"].flags.writeable


def test_everybody_reads_them_as_pickles() -> None:
    data = values.encode(make())
    check(pickle.loads(data[PREFIX:]))
    check(values.decode(data))


def test_large_buffers_are_aligned_and_used_where_they_lie() -> None:
    data = values.encode(make())
    marks = _marks(data)
    assert len(marks) == 4
    assert all((begin - PREFIX) % 64 == 0 for _, begin, _, _ in marks)
    own = memoryview(bytearray(data))
    found = values.decode(data, lambda: own)
    check(found)
    place = np.frombuffer(own, np.uint8)
    for name in ["floats", "columns", "flags", "frozen"]:
        assert np.shares_memory(found[name], place), name
    assert not np.shares_memory(found["small"], place)
    # What the reader writes is in its own bytes, and only there.
    found["floats"][0] = 7.0
    check(values.decode(data))
    assert values.decode(data, lambda: own)["floats"][0] == 7.0


def test_who_cannot_have_them_alone_gets_copies() -> None:
    check(values.decode(values.encode(make()), lambda: None))


@pytest.mark.parametrize("size", range(65_536, 65_536 + 70))
def test_any_distance_is_filled(size: int) -> None:
    value = ["z" * size, np.arange(20_000.0)]
    data = values.encode(value)
    [(_, begin, _, _)] = _marks(data)
    assert (begin - PREFIX) % 64 == 0
    for found in (pickle.loads(data[PREFIX:]), values.decode(data, lambda: memoryview(bytearray(data)))):
        assert found[0] == value[0] and np.array_equal(found[1], value[1])


@pytest.mark.parametrize("value", [1, None, "x" * 300_000, b"z" * 300_000, [1] * 100_000, bytearray(100_000)])
def test_others_have_no_list(value) -> None:
    data = values.encode(value)
    assert _marks(data) == []
    assert values.decode(data, lambda: pytest.fail("nothing needs it")) == value


def test_a_damaged_list_is_none() -> None:
    data = bytes(values.encode(make()))
    for bad in (data[:-1], data[:-12] + b"\xff\xff\xff\xff" + data[-8:], data[-12:], b""):
        assert _marks(memoryview(bad)) == []
