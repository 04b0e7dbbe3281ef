"""Services that are one typed function."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import threading
from typing import Any, Dict, List, Optional

import pydantic
import pytest
from service_worker import LIMIT, Stream, serving

from flamepy._wire.ha import service_pb2 as wire
from flamepy.codec import MESSAGE_PACK, PICKLE
from flamepy.core.errors import FlameError, FlameErrorCode
from flamepy.core.service import SessionContext, TaskContext
from flamepy.instance import FlameInstance, Request, task_context


class WebPage(pydantic.BaseModel):
    url: str


class Answer(pydantic.BaseModel):
    answer: str


@dataclasses.dataclass
class Unfinished:
    part: Nowhere  # type: ignore[name-defined]  # noqa: F821


class Prompt(Request):
    prompt: str


@dataclasses.dataclass
class Range:
    first: int
    last: int = 10


def called(ins: FlameInstance, *inputs: Optional[bytes], common_data: Optional[bytes] = None) -> List[wire.TaskDone]:
    """A session with these tasks."""
    with serving(ins) as path, Stream(path) as stream:
        entered = stream.enter(common_data=common_data)
        assert entered.return_code == 0, entered.message
        stream.invoke(inputs)
        return stream.done(len(inputs))


def test_a_function_of_models() -> None:
    ins = FlameInstance()

    @ins.entrypoint
    def crawl(page: WebPage) -> Answer:
        return Answer(answer=f"Crawled {page.url}")

    done, wrong, rubbish, absent = called(ins, b'{"url":"http://x"}', b'{"url":7}', b"http://x", None)
    assert json.loads(done.output) == {"answer": "Crawled http://x"}
    assert wrong.message == "page of crawl: not a valid WebPage: url: should be a valid string, got 7 (int)"
    assert rubbish.message.startswith("page of crawl: 8 bytes that are not JSON")
    assert absent.message == "crawl needs an input, WebPage, and there is none"
    assert {one.return_code for one in (wrong, rubbish, absent)} == {-1}
    assert crawl(WebPage(url="u")) == Answer(answer="Crawled u"), "the function stays as it is"


def test_every_kind_of_input_and_output() -> None:
    def answers(function: Any, *inputs: Optional[bytes]) -> List[Optional[bytes]]:
        ins = FlameInstance()
        ins.entrypoint(function)
        done = called(ins, *inputs)
        assert [one.message for one in done if one.return_code] == []
        return [one.output if one.HasField("output") else None for one in done]

    def raw(data: bytes) -> bytes:
        return data + b"!"

    def text(name: str) -> str:
        return f"hello {name}"

    def mapping(values: Dict[str, int]) -> Dict[str, int]:
        return {name: 2 * value for name, value in values.items()}

    def span(numbers: Range) -> List[int]:
        return list(range(numbers.first, numbers.last))

    def nothing() -> None:
        pass

    def perhaps(page: Optional[WebPage]) -> Optional[Answer]:
        return Answer(answer=page.url) if page else None

    def defaulted(count: int = 3) -> int:
        return count

    def untyped(data):  # type: ignore[no-untyped-def]
        return {"got": data.decode()}

    async def later(name: str) -> str:
        await asyncio.sleep(0)
        return name.upper()

    assert answers(raw, b"\xff", b"") == [b"\xff!", b"!"]
    assert answers(text, b'"you"') == [b'"hello you"']
    assert answers(mapping, b'{"a":2}') == [b'{"a":4}']
    assert answers(span, b'{"first":7}') == [b"[7,8,9]"]
    assert answers(nothing, None, b"whatever") == [None, None]
    assert answers(perhaps, b'{"url":"u"}', None, b"null") == [b'{"answer":"u"}', None, None]
    assert answers(defaulted, None, b"5") == [b"3", b"5"]
    assert answers(untyped, b"x") == [b'{"got":"x"}']
    assert answers(later, b'"x"') == [b'"X"']


def test_an_output_of_another_type_fails_the_task() -> None:
    ins = FlameInstance()

    @ins.entrypoint
    def crawl(which: int) -> Answer:
        return [Answer(answer="fine"), "not an Answer", None][which]  # type: ignore[return-value]

    fine, text, none = called(ins, b"0", b"1", b"2")
    assert fine.output == b'{"answer":"fine"}'
    assert text.message.startswith("what crawl returned: str cannot be encoded as Answer in JSON")
    assert none.message.startswith("what crawl returned: NoneType cannot be encoded as Answer")


def test_bytes_where_something_else_is_promised_and_the_reverse() -> None:
    ins = FlameInstance()

    @ins.entrypoint
    def raw(which: int) -> bytes:
        return "text" if which else b"bytes"  # type: ignore[return-value]

    right, wrong = called(ins, b"0", b"1")
    assert right.output == b"bytes"
    assert wrong.message == "what raw returned: expected bytes, got str"


def test_an_exception_comes_with_its_place() -> None:
    ins = FlameInstance()

    @ins.entrypoint
    def crawl(url: str) -> str:
        raise LookupError(f"no host {url}")

    (failed,) = called(ins, b'"x"')
    assert failed.message.startswith("no host x\n")
    assert "in crawl" in failed.message and "LookupError" in failed.message
    assert "flamepy/_service" not in failed.message, "the frames of the engine tell nobody anything"


def test_the_session_s_context() -> None:
    ins = FlameInstance()
    prompts: List[str] = []

    @ins.context
    def system(prompt: Prompt) -> None:
        prompts.append(f"{ins.session_id}: {prompt.prompt}")

    @ins.entrypoint
    def ask(question: str) -> str:
        known = ins.context()
        return f"{known.prompt if known else 'nobody'} on {question}"

    (with_context,) = called(ins, b'"life"', common_data=b'{"prompt":"Sage"}')
    assert with_context.output == b'"Sage on life"'
    (without,) = called(ins, b'"life"')
    assert without.output == b'"nobody on life"', "the next session does not see the one before"
    assert prompts == ["s-1: Sage"]
    with serving(ins) as path, Stream(path) as stream:
        refused = stream.enter(common_data=b'{"prompt":1}')
        assert refused.return_code == -1
        assert "prompt of system: not a valid Prompt: prompt: should be a valid string" in refused.message


def test_a_context_that_is_only_a_type_or_not_declared() -> None:
    typed = FlameInstance()
    typed.context(Prompt)

    @typed.entrypoint
    def one() -> str:
        context = typed.context()
        assert isinstance(context, Prompt)
        return context.prompt

    assert called(typed, None, common_data=b'{"prompt":"p"}')[0].output == b'"p"'
    untyped = FlameInstance()

    @untyped.entrypoint
    def two() -> Any:
        return untyped.context()

    assert called(untyped, None, common_data=b'{"a":1}')[0].output == b'{"a":1}'
    assert called(untyped, None, common_data=b"\xff")[0].output == b"\xff"


def test_async_contexts_and_entrypoints_share_a_loop() -> None:
    ins = FlameInstance()
    loops: List[object] = []

    @ins.context
    async def system(prompt: Prompt) -> None:
        loops.append(asyncio.get_running_loop())

    @ins.entrypoint
    async def ask() -> bool:
        loops.append(asyncio.get_running_loop())
        return loops[0] is loops[-1]

    done = called(ins, None, None, common_data=b'{"prompt":"p"}')
    assert [one.output for one in done] == [b"true", b"true"]


# ── which task it is ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("is_async", [False, True])
def test_the_task_is_known_by_parameter_and_by_function(is_async: bool) -> None:
    ins = FlameInstance()

    def told(session: SessionContext, name: str, task: TaskContext, extra: int = 7) -> Dict[str, Any]:
        assert task_context() is task and ins.task_context() is task
        return {
            "name": name,
            "session": session.session_id,
            "task": task.task_id,
            "token": task.token,
            "attempt": task.attempt,
            "extra": extra,
        }

    if is_async:

        @ins.entrypoint
        async def later(session: SessionContext, name: str, task: TaskContext, extra: int = 7) -> Dict[str, Any]:
            await asyncio.sleep(0)
            return await asyncio.ensure_future(asyncio.sleep(0, told(session, name, task, extra)))

    else:
        ins.entrypoint(told)
    (done,) = called(ins, b'"x"')
    assert json.loads(done.output) == {
        "name": "x",
        "session": "s-1",
        "task": "1",
        "token": 10,
        "attempt": 1,
        "extra": 7,
    }


def test_outside_a_task_there_is_none() -> None:
    with pytest.raises(FlameError, match="no task runs here"):
        task_context()
    with pytest.raises(FlameError, match="no session"):
        _ = FlameInstance().session_id


def test_a_long_task_asks_whether_it_is_wanted() -> None:
    ins = FlameInstance()
    begun = threading.Event()

    @ins.entrypoint
    def count(task: TaskContext) -> None:
        begun.set()
        assert task.cancellation.wait(LIMIT)
        task.cancellation.raise_if_cancelled()

    with serving(ins) as path, Stream(path) as stream:
        stream.enter()
        (token,) = stream.invoke([None])
        assert begun.wait(LIMIT)
        stream.send(cancel=wire.CancelInvoke(token=token))
        assert stream.done(1)[0].message.startswith("the task was cancelled")


def test_keys_of_an_instance() -> None:
    ins = FlameInstance()

    @ins.entrypoint
    def load(model: str) -> None:
        ins.publish([model])
        ins.retract(["old"])

    (done,) = called(ins, b'"new"')
    assert (list(done.publish), list(done.retract)) == ([b"new"], [b"old"])


# ── other codecs ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("codec", [MESSAGE_PACK, PICKLE], ids=lambda codec: codec.name)
def test_another_codec(codec: Any) -> None:
    ins = FlameInstance(codec=codec)

    @ins.entrypoint
    def crawl(page: WebPage) -> Answer:
        return Answer(answer=page.url)

    right, wrong = called(ins, codec.encode(WebPage(url="u")), b"rubbish")
    assert codec.decode(right.output, Answer) == Answer(answer="u")
    assert wrong.return_code == -1 and wrong.message.startswith("page of crawl: ")


# ── what is refused when it is declared ──────────────────────────────────────────────────────────────────────────────


def refused(function: Any) -> str:
    ins = FlameInstance()
    with pytest.raises(FlameError) as error:
        ins.entrypoint(function)
        ins.run()
    return str(error.value)


def test_what_could_never_be_called_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLAME_INSTANCE_ENDPOINT", raising=False)

    def two(first: int, second: int) -> None: ...
    def keyword(data: bytes, *, factor: int) -> None: ...
    def unknown(data: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821
    def odd(lock: threading.Event) -> None: ...
    def generator() -> Unfinished: ...
    def good(data: bytes) -> None: ...

    assert "two takes 2 inputs (first, second), a task has one" in refused(two)
    assert "keyword cannot be called with an input alone: it needs factor" in refused(keyword)
    assert "an annotation of unknown names something that is not there" in refused(unknown)
    assert "an annotation of odd: Event cannot be checked" in refused(odd)
    assert "an annotation of generator: Unfinished cannot be checked" in refused(generator)
    assert "FLAME_INSTANCE_ENDPOINT not found" in refused(good), "and nothing else is wrong with it"
    with pytest.raises(FlameError, match="no entrypoint"):
        FlameInstance().run()
    ins = FlameInstance()
    ins.entrypoint(good)
    with pytest.raises(FlameError, match="keyword cannot be the entrypoint: good is") as error:
        ins.entrypoint(keyword)
    assert error.value.code == FlameErrorCode.INVALID_STATE
