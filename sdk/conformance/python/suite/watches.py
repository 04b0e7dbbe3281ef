"""Watches: finished tasks, unknown tasks, order of states, events at the end."""

import grpc
from flamepy.core.types import TaskState
from flamepy.proto.frontend_pb2 import WatchTaskRequest

from .harness import CALL_SECONDS_MAX, assert_status, check


def watched(world, session, task):
    request = WatchTaskRequest(task_id=task, session_id=session.id)
    return list(world.frontend.WatchTask(request, timeout=CALL_SECONDS_MAX))


@check
def a_finished_task_is_told_once(world):
    session = world.session("finished")
    session.invoke(b"x")
    told = watched(world, session, "1")
    assert [task.status.state for task in told] == [TaskState.SUCCEED], told
    assert told[0].spec.output == b"x"
    assert told[0].metadata.id == "1"


@check
def states_never_go_back(world):
    session = world.session("order")
    session.create_task(b"sleep:300:x")
    states = [task.status.state for task in watched(world, session, "1")]
    assert states == sorted(states), states
    assert states[-1] == TaskState.SUCCEED, states


@check
def a_failure_is_told_with_its_event(world):
    session = world.session("failure")
    session.create_task(b"fail:broken")
    last = watched(world, session, "1")[-1]
    assert last.status.state == TaskState.FAILED
    assert any(event.code == 3 and "broken" in event.message for event in last.status.events), last.status.events


@check
def watch_task_of_the_client_ends(world):
    session = world.session("client")
    session.create_task(b"x")
    states = [task.state for task in session.watch_task("1")]
    assert states[-1] == TaskState.SUCCEED, states


@check
def an_unknown_task_or_session_is_not_found(world):
    """The published server ends such a stream without a word, and the client's future hangs for ever."""
    session = world.session("unknown")
    for request in [
        WatchTaskRequest(task_id="77", session_id=session.id),
        WatchTaskRequest(task_id="1", session_id=world.name("unknown")),
    ]:
        assert_status(world.frontend.WatchTask, request, grpc.StatusCode.NOT_FOUND, "not found")


@check
def a_task_id_must_be_a_number(world):
    session = world.session("number")
    request = WatchTaskRequest(task_id="seven", session_id=session.id)
    assert_status(world.frontend.WatchTask, request, grpc.StatusCode.INVALID_ARGUMENT, "invalid task id")


@check
def more_runs_than_watch_threads_all_end(world):
    """The client opens ten watches at a time; the others are opened on tasks that have ended long ago."""
    session = world.session("threads")
    futures = [session.run(b"%d" % number) for number in range(40)]
    assert [future.result(60) for future in futures] == [b"%d" % number for number in range(40)]
