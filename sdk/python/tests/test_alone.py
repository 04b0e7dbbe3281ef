"""A task that is alone: one call submits it and brings its result, whatever happens on the way."""

import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

import flamepy
from fake import eventually
from flamepy import FlameError, FlameErrorCode, SessionAttributes
from flamepy._engine.channel import Options

QUICK = Options(attempt_timeout=0.3, attempt_connect_timeout=0.3, deadline=5.0)


def calls(cluster, name="Run"):
    return cluster.metadata(name)


def refused(call, *arguments):
    with pytest.raises(FlameError) as caught:
        call(*arguments)
    return caught.value


def test_a_lone_task_is_one_call(cluster, session):
    assert [session.invoke(data) for data in (b"a", b"", b"none", None)] == [b"a", b"", None, None]
    assert len(calls(cluster)) == 4 and not calls(cluster, "Stream")
    keys = {metadata["flame-idempotency-key-bin"] for metadata in calls(cluster)}
    assert len(keys) == 4 and {len(key) for key in keys} == {16}


def test_it_fails_as_any_other(session):
    error = refused(session.invoke, b"fail:no such file")
    assert isinstance(error, flamepy.TaskFailedError) and error.task_id == "1"
    assert error.code == FlameErrorCode.INTERNAL and "no such file" in error.message


def test_values_are_typed(connection):
    session = connection.create_session(SessionAttributes("app"), codec="json", output=dict)
    assert session.invoke({"a": 1}) == {"a": 1}


def test_many_at_a_time_share_a_stream(cluster, session):
    held = threading.Thread(target=session.invoke, args=(b"hold",))
    held.start()
    eventually("the task is held", lambda: cluster.state.holds)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(session.invoke, [b"a", b"b", b"c", b"d"])) == [b"a", b"b", b"c", b"d"]
    assert len(calls(cluster)) == 1 and len(calls(cluster, "Stream")) == 1
    cluster.state.release()
    held.join(20)
    assert not held.is_alive()


def test_a_session_that_is_busy_goes_on_with_its_stream(cluster, session):
    held = session.run(b"hold")
    held.accepted(20)
    assert session.invoke(b"x") == b"x" and not calls(cluster)
    cluster.state.release()
    assert held.result(20) == b"held"
    assert session.invoke(b"x") == b"x" and len(calls(cluster)) == 1


def test_the_leader_is_asked(three):
    three.leader = 3
    with flamepy.connect(three.endpoints) as connection:
        session = connection.create_session(SessionAttributes("app"))
        assert session.invoke(b"x") == b"x"
        assert connection.client.cluster.here()[0] == 2


def test_what_takes_long_is_waited_for_by_its_number(cluster):
    with flamepy.connect(cluster.endpoints, options=QUICK) as connection:
        session = connection.create_session(SessionAttributes("app"))
        with ThreadPoolExecutor(1) as pool:
            held = pool.submit(session.invoke, b"hold")
            eventually("it is asked for again", lambda: len(calls(cluster)) > 2)
            cluster.state.release()
            assert held.result(20) == b"held"
        assert len(cluster.state.tasks[session.id]) == 1


def test_an_answer_that_is_lost_comes_again(cluster, session):
    cluster.coordinators[0].swallow.append("Run")
    assert session.invoke(b"x") == b"x"
    assert len(cluster.state.tasks[session.id]) == 1 and len(calls(cluster)) == 2
    first, second = calls(cluster)
    assert first["flame-idempotency-key-bin"] == second["flame-idempotency-key-bin"]


def test_a_refusal_after_a_lost_answer_is_no_proof(cluster, session):
    cluster.coordinators[0].swallow.append("Run")
    cluster.coordinators[0].on_swallowed = lambda: cluster.state.sessions.pop(session.id)
    error = refused(session.invoke, b"x")
    assert error.code == FlameErrorCode.UNKNOWN_OUTCOME


def test_a_coordinator_that_dies_is_left(three):
    three.leader = 1
    with flamepy.connect(three.endpoints) as connection:
        session = connection.create_session(SessionAttributes("app"))
        assert session.invoke(b"a") == b"a"
        three.coordinators[0].stop()
        three.leader = 2
        assert session.invoke(b"b") == b"b"
        assert session.invoke(b"c") == b"c"
    assert [task.spec.input for task in three.state.tasks[session.id]] == [b"a", b"b", b"c"]


def test_what_is_refused_is_refused_with_its_reason(cluster, session):
    session.close()
    error = refused(session.invoke, b"x")
    assert error.code == FlameErrorCode.INVALID_STATE and "not open" in error.message
    cluster.coordinators[0].refusal = (grpc.StatusCode.RESOURCE_EXHAUSTED, "too large")
    assert refused(session.invoke, b"x").code == FlameErrorCode.RESOURCE_EXHAUSTED


def test_a_closed_connection_says_so(connection, session):
    assert session.invoke(b"x") == b"x"
    connection.close()
    assert "closed" in refused(session.invoke, b"x").message


def test_closing_ends_who_waits(cluster):
    connection = flamepy.connect(cluster.endpoints)
    session = connection.create_session(SessionAttributes("app"))
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(session.invoke, b"hold")
        eventually("the task is held", lambda: cluster.state.holds)
        connection.close()
        assert "closed" in refused(held.result, 20).message


def test_ctrl_c_ends_the_task(cluster, session, monkeypatch):
    session.invoke(b"x")
    alone = session.connection.client.alone
    call, under_way = alone._call, []

    def interrupted(*arguments, **options):
        under_way.append(call.future(*arguments, **options))
        eventually("the task is held", lambda: cluster.state.holds)
        raise KeyboardInterrupt

    monkeypatch.setattr(alone, "_call", interrupted)
    with pytest.raises(KeyboardInterrupt):
        session.invoke(b"hold")
    tasks = cluster.state.tasks[session.id]
    eventually("the task is cancelled", lambda: [task.status.state for task in tasks] == [2, 4])
