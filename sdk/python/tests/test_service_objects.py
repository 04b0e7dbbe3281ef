"""`flamepy.service`: sessions and services of Python objects; and scripts, `flamepy.tools`."""

from __future__ import annotations

import json
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Any, Dict, List, Optional

import pytest
from service_worker import Stream, serving

import flamepy
from flamepy import service, tools
from flamepy.codec import PICKLE
from flamepy.core import client as core
from flamepy.core.future import TaskFuture
from flamepy.core.types import TaskState
from flamepy.service._context import CONTEXT_BYTES_MAX, MARK, Context, encode_context, put_context


@dataclass
class Blog:
    url: str


@dataclass
class Prompt:
    text: str


# ── the service ─────────────────────────────────────────────────────────────────────────────────────────────────────


def called(ins: service.FlameInstance, *inputs: Any, context: Any = None, common_data: Any = None) -> List[Any]:
    if context is not None:
        common_data = encode_context(context)
    with serving(ins) as path, Stream(path) as stream:
        entered = stream.enter(common_data=common_data)
        assert entered.return_code == 0, entered.message
        stream.invoke([PICKLE.encode(value) for value in inputs])
        done = stream.done(len(inputs))
        assert stream.leave().return_code == 0
    return [PICKLE.decode(one.output) if one.HasField("output") else one.message for one in done]


def test_objects_in_and_out() -> None:
    ins = service.FlameInstance()

    @ins.entrypoint
    def summarize(blog: Blog) -> Any:
        return {"url": blog.url, "prompt": ins.context()}

    assert called(ins, Blog("u"), context=Prompt("p")) == [{"url": "u", "prompt": Prompt("p")}]
    assert called(ins, Blog("u")) == [{"url": "u", "prompt": None}]


def test_bytes_and_nothing_are_objects_too() -> None:
    ins = service.FlameInstance()

    @ins.entrypoint
    def same(value):  # type: ignore[no-untyped-def]
        return value

    assert called(ins, b"raw", None, "text") == [b"raw", None, "text"]


def test_entrypoints_without_input_and_async_ones() -> None:
    plain, later = service.FlameInstance(), service.FlameInstance()

    @plain.entrypoint
    def nothing() -> str:
        return "something"

    @later.entrypoint
    async def double(value: int) -> int:
        return 2 * value

    assert called(plain, None) == ["something"]
    assert called(later, 2, 3) == [4, 6]

    with pytest.raises(flamepy.FlameError, match="no parameter or one"):

        @plain.entrypoint
        def two(a: int, b: int) -> None: ...


def counting(ins: service.FlameInstance) -> service.FlameInstance:
    @ins.entrypoint
    def count() -> int:
        ins.update_context((ins.context() or 0) + 1)
        return int(ins.context())

    return ins


def test_an_update_of_the_context_takes_a_cache_unless_it_is_meant_for_this_process() -> None:
    (refused,) = called(counting(service.FlameInstance()), None, context=0)
    assert refused.startswith("update_context needs an object cache") and "context_updates" in refused
    (refused,) = called(counting(service.FlameInstance()), None)
    assert "made without a context" in refused
    here = counting(service.FlameInstance(context_updates="process"))
    assert called(here, None, None, None, context=0) == [1, 2, 3]
    assert called(here, None, context=0) == [1], "the next session begins with its own"
    with pytest.raises(flamepy.FlameError, match="no session"):
        here.update_context(1)
    with pytest.raises(ValueError, match="context_updates"):
        service.FlameInstance(context_updates="everywhere")


def test_everybody_sees_an_update_in_the_cache(cache: Any) -> None:
    common_data = put_context("app/s", 10)
    assert called(counting(service.FlameInstance()), None, None, common_data=common_data) == [11, 12]
    reader = Context(common_data)
    assert reader.get() == 12 and reader.is_shared
    before = len(cache.calls)
    assert reader.get() == 12
    assert cache.calls[before:] == [("get", f"{cache.keys('app/')[0]}:3")], "it asks, and nothing comes"
    assert called(counting(service.FlameInstance(context_updates="process")), None, common_data=common_data) == [13]
    assert reader.get() == 13, "a context in the cache is never one process's own"


def test_a_context_that_has_gone_refuses_the_session(cache: Any) -> None:
    common_data = put_context("app/s", 10)
    flamepy.core.delete_objects("app/s")
    ins = service.FlameInstance()
    ins.entrypoint(lambda: None)
    with serving(ins) as path, Stream(path) as stream:
        assert "app/s/" in stream.enter(common_data=common_data).message
        other = flamepy.put_object("app/s", {"no": "context"})
        assert "not to a context" in stream.enter(common_data=other.encode()).message


def test_contexts_that_cannot_travel() -> None:
    largest = b"x" * (CONTEXT_BYTES_MAX - len(PICKLE.encode(b"")) - 100)
    common_data = encode_context(largest)
    assert common_data.startswith(MARK) and Context(common_data).get() == largest
    with pytest.raises(flamepy.FlameError, match=r"at most 1048576 are allowed without an object cache"):
        encode_context(b"x" * CONTEXT_BYTES_MAX)
    with pytest.raises(flamepy.FlameError, match="the context cannot travel"):
        encode_context(__import__("threading").Lock())
    with pytest.raises(flamepy.FlameError, match=r"are not a context of flamepy\.service"):
        Context(b"\x30\x00\x00\x00\x02endpoint")
    assert Context(None).get() is None and not Context(None).is_there


def test_common_data_of_somebody_else_refuses_the_session() -> None:
    ins = service.FlameInstance()
    ins.entrypoint(lambda: None)
    with serving(ins) as path, Stream(path) as stream:
        assert "are not a context" in stream.enter(common_data=b"{}").message


# ── the client ──────────────────────────────────────────────────────────────────────────────────────────────────────


class FakeStream:
    session = "app-1"

    def __init__(self) -> None:
        self.cancelled: List[TaskFuture] = []

    def cancel(self, future: TaskFuture) -> None:
        self.cancelled.append(future)


class FakeSession:
    """A session whose tasks end as the test says."""

    def __init__(self, application: str, common_data: Optional[bytes], **more: Any) -> None:
        self.id, self.application, self.more = "app-1", application, more
        self._common_data = common_data
        self.payloads = core.Payloads(more.get("codec"), None)
        self.stream = FakeStream()
        self.inputs: List[bytes] = []
        self.futures: List[TaskFuture] = []
        self.answer: Optional[bytes] = None
        self.closed: List[bool] = []

    def common_data(self) -> Optional[bytes]:
        return self._common_data

    def run(self, data: Any) -> TaskFuture:
        payload = self.payloads.encode(data)
        assert payload is not None
        self.inputs.append(payload)
        future = TaskFuture(self.stream, payload, None, self.payloads.decode)  # type: ignore[arg-type]
        self.futures.append(future)
        if self.answer is not None:
            future.accept(1)
            future.finish(TaskState.SUCCEED, self.answer, None)
        return future

    def invoke(self, data: Any) -> Any:
        return self.run(data).result()

    def close(self, force: bool = False) -> None:
        self.closed.append(force)


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> Dict[str, FakeSession]:
    """The sessions that were made, by id; opened ones are those."""
    made: Dict[str, FakeSession] = {}

    def create(
        application: str, common_data: Optional[bytes] = None, session_id: Optional[str] = None, **more: Any
    ) -> FakeSession:
        more["session_id"] = session_id
        made["app-1"] = FakeSession(application, common_data, **more)
        return made["app-1"]

    def opened(session_id: str, spec: Any = None, **more: Any) -> FakeSession:
        return made[session_id]

    monkeypatch.setattr(core, "create_session", create)
    monkeypatch.setattr(core, "open_session", opened)
    return made


def test_a_session_of_objects(sessions: Dict[str, FakeSession]) -> None:
    with service.Session("app", ctx=Prompt("p"), resreq={"cpu": 1, "memory": "64g"}) as session:
        fake = sessions["app-1"]
        assert fake.more["resreq"] == flamepy.ResourceRequirement(cpu=1, memory=64 << 30)
        assert (session.id(), session.context()) == ("app-1", Prompt("p"))
        fake.answer = PICKLE.encode({"n": 1})
        assert session.invoke(Blog("u")) == {"n": 1}
        assert session.run(b"raw").result() == {"n": 1}
        assert [PICKLE.decode(data) for data in fake.inputs] == [Blog("u"), b"raw"]
        assert service.Session(session_id="app-1").context() == Prompt("p")
    assert fake.closed == [False]
    assert session.id() is None
    session.close()
    assert fake.closed == [False], "once is enough"
    with pytest.raises(flamepy.FlameError, match="the session is closed"):
        session.invoke(1)


def test_the_context_of_a_session_is_in_the_cache(cache: Any, sessions: Dict[str, FakeSession]) -> None:
    """As published: the session's common data is a reference, and the object is the bytes of a pickle."""
    with service.Session("app", ctx=Prompt("p" * (2 * CONTEXT_BYTES_MAX))) as session:
        fake = sessions["app-1"]
        ref = flamepy.ObjectRef.decode(fake.common_data() or b"")
        assert ref.key.startswith(f"app/{fake.more['session_id']}/")
        assert len(session.context().text) == 2 * CONTEXT_BYTES_MAX
        assert PICKLE.decode(flamepy.get_object(ref)) == session.context()
        flamepy.update_object(ref, PICKLE.encode("another"))
        assert session.context() == "another"
    assert service.Session("app").context() is None, "without a context there is no object"
    assert len(cache.keys()) == 1


def test_a_session_that_is_refused_leaves_no_context(cache: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise flamepy.FlameError(flamepy.FlameErrorCode.NOT_FOUND, "no such application")

    monkeypatch.setattr(core, "create_session", refused)
    with pytest.raises(flamepy.FlameError, match="no such application"):
        service.Session("app", ctx=1)
    assert cache.keys() == [] and cache.count("put") == 1


@pytest.mark.parametrize("arguments", [{}, {"name": "a", "session_id": "b"}, {"session_id": "b", "ctx": 1}])
def test_a_session_is_new_or_open(arguments: Dict[str, Any], sessions: Dict[str, FakeSession]) -> None:
    with pytest.raises(ValueError, match=r"name and session_id|for a new session"):
        service.Session(**arguments)


# ── scripts ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_sandbox_asks_as_flmexec_reads(sessions: Dict[str, FakeSession]) -> None:
    attr = tools.SandboxAttr(language="shell", runtime="bash", max_instances=2, resreq="cpu=1,mem=1g", timeout=5)
    with tools.Sandbox.create(attr) as sandbox:
        fake = sessions["app-1"]
        assert fake.application == "flmexec"
        assert (fake.more["min_instances"], fake.more["max_instances"]) == (0, 2)
        assert fake.more["resreq"] == flamepy.ResourceRequirement(cpu=1, memory=1 << 30)
        assert json.loads(fake.common_data() or b"") == {
            "language": "shell",
            "runtime": "bash",
            "min_instances": 0,
            "max_instances": 2,
            "resreq": "cpu=1,mem=1g",
            "timeout": 5.0,
        }
        fake.answer = json.dumps({"data": list(b"hi\xff"), "stderr": list(b"oh"), "exit_code": 0}).encode()
        output = sandbox.run_code("echo hi", input=b"\x00\xff", timeout=1.5)
        assert output == tools.SandboxOutput(b"hi\xff", b"oh", 0) and output.text() == "hi\ufffd"
        asked = {"language": "shell", "code": "echo hi", "input": [0, 255], "runtime": "bash", "timeout": 1.5}
        assert json.loads(fake.inputs[0]) == asked
        assert sandbox.submit_code("x", input="text").result() == output
        assert json.loads(fake.inputs[1])["input"] == list(b"text") and json.loads(fake.inputs[1])["timeout"] == 5
        assert tools.Sandbox.open(sandbox.sandbox_id).attr == attr
    assert fake.closed == [True]


def test_a_published_output_and_one_that_cannot_be_read(sessions: Dict[str, FakeSession]) -> None:
    sandbox = tools.Sandbox.create()
    fake = sessions["app-1"]
    fake.answer = b'{"data":[104,105]}'
    assert sandbox.run_code("") == tools.SandboxOutput(b"hi")
    assert json.loads(fake.inputs[0]) == {"language": "python", "code": "", "input": None}
    for rubbish in (b"[]", b"hello", b'{"data":"text"}', b'{"data":[256]}'):
        fake.answer = rubbish
        with pytest.raises(flamepy.FlameError, match="flmexec answered with what cannot be read"):
            sandbox.run_code("")


def test_cancelling_a_script(sessions: Dict[str, FakeSession]) -> None:
    sandbox = tools.Sandbox.create()
    fake = sessions["app-1"]
    future = sandbox.submit_code("sleep")
    assert not future.done() and future.cancel() and future.cancelled()
    with pytest.raises(CancelledError):
        future.result(0)
    assert fake.stream.cancelled == fake.futures
    failing = sandbox.submit_code("false")
    fake.futures[-1].accept(2)
    assert failing.running()
    fake.futures[-1].finish(TaskState.FAILED, None, "ended with exit code 3")
    with pytest.raises(flamepy.FlameError, match="exit code 3"):
        failing.result(0)
    assert not failing.cancel()


def test_what_is_no_sandbox(sessions: Dict[str, FakeSession]) -> None:
    with pytest.raises(flamepy.FlameError, match="expected python or shell"):
        tools.SandboxAttr(language="perl")
    with pytest.raises(flamepy.FlameError, match="more than 0"):
        tools.SandboxAttr(timeout=0)
    sandbox = tools.Sandbox.create()
    with pytest.raises(flamepy.FlameError, match="more than 0"):
        sandbox.run_code("", timeout=-1)
    sessions["app-1"]._common_data = b"[]"
    with pytest.raises(flamepy.FlameError, match="was not made as a sandbox"):
        tools.Sandbox.open("app-1")
    sessions["app-1"].application = "flmping"
    with pytest.raises(flamepy.FlameError, match="is a session of flmping"):
        tools.Sandbox.open("app-1")
