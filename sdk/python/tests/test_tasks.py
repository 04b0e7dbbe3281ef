"""Tasks over the stream of a session."""

import concurrent.futures
import threading

import pytest

import flamepy
from fake import eventually
from flamepy import FlameErrorCode, TaskState


@pytest.fixture(autouse=True)
def _room_comes_back(connection):
    """Whatever became of the tasks of a test: nothing of the room on a stream is lost, and none is won."""
    yield
    for stream in list(connection.client._streams.values()):
        if stream.is_over:
            continue
        for task in list(stream._unfinished.values()):
            if hasattr(task, "cancel"):
                task.cancel()
        eventually("all room is there again", lambda: (stream.room._bytes, stream.room._tasks) == (0, 0))


def test_an_output_comes_back(session):
    assert session.invoke(b"hello") == b"hello"


def test_absent_and_empty_differ(session):
    assert session.invoke(None) is None
    assert session.invoke(b"") == b""
    assert session.invoke(b"none") is None


def test_run_is_a_future(session, cluster):
    future = session.run(b"hold")
    assert future.accepted(20) == "1" and future.task_id == "1"
    assert not future.done() and future.running()
    with pytest.raises(concurrent.futures.TimeoutError):
        future.result(0.01)
    cluster.state.release()
    assert future.result(20) == b"held"
    assert future.done() and future.exception() is None and not future.cancel()


def test_a_failure_has_the_text_of_the_service(session):
    with pytest.raises(flamepy.TaskFailedError) as caught:
        session.invoke(b"fail:it broke")
    assert caught.value.code == FlameErrorCode.INTERNAL
    assert caught.value.message == "it broke" and str(caught.value).startswith("it broke (code: 3)")
    assert caught.value.task_id == "1"


def test_a_remote_traceback_is_the_cause(session):
    from flamepy.core.errors import join_traceback

    text = join_traceback("boom", "Traceback (most recent call last):\n  remote line\n")
    with pytest.raises(flamepy.TaskFailedError) as caught:
        session.invoke(b"fail:" + text.encode())
    assert caught.value.message == "boom"
    assert isinstance(caught.value.__cause__, flamepy.RemoteTraceback)
    assert "remote line" in str(caught.value.__cause__)


def test_a_task_that_is_cancelled_is_ended(session, cluster):
    future = session.run(b"hold")
    future.accepted(20)
    assert future.cancel() and future.cancelled()
    with pytest.raises(concurrent.futures.CancelledError):
        future.result()
    eventually("it is ended", lambda: cluster.state.tasks[session.id][0].status.state == TaskState.CANCELLED)
    assert concurrent.futures.wait([future], 1).done == {future}


def test_cancelled_by_somebody_else_it_is_an_error(session):
    future = session.run(b"hold")
    session.cancel_task(future.accepted(20))
    with pytest.raises(flamepy.TaskFailedError) as caught:
        future.result(20)
    assert caught.value.code == FlameErrorCode.CANCELLED


def test_who_stops_waiting_ends_the_task(session, cluster):
    with pytest.raises(flamepy.FlameError) as caught:
        session.invoke(b"hold", timeout=0.3)
    assert caught.value.code == FlameErrorCode.DEADLINE_EXCEEDED
    eventually("it is ended", lambda: cluster.state.tasks[session.id][0].status.state == TaskState.CANCELLED)


def test_many_tasks_travel_together(session, cluster):
    futures = session.submit_many([b"%d" % number for number in range(5000)])
    assert [future.result(30) for future in futures] == [b"%d" % number for number in range(5000)]
    assert sum(cluster.state.frames) == 5000 and len(cluster.state.frames) < 1000


def test_as_completed_takes_the_futures(session, cluster):
    futures = session.submit_many([b"hold", b"a", b"b"])
    ended = session.as_completed(futures, 20)
    assert {next(ended).result(), next(ended).result()} == {b"a", b"b"}
    cluster.state.release()
    assert next(ended).result() == b"held"


@pytest.mark.parametrize("ordered", [True, False])
def test_map_is_bounded_and_in_order(session, cluster, ordered):
    count = 2000
    given = []

    def inputs():
        for number in range(count):
            given.append(number)
            yield b"%d" % number

    outputs = []
    for output in session.map(inputs(), ordered=ordered, in_flight=100):
        outputs.append(output)
        assert len(given) <= len(outputs) + 100
    expected = [b"%d" % number for number in range(count)]
    assert (outputs if ordered else sorted(outputs, key=int)) == expected


def test_map_that_is_left_ends_what_is_under_way(session, cluster):
    for output in session.map([b"a", *[b"hold"] * 20], in_flight=10):
        assert output == b"a"
        break
    eventually("all are ended", lambda: all(t.status.state in (2, 4) for t in cluster.state.tasks[session.id]))
    assert len(cluster.state.tasks[session.id]) <= 12


def test_map_raises_at_the_first_failure(session, cluster):
    outputs = []
    with pytest.raises(flamepy.TaskFailedError, match="no"):
        for output in session.map([b"a", b"fail:no", b"hold"]):
            outputs.append(output)
    got = list(session.map([b"a", b"fail:no", b"b"], return_exceptions=True))
    assert (got[0], got[2]) == (b"a", b"b") and isinstance(got[1], flamepy.TaskFailedError)


def test_map_has_a_time_limit(session):
    with pytest.raises(flamepy.FlameError) as caught:
        list(session.map([b"hold"], timeout=0.2))
    assert caught.value.code == FlameErrorCode.DEADLINE_EXCEEDED


def test_map_shows_a_bar(session, capsys):
    pytest.importorskip("tqdm")
    assert list(session.map([b"a", b"b"], progress="working")) == [b"a", b"b"]
    assert "working" in capsys.readouterr().err


def test_options_travel(session):
    options = flamepy.TaskOptions(priority=3, timeout=1.5, affinity=[b"k"])
    assert session.invoke(b"x", options=options) == b"x"
    for bad in [flamepy.TaskOptions(timeout=0), flamepy.TaskOptions(affinity=[b""]), "x"]:
        with pytest.raises(flamepy.FlameError) as caught:
            session.run(b"x", options=bad)
        assert caught.value.code == FlameErrorCode.INVALID_ARGUMENT


def test_what_is_too_large_is_refused_before_it_is_sent(session, cluster):
    for call in [session.invoke, session.run, session.create_task, lambda data: list(session.map([data]))]:
        with pytest.raises(flamepy.FlameError) as caught:
            call(b"x" * (4 << 20))
        assert caught.value.code == FlameErrorCode.INVALID_ARGUMENT
        assert "4194304 bytes" in caught.value.message and caught.value.remedy
    assert not cluster.state.tasks[session.id]


def test_what_is_no_bytes_is_refused(session):
    with pytest.raises(flamepy.FlameError) as caught:
        session.invoke({"a": 1})
    assert caught.value.code == FlameErrorCode.INVALID_ARGUMENT and "bytes" in caught.value.message


def test_create_get_list_watch(session, cluster):
    task = session.create_task(b"a")
    assert (task.id, task.session_id) == ("1", session.id)
    assert session.get_task(task.id).output == b"a"
    held = session.create_task(b"hold")
    session.create_task(b"fail:why")
    tasks = list(session.list_tasks())
    assert [one.id for one in tasks] == ["1", "2", "3"]
    assert tasks[2].is_failed() and tasks[2].events[0].message == "why"
    with pytest.raises(TimeoutError):
        list(session.watch_task(held.id, timeout=0.1))
    watcher = session.watch_task(held.id)
    assert next(watcher).state == TaskState.RUNNING
    cluster.state.release()
    assert [one.state for one in watcher] == [TaskState.SUCCEED]
    with pytest.raises(flamepy.FlameError) as caught:
        session.get_task("99")
    assert caught.value.code == FlameErrorCode.NOT_FOUND


def test_the_same_key_is_the_same_task(session, cluster):
    key = bytes(range(16))
    assert session.create_task(b"a", key=key).id == session.create_task(b"a", key=key).id
    assert session.create_task(b"a").id != session.create_task(b"a").id


def test_informers_are_told(session, cluster):
    told, ended = [], threading.Event()

    class Informer(flamepy.TaskInformer):
        def on_update(self, task):
            told.append(task.state)
            if task.is_completed():
                ended.set()

    future = session.run(b"hold", Informer())
    eventually("it runs", lambda: TaskState.RUNNING in told)
    cluster.state.release()
    assert future.result(20) == b"held" and ended.wait(20)
    assert told[-1] == TaskState.SUCCEED


def test_a_blocking_call_in_a_callback_is_refused(session):
    caught = []
    done = threading.Event()

    def callback(_):
        try:
            session.invoke(b"x")
        except flamepy.FlameError as error:
            caught.append(error)
        try:
            session.map([b"x"])
        except flamepy.FlameError as error:
            caught.append(error)
        done.set()

    future = session.run(b"hold")
    future.add_done_callback(callback)
    session.cancel_task(future.accepted(20))
    assert done.wait(20) and [error.code for error in caught] == [FlameErrorCode.INVALID_STATE] * 2


def test_a_session_that_was_closed_meanwhile_says_so(session, connection):
    assert session.invoke(b"a") == b"a"
    connection.close_session(session.id)
    with pytest.raises(flamepy.FlameError) as caught:
        session.invoke(b"b", timeout=20)
    assert caught.value.code == FlameErrorCode.INVALID_STATE and "is not open" in caught.value.message


def test_close_comes_after_what_was_submitted(session, cluster):
    futures = session.submit_many([b"x"] * 3000)
    session.close()
    assert session.state == flamepy.SessionState.CLOSED
    assert all(future.result(20) == b"x" for future in futures)


def test_typed_values_by_a_codec(connection):
    session = connection.create_session(flamepy.SessionAttributes("app"), codec="json")
    assert session.invoke({"a": [1, 2]}) == {"a": [1, 2]}
    typed = connection.create_session(flamepy.SessionAttributes("app"), codec="json", output=int)
    assert typed.invoke(7) == 7
    with pytest.raises(flamepy.FlameError, match="decoded"):
        typed.invoke("x")
    pickled = connection.create_session(flamepy.SessionAttributes("app"), codec="pickle")
    assert pickled.invoke({1, 2}) == {1, 2}
    with pytest.raises(flamepy.FlameError) as caught:
        pickled.invoke(threading.Lock())
    assert caught.value.code == FlameErrorCode.INVALID_ARGUMENT and "lock" in caught.value.message
    with pytest.raises(flamepy.FlameError):
        connection.create_session(flamepy.SessionAttributes("app"), codec="nonsense")


def test_who_submits_and_then_looks_finds_it(session, connection):
    for number in range(1, 101):
        session.run(b"x")
        assert session.get_task(str(number)).input == b"x"
    session.submit_many([b"y"] * 500)
    assert len(list(session.list_tasks())) == 600
    session.submit_many([b"y"] * 500)
    assert connection.get_session(session.id).succeed == 1100


def test_looking_ends_although_others_go_on_submitting(session):
    stop = threading.Event()

    def submit():
        while not stop.is_set():
            concurrent.futures.wait(session.submit_many([b"x"] * 50), 20)

    threads = [threading.Thread(target=submit) for _ in range(4)]
    [one.start() for one in threads]
    try:
        for _ in range(20):
            future = session.run(b"mine")
            assert session.get_task(future.accepted(20)).input == b"mine"
            session.flush()
    finally:
        stop.set()
        [one.join() for one in threads]
