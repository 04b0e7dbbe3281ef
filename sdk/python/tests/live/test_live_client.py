"""The client against a real cluster: what the fake one cannot show.

With FLAME_TEST_DEV_DATA, the data folder of a `flmctl dev` cluster, the leader is killed as well.
"""

import asyncio
import concurrent.futures
import os
import shutil
import subprocess
import threading

import pytest
from live_cluster import application, connection, needs_cluster, wait_until  # noqa: F401

import flamepy
import flamepy.aio
from flamepy import FlameErrorCode, SessionAttributes, TaskState

pytestmark = needs_cluster

ECHO = """
    import os, time, flamepy
    class Echo(flamepy.FlameService):
        def on_session_enter(self, context):
            self.common = context.common_data()
        def on_task_invoke(self, context):
            data = context.input
            if data is None or data == b"none":
                return None
            if data.startswith(b"fail:"):
                raise ValueError(data[5:].decode())
            if data == b"exit":
                os._exit(7)
            if data.startswith(b"sleep:"):
                time.sleep(float(data[6:]))
            if data == b"common":
                return self.common
            return data
    flamepy.run(Echo())
"""

DEV_DATA = os.environ.get("FLAME_TEST_DEV_DATA", "")


FLMCTL = os.environ.get("FLAME_TEST_FLMCTL") or shutil.which("flmctl") or "flmctl"


@pytest.fixture
def echo(connection):  # noqa: F811
    with application(connection, ECHO, delay_release=1) as name:
        yield name


def test_payloads(connection, echo):  # noqa: F811
    with connection.create_session(SessionAttributes(echo, common_data=b"shared")) as session:
        assert session.invoke(b"x") == b"x"
        assert session.invoke(b"") == b"" and session.invoke(None) is None and session.invoke(b"none") is None
        assert session.invoke(b"common") == b"shared"
        large = b"z" * (4 * 1024 * 1024 - 64 * 1024)
        assert session.invoke(large) == large
        with pytest.raises(flamepy.FlameError) as caught:
            session.invoke(large + b"z")
        assert caught.value.code == FlameErrorCode.INVALID_ARGUMENT
        session.refresh()
        assert (session.succeed, session.failed) == (6, 0)


def test_a_service_that_raises(connection, echo):  # noqa: F811
    session = connection.create_session(SessionAttributes(echo))
    with pytest.raises(flamepy.TaskFailedError) as caught:
        session.invoke(b"fail:on purpose")
    assert caught.value.message == "on purpose"
    assert "on_task_invoke" in str(caught.value.__cause__)
    task = session.get_task(caught.value.task_id)
    assert task.is_failed() and task.attempts[0].number == 1
    session.close()


def test_a_service_that_exits(connection, echo):  # noqa: F811
    once = flamepy.Retries(crashed=flamepy.Retry(starts_max=1))
    session = connection.create_session(SessionAttributes(echo, retry=once))
    with pytest.raises(flamepy.TaskFailedError):
        session.invoke(b"exit", timeout=60)
    session.close(force=True)


def test_timeouts_and_cancellation(connection, echo):  # noqa: F811
    session = connection.create_session(SessionAttributes(echo, max_instances=1))
    limited = session.run(b"sleep:60", options=flamepy.TaskOptions(timeout=0.5))
    with pytest.raises(flamepy.TaskFailedError):
        limited.result(60)
    running = session.run(b"sleep:60")
    waiting = session.run(b"never")
    wait_until(lambda: session.get_task(running.accepted(60)).state == TaskState.RUNNING, "it runs")
    assert waiting.accepted(60) and waiting.cancel() and running.cancel()
    wait_until(lambda: session.refresh().cancelled == 2, "both are cancelled")
    with pytest.raises(flamepy.FlameError) as caught:
        session.invoke(b"sleep:60", timeout=0.5)
    assert caught.value.code == FlameErrorCode.DEADLINE_EXCEEDED
    session.close(force=True)


def test_many(connection, echo):  # noqa: F811
    session = connection.create_session(SessionAttributes(echo))
    inputs = [b"%d" % number for number in range(20_000)]
    assert list(session.map(inputs)) == inputs
    futures = session.submit_many(inputs[:5000])
    assert len([one.result() for one in concurrent.futures.as_completed(futures, 60)]) == 5000
    session.close()
    assert (session.succeed, session.pending, session.running) == (25_000, 0, 0)


def test_tasks_and_watches(connection, echo):  # noqa: F811
    session = connection.create_session(SessionAttributes(echo))
    task = session.create_task(b"sleep:0.5")
    states = [one.state for one in session.watch_task(task.id, timeout=60)]
    assert states[-1] == TaskState.SUCCEED
    assert [one.output for one in session.list_tasks()] == [b"sleep:0.5"]
    session.suspend()
    session.resume()
    with pytest.raises(flamepy.FlameError) as caught:
        session.delete()
    assert caught.value.code == FlameErrorCode.INVALID_STATE
    session.close()
    session.delete()
    with pytest.raises(flamepy.FlameError) as caught:
        connection.get_session(session.id)
    assert caught.value.code == FlameErrorCode.NOT_FOUND


def test_a_session_closed_meanwhile(connection, echo):  # noqa: F811
    session = connection.create_session(SessionAttributes(echo))
    assert session.invoke(b"x") == b"x"
    connection.close_session(session.id)
    with pytest.raises(flamepy.FlameError) as caught:
        session.invoke(b"y", timeout=60)
    assert caught.value.code == FlameErrorCode.INVALID_STATE


def test_on_a_loop(connection, echo):  # noqa: F811
    async def main():
        session = await connection.create_session(SessionAttributes(echo))
        outputs = await asyncio.gather(*(session.invoke(b"%d" % number) for number in range(2000)))
        assert outputs == [b"%d" % number for number in range(2000)]
        told = []

        class Informer(flamepy.TaskInformer):
            def on_update(self, task):
                told.append(task.state)

        assert await session.invoke(b"sleep:0.2", Informer()) == b"sleep:0.2"
        while TaskState.SUCCEED not in told:
            await asyncio.sleep(0.001)
        await session.close()

    asyncio.run(asyncio.wait_for(main(), 90))


@pytest.mark.skipif(not DEV_DATA, reason="FLAME_TEST_DEV_DATA names no flmctl dev cluster")
def test_the_leader_dies_in_the_middle(connection, echo, tmp_path):  # noqa: F811
    session = connection.create_session(SessionAttributes(echo))
    count = 60_000
    done = 0
    killed = threading.Event()

    def flmctl(*arguments):
        command = [FLMCTL, "dev", *arguments, "--data", DEV_DATA]
        subprocess.run(command, check=True, capture_output=True, timeout=60)

    def kill():
        flmctl("kill", "leader")
        killed.set()

    killer = threading.Thread(target=kill)
    try:
        for number, output in enumerate(session.map(b"%d" % number for number in range(count))):
            assert output == b"%d" % number
            done += 1
            if done == count // 4:
                killer.start()
        assert done == count and killed.wait(60)
        session.refresh()
        assert (session.succeed, session.failed) == (count, 0), "each was submitted once"
        session.close()
    finally:
        killer.join(60)
        for number in "123":
            subprocess.run([FLMCTL, "dev", "start", number, "--data", DEV_DATA], capture_output=True, timeout=60)
