"""The client for event loops."""

import asyncio
import threading

import pytest

import flamepy
import flamepy.aio
from fake import eventually
from flamepy import FlameErrorCode, SessionAttributes, TaskState


@pytest.fixture(autouse=True)
def _endpoint(cluster, monkeypatch):
    monkeypatch.setenv("FLAME_ENDPOINT", cluster.endpoints[0])
    yield
    present = flamepy.core.ConnectionInstance.present()
    if present is not None:
        present.close()


def test_a_session_on_a_loop(cluster):
    async def main():
        async with await flamepy.aio.connect(cluster.endpoints) as connection:
            session = await connection.create_session(SessionAttributes("app"))
            outputs = await asyncio.gather(*(session.invoke(b"%d" % number) for number in range(1000)))
            assert outputs == [b"%d" % number for number in range(1000)]
            assert (await session.refresh()).succeed == 1000 and session.application == "app"
            await session.close()
            assert session.state == flamepy.SessionState.CLOSED

    asyncio.run(main())
    assert len(cluster.state.frames) < 500, "tasks travel together"


def test_the_default_connection_is_that_of_blocking_code():
    async def main():
        session = await flamepy.aio.create_session("app")
        assert await session.invoke(b"x") == b"x"
        again = flamepy.get_session(session.id)
        assert again.connection is session.connection
        assert again.invoke(b"y") == b"y", "plain values, also inside a loop"

    asyncio.run(main())


def test_a_plain_session_that_is_awaited_is_asynchronous():
    async def main():
        session = await flamepy.create_session("app")
        assert isinstance(session, flamepy.aio.AsyncSession)
        assert await session.invoke({"a": 1}) == b'{"a":1}'
        assert await session.invoke(None) is None
        await session.close()

    asyncio.run(main())


def test_nothing_blocks_the_loop(cluster):
    async def main():
        session = await flamepy.aio.create_session("app")
        task = await session.run(b"hold")
        assert await task.accepted() == "1" == task.task_id
        beats = 0
        while beats < 20:
            await asyncio.sleep(0.001)
            beats += 1
        assert not task.done()
        cluster.state.release()
        assert await task == b"held" and await task == b"held"

    asyncio.run(main())


def test_failures_and_cancellation(cluster):
    async def main():
        session = await flamepy.aio.create_session("app")
        with pytest.raises(flamepy.TaskFailedError, match="no good"):
            await session.invoke(b"fail:no good")
        with pytest.raises(flamepy.FlameError) as caught:
            await session.invoke(b"hold", timeout=0.1)
        assert caught.value.code == FlameErrorCode.DEADLINE_EXCEEDED
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(session.invoke(b"hold"), 0.1)
        task = await session.run(b"hold")
        await task.accepted()
        assert task.cancel() and task.cancelled()
        with pytest.raises(asyncio.CancelledError):
            await task
        return session.id

    name = asyncio.run(main())
    states = lambda: [task.status.state for task in cluster.state.tasks[name]]  # noqa: E731
    eventually("all that nobody waits for is ended", lambda: states() == [3, 4, 4, 4])


def test_map_and_as_completed(cluster):
    async def main():
        session = await flamepy.aio.create_session("app")
        inputs = [b"%d" % number for number in range(500)]
        assert [output async for output in session.map(inputs, in_flight=50)] == inputs

        async def source():
            for one in inputs:
                yield one

        assert sorted([output async for output in session.map(source(), ordered=False)]) == sorted(inputs)
        with pytest.raises(flamepy.TaskFailedError):
            async for _ in session.map([b"a", b"fail:x", b"hold"]):
                pass
        with pytest.raises(flamepy.FlameError):
            async for _ in session.map([b"hold"], timeout=0.1):
                pass
        tasks = await session.submit_many([b"hold", b"a"])
        ended = session.as_completed(tasks, 20)
        assert await (await ended.__anext__()) == b"a"
        cluster.state.release()
        assert await (await ended.__anext__()) == b"held"

    asyncio.run(main())


def test_tasks_and_watches(cluster):
    async def main():
        session = await flamepy.aio.create_session("app")
        task = await session.create_task(b"hold")
        states = []
        async for update in session.watch_task(task.id):
            states.append(update.state)
            cluster.state.release()
        assert states == [TaskState.RUNNING, TaskState.SUCCEED]
        assert [one.id async for one in session.list_tasks()] == ["1"]
        other = await session.create_task(b"hold")
        await session.cancel_task(other.id)
        assert (await session.get_task(other.id)).is_cancelled()
        await session.suspend()
        await session.resume()

    asyncio.run(main())


def test_informers_are_called_on_the_loop(cluster):
    async def main():
        told = []
        here = threading.current_thread()

        class Informer(flamepy.TaskInformer):
            def on_update(self, task):
                assert threading.current_thread() is here
                told.append(task.state)

            def on_error(self, error):
                told.append(error.message)

        session = await flamepy.create_session("app")
        waiting = asyncio.ensure_future(session.invoke(b"hold", Informer()))
        while TaskState.RUNNING not in told:
            await asyncio.sleep(0.001)
        cluster.state.release()
        assert await waiting == b"held"
        while TaskState.SUCCEED not in told:
            await asyncio.sleep(0.001)
        with pytest.raises(flamepy.TaskFailedError):
            await session.invoke(b"fail:why", Informer())
        while "why" not in told:
            await asyncio.sleep(0.001)

    asyncio.run(asyncio.wait_for(main(), 30))


def test_several_loops_at_once(cluster):
    connection = flamepy.connect(cluster.endpoints)
    session = connection.create_session(SessionAttributes("app"))
    failed = []

    async def main(number):
        mine = flamepy.aio.AsyncSession(session)
        outputs = await asyncio.gather(*(mine.invoke(b"%d" % (number * 1000 + one)) for one in range(200)))
        assert outputs == [b"%d" % (number * 1000 + one) for one in range(200)]

    def work(number):
        try:
            asyncio.run(main(number))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    [one.start() for one in threads]
    [one.join(60) for one in threads]
    assert not failed
    connection.close()


def test_the_client_of_the_crawler_post():
    from dataclasses import dataclass

    @dataclass
    class WebPage:
        url: str

    async def main():
        urls = [f"http://host/{number}" for number in range(9)]
        crawler = await flamepy.create_session("app")

        tasks = []
        for url in urls:
            tasks.append(crawler.invoke(WebPage(url=url)))

        await asyncio.gather(*tasks)

        await crawler.close()
        return crawler.id

    name = asyncio.run(main())
    assert flamepy.get_session(name).state == flamepy.SessionState.CLOSED
    assert flamepy.get_session(name).succeed == 9
