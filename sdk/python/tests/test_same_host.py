"""Memory that a cache shares, from the side of a client: what it holds, when it lets go, and how it gets on without."""

from __future__ import annotations

import gc
import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from fake_arena import FakeArena
from fake_cache import eventually

import flamepy
from flamepy import FlameErrorCode
from flamepy._wire.ha import arena_pb2 as wire
from flamepy.core.cache import ObjectNotFound, VersionConflict, nodes, own, same_host, values
from flamepy.core.cache.same_host import hosts

LARGE = 20_000  # numbers of eight bytes: more than goes in a message


@pytest.fixture
def arena(monkeypatch):
    made = FakeArena()
    monkeypatch.setattr(hosts, "_hosts", {})
    monkeypatch.setattr(hosts, "_ask_after", {})
    monkeypatch.setenv("FLAME_CACHE_ENDPOINT", made.endpoint)
    yield made
    made.stop()


def full(number: float, count: int = LARGE) -> np.ndarray:
    return np.full(count, number)


def test_large_values_lie_in_the_memory_and_small_ones_do_not(arena) -> None:
    for value, requests in [(full(1.0), ["create", "seal", "get"]), ({"a": 1}, ["seal", "get"])]:
        del arena.requests[:]
        found = flamepy.get_object(flamepy.put_object("a/s", value))
        assert np.array_equal(found, value) and arena.requests == requests
    assert arena.used() == 1


def test_arrays_are_over_the_memory(arena) -> None:
    ref = flamepy.put_object("a/s", full(1.0))
    one, other = flamepy.get_object(ref), flamepy.get_object(ref)
    assert np.shares_memory(one, other) and one.flags.aligned and not one.flags.writeable


def test_what_is_inside_of_other_values_belongs_to_its_reader(arena) -> None:
    ref = flamepy.put_object("a/s", [full(1.0)])
    [one], [other] = flamepy.get_object(ref), flamepy.get_object(ref)
    one[7] = 5.0
    [third] = flamepy.get_object(ref)
    assert (one[7], other[7], third[7]) == (5.0, 1.0, 1.0) and one.flags.aligned


def test_a_pin_is_given_back_with_the_last_view(arena) -> None:
    for value in (full(1.0), [full(1.0)]):
        ref = flamepy.put_object("a/s", value)
        found = flamepy.get_object(ref)
        part = (found if isinstance(value, np.ndarray) else found[0])[10:20]
        del found
        arena.delete(ref.key)
        assert arena.used() == 1
        assert part[0] == 1.0
        del part
        gc.collect()
        eventually(lambda: arena.used() == 0, "all is given back")


def test_too_many_mappings_are_copies(arena, monkeypatch) -> None:
    monkeypatch.setattr("flamepy.core.cache.same_host.mapping._PRIVATE_MAX", 2)
    ref = flamepy.put_object("a/s", [full(1.0)])
    found = [flamepy.get_object(ref)[0] for _ in range(4)]
    assert all(one.flags.writeable and (one == 1.0).all() for one in found)
    arena.delete(ref.key)
    del found[:2]
    gc.collect()
    eventually(lambda: arena.used() == 0, "all is given back")
    assert (found[0] == 1.0).all()


def test_versions_and_conditions(arena) -> None:
    ref = flamepy.put_object("a/s", "first")
    assert flamepy.get_object(ref) == "first" and flamepy.get_object(ref) == "first"
    ref = flamepy.update_object(ref, full(2.0))
    assert ref.version == 2 and flamepy.get_object(ref)[0] == 2.0
    with pytest.raises(VersionConflict):
        own.replace_if(ref, [full(3.0)], 7)
    assert own.replace_if(ref, [full(3.0)], 2).version == 3
    assert flamepy.get_object(ref)[0][0] == 3.0
    with pytest.raises(ObjectNotFound, match="nobody has put it"):
        flamepy.get_object(flamepy.ObjectRef(arena.endpoint, "a/s/none"))
    gc.collect()
    eventually(lambda: arena.used() == 1, "the rest is given back")


def test_room_is_given_back_when_writing_fails(arena) -> None:
    class Breaks(values.Payload):
        size = 1 << 20

        def write(self, to: memoryview) -> None:
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        same_host.put(arena.endpoint, "a/s", Breaks())
    eventually(lambda: arena.used() == 0, "all is given back")


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (wire.ArenaReply(error=wire.ArenaError(code=8, message="too much")), FlameErrorCode.RESOURCE_EXHAUSTED),
        (wire.ArenaReply(error=wire.ArenaError(code=3, message="no key")), FlameErrorCode.INVALID_ARGUMENT),
        (wire.ArenaReply(error=wire.ArenaError(code=2, message="what")), FlameErrorCode.INTERNAL),
        (wire.ArenaReply(welcome=wire.ArenaWelcome()), FlameErrorCode.INTERNAL),
    ],
)
def test_what_the_cache_refuses_is_an_error(arena, answer, code) -> None:
    arena.answer = answer
    with pytest.raises(flamepy.FlameError) as refused:
        flamepy.put_object("a/s", full(1.0))
    assert refused.value.code == code


@pytest.fixture
def beside(arena, cache, monkeypatch):
    """A cache that serves the port of the one that shares its memory."""
    where = nodes.location(cache.endpoint)
    monkeypatch.setattr(hosts, "_hosts", {where: hosts.Host(arena.name, arena.token)})
    monkeypatch.setenv("FLAME_CACHE_ENDPOINT", cache.endpoint)
    arena.endpoint = cache.endpoint
    return cache


@pytest.mark.parametrize("code", [0, 14])
def test_what_finds_no_room_goes_over_the_port(arena, beside, caplog, code) -> None:
    arena.answer = wire.ArenaReply(error=wire.ArenaError(code=code, message="later")) if code else None
    arena.bytes = 4096
    with caplog.at_level(logging.DEBUG, "flamepy.cache"):
        ref = flamepy.put_object("a/s", full(1.0))
    assert ref.key in beside.objects and "goes over the port of the cache" in caplog.text


def test_a_cache_that_went_away_is_asked_over_its_port(arena, beside) -> None:
    before = flamepy.put_object("a/s", full(1.0))
    kept = flamepy.get_object(before)
    arena.break_connections()
    ref = flamepy.put_object("a/s", full(2.0))
    assert ref.key in beside.objects and flamepy.get_object(ref)[0] == 2.0
    assert nodes.location(beside.endpoint) not in hosts._hosts
    assert (kept == 1.0).all()


def test_a_cache_elsewhere_is_not_asked(monkeypatch) -> None:
    monkeypatch.setattr(hosts, "_hosts", {})
    monkeypatch.setattr(own, "local_objects", lambda endpoint: pytest.fail("it is not on this host"))
    assert hosts.host("grpc://192.0.2.7:9090") is None
    assert hosts.host("grpc://no.such.name.invalid:9090") is None


def test_a_cache_that_knows_no_such_call_is_asked_once(cache, monkeypatch) -> None:
    monkeypatch.setattr(hosts, "_hosts", {})
    assert hosts.host(cache.endpoint) is None
    monkeypatch.setattr(own, "local_objects", lambda endpoint: pytest.fail("it was asked before"))
    assert hosts.host(cache.endpoint) is None


def test_threads_have_connections_of_their_own(arena) -> None:
    barrier = threading.Barrier(4)

    def work(number: int) -> bool:
        barrier.wait(20)
        return all(
            (flamepy.get_object(flamepy.put_object("a/s", full(number + at)))[-1] == number + at) for at in range(20)
        )

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))
    for key in list(arena.objects):
        arena.delete(key)
    gc.collect()
    eventually(lambda: arena.used() == 0, "all is given back")


def test_parent_and_child_let_go_each_for_itself(arena) -> None:
    ref = flamepy.put_object("a/s", full(1.0))
    found = flamepy.get_object(ref)
    [private] = flamepy.get_object(flamepy.put_object("a/s", [full(2.0)]))
    (read, write), (told, tell) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.read(told, 1)
            mine = flamepy.get_object(flamepy.put_object("a/s", full(3.0)))
            if (found == 1.0).all() and (private == 2.0).all() and mine[0] == 3.0:
                status = 0
            os.write(write, b"x")
            os.read(told, 1)
        finally:
            os._exit(status)
    for key in list(arena.objects):
        arena.delete(key)
    assert arena.used() == 2
    del found, private
    gc.collect()
    # The parent has dropped both and goes on; the child has them still.
    assert flamepy.get_object(flamepy.put_object("a/s", full(4.0)))[0] == 4.0
    assert arena.used() == 3
    os.write(tell, b"x")
    assert os.read(read, 1) == b"x"
    os.write(tell, b"x")
    assert os.waitpid(child, 0)[1] == 0
    for key in list(arena.objects):
        arena.delete(key)
    eventually(lambda: arena.used() == 0, "all is given back")
    for one in (read, write, told, tell):
        os.close(one)
