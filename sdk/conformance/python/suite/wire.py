"""Codes and texts as they are on the wire, through the generated stubs that the published package ships.

Methods that only the newer dialect has are called by their path: their requests have the shape of an older one.
"""

import grpc
from flamepy.core.types import Shim
from flamepy.proto import frontend_pb2 as messages
from flamepy.proto import types_pb2 as types

from .harness import CALL_SECONDS_MAX, assert_status, check

NOT_FOUND = grpc.StatusCode.NOT_FOUND
INVALID_ARGUMENT = grpc.StatusCode.INVALID_ARGUMENT
ALREADY_EXISTS = grpc.StatusCode.ALREADY_EXISTS


def method(world, name, reply):
    """A unary method by name."""
    return world.channel.unary_unary(
        f"/flame.v1.Frontend/{name}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=reply.FromString,
    )


def create_session(application, name, **spec):
    return messages.CreateSessionRequest(session_id=name, session=types.SessionSpec(application=application, **spec))


@check
def missing_parts_are_named(world):
    frontend = world.frontend
    no_application = messages.RegisterApplicationRequest(name=world.name("x"))
    assert_status(frontend.RegisterApplication, no_application, INVALID_ARGUMENT, "spec is missed")
    no_session = messages.CreateSessionRequest(session_id=world.name("x"))
    assert_status(frontend.CreateSession, no_session, INVALID_ARGUMENT, "session spec")
    assert_status(frontend.CreateTask, messages.CreateTaskRequest(), INVALID_ARGUMENT, "session spec")


@check
def application_errors_have_the_published_place(world):
    """Domain errors come in the reply, mistakes in the request as a status."""
    spec = types.ApplicationSpec(command="/bin/true")
    name = world.application("in-band")
    for reply in [
        world.frontend.RegisterApplication(messages.RegisterApplicationRequest(name=name, application=spec)),
        world.frontend.RegisterApplication(messages.RegisterApplicationRequest(name="../x", application=spec)),
        world.frontend.UpdateApplication(messages.UpdateApplicationRequest(name="no-such-one", application=spec)),
    ]:
        assert reply.return_code == -1, reply
        assert reply.message, "no reason is given"
    bad = types.ApplicationSpec(working_directory="relative")
    request = messages.RegisterApplicationRequest(name=world.name("x"), application=bad)
    assert_status(world.frontend.RegisterApplication, request, INVALID_ARGUMENT)
    request = messages.GetApplicationRequest(name="no-such-one")
    assert_status(world.frontend.GetApplication, request, NOT_FOUND, "not found")


@check
def an_update_replaces_everything(world):
    name = world.application("update", description="first", labels=["one"])
    spec = types.ApplicationSpec(command="/bin/false", image="second", shim=1)
    reply = world.frontend.UpdateApplication(messages.UpdateApplicationRequest(name=name, application=spec))
    assert reply.return_code == 0, reply.message
    got = world.frontend.GetApplication(messages.GetApplicationRequest(name=name))
    assert (got.spec.command, got.spec.image, got.spec.shim) == ("/bin/false", "second", 1)
    assert not got.spec.HasField("description") and not got.spec.labels, got.spec
    assert (got.spec.max_instances, got.spec.delay_release) == (1_000_000, 60)


@check
def creating_a_session_has_the_sane_codes(world):
    create = world.frontend.CreateSession
    application = world.application("codes")
    session = world.session("codes", application=application)
    assert_status(create, create_session(application, session.id), ALREADY_EXISTS, "already exists")
    assert_status(create, create_session("no-such-one", world.name("x")), NOT_FOUND, "not found")
    gpu = types.ResourceRequirement(cpu=1, memory=1, gpu=-1)
    for spec in [{"min_instances": 3, "max_instances": 2}, {"max_instances": 0}, {"resreq": gpu}]:
        assert_status(create, create_session(application, world.name("x"), **spec), INVALID_ARGUMENT)


@check
def resources_of_zero_mean_the_default(world):
    application = world.application("zero")
    zero = types.ResourceRequirement(cpu=0, memory=0, gpu=0)
    got = world.frontend.CreateSession(create_session(application, world.name("zero"), resreq=zero))
    unset = world.frontend.CreateSession(create_session(application, world.name("unset")))
    assert got.spec.resreq == unset.spec.resreq, (got.spec.resreq, unset.spec.resreq)
    assert got.spec.resreq.cpu > 0 and got.spec.resreq.memory > 0


@check
def hostile_session_ids_are_refused(world):
    application = world.application("hostile")
    for name in ["../x", "..", "a/b", "a\\b", "a\nb", ".hidden", "", "x" * 254]:
        assert_status(world.frontend.CreateSession, create_session(application, name), INVALID_ARGUMENT)
        spec = types.SessionSpec(application=application)
        request = messages.OpenSessionRequest(session_id=name, session=spec)
        assert_status(world.frontend.OpenSession, request, INVALID_ARGUMENT)
    huge = "x" * 10_000_000
    assert_status(world.frontend.CreateSession, create_session(application, huge), INVALID_ARGUMENT)


@check
def open_has_the_published_codes(world):
    session = world.session("open")
    other = types.SessionSpec(application=session.application, priority=5)
    request = messages.OpenSessionRequest(session_id=session.id, session=other)
    text = [f"session {session.id} spec mismatch: priority differs (expected", "got"]
    assert_status(world.frontend.OpenSession, request, INVALID_ARGUMENT, *text)
    session.close()
    request = messages.OpenSessionRequest(session_id=session.id)
    assert_status(world.frontend.OpenSession, request, INVALID_ARGUMENT, f"session {session.id} is not open")
    name = world.name("nothing")
    request = messages.OpenSessionRequest(session_id=name)
    assert_status(world.frontend.OpenSession, request, NOT_FOUND, f"session {name} not found")


@check
def unknown_sessions_are_not_found_everywhere(world):
    name = world.name("unknown")
    suspend = method(world, "SuspendSession", types.Session)
    resume = method(world, "ResumeSession", types.Session)
    close = messages.CloseSessionRequest(session_id=name)
    task = messages.CreateTaskRequest(task=types.TaskSpec(session_id=name))
    for call, request in [
        (world.frontend.GetSession, messages.GetSessionRequest(session_id=name)),
        (world.frontend.CloseSession, close),
        (world.frontend.DeleteSession, messages.DeleteSessionRequest(session_id=name)),
        (suspend, close),
        (resume, close),
        (world.frontend.CreateTask, task),
        (world.frontend.GetTask, messages.GetTaskRequest(task_id="1", session_id=name)),
        (world.frontend.ListTask, messages.ListTaskRequest(session_id=name)),
    ]:
        assert_status(call, request, NOT_FOUND, "not found")


@check
def close_with_running_tasks_is_internal(world):
    session = world.session("running")
    future = session.run(b"sleep:2000:x")
    while session.get_task("1").state == 0:
        pass
    request = messages.CloseSessionRequest(session_id=session.id)
    text = "Cannot close session with running tasks"
    assert_status(world.frontend.CloseSession, request, grpc.StatusCode.INTERNAL, text)
    assert future.result(60)


@check
def delete_wants_a_closed_session_and_takes_cancelled_tasks(world):
    application = world.application("delete", shim=Shim.WASM)
    session = world.session("delete", application=application)
    session.create_task(b"never runs")
    request = messages.DeleteSessionRequest(session_id=session.id)
    assert_status(world.frontend.DeleteSession, request, grpc.StatusCode.FAILED_PRECONDITION, "is open")
    session.close()
    assert world.frontend.DeleteSession(request).metadata.id == session.id
    assert_status(world.frontend.DeleteSession, request, NOT_FOUND, "not found")
    again = world.session("delete", application=application, id=session.id)
    assert again.create_task(b"x").id == "1", "the tasks of the deleted session are still counted"


@check
def task_errors_have_the_sane_codes(world):
    session = world.session("tasks")
    for task, code, text in [("seven", INVALID_ARGUMENT, "invalid task id"), ("77", NOT_FOUND, "not found")]:
        request = messages.GetTaskRequest(task_id=task, session_id=session.id)
        assert_status(world.frontend.GetTask, request, code, text)
    session.close()
    request = messages.CreateTaskRequest(task=types.TaskSpec(session_id=session.id))
    assert_status(world.frontend.CreateTask, request, INVALID_ARGUMENT, "is not open")


@check
def an_unknown_node_is_not_found(world):
    request = messages.GetNodeRequest(name="no-such-node")
    assert_status(world.frontend.GetNode, request, NOT_FOUND, "node no-such-node not found")


@check
def both_dialects_list_the_same(world):
    session = world.session("dialects")
    session.invoke(b"x")
    sessions = method(world, "ListSessions", types.SessionList)(messages.ListSessionRequest())
    assert session.id in [listed.metadata.id for listed in sessions.sessions]
    applications = method(world, "ListApplications", types.ApplicationList)(messages.ListApplicationRequest())
    old = world.frontend.ListApplication(messages.ListApplicationRequest())
    names = [application.metadata.name for application in applications.applications]
    assert sorted(names) == sorted(application.metadata.name for application in old.applications)
    tasks = world.channel.unary_stream(
        "/flame.v1.Frontend/ListTasks",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=types.Task.FromString,
    )
    listed = list(tasks(messages.ListTaskRequest(session_id=session.id), timeout=CALL_SECONDS_MAX))
    assert [(task.metadata.id, task.status.state) for task in listed] == [("1", 2)]


@check
def an_old_caller_never_sees_a_newer_state(world):
    """Values the published Python client does not know break its whole list."""
    session = world.session("suspended")
    method(world, "SuspendSession", types.Session)(messages.CloseSessionRequest(session_id=session.id))
    listed = world.frontend.ListSession(messages.ListSessionRequest())
    states = {session.metadata.id: session.status.state for session in listed.sessions}
    assert states[session.id] == 0, states[session.id]
    assert set(states.values()) <= {0, 1}, states
    assert session.id in [listed.id for listed in world.connection.list_sessions()]
    resumed = method(world, "ResumeSession", types.Session)(messages.CloseSessionRequest(session_id=session.id))
    assert resumed.status.state == 0


@check
def a_message_beyond_every_limit_is_refused(world):
    session = world.session("beyond")
    spec = types.TaskSpec(session_id=session.id, input=b"\0" * (80 << 20))
    request = messages.CreateTaskRequest(task=spec)
    try:
        world.frontend.CreateTask(request, timeout=CALL_SECONDS_MAX)
    except grpc.RpcError as error:
        codes = (grpc.StatusCode.OUT_OF_RANGE, grpc.StatusCode.RESOURCE_EXHAUSTED, INVALID_ARGUMENT)
        assert error.code() in codes, error.code()
    else:
        raise AssertionError("80 MiB were accepted")
    # The connection has survived it.
    assert session.invoke(b"x") == b"x"


@check
def common_data_beyond_the_limit_is_refused(world):
    application = world.application("big-common")
    request = create_session(application, world.name("x"), common_data=b"\0" * (3 << 20))
    assert_status(world.frontend.CreateSession, request, INVALID_ARGUMENT)
    world.connection.list_sessions()


@check
def times_are_milliseconds(world):
    session = world.session("times")
    session.invoke(b"x")
    got = world.frontend.GetTask(messages.GetTaskRequest(task_id="1", session_id=session.id))
    year_2024_ms = 1_704_067_200_000
    for time in [got.status.creation_time, got.status.completion_time, got.status.events[0].creation_time]:
        assert year_2024_ms < time < 2 * year_2024_ms, time
    raw = world.frontend.GetSession(messages.GetSessionRequest(session_id=session.id))
    assert year_2024_ms < raw.status.creation_time < 2 * year_2024_ms
