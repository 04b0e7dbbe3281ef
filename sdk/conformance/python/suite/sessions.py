"""Sessions: create, the open matrix, list, get, close, events."""

from flamepy.core.types import FlameErrorCode, ResourceRequirement, SessionAttributes, SessionState, Shim, TaskState

from .harness import check, eventually, flame_error


@check
def create_and_get_agree(world):
    application = world.application("create")
    name = world.name("create")
    created = world.connection.create_session(
        SessionAttributes(
            application=application,
            id=name,
            common_data=b"common",
            min_instances=0,
            max_instances=3,
            resreq=ResourceRequirement(cpu=1, memory=64 << 20),
        )
    )
    for session in [created, world.connection.get_session(name)]:
        assert session.id == name
        assert session.application == application
        assert session.state == SessionState.OPEN
        assert session.common_data() == b"common"
        assert (session.pending, session.running, session.succeed, session.failed) == (0, 0, 0, 0)
        assert session.completion_time is None
        assert session.creation_time.year >= 2024, "creation time is not in milliseconds"
    assert created.creation_time == world.connection.get_session(name).creation_time


@check
def absent_and_empty_common_data_differ(world):
    application = world.application("common")
    absent = world.session("absent", application=application)
    empty = world.session("empty", application=application, common_data=b"")
    assert world.connection.get_session(absent.id).common_data() is None
    assert world.connection.get_session(empty.id).common_data() == b""


@check
def a_duplicate_id_is_refused(world):
    session = world.session("duplicate")
    again = SessionAttributes(application=session.application, id=session.id)
    error = flame_error(world.connection.create_session, again)
    assert "already exists" in error.message, error.message


@check
def an_unknown_application_is_refused(world):
    error = flame_error(world.connection.create_session, SessionAttributes(application="no-such-application"))
    assert "not found" in error.message, error.message


@check
def open_returns_the_open_session_twice(world):
    session = world.session("open", common_data=b"kept")
    for _ in range(2):
        opened = world.connection.open_session(session.id)
        assert opened.id == session.id
        assert opened.creation_time == session.creation_time
        assert opened.common_data() == b"kept"


@check
def open_with_the_same_specification_returns_it(world):
    application = world.application("same")
    attributes = SessionAttributes(
        application=application, id=world.name("same"), max_instances=2, resreq=ResourceRequirement(cpu=1, memory=1 << 26)
    )
    created = world.connection.create_session(attributes)
    attributes.common_data = b"common data is not compared"
    attributes.batch_size = 2
    assert world.connection.open_session(created.id, attributes).creation_time == created.creation_time


@check
def open_with_the_default_resources_matches_unset_ones(world):
    created = world.session("defaults")
    spec = SessionAttributes(application=created.application, id=created.id)
    assert world.connection.open_session(created.id, spec).creation_time == created.creation_time


@check
def open_compares_the_specification(world):
    application = world.application("compare")
    other = world.application("compare-other")
    base = {"application": application, "id": world.name("compare"), "max_instances": 2}
    world.connection.create_session(SessionAttributes(**base))
    for field, change in [
        ("application", {"application": other}),
        ("max_instances", {"max_instances": 3}),
        ("min_instances", {"min_instances": 1}),
        ("resreq", {"resreq": ResourceRequirement(cpu=1, memory=77 << 20)}),
    ]:
        error = flame_error(world.connection.open_session, base["id"], SessionAttributes(**(base | change)))
        assert error.code == FlameErrorCode.INVALID_ARGUMENT, f"{field}: code {error.code}"
        assert "spec mismatch" in error.message, f"{field}: {error.message}"
        assert field in error.message, f"the field {field} is not named: {error.message}"


@check
def open_with_a_specification_creates(world):
    application = world.application("create-or-get")
    name = world.name("create-or-get")
    spec = SessionAttributes(application=application, id=name, max_instances=1)
    first = world.connection.open_session(name, spec)
    second = world.connection.open_session(name, spec)
    assert first.id == second.id == name
    assert first.creation_time == second.creation_time


@check
def open_of_nothing_is_not_found(world):
    error = flame_error(world.connection.open_session, world.name("nothing"))
    assert error.code == FlameErrorCode.NOT_FOUND, error.code
    assert "not found" in error.message, error.message


@check
def open_of_a_closed_session_says_so(world):
    session = world.session("closed")
    session.close()
    spec = SessionAttributes(application=session.application, id=session.id)
    for error in [
        flame_error(world.connection.open_session, session.id),
        flame_error(world.connection.open_session, session.id, spec),
    ]:
        assert error.code == FlameErrorCode.INVALID_ARGUMENT, error.code
        assert "is not open" in error.message, error.message


@check
def close_is_idempotent_and_keeps_the_session_listed(world):
    session = world.session("twice-closed")
    first = world.connection.close_session(session.id)
    assert first.state == SessionState.CLOSED
    assert first.completion_time is not None
    assert world.connection.close_session(session.id).state == SessionState.CLOSED
    listed = {listed.id: listed for listed in world.connection.list_sessions()}
    assert listed[session.id].state == SessionState.CLOSED


@check
def close_with_running_tasks_is_refused(world):
    session = world.session("running")
    future = session.run(b"sleep:2000:x")
    eventually("the task runs", lambda: session.get_task("1").state == TaskState.RUNNING)
    error = flame_error(session.close)
    assert "Cannot close session with running tasks" in error.message, error.message
    assert world.connection.get_session(session.id).state == SessionState.OPEN
    assert future.result(60) == b"sleep:2000:x"
    session.close()


@check
def close_fails_what_waits_for_an_old_watcher(world):
    """The published client knows no cancelled state: its future must end as failed, with a reason."""
    application = world.application("waiting", shim=Shim.WASM)
    session = world.session("waiting", application=application)
    future = session.run(b"never runs")
    eventually("the task waits", lambda: world.connection.get_session(session.id).pending == 1)
    session.close()
    error = flame_error(future.result, 60)
    assert "is not a valid TaskState" not in error.message, error.message
    task = session.get_task("1")
    assert task.state == TaskState.FAILED, task.state
    assert any(event.code == 3 for event in task.events), task.events
    assert [listed.state for listed in session.list_tasks()] == [TaskState.FAILED]


@check
def a_bind_failure_is_an_event_of_the_session(world):
    session = world.session("refusing", common_data=b"refuse:no licence")
    session.create_task(b"x")

    def told():
        got = world.connection.get_session(session.id)
        assert got.state == SessionState.OPEN, got.state
        return [event for event in got.events if event.code == 1001]

    event = eventually("the session has event 1001", told)[0]
    assert "failed to bind session" in event.message, event.message
    assert "no licence" in event.message, event.message
    assert "return_code 12" in event.message, event.message
    assert session.get_task("1").state == TaskState.PENDING


@check
def sessions_of_every_kind_are_listed(world):
    open_one = world.session("listed-open")
    closed = world.session("listed-closed")
    closed.close()
    listed = {session.id: session for session in world.connection.list_sessions()}
    assert listed[open_one.id].state == SessionState.OPEN
    assert listed[closed.id].state == SessionState.CLOSED
    assert listed[open_one.id].application == open_one.application


@check
def an_unknown_session_is_an_error(world):
    for call in [world.connection.get_session, world.connection.close_session]:
        error = flame_error(call, world.name("unknown"))
        assert "not found" in error.message, error.message
