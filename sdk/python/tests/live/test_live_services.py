"""Services of every kind on a real cluster."""

from __future__ import annotations

import asyncio
import json
import os
import time
import traceback
from concurrent.futures import CancelledError
from pathlib import Path

import pytest
from live_cluster import LIMIT, application, connection, needs_cluster, wait_until

import flamepy
from flamepy import service, tools

__all__ = ["connection"]

pytestmark = needs_cluster

TYPED = """
    import os
    from dataclasses import dataclass
    import flamepy

    @dataclass
    class Order:
        name: str
        count: int = 1

    ins = flamepy.FlameInstance()

    @ins.context
    def begin(greeting: str) -> None:
        pass

    @ins.entrypoint
    def answer(order: Order, task: flamepy.TaskContext) -> dict:
        if order.name == "fail":
            raise LookupError("no such order")
        if order.name == "crash" and task.attempt == 1:
            os._exit(3)
        return {
            "text": " ".join([ins.context() or "hello", order.name] * order.count),
            "task": task.task_id,
            "session": ins.session_id,
            "attempt": task.attempt,
            "token": task.token,
        }

    ins.run()
"""


def new_session(connection: flamepy.Connection, name: str) -> flamepy.Session:
    return connection.create_session(flamepy.SessionAttributes(name), codec="json")


def test_a_typed_function(connection: flamepy.Connection) -> None:
    with application(connection, TYPED) as name:
        attributes = flamepy.SessionAttributes(name, common_data=b'"good day"')
        with connection.create_session(attributes, codec="json") as session:
            answer = session.invoke({"name": "you", "count": 2})
            assert answer["text"] == "good day you good day you"
            assert (answer["task"], answer["session"], answer["attempt"]) == ("1", session.id, 1)
            with pytest.raises(flamepy.FlameError) as wrong:
                session.invoke({"name": 7})
            assert wrong.value.message == (
                "order of answer: not a valid Order: name: should be a valid string, got 7 (int)"
            )
            assert wrong.value.__cause__ is None


def test_an_exception_of_the_service_is_the_cause_of_the_client_s(connection: flamepy.Connection) -> None:
    with application(connection, TYPED) as name, new_session(connection, name) as session:
        with pytest.raises(flamepy.FlameError) as failed:
            session.invoke({"name": "fail"})
        assert failed.value.message == "no such order"
        shown = "".join(traceback.format_exception(type(failed.value), failed.value, None))
        assert "in answer" in shown and "LookupError: no such order" in shown
        events = session.get_task("1").events
        assert any(event.message and event.message.startswith("no such order") for event in events or [])


def test_a_process_that_dies_is_replaced_and_its_task_has_a_higher_token(connection: flamepy.Connection) -> None:
    with application(connection, TYPED) as name, new_session(connection, name) as session:
        before = session.invoke({"name": "you"})
        after = session.invoke({"name": "crash"})
        assert (before["attempt"], after["attempt"]) == (1, 2)
        assert after["token"] > before["token"]


NOTHING = """
    import flamepy

    class Nothing(flamepy.FlameService):
        {define} on_task_invoke(self, context):
            return context.input

    flamepy.run(Nothing())
"""


@pytest.mark.parametrize("define", ["def", "async def"])
def test_many_tasks(connection: flamepy.Connection, define: str) -> None:
    with application(connection, NOTHING.format(define=define)) as name:
        with connection.create_session(flamepy.SessionAttributes(name)) as session:
            session.invoke(b"warm")
            count = 20_000
            begun = time.perf_counter()
            outputs = list(session.map(b"%d" % number for number in range(count)))
            took = time.perf_counter() - begun
            assert outputs == [b"%d" % number for number in range(count)]
            print(f"{define}: {count / took:.0f} tasks/s")
        assert connection.get_session(session.id).succeed == count + 1


WAITING = """
    import asyncio, os, pathlib
    import flamepy

    folder = pathlib.Path(os.environ["FOLDER"])
    ins = flamepy.FlameInstance()

    @ins.entrypoint
    {define} wait(name: str, task: flamepy.TaskContext) -> bytes:
        (folder / name).touch()
        {wait}
        return b"in vain"

    ins.run()
"""

SYNC = """if task.cancellation.wait(60):
            (folder / (name + "-cancelled")).touch()"""

ASYNC = """try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            (folder / (name + "-cancelled")).touch()
            raise"""


@pytest.mark.parametrize(("define", "wait"), [("def", SYNC), ("async def", ASYNC)], ids=["sync", "async"])
def test_a_task_that_nobody_wants_any_more_is_told(connection: flamepy.Connection, define: str, wait: str) -> None:
    with application(connection, WAITING.format(define=define, wait=wait)) as name:
        environments = connection.get_application(name)
        assert environments is not None and environments.environments is not None
        folder = Path(environments.environments["FOLDER"])
        with connection.create_session(flamepy.SessionAttributes(name), codec="json", output=bytes) as session:
            future = session.run("first")
            wait_until((folder / "first").exists, "the task has begun")
            assert future.cancel()
            with pytest.raises(CancelledError):
                future.result(0)
            wait_until((folder / "first-cancelled").exists, "the task has heard")
            # The process serves on.
            second = session.run("second")
            wait_until((folder / "second").exists, "the next task has begun")
            second.cancel()


def test_the_asynchronous_client(connection: flamepy.Connection) -> None:
    async def main(name: str) -> None:
        session = await flamepy.create_session(name)
        answers = await asyncio.gather(*(session.invoke({"name": str(number)}) for number in range(20)))
        assert [json.loads(answer)["text"] for answer in answers] == [f"hello {number}" for number in range(20)]
        await session.close()

    with application(connection, TYPED) as name:
        asyncio.run(main(name))


NESTED = """
    import asyncio
    import flamepy

    ins = flamepy.FlameInstance()

    @ins.entrypoint
    def outer(inner: str) -> bytes:
        with flamepy.create_session(inner) as session:
            return b" ".join(session.map([b"from", b"inside"]))

    ins.run()
"""

NESTED_ASYNC = """
    import asyncio
    import flamepy

    ins = flamepy.FlameInstance()

    @ins.entrypoint
    async def outer(inner: str) -> bytes:
        session = await flamepy.create_session(inner)
        try:
            return b" ".join(await asyncio.gather(session.invoke(b"from"), session.invoke(b"inside")))
        finally:
            await session.close()

    ins.run()
"""


@pytest.mark.parametrize("code", [NESTED, NESTED_ASYNC], ids=["sync", "async"])
def test_a_service_may_be_a_client_of_its_cluster(connection: flamepy.Connection, code: str) -> None:
    with application(connection, NOTHING.format(define="def")) as inner, application(connection, code) as outer:
        attributes = flamepy.SessionAttributes(outer)
        with connection.create_session(attributes, codec="json", output=bytes) as session:
            assert list(session.map([inner] * 3)) == [b"from inside"] * 3


OBJECTS = """
    from flamepy import service

    ins = service.FlameInstance()

    @ins.entrypoint
    def total(numbers):
        if numbers is None:
            return None
        return sum(numbers, ins.context()["begin"])

    ins.run()
"""


def test_a_session_of_objects(connection: flamepy.Connection) -> None:
    with application(connection, OBJECTS) as name, service.Session(name, ctx={"begin": 100}) as session:
        assert session.context() == {"begin": 100}
        assert session.invoke({1, 2, 3}) == 106
        assert session.invoke(None) is None
        assert [session.run([number]).result(LIMIT) for number in range(3)] == [100, 101, 102]
        other = service.Session(session_id=session.id())
        assert other.context() == {"begin": 100} and other.invoke([1.5]) == 101.5
        with pytest.raises(flamepy.FlameError, match="unsupported operand"):
            session.invoke(["text"])


def test_common_data_of_the_largest_context(connection: flamepy.Connection) -> None:
    code = """
        from flamepy import service
        ins = service.FlameInstance()
        ins.entrypoint(lambda: len(ins.context()))
        ins.run()
    """
    with application(connection, code) as name, service.Session(name, ctx=os.urandom(1_000_000)) as session:
        assert session.invoke(None) == 1_000_000


# ── scripts ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def flmexec(connection: flamepy.Connection) -> None:
    if connection.get_application(tools.sandbox.APPLICATION) is None:
        pytest.skip("the cluster has no flmexec")


@pytest.mark.usefixtures("flmexec")
def test_scripts() -> None:
    with tools.Sandbox.create(tools.SandboxAttr(language="python")) as sandbox:
        output = sandbox.run_code("import sys; print(sys.stdin.read().upper()); print('oh', file=sys.stderr)", b"flame")
        assert (output.text().strip(), output.stderr.strip(), output.exit_code) == ("FLAME", b"oh", 0)
        futures = [sandbox.submit_code(f"print({number} * {number})") for number in range(4)]
        assert [future.result(LIMIT).text().strip() for future in futures] == ["0", "1", "4", "9"]
        with pytest.raises(flamepy.FlameError) as failed:
            sandbox.run_code("import sys; print('why', file=sys.stderr); sys.exit(3)")
        assert "3" in failed.value.message and "why" in failed.value.message
        with pytest.raises(flamepy.FlameError):
            sandbox.run_code("import time; time.sleep(600)", timeout=0.5)
        assert tools.Sandbox.open(sandbox.sandbox_id).attr == sandbox.attr
    with pytest.raises(flamepy.FlameError, match="not open") as closed:
        tools.Sandbox.open(sandbox.sandbox_id)
    assert closed.value.code == flamepy.FlameErrorCode.INVALID_ARGUMENT
    with tools.Sandbox.create(tools.SandboxAttr(language="shell", runtime="bash")) as shell:
        assert shell.run_code("echo hello").text().strip() == "hello"
