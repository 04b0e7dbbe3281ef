"""Runner: functions, classes and objects as services, and what becomes of their calls."""

from __future__ import annotations

import concurrent.futures
import logging
import pickle
import subprocess
import sys
import threading
import traceback

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from fake_cache import eventually

import flamepy
from flamepy import FlameError, FlameErrorCode
from flamepy.core import ObjectRef
from flamepy.runner import ObjectFuture, Runner, RunnerContext, SessionContext, arguments
from flamepy.runner.scaling import Kind, kind_of

LIMIT = 20.0


@pytest.fixture
def runner(world):
    with Runner("my-app") as made:
        yield made


def double(value):
    return value * 2


def add(left, right=0):
    return left + right


class Counter:
    """Counts."""

    step = 1

    def __init__(self, count=0):
        self._count = count

    def add(self, value):
        """Adds a value."""
        self._count += value
        return self._count

    def get(self):
        return self._count

    @staticmethod
    def kind():
        return "static"

    @classmethod
    def name(cls):
        return cls.__name__

    @property
    def broken(self):
        raise AssertionError("a property was asked for its value")

    def _hidden(self):
        raise AssertionError


class Callable:
    def __call__(self, value):
        return value + 1


# ── the table: kind of object, options, result ──────────────────────────────────────────────────────────────────────

OBJECTS = {
    "function": double,
    "lambda": lambda: 1,
    "builtin": sum,
    "bound method": Counter(1).add,
    "callable instance": Callable(),
    "class": Counter,
    "builtin class": int,
    "instance": Counter(1),
}
FUNCTIONS = ["function", "lambda", "builtin", "bound method", "callable instance"]
CLASSES = ["class", "builtin class"]
ALL = [*FUNCTIONS, *CLASSES, "instance"]

# Objects, stateful, autoscale, warmup; then stateful, autoscale, fewest and most executors, or what is refused.
TABLE = [
    (FUNCTIONS, None, None, 0, (False, True, 0, None)),
    (FUNCTIONS, False, None, 0, (False, True, 0, None)),
    (FUNCTIONS, None, True, 0, (False, True, 0, None)),
    (FUNCTIONS, None, None, 3, (False, True, 3, None)),
    ([*CLASSES, "instance"], None, None, 0, (False, False, 1, 1)),
    ([*CLASSES, "instance"], False, None, 0, (False, False, 1, 1)),
    ([*CLASSES, "instance"], None, None, 3, (False, False, 3, 3)),
    ([*CLASSES, "instance"], None, True, 0, (False, True, 0, None)),
    ([*CLASSES, "instance"], None, True, 3, (False, True, 3, None)),
    (ALL, None, False, 0, (False, False, 1, 1)),
    (ALL, None, False, 1, (False, False, 1, 1)),
    (ALL, None, False, 3, (False, False, 3, 3)),
    (["instance"], True, None, 0, (True, False, 1, 1)),
    (["instance"], True, None, 1, (True, False, 1, 1)),
    (["instance"], True, False, 0, (True, False, 1, 1)),
    (["instance"], True, None, 2, "warmup=2 cannot be"),
    (["instance"], True, True, 0, "autoscale=True cannot be"),
    ([*FUNCTIONS, *CLASSES], True, None, 0, "stateful=True is for instances only"),
    (ALL, None, None, -1, "non-negative"),
    (ALL, None, None, True, "non-negative"),
    (ALL, "yes", None, 0, "stateful must be"),
    (ALL, None, 1, 0, "autoscale must be"),
]


@pytest.mark.parametrize("line", range(len(TABLE)))
def test_the_table(line):
    objects, stateful, autoscale, warmup, expected = TABLE[line]
    for name in objects:
        if isinstance(expected, str):
            with pytest.raises(ValueError, match=expected) as error:
                RunnerContext(OBJECTS[name], stateful, autoscale, warmup)
            assert isinstance(error.value, FlameError) and error.value.code == FlameErrorCode.INVALID_ARGUMENT
        else:
            made = RunnerContext(OBJECTS[name], stateful, autoscale, warmup)
            assert (made.stateful, made.autoscale, made.min_instances, made.max_instances) == expected, name


def test_kinds():
    assert {name: kind_of(one) for name, one in OBJECTS.items()} == {
        **dict.fromkeys(FUNCTIONS, Kind.FUNCTION),
        **dict.fromkeys(CLASSES, Kind.CLASS),
        "instance": Kind.INSTANCE,
    }


@pytest.mark.parametrize(
    ("thing", "options", "expected"),
    [
        (double, {}, (0, None)),
        (double, {"warmup": 2}, (2, None)),
        (double, {"autoscale": False}, (1, 1)),
        (Counter, {}, (1, 1)),
        (Counter(), {"warmup": 2}, (2, 2)),
        (Counter(), {"stateful": True}, (1, 1)),
    ],
)
def test_a_session_has_the_executors_that_the_table_says(runner, world, thing, options, expected):
    service = runner.service(thing, **options)
    spec = world.state.sessions[service.session_id].spec
    assert (spec.min_instances, spec.max_instances if spec.HasField("max_instances") else None) == expected
    assert spec.application == "my-app" and service.session_id.startswith("my-app-")


def test_resources(runner, world):
    service = runner.service(sum, resreq=flamepy.ResourceRequirement.from_string("cpu=2,mem=1g"))
    spec = world.state.sessions[service.session_id].spec
    assert (spec.resreq.cpu, spec.resreq.memory) == (2, 1 << 30)
    assert service([1, 2, 3]).get(LIMIT) == 6


# ── calls ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_functions(runner):
    service = runner.service(add)
    assert service(1, 2).get(LIMIT) == 3
    assert service(1, right=5).get(LIMIT) == 6
    assert service(left="a", right="b").get(LIMIT) == "ab"
    offset = 100
    assert runner.service(lambda value: value + offset)(1).get(LIMIT) == 101
    assert runner.service(Callable())(1).get(LIMIT) == 2
    with pytest.raises(AttributeError):
        service.add


def test_coroutine_functions(runner):
    async def later(value):
        return value + 1

    assert runner.service(later)(1).get(LIMIT) == 2


def test_classes_and_instances(runner):
    made = runner.service(Counter)
    assert made.add(2).get(LIMIT) == 2 and made.get().get(LIMIT) == 2, "an instance is made without arguments"
    instance = runner.service(Counter(10))
    assert (instance.add(1).get(LIMIT), instance.add(value=3).get(LIMIT), instance.get().get(LIMIT)) == (11, 14, 14)
    assert instance.kind().get(LIMIT) == "static" and instance.name().get(LIMIT) == "Counter"
    assert instance.add.__name__ == "add" and instance.add.__doc__ == "Adds a value."
    assert not hasattr(instance, "broken") and not hasattr(instance, "_hidden") and not hasattr(instance, "step")
    with pytest.raises(ValueError, match="call one of its methods: add, get, kind, name"):
        instance(1)


def test_what_cannot_be_a_service(runner, caplog):
    with pytest.raises(ValueError, match="has no public method"):
        runner.service(object())

    class Needs:
        def __init__(self, size):
            self.size = size

        def get(self):
            return self.size

    lock = threading.Lock()
    with pytest.raises(
        ValueError, match=r"cannot pickle .*lambda.*: TypeError: cannot pickle '_thread.lock' object"
    ) as error:
        runner.service(lambda: lock)
    assert "importable from the packaged project" in error.value.remedy
    with pytest.raises(ValueError, match="without arguments") as error:
        runner.service(Needs)
    assert "Needs(…)" in error.value.remedy

    class Closing(Counter):
        def close(self):
            raise AssertionError

    with caplog.at_level(logging.WARNING):
        service = runner.service(Closing())
    assert "close cannot be called as a service" in caplog.text
    service.close()
    with pytest.raises(FlameError, match="is closed"):
        service.add(1)
    service.close()


def test_methods_that_are_not_public_are_not_called(runner, world):
    service = runner.service(Counter())
    packed = arguments.pack("_hidden", (), {}, "my-app/x", "x")
    with pytest.raises(FlameError, match="no public method '_hidden'"):
        service._session.run(packed.input("my-app/x")).result(LIMIT)


def test_the_session_can_be_chosen(runner, cache):
    chosen = Counter(1)
    chosen._session_context = SessionContext(session_id="chosen")
    service = runner.service(chosen)
    assert service.session_id == "chosen" and service.add(1).get(LIMIT) == 2
    (context,) = cache.keys("my-app/shared/")
    again = runner.service(chosen)
    assert again.session_id == "chosen" and cache.keys("my-app/shared/") == [context], "the session has its own already"
    for bad, text in [("x" * 129, "too long"), ("", "empty"), (3, "must be a string")]:
        with pytest.raises(ValueError, match=text):
            SessionContext(session_id=bad)
    wrong = Counter(1)
    wrong._session_context = "chosen"
    with pytest.raises(ValueError, match="must be a SessionContext"):
        runner.service(wrong)


def test_what_a_service_is_made_of_lasts_as_long_as_it_does(runner, world, cache, monkeypatch):
    """Among the objects that outlive a node of the cache, not among those of the session."""
    service = runner.service(add)
    common_data = world.state.sessions[service.session_id].spec.common_data
    assert cache.keys("my-app/shared/") == [ObjectRef.decode(common_data).key]
    assert cache.keys(f"my-app/{service.session_id}") == []
    service.close()
    service.close()
    assert cache.keys("my-app/shared/") == [] and cache.count("delete") == 1

    def refused(*_, **__):
        raise FlameError(FlameErrorCode.INVALID_ARGUMENT, "no")

    monkeypatch.setattr("flamepy.core.client.open_session", refused)
    with pytest.raises(FlameError, match="no"):
        runner.service(add)
    assert cache.keys("my-app/shared/") == []


# ── results ─────────────────────────────────────────────────────────────────────────────────────────────────────────

RESULTS = [None, 0, "text", b"bytes", {"a": [1, (2,)]}, np.arange(5), ObjectRef("grpc://h:1", "a/b/c", 1)]


@pytest.mark.parametrize("value", RESULTS, ids=repr)
def test_small_results_come_with_the_answer(runner, cache, value):
    service = runner.service(add)
    before = len(cache.calls)
    # By way of a default: a reference as an argument would be read.
    found = runner.service(lambda: value)() if isinstance(value, ObjectRef) else runner.service(lambda one: one)(value)
    found = found.get(LIMIT)
    assert np.array_equal(found, value) if isinstance(value, np.ndarray) else found == value
    assert [name for name, _ in cache.calls[before:]] == ["put", "get"], "the context of the service, and nothing else"
    service.close()


LARGE = [b"x" * 100_000, np.arange(100_000), pd.DataFrame({"a": range(100_000)}), pa.table({"a": range(100_000)})]


@pytest.mark.parametrize("value", LARGE, ids=lambda one: type(one).__name__)
def test_large_results_go_through_the_cache(runner, cache, value):
    future = runner.service(lambda: value)()
    ref = future.ref(LIMIT)
    assert ref.key.startswith("my-app/my-app-") and ref.key in cache.objects
    found = future.get()
    if isinstance(value, np.ndarray):
        assert np.array_equal(found, value)
    elif isinstance(value, bytes):
        assert found == value
    else:
        assert found.equals(value) and type(found) is type(value)


def test_small_tables_come_with_the_answer(runner, cache):
    table, frame = pa.table({"a": [1, 2]}), pd.DataFrame({"a": [1, 2]})
    service = runner.service(lambda which: table if which else frame)
    before = len(cache.calls)
    assert service(True).get(LIMIT).equals(table)
    assert service(False).get(LIMIT).equals(frame)
    assert [name for name, _ in cache.calls[before:]] == ["get"]


def test_a_reference_to_a_small_result(runner, cache):
    future = runner.service(double)(21)
    ref = future.ref(LIMIT)
    assert flamepy.get_object(ref) == 42 and future.ref() == ref and future.get() == 42
    assert ref.key in cache.objects


def test_results_are_nobody_else_s(runner):
    future = runner.service(lambda: [1])()
    future.get(LIMIT).append(2)
    assert future.get() == [1]


def test_a_result_that_cannot_travel(runner):
    service = runner.service(lambda: threading.Lock())
    with pytest.raises(FlameError, match="the result of the call: cannot pickle the lock"):
        service().get(LIMIT)


# ── arguments ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_futures_as_arguments(runner, cache):
    doubled = runner.service(double)
    total = runner.service(add)
    assert total(doubled(21), 8).get(LIMIT) == 50
    assert total(right=doubled(21), left=doubled(doubled(1))).get(LIMIT) == 46
    large = runner.service(lambda: np.ones(50_000))()
    assert total(large, large).get(LIMIT).sum() == 100_000


class Holder:
    def __init__(self, inside):
        self.inside = inside


def test_futures_within_arguments(runner):
    doubled = runner.service(double)
    same = runner.service(lambda value, **more: (value, more))
    nested = [doubled(1), {"a": (doubled(2), "x")}, {3: [doubled(3)]}]
    assert same(nested, more=[doubled(4)]).get(LIMIT) == (
        [2, {"a": (4, "x")}, {3: [6]}],
        {"more": [8]},
    )
    inside = runner.service(lambda holder: holder.inside)
    assert inside(Holder({doubled(5)})).get(LIMIT) == {10}
    one = doubled(6)
    assert same([one, one]).get(LIMIT)[0] == [12, 12]


def test_references_as_arguments(runner, cache):
    shared = runner.put_object([1, 2])
    assert shared.key.startswith("my-app/shared/")
    same = runner.service(lambda *args, **more: (args, more))
    args, more = same(shared, [shared], shared.encode(), named=shared).get(LIMIT)
    assert args[0] == [1, 2] and more == {"named": [1, 2]}
    assert args[1] == [shared], "a reference within another argument is meant as one"
    assert args[2] == shared.encode(), "bytes are bytes, whatever they look like"


def test_nobody_waits_for_arguments(runner, world):
    world.paused.clear()
    doubled, total = runner.service(double), runner.service(add)
    given = [1]
    first = doubled(given)
    second = total(first, [3])
    given.append(2)
    assert not first.done() and not second.done() and not second.running()
    world.paused.set()
    assert second.get(LIMIT) == [1, 1, 3], "arguments are those of the moment of the call"


def test_calls_of_one_executor_keep_their_order(runner, world):
    """Also when some of them wait for their arguments."""
    counter, doubled = runner.service(Counter(1), stateful=True), runner.service(double)
    gate = world.paused
    gate.clear()
    slow = doubled(10)
    found = [counter.add(slow), counter.add(1), counter.get(), counter.add(doubled(slow)), counter.get()]
    gate.set()
    assert runner.get(found, LIMIT) == [21, 22, 22, 62, 62]

    def fails():
        raise LookupError("no such thing")

    gate.clear()
    failing = runner.service(fails)()
    found = [counter.add(failing), counter.add(doubled(0)), counter.add(1)]
    cancelled, last = counter.add(doubled(1)), counter.get()
    assert cancelled.cancel()
    gate.set()
    with pytest.raises(FlameError, match="no such thing"):
        found[0].get(LIMIT)
    assert [one.get(LIMIT) for one in found[1:]] == [62, 63] and last.get(LIMIT) == 63


def test_arguments_that_fail(runner):
    def fails():
        raise LookupError("no such thing")

    first = runner.service(fails)()
    total = runner.service(add)
    second = total(1, first)
    third = total([second])
    with pytest.raises(flamepy.TaskFailedError, match="an argument of add failed: no such thing") as error:
        second.get(LIMIT)
    assert error.value.__cause__ is first.exception(LIMIT)
    with pytest.raises(FlameError, match="an argument of add failed: no such thing"):
        third.wait(LIMIT)


def test_long_chains(runner):
    """Longer than Python lets calls nest, whether they end well or not."""
    counter, total = runner.service(Counter(0)), runner.service(add)
    value = 0
    for _ in range(400):
        value = total(value, 1)
    assert value.get(LIMIT) == 400

    def fails():
        raise LookupError("no such thing")

    value = runner.service(fails)()
    for _ in range(1500):
        value = counter.add(value)
    last = counter.get()
    with pytest.raises(FlameError) as error:
        value.get(LIMIT)
    assert error.value.message == "an argument of Counter.add failed: no such thing"
    assert isinstance(error.value.__cause__, flamepy.TaskFailedError) and last.get(LIMIT) == 0


def test_large_arguments_go_through_the_cache(runner, world, cache):
    service = runner.service(lambda data, more: (len(data), more))
    data = b"x" * 1_000_000
    assert service(data, runner.service(double)(2)).get(LIMIT) == (1_000_000, 4)
    (task,) = world.state.tasks[service.session_id]
    assert len(task.spec.input) < 10_000
    many = [runner.service(lambda: b"y" * 50_000)() for _ in range(8)]
    runner.wait(many, LIMIT)
    assert runner.service(lambda all: len(all))(many).get(LIMIT) == 8


def test_arguments_that_cannot_travel(runner):
    service = runner.service(add)
    with pytest.raises(ValueError, match="cannot pickle the arguments of add"):
        service(threading.Lock())
    future = service(1, 2)
    with pytest.raises(TypeError, match="send its ref"):
        pickle.dumps(future)
    with pytest.raises(ValueError, match="together with them"):
        arguments.hole(0)


# ── futures ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_waiting(runner, world):
    world.paused.clear()
    future = runner.service(double)(1)
    for call in [future.get, future.ref, future.wait, future.exception]:
        with pytest.raises(FlameError) as error:
            call(0.01)
        assert error.value.code == FlameErrorCode.DEADLINE_EXCEEDED
    assert not future.done() and "not done" in repr(future)
    world.paused.set()
    assert future.wait(LIMIT) is None and future.exception() is None and future.done() and not future.cancelled()


def test_remote_tracebacks(runner):
    def inner():
        raise LookupError("no such thing")

    def outer():
        inner()

    future = runner.service(outer)()
    with pytest.raises(flamepy.TaskFailedError, match="no such thing") as error:
        future.get(LIMIT)
    shown = "".join(traceback.format_exception(type(error.value), error.value, None))
    assert "in outer" in shown and "in inner" in shown and "LookupError: no such thing" in shown
    assert future.exception() is error.value
    with pytest.raises(FlameError):
        future.wait()


def test_cancelling(runner, world):
    world.paused.clear()
    first = runner.service(double)(1)
    second = runner.service(double)(first)
    assert second.cancel() and second.cancelled() and second.done()
    assert first.cancel() and first.cancel() is not None
    for future in [first, second]:
        with pytest.raises(FlameError) as error:
            future.get(LIMIT)
        assert error.value.code == FlameErrorCode.CANCELLED
        assert future.exception().code == FlameErrorCode.CANCELLED
    third = runner.service(double)(first)
    with pytest.raises(FlameError, match="was cancelled") as error:
        third.get(LIMIT)
    assert error.value.code == FlameErrorCode.CANCELLED


def test_a_chained_call_that_runs_is_cancelled_too(runner, world):
    first = runner.service(double)(1)
    first.wait(LIMIT)
    world.paused.clear()
    # One that has not ended, so that the call is chained.
    other = runner.service(double)(2)
    chained = runner.service(add)(first, other)
    world.paused.set()
    assert chained.get(LIMIT) == 6
    assert not chained.cancel() and not chained.running()


def test_many_futures(runner, world):
    service = runner.service(double)
    futures = [service(number) for number in range(50)]
    assert runner.get(futures, LIMIT) == [2 * number for number in range(50)]
    assert sorted(one.get() for one in runner.select(futures)) == sorted(2 * number for number in range(50))
    assert [flamepy.get_object(ref) for ref in runner.ref(futures[:3])] == [0, 2, 4]
    assert runner.wait(futures) is None and runner.get([]) == []
    assert len(list(runner.select([futures[0], futures[0]]))) == 2
    with pytest.raises(ValueError, match="an ObjectFuture is expected, not int"):
        runner.get([1])
    world.paused.clear()
    late = service(1)
    for call in [runner.get, runner.ref, runner.wait, lambda one, timeout: list(runner.select(one, timeout))]:
        with pytest.raises(FlameError) as error:
            call([late], 0.01)
        assert error.value.code == FlameErrorCode.DEADLINE_EXCEEDED


def test_select_gives_what_has_ended_first(runner, world, monkeypatch):
    gate = threading.Event()
    # By way of a module: functions travel by value, and an event would not.
    monkeypatch.setattr(sys, "gate_of_test", gate, raising=False)
    slow, fast = runner.service(lambda: sys.gate_of_test.wait(20) and "slow"), runner.service(lambda: "fast")
    futures = [slow(), fast()]
    found = iter(runner.select(futures))
    assert next(found) is futures[1]
    gate.set()
    assert next(found).get() == "slow"


def test_waiting_for_many_raises_the_first_failure(runner, world):
    def fails():
        raise LookupError("no such thing")

    futures = [runner.service(double)(1), runner.service(fails)()]
    for call in [runner.wait, runner.get, runner.ref]:
        with pytest.raises(FlameError, match="no such thing"):
            call(futures, LIMIT)


def test_futures_of_published_services(cache):
    """A published service answers with a reference; its future is made of a plain one."""
    ref = flamepy.put_object("app/session", [1])
    inner = concurrent.futures.Future()
    future = ObjectFuture(inner)
    assert not future.done()
    inner.set_result(ref.encode())
    assert future.get() == [1] and future.ref() == ref and future.state_version == 0
    for wrong in [None, b"", b"text", b"FLMR\x01", b"FLMR\x01\x07" + bytes(8)]:
        inner = concurrent.futures.Future()
        inner.set_result(wrong)
        with pytest.raises(FlameError, match="the service answered with"):
            ObjectFuture(inner).get()


# ── the end ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_at_the_end_nothing_is_left(world, cache, tmp_path):
    with Runner("my-app") as runner:
        service = runner.service(double)
        assert service(2).get(LIMIT) == 4
        runner.put_object(1)
        assert "my-app" in world.state.applications and (tmp_path / "project/dist/my-app.tar.gz").is_file()
    assert "my-app" not in world.state.applications
    assert world.state.sessions[service.session_id].status.state == 1
    assert cache.keys("my-app/") == [] and not (tmp_path / "project/dist").exists()
    runner.close()
    for call in [lambda: runner.service(double), lambda: runner.put_object(1)]:
        with pytest.raises(FlameError, match="is closed"):
            call()


def test_calls_that_run_are_ended(world):
    with Runner("my-app") as runner:
        world.paused.clear()
        future = runner.service(double)(2)
        future._future.accepted(LIMIT)
    eventually(future.done, "the call has ended")
    with pytest.raises(FlameError):
        future.get()


def test_what_cannot_be_taken_away_is_logged(world, cache, caplog):
    with caplog.at_level(logging.WARNING), Runner("my-app"):
        del world.state.applications["my-app"]
    assert "could not unregister the application" in caplog.text and cache.keys("my-app/") == []


def test_nothing_heavy_is_imported_before_a_service_is_made():
    code = (
        "import sys; import flamepy.runner; print([n for n in ('pyarrow', 'cloudpickle', 'numpy') if n in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
