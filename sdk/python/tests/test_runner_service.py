"""The service side of Runner: what it reads and answers, also for published clients; stateful instances."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading

import cloudpickle
import numpy as np
import pytest
from service_worker import Stream, serving, socket_path, wait_until

import flamepy
from flamepy import FlameError
from flamepy._service.context import ApplicationContext, SessionContext, TaskContext
from flamepy.core import ObjectRef
from flamepy.core.cache import VersionConflict, values
from flamepy.core.cache.objects import load
from flamepy.runner import ErrorType, FlameRunpyService, RunnerContext, RunnerError, RunnerRequest, answer, get_data
from flamepy.runner import state as state_module
from flamepy.runner.types import BoundRequest, SavedState


class Counter:
    def __init__(self, count=0):
        self.count = count

    def add(self, value):
        self.count += value
        return self.count

    def get(self):
        return self.count

    def spoil(self):
        self.count = None
        raise LookupError("spoiled")

    def lock(self):
        self.count = threading.Lock()


def put(context):
    """As clients do."""
    return flamepy.put_object("app/s", cloudpickle.dumps(context))


def entered(ref, session_id="s"):
    service = FlameRunpyService()
    service.on_session_enter(SessionContext(ref.encode(), session_id, ApplicationContext("app")))
    return service


def request(method=None, *args, **kwargs):
    return cloudpickle.dumps(RunnerRequest(method, args, kwargs))


def call(service, number, method=None, *args, token=1, **kwargs):
    return service.on_task_invoke(TaskContext(str(number), "s", request(method, *args, **kwargs), token=token))


def value(output):
    return answer.decode(output).value()


# ── published clients ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_published_client_gets_references(cache):
    # Its contexts have no inline_bytes.
    context = RunnerContext(lambda one, two=0: one + two)
    del context.__dict__["inline_bytes"]
    service = entered(put(context))
    output = call(service, 1, None, 1, two=2)
    ref = ObjectRef.decode(output)
    assert flamepy.get_object(ref) == 3 and ref.key.startswith("app/s/")
    argument = flamepy.put_object("app/s", 20)
    assert value(call(service, 2, None, argument, two=argument)) == 40
    assert value(call(service, 3, None, b"a", two=argument.encode())) == b"a" + argument.encode()


def test_names_in_pickles_are_the_published_ones():
    """What the published package pickles by name, and the fields that it gives them."""
    for kind, module, fields in [
        (
            RunnerContext,
            "flamepy.runner.types",
            ["execution_object", "stateful", "autoscale", "warmup", "min_instances", "max_instances"],
        ),
        (RunnerRequest, "flamepy.runner.types", ["method", "args", "kwargs"]),
        (flamepy.runner.SessionContext, "flamepy.runner.types", ["session_id", "application_name"]),
        (ObjectRef, "flamepy.core.cache", ["endpoint", "key", "version"]),
    ]:
        assert kind.__module__ == module and getattr(sys.modules[module], kind.__name__) is kind
        assert list(kind.__dataclass_fields__)[: len(fields)] == fields
    for name in ["ObjectFuture", "ObjectFutureIterator", "Runner", "RunnerService"]:
        assert getattr(sys.modules["flamepy.runner.runner"], name) is getattr(flamepy.runner, name)


def test_a_context_that_was_pickled_by_the_published_package(cache):
    """The bytes of a pickle that has only the published fields in its state."""
    made = RunnerContext(sum)
    state = {
        name: made.__dict__[name]
        for name in ["execution_object", "stateful", "autoscale", "warmup", "min_instances", "max_instances"]
    }
    plain = RunnerContext.__new__(RunnerContext)
    plain.__dict__.update(state)
    found = pickle.loads(pickle.dumps(plain))
    assert found.inline_bytes == 0 and found.stateful is False


# ── entering ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_sessions_that_are_none_of_runner(cache):
    for common, text in [(None, "no reference"), (b"text", "no reference")]:
        with pytest.raises(FlameError, match=text):
            FlameRunpyService().on_session_enter(SessionContext(common, "s", ApplicationContext("app")))
    with pytest.raises(FlameError, match="leads to a int"):
        entered(flamepy.put_object("app/s", 3))
    with pytest.raises(FlameError, match="Object not found"):
        entered(ObjectRef(cache.endpoint, "app/s/none"))


def test_a_class_is_made_anew_for_each_session(cache):
    ref = flamepy.put_object("app/s", RunnerContext(Counter, inline_bytes=1000))
    service = entered(ref)
    assert value(call(service, 1, "add", 2)) == 2
    service.on_session_leave()
    service.on_session_enter(SessionContext(ref.encode(), "s", ApplicationContext("app")))
    assert value(call(service, 2, "add", 3)) == 3


def test_calls_that_are_wrong(cache):
    service = entered(flamepy.put_object("app/s", RunnerContext(Counter(), inline_bytes=1000)))
    for data, text in [
        (None, "no input"),
        (b"text", "cannot be unpickled"),
        (cloudpickle.dumps(3), "not a call of Runner"),
        (request(), "cannot be called"),
        (request("none"), "no public method 'none'"),
        (request("__init__"), "no public method '__init__'"),
    ]:
        with pytest.raises(FlameError, match=text):
            service.on_task_invoke(TaskContext("1", "s", data))
    with pytest.raises(TypeError, match="positional argument"):
        call(service, 1, "add")


def test_what_cannot_be_imported_says_what_helps(cache):
    data = cloudpickle.dumps(RunnerRequest("add", (1,))).replace(b"RunnerRequest", b"RunnerQuestio")
    service = entered(flamepy.put_object("app/s", RunnerContext(Counter(), inline_bytes=1000)))
    with pytest.raises(FlameError, match="arguments of the call cannot be unpickled") as error:
        service.on_task_invoke(TaskContext("1", "s", data))
    assert "dependencies" in error.value.remedy


# ── state ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def stateful(cache):
    return put(RunnerContext(Counter(10), stateful=True, inline_bytes=1000))


def test_the_state_survives_its_process(stateful):
    first = entered(stateful)
    assert value(call(first, 1, "add", 1)) == 11
    assert value(call(first, 2, "add", 2)) == 13
    second = entered(stateful)
    assert value(call(second, 3, "get")) == 13
    assert value(call(second, 4, "add", 3)) == 16


def test_only_calls_that_change_the_state_write_it(stateful, cache):
    service = entered(stateful)
    before = cache.count("put")
    assert answer.decode(call(service, 1, "get")).state_version == 1
    assert cache.count("put") == before
    assert answer.decode(call(service, 2, "add", 1)).state_version == 2
    assert cache.count("put") == before + 1
    assert load(stateful)[1] == 2


def test_a_call_that_is_made_again_is_applied_once(stateful):
    """Its worker was lost after the state was written and before the answer was recorded."""
    lost = [call(entered(stateful), number, "add", number) for number in (1, 2, 3)]
    again = entered(stateful)
    assert [call(again, number, "add", number, token=2) for number in (1, 2, 3)] == lost
    assert value(call(again, 4, "get", token=2)) == 16


def test_an_instance_that_was_put_anew(stateful, monkeypatch):
    service = entered(stateful)
    conflicting(monkeypatch, 1, lambda: flamepy.update_object(stateful, b"something else"))
    with pytest.raises(FlameError, match="was put anew"):
        call(service, 1, "add", 1)


def test_a_call_that_raises_changes_nothing(stateful):
    service = entered(stateful)
    for method, text in [("spoil", "spoiled"), ("lock", "cannot pickle the Counter")]:
        with pytest.raises(Exception, match=text):
            call(service, 1, method)
        assert value(call(service, 2, "get")) == 10
    assert value(call(service, 3, "add", 1)) == 11


def test_what_is_remembered_is_bounded(stateful, monkeypatch):
    monkeypatch.setattr(state_module, "_APPLIED_BYTES_MAX", 2000)
    service = entered(stateful)
    for number in range(1, 200):
        call(service, number, "add", 1)
    saved, version = load(ObjectRef(stateful.endpoint, stateful.key))
    assert isinstance(saved, SavedState) and version == 200
    kept = list(saved.applied)
    assert 16 <= len(kept) < 100 and kept == [str(number) for number in range(200 - len(kept), 200)]


def conflicting(monkeypatch, times, change):
    """The next writes meet another version, which `change` has made."""
    real = state_module.replace_if
    left = [times]

    def replace_if(ref, saved, expected):
        if left[0]:
            left[0] -= 1
            change()
            raise VersionConflict(flamepy.FlameErrorCode.ABORTED, "another version")
        return real(ref, saved, expected)

    monkeypatch.setattr(state_module, "replace_if", replace_if)


def test_a_call_whose_state_was_changed_by_another_begins_again(stateful, monkeypatch):
    other, service = entered(stateful), entered(stateful)
    numbers = iter(range(100, 200))
    with monkeypatch.context() as patch:
        real = state_module.replace_if

        def change():
            patch.setattr(state_module, "replace_if", real)
            call(other, next(numbers), "add", 100)

        conflicting(patch, 1, change)
        assert value(call(service, 1, "add", 1)) == 111
    assert value(call(service, 2, "get")) == 111


def test_an_executor_that_was_given_up_stops(stateful, monkeypatch):
    zombie, successor = entered(stateful), entered(stateful)
    with monkeypatch.context() as patch:
        real = state_module.replace_if

        def change():
            patch.setattr(state_module, "replace_if", real)
            call(successor, 2, "add", 5, token=9)

        conflicting(patch, 1, change)
        with pytest.raises(FlameError, match="has taken the instance over"):
            call(zombie, 1, "add", 1, token=3)
    assert value(call(successor, 3, "get", token=9)) == 15


def test_endless_conflicts_end(stateful, monkeypatch):
    service = entered(stateful)
    call(service, 1, "add", 1)
    conflicting(monkeypatch, 1000, lambda: None)
    with pytest.raises(FlameError, match="changed by others 10 times"):
        call(service, 2, "add", 1)


def test_a_stateful_instance_for_a_published_client(cache):
    ref = put(RunnerContext(Counter(10), stateful=True))
    service = entered(ref)
    assert ObjectRef.decode(call(service, 1, "add", 1)) and value(call(entered(ref), 2, "get")) == 11


# ── what tasks carry ────────────────────────────────────────────────────────────────────────────────────────────────


def test_get_data(cache):
    inner = flamepy.put_object("app/s", [1, 2])
    shown = get_data(
        cloudpickle.dumps(RunnerRequest("m", (inner, [inner, {"k": (inner,)}], inner.encode()), {"x": inner}))
    )
    assert shown == {
        "type": "input",
        "method": "m",
        "args": ([1, 2], [[1, 2], {"k": ([1, 2],)}], inner.encode()),
        "kwargs": {"x": [1, 2]},
        "metadata": {},
    }
    assert get_data(inner.encode()) == {"type": "output", "result": [1, 2], "metadata": {"object_ref_key": inner.key}}
    inline = answer.Answer(payload=memoryview(values.encode("small"))).encode()
    assert get_data(inline) == {"type": "output", "result": "small", "metadata": {}}
    of_state = answer.Answer(ref=inner, state_version=7).encode()
    assert get_data(of_state)["metadata"] == {"object_ref_key": inner.key, "state_version": 7}
    assert get_data(cloudpickle.dumps({"a": 1})) == {"type": "output", "result": {"a": 1}, "metadata": {}}
    bound = BoundRequest(cloudpickle.dumps(RunnerRequest("m", (1,))), [])
    assert get_data(cloudpickle.dumps(bound))["args"] == (1,)


def test_data_that_cannot_be_shown(cache):
    gone = ObjectRef(cache.endpoint, "app/s/none", 1)
    deep = inner = []
    for _ in range(20):
        inner.append([])
        inner = inner[0]
    for data, kind in [
        (b"", ErrorType.DECODE_ERROR),
        (b"text", ErrorType.DECODE_ERROR),
        (b"\x80text", ErrorType.DECODE_ERROR),
        (None, ErrorType.DECODE_ERROR),
        ("text", ErrorType.DECODE_ERROR),
        (gone.encode(), ErrorType.CACHE_RETRIEVAL_ERROR),
        (cloudpickle.dumps(RunnerRequest("m", (gone,))), ErrorType.CACHE_RETRIEVAL_ERROR),
        (cloudpickle.dumps(RunnerRequest("m", (deep,))), ErrorType.DATA_FORMAT_ERROR),
        (b"FLMR\x01\x09" + bytes(8), ErrorType.DATA_FORMAT_ERROR),
    ]:
        with pytest.raises(RunnerError) as error:
            get_data(data)
        assert error.value.error_type is kind and str(error.value).startswith(f"[{kind.value}] ")
        if kind is ErrorType.CACHE_RETRIEVAL_ERROR:
            assert error.value.key == gone.key and error.value.cause is not None
        again = pickle.loads(pickle.dumps(RunnerError(kind, "m", None, "k", "t")))
        assert (again.error_type, again.message, again.key, again.data_type) == (kind, "m", "k", "t")


def test_an_answer_is_no_reference_and_no_pickle():
    for length in [0, 1, 100, 60_000]:
        data = answer.Answer(payload=memoryview(values.PICKLE + bytes(length))).encode()
        assert answer.is_answer(data) and data[:1] != b"\x80"
        with pytest.raises(ValueError):
            ObjectRef.decode(data)
        assert int.from_bytes(data[:4], "little") > 64 << 20, (
            "no task's output is as long as a document of that beginning"
        )


# ── the process ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_worker_starts_it_as_a_module(cache, tmp_path):
    """`python -m flamepy.runner.runpy` in the folder of a project, whose modules it imports."""
    (tmp_path / "of_the_project.py").write_text("def triple(value):\n    return 3 * value\n")
    code = (
        "import of_the_project; from flamepy import put_object; from flamepy.runner import RunnerContext; "
        "print(put_object('app/s', RunnerContext(of_the_project.triple, inline_bytes=1000)).encode().hex())"
    )
    environment = {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(flamepy.__file__))}
    made = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    )
    common = bytes.fromhex(made.stdout.strip())
    with socket_path() as path:
        environment["FLAME_INSTANCE_ENDPOINT"] = path
        process = subprocess.Popen([sys.executable, "-m", "flamepy.runner.runpy"], cwd=tmp_path, env=environment)
        try:
            wait_until(lambda: os.path.exists(path) or process.poll() is not None, "the service listens")
            with Stream(path) as stream:
                assert stream.enter(common_data=common).return_code == 0
                done = stream.call(request(None, 14))
                assert value(done.output) == 42
                failed = stream.call(request(None, None), 2)
                assert failed.return_code == -1 and failed.message.startswith("unsupported operand")
                stream.leave()
        finally:
            process.terminate()
            assert process.wait(20) == 0


def test_results_of_every_size(cache):
    service = FlameRunpyService()
    with serving(service) as path, Stream(path) as stream:
        ref = flamepy.put_object("app/s-1", RunnerContext(lambda size: np.zeros(size, "u1"), inline_bytes=1000))
        assert stream.enter(common_data=ref.encode()).return_code == 0
        for number, size in enumerate([1, 700, 1100, 5_000_000], 1):
            found = answer.decode(stream.call(request(None, size), number).output)
            assert found.value().nbytes == size and (found.ref is None) == (size < 1000)
        stream.leave()
