"""Tasks: invoke, run, failures, payloads, lists, counters, nodes and executors."""

from concurrent.futures import wait

from flamepy.core.types import FlameErrorCode, Shim, TaskState

from .harness import check, eventually, flame_error, in_parallel


@check
def invoke_returns_what_the_service_returned(world):
    session = world.session("invoke")
    for payload in [b"hello", bytes(range(256)), b"x" * 100_000]:
        assert session.invoke(payload) == payload


@check
def task_ids_are_one_two_three(world):
    session = world.session("ids")
    assert [session.create_task(b"x").id for _ in range(3)] == ["1", "2", "3"]
    eventually("they have ended", lambda: world.connection.get_session(session.id).succeed == 3)
    first = session.get_task("1")
    assert (first.id, first.session_id, first.input, first.output) == ("1", session.id, b"x", b"x")
    assert first.completion_time >= first.creation_time


@check
def a_new_task_is_pending_and_has_its_input(world):
    application = world.application("pending", shim=Shim.WASM)
    session = world.session("pending", application=application)
    task = session.create_task(b"input")
    assert task.state == TaskState.PENDING
    got = session.get_task(task.id)
    assert (got.state, got.input, got.output, got.completion_time) == (TaskState.PENDING, b"input", None, None)


@check
def absent_and_empty_outputs_differ(world):
    session = world.session("absent")
    assert session.invoke(b"none") is None
    assert session.invoke(b"empty") == b""
    assert session.get_task("1").output is None
    assert session.get_task("2").output == b""


@check
def an_empty_input_is_not_an_absent_one(world):
    session = world.session("empty-input")
    assert session.invoke(b"") == b""
    assert session.get_task("1").input == b""


@check
def two_hundred_parallel_runs(world):
    session = world.session("parallel")
    inputs = [f"run {number}".encode() for number in range(200)]
    futures = in_parallel([lambda payload=payload: session.run(payload) for payload in inputs])
    finished, unfinished = wait(futures, timeout=80)
    assert not unfinished, f"{len(unfinished)} runs have no result"
    assert [future.result() for future in futures] == inputs
    got = world.connection.get_session(session.id)
    assert (got.pending, got.running, got.succeed, got.failed) == (0, 0, 200, 0)
    assert len({task.id for task in session.list_tasks()}) == 200


@check
def counters_are_exact_once_the_end_was_seen(world):
    session = world.session("counters")
    for number in range(1, 6):
        session.invoke(b"x")
        flame_error(session.invoke, b"fail:x")
        got = world.connection.get_session(session.id)
        assert (got.pending, got.running, got.succeed, got.failed) == (0, 0, number, number)


@check
def a_failing_task_says_why(world):
    session = world.session("failing")
    error = flame_error(session.run(b"fail:out of coffee").result, 60)
    assert error.code == FlameErrorCode.INTERNAL
    assert "out of coffee" in error.message, f"the watch does not carry the message: {error.message}"
    task = session.get_task("1")
    assert task.state == TaskState.FAILED and task.is_failed() and task.is_completed()
    event = next(event for event in task.events if event.code == 3)
    assert "out of coffee" in event.message, event.message


@check
def a_finished_task_has_the_published_events(world):
    session = world.session("events")
    session.invoke(b"x")
    codes = [event.code for event in session.get_task("1").events]
    assert codes == sorted(codes), codes
    assert {0, 1, 2} <= set(codes), codes
    assert codes.count(2) == 1, codes


@check
def a_crashing_service_fails_the_task_and_not_the_next_one(world):
    session = world.session("crashing")
    error = flame_error(session.run(b"crash").result, 80)
    assert error.message and "without error message" not in error.message, error.message
    assert session.run(b"after the crash").result(60) == b"after the crash"


@check
def list_tasks_has_them_all(world):
    session = world.session("list")
    for _ in range(4):
        session.invoke(b"x")
    flame_error(session.invoke, b"fail:x")
    listed = list(session.list_tasks())
    assert sorted(task.id for task in listed) == ["1", "2", "3", "4", "5"]
    assert sorted(task.state for task in listed) == [TaskState.SUCCEED] * 4 + [TaskState.FAILED]
    assert all(task.input is not None for task in listed)


@check
def common_data_reaches_the_service(world):
    session = world.session("common", common_data=b"shared by all")
    assert session.invoke(b"common") == b"shared by all"
    assert session.invoke(b"session") == session.id.encode()
    assert session.invoke(b"application") == session.application.encode()


@check
def the_service_gets_its_environment(world):
    application = world.application("environment", environments={"GREETING": "hello"})
    session = world.session("environment", application=application)
    assert session.invoke(b"env:GREETING") == b"hello"
    socket = session.invoke(b"env:FLAME_INSTANCE_ENDPOINT").decode()
    assert socket.startswith("/") and len(socket) < 108, socket
    assert session.invoke(b"env:FLAME_ENDPOINT").startswith(b"http")
    for name in [b"HOME", b"TMPDIR", b"TEMP", b"TMP", b"RUST_LOG", b"FLAME_LOG"]:
        assert session.invoke(b"env:" + name) is not None, f"{name} is not set"


@check
def tasks_of_one_session_share_the_service_process(world):
    session = world.session("reuse", max_instances=1)
    assert len({session.invoke(b"pid") for _ in range(5)}) == 1


@check
def a_shim_nobody_has_leaves_the_task_pending(world):
    session = world.session("wasm", application=world.application("wasm", shim=Shim.WASM))
    session.create_task(b"x")
    # A task that can run, submitted later, passes it by: so the scheduler has looked at both.
    assert world.session("beside-wasm").invoke(b"x") == b"x"
    assert session.get_task("1").state == TaskState.PENDING
    assert world.connection.get_session(session.id).pending == 1


@check
def an_oversize_input_is_refused_and_takes_no_number(world):
    session = world.session("oversize")
    for size in [5 << 20, 80 << 20]:
        error = flame_error(session.create_task, b"\0" * size)
        assert error.message, "no reason is given"
    assert session.create_task(b"x").id == "1"


@check
def an_oversize_output_fails_the_task_with_a_reason(world):
    session = world.session("oversize-output")
    error = flame_error(session.run(b"bytes:%d" % (5 << 20)).result, 60)
    assert error.message and "without error message" not in error.message, error.message
    assert session.get_task("1").state == TaskState.FAILED
    assert session.run(b"still fine").result(60) == b"still fine"


@check
def a_large_task_fits_into_a_published_client(world):
    """Input and output together pass the 4 MiB a published client accepts in one reply."""
    session = world.session("large")
    payload = b"x" * (3 << 20)
    assert session.run(payload).result(60) == payload
    assert session.get_task("1").output == payload
    assert [task.id for task in session.list_tasks()] == ["1"]


@check
def unknown_tasks_are_errors(world):
    session = world.session("unknown")
    assert "not found" in flame_error(session.get_task, "77").message
    assert "invalid task id" in flame_error(session.get_task, "seven").message


@check
def a_task_for_a_closed_session_is_refused(world):
    session = world.session("closed")
    session.close()
    assert "is not open" in flame_error(session.create_task, b"x").message


@check
def nodes_and_executors_are_listed(world):
    nodes = {node.metadata.name: node for node in world.connection.list_nodes()}
    ready = [node for node in nodes.values() if node.status.state == 1]
    assert ready, "no worker is ready"
    assert ready[0].metadata.id == ready[0].metadata.name
    assert ready[0].spec.hostname, "the node has no host name"
    assert ready[0].status.capacity.cpu > 0 and ready[0].status.capacity.memory > 0
    assert ready[0].status.info.arch and ready[0].status.info.os
    session = world.session("executors")
    future = session.run(b"sleep:1500:x")

    def bound():
        return [e for e in world.connection.list_executors() if e.status.session_id == session.id]

    executor = eventually("an executor of the session is listed", bound)[0]
    assert executor.spec.node in nodes, executor.spec.node
    assert executor.metadata.id, "the executor has no id"
    assert future.result(60) == b"sleep:1500:x"
