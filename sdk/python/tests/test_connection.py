"""Connections: where they go, what they survive, and what they say when they cannot be made."""

import contextlib
import os
import queue
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time

import grpc
import pytest

import flamepy
from fake import FakeCluster, eventually
from flamepy import FlameErrorCode, Options, SessionAttributes

FAST = Options(connect_timeout=1.0, attempt_timeout=2.0, deadline=1.5)


def refused(call, *arguments, **named):
    began = time.monotonic()
    with pytest.raises(flamepy.FlameError) as caught:
        call(*arguments, **named)
    assert time.monotonic() - began < 30
    return caught.value


# ── where it goes ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "address",
    [
        "",
        " , ",
        "ftp://a:1",
        "http://",
        "http://a:b",
        "http://a/path",
        "http://u@h:1",
        "http://a b:1",
        "invalid://address",
        "a:0",
    ],
)
def test_what_is_no_endpoint_is_named_at_once(address):
    error = refused(flamepy.connect, address)
    assert error.code == FlameErrorCode.INVALID_CONFIG and "http://host:8080" in error.remedy


def test_nobody_listens():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    error = refused(flamepy.connect, f"http://127.0.0.1:{port}", options=FAST)
    assert error.code == FlameErrorCode.INVALID_CONFIG
    assert f"127.0.0.1:{port}" in error.message and "FLAME_ENDPOINT" in error.remedy


def test_somebody_else_listens():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        error = refused(flamepy.connect, f"127.0.0.1:{silent.getsockname()[1]}", options=FAST)
    assert error.code == FlameErrorCode.INVALID_CONFIG


def test_addresses_in_every_form(cluster):
    host = f"127.0.0.1:{cluster.coordinators[0].port}"
    for address in [host, f"http://{host}/", f"{host}, 127.0.0.1:1", [host, "http://127.0.0.1:1"]]:
        with flamepy.connect(address) as connection:
            assert [one.name for one in connection.list_applications()] == ["app"]


def test_a_proxy_is_not_asked_for_this_machine(cluster, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with flamepy.connect(cluster.endpoints) as connection:
        assert connection.list_applications()


def test_one_dead_coordinator_of_three_is_passed_over(three):
    three.coordinators[0].stop()
    with flamepy.connect(three.endpoints) as connection:
        session = connection.create_session(SessionAttributes("app"))
        assert session.invoke(b"x") == b"x"


def test_new_members_are_heard_of(three):
    with flamepy.connect(three.endpoints[:2]) as connection:
        session = connection.create_session(SessionAttributes("app"))
        three.leader = 3
        three.coordinators[0].stop()
        three.coordinators[1].stop()
        assert session.invoke(b"x", timeout=20) == b"x"


def test_streams_go_to_the_leader(three):
    three.leader = 3
    with flamepy.connect(three.endpoints) as connection:
        session = connection.create_session(SessionAttributes("app"))
        assert session.run(b"x").result(20) == b"x"
        assert [len(one.streams) for one in three.coordinators] == [0, 0, 1]


def test_configuration_is_read(cluster, tmp_path, monkeypatch):
    folder = tmp_path / ".flame"
    folder.mkdir()
    text = f"""
        current-context: here
        contexts:
          - name: elsewhere
            cluster: {{endpoint: "http://127.0.0.1:1"}}
          - name: here
            cluster:
              endpoint: "http://127.0.0.1:1"
              endpoints: ["{cluster.endpoints[0]}"]
              unknown: 7
            package: {{excludes: ["*.log"]}}
            runner: {{template: flmrun}}
    """
    (folder / "flame.yaml").write_text(textwrap.dedent(text))
    context = flamepy.FlameContext()
    assert context.endpoints == ["http://127.0.0.1:1", cluster.endpoints[0]]
    assert context.endpoint == "http://127.0.0.1:1" and context.package.excludes == ["*.log"]
    assert context.runner.template == "flmrun" and context.cache_endpoint == flamepy.DEFAULT_FLAME_CACHE_ENDPOINT
    assert [one.name for one in flamepy.list_applications()] == ["app"]
    monkeypatch.setenv("FLAME_ENDPOINT", "http://x:1,http://y:2")
    monkeypatch.setenv("FLAME_CA_FILE", "/ca")
    monkeypatch.setenv("FLAME_CACHE_ENDPOINT", "grpc://c:1")
    context = flamepy.FlameContext()
    assert context.endpoints == ["http://x:1", "http://y:2"] and context.tls.ca_file == "/ca"
    assert context.cache_endpoint == "grpc://c:1"


def test_without_configuration_the_default_holds():
    assert flamepy.FlameContext().endpoint == "http://127.0.0.1:8080"


@pytest.mark.parametrize(
    "text",
    [
        "[",
        "- a",
        "contexts: []",
        "current-context: a\ncontexts: []",
        "current-context: a\ncontexts: 5",
        "current-context: a\ncontexts: [{name: a, cluster: {endpoint: 7}}]",
    ],
)
def test_a_wrong_file_is_named(tmp_path, text):
    (tmp_path / ".flame").mkdir()
    (tmp_path / ".flame/flame.yaml").write_text(text)
    error = refused(flamepy.FlameContext)
    assert error.code == FlameErrorCode.INVALID_CONFIG and "flame.yaml" in error.message


def test_user_agent_and_sizes(cluster, connection):
    connection.list_applications()
    assert cluster.metadata("ListApplications")[0]["user-agent"].startswith("flame-sdk-python/")
    session = connection.create_session(SessionAttributes("app"))
    # More than the 4 MiB at which gRPC clients stop by default, in one reply.
    for number in range(3):
        session.invoke(b"%d" % number * (2 << 20))
    cluster.state.sessions[session.id].spec.common_data = b"x" * (6 << 20)
    assert len(connection.get_session(session.id).common_data()) == 6 << 20


# ── calls ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_applications(connection):
    attributes = flamepy.ApplicationAttributes(
        command="/bin/x",
        arguments=["a"],
        environments={"K": "V"},
        schema=flamepy.ApplicationSchema(input='{"type": "string"}'),
        retry=flamepy.Retries(lost=flamepy.Retry(starts_max=3)),
        retention=flamepy.Retention(task_count=5),
        task_timeout=2.5,
    )
    connection.register_application("one", attributes)
    found = connection.get_application("one")
    assert (found.command, found.arguments, found.environments) == ("/bin/x", ["a"], {"K": "V"})
    assert found.schema.input == '{"type": "string"}' and found.image is None
    assert found.retry.lost.starts_max == 3 and found.retention.task_count == 5 and found.task_timeout == 2.5
    assert refused(connection.register_application, "one", {"command": "x"}).code == FlameErrorCode.ALREADY_EXISTS
    connection.update_application("one", {"image": "i"})
    assert connection.get_application("one").image == "i"
    connection.unregister_application("one")
    assert connection.get_application("one") is None
    assert refused(connection.unregister_application, "one").code == FlameErrorCode.NOT_FOUND
    assert refused(connection.register_application, "x", {"nonsense": 1}).code == FlameErrorCode.INVALID_ARGUMENT
    assert refused(connection.register_application, "x", {"command": 5}).code == FlameErrorCode.INVALID_ARGUMENT
    assert connection.list_nodes()[0].metadata.id == "n" and connection.list_executors()[0].metadata.id == "e"


def test_sessions(connection):
    session = connection.create_session(
        SessionAttributes("app", id="mine", common_data=b"", priority=2, tokens={"a": "b"})
    )
    assert (session.id, session.application, session.common_data()) == ("mine", "app", b"")
    assert connection.open_session("mine").id == "mine"
    assert connection.open_session("other", SessionAttributes("app")).id == "other"
    assert {one.id for one in connection.list_sessions()} == {"mine", "other"}
    session.suspend()
    assert session.state == flamepy.SessionState.SUSPENDED
    session.resume()
    session.invoke(b"x")
    assert session.refresh().succeed == 1
    session.close()
    assert session.state == flamepy.SessionState.CLOSED and session.completion_time is not None
    assert refused(connection.open_session, "mine").code == FlameErrorCode.INVALID_ARGUMENT
    session.delete()
    assert refused(connection.get_session, "mine").code == FlameErrorCode.NOT_FOUND
    assert (
        refused(connection.create_session, SessionAttributes("app", id="other")).code == FlameErrorCode.ALREADY_EXISTS
    )
    assert refused(connection.create_session, SessionAttributes("none")).code == FlameErrorCode.NOT_FOUND
    for bad in [
        {"application": ""},
        {"min_instances": -1},
        {"common_data": "text"},
        {"resreq": "cpu=1"},
        {"common_data": b"x" * (3 << 20)},
        {"task_timeout": 0},
    ]:
        error = refused(connection.create_session, SessionAttributes(**{"application": "app", **bad}))
        assert error.code == FlameErrorCode.INVALID_ARGUMENT, bad


def test_close_while_tasks_run_says_what_helps(session):
    future = session.run(b"hold")
    future.accepted(20)
    error = refused(session.close)
    assert error.code == FlameErrorCode.INVALID_STATE and "force=True" in error.remedy
    session.close(force=True)
    assert refused(future.result, 20).code == FlameErrorCode.CANCELLED


def test_every_status_has_a_code(cluster, connection):
    expected = {
        grpc.StatusCode.PERMISSION_DENIED: FlameErrorCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED: FlameErrorCode.UNAUTHENTICATED,
        grpc.StatusCode.UNIMPLEMENTED: FlameErrorCode.UNIMPLEMENTED,
        grpc.StatusCode.RESOURCE_EXHAUSTED: FlameErrorCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.FAILED_PRECONDITION: FlameErrorCode.INVALID_STATE,
        grpc.StatusCode.OUT_OF_RANGE: FlameErrorCode.OUT_OF_RANGE,
        grpc.StatusCode.DATA_LOSS: FlameErrorCode.DATA_LOSS,
        grpc.StatusCode.ABORTED: FlameErrorCode.ABORTED,
        grpc.StatusCode.INTERNAL: FlameErrorCode.INTERNAL,
    }
    for status, code in expected.items():
        cluster.coordinators[0].refusal = (status, "because")
        error = refused(connection.list_applications)
        assert error.code == code and "because" in error.message, status


def test_a_server_without_session_streams_is_named(cluster, session):
    cluster.coordinators[0].refusal = (grpc.StatusCode.UNIMPLEMENTED, "unknown service")
    for call in [session.invoke, lambda data: session.run(data).result(20)]:
        error = refused(call, b"x")
        assert error.code == FlameErrorCode.UNIMPLEMENTED and "needs a cluster of Flame HA" in error.message


def test_without_a_leader_it_says_so_in_time(cluster):
    connection = flamepy.connect(cluster.endpoints, options=FAST)
    session = connection.create_session(SessionAttributes("app"))
    cluster.coordinators[0].refusal = (grpc.StatusCode.UNAVAILABLE, "no leader")
    for call in [connection.list_applications, lambda: session.invoke(b"x"), lambda: session.create_task(b"x")]:
        error = refused(call)
        assert error.code == FlameErrorCode.UNAVAILABLE and "no leader" in error.message and "majority" in error.remedy
    connection.close()


def test_every_change_carries_a_request_id_of_its_own(cluster):
    cluster.state.next_request = 7
    with flamepy.connect(cluster.endpoints) as connection:
        connection.register_application("a", {})
        connection.update_application("a", {})
        session = connection.create_session(SessionAttributes("a"))
        session.suspend()
        session.resume()
        session.cancel_task(session.run(b"hold").accepted(20))
        session.close(force=True)
        session.delete()
        connection.unregister_application("a")
    calls = ["Register", "Update", "Unregister"]
    names = [f"{one}Application" for one in calls] + ["CancelTask", "ForceCloseSession"]
    names += [f"{one}Session" for one in ["Create", "Suspend", "Resume", "Close", "Delete"]]
    sent = [metadata for name in names for metadata in cluster.metadata(name)]
    assert len({metadata["flame-request-id-bin"] for metadata in sent}) == len(sent) == len(names)
    assert {len(metadata["flame-request-id-bin"]) for metadata in sent} == {16}
    assert {metadata["flame-request-seen"] for metadata in sent} == {"7"}


def test_a_change_whose_answer_is_lost_is_done_once_and_answered_as_the_first_time(cluster):
    cluster.state.next_request = 7
    only = cluster.coordinators[0]
    with flamepy.connect(cluster.endpoints) as connection:
        only.swallow = ["RegisterApplication", "CreateSession", "DeleteSession"]
        connection.register_application("a", {})
        session = connection.create_session(SessionAttributes("a", id="chosen"))
        session.close()
        session.delete()
        assert not only.swallow
        only.swallow = ["RegisterApplication", "CreateSession"]
        assert refused(connection.register_application, "a", {}).code == FlameErrorCode.ALREADY_EXISTS
        assert refused(connection.create_session, SessionAttributes("none")).code == FlameErrorCode.NOT_FOUND
        assert not only.swallow
    first, second = cluster.metadata("CreateSession")[:2]
    assert first["flame-request-id-bin"] == second["flame-request-id-bin"]


def test_a_change_that_comes_too_late_begins_anew_or_is_an_unknown_outcome(cluster):
    cluster.state.next_request = 7
    with flamepy.connect(cluster.endpoints) as connection:
        cluster.state.next_request, cluster.state.remembered_from = 99, 50
        connection.register_application("a", {})
        first, second = cluster.metadata("RegisterApplication")
        assert (first["flame-request-seen"], second["flame-request-seen"]) == ("7", "99")
        assert first["flame-request-id-bin"] != second["flame-request-id-bin"]
        only = cluster.coordinators[0]
        only.swallow = ["RegisterApplication"]
        original = only._once

        def once(name, request, context, identity, seen):
            answer = original(name, request, context, identity, seen)
            cluster.state.changes.clear()
            cluster.state.remembered_from = 10_000
            return answer

        only._once = once
        assert refused(connection.register_application, "b", {}).code == FlameErrorCode.UNKNOWN_OUTCOME


def test_a_server_that_knows_no_request_ids_is_sent_none(cluster, connection):
    connection.register_application("a", {})
    connection.register_application("b", {})
    assert all("flame-request-id-bin" not in metadata for metadata in cluster.metadata("RegisterApplication"))
    assert len(cluster.metadata("Members")) == 1, "it is asked for once"


def test_a_lost_answer_is_asked_for_again(cluster, connection):
    only = cluster.coordinators[0]
    only.swallow = ["CreateSession", "CreateTask", "CloseSession", "DeleteSession", "UnregisterApplication"]
    session = connection.create_session(SessionAttributes("app"))
    assert session.create_task(b"x").id == "1" and session.create_task(b"x").id == "2"
    session.close()
    session.delete()
    connection.unregister_application("app")
    assert not only.swallow
    only.swallow = ["RegisterApplication"]
    assert refused(connection.register_application, "new", {}).code == FlameErrorCode.UNKNOWN_OUTCOME


def test_lists_and_watches_go_on_after_a_break(cluster, session):
    cluster.coordinators[0].swallow = ["ListTasks", "WatchTask"]
    for _ in range(5):
        session.create_task(b"x")
    assert [one.id for one in session.list_tasks()] == ["1", "2", "3", "4", "5"]
    held = session.create_task(b"hold")
    watcher = session.watch_task(held.id, timeout=20)
    assert next(watcher).state == flamepy.TaskState.RUNNING
    cluster.state.release()
    assert [one.state for one in watcher] == [flamepy.TaskState.SUCCEED]


def test_a_closed_connection_says_so(cluster):
    connection = flamepy.connect(cluster.endpoints)
    session = connection.create_session(SessionAttributes("app"))
    future = session.run(b"hold")
    future.accepted(20)
    connection.close()
    for call in [
        connection.list_applications,
        lambda: session.run(b"x"),
        lambda: list(session.list_tasks()),
        lambda: future.result(20),
    ]:
        error = refused(call)
        assert error.code == FlameErrorCode.INVALID_STATE and "closed" in error.message


# ── what a stream survives ──────────────────────────────────────────────────────────────────────────────────────────


def test_tasks_survive_the_death_of_their_coordinator(three):
    with flamepy.connect(three.endpoints) as connection:
        session = connection.create_session(SessionAttributes("app"))
        held = session.submit_many([b"hold"] * 20)
        done = session.submit_many([b"%d" % number for number in range(500)])
        held[-1].accepted(20)
        three.leader = 2
        three.coordinators[0].stop()
        more = session.submit_many([b"%d" % number for number in range(500)])
        three.state.release()
        assert [one.result(20) for one in done + more] == [b"%d" % number for number in range(500)] * 2
        assert {one.result(20) for one in held} == {b"held"}
        assert len(three.state.tasks[session.id]) == 1020, "nothing was submitted twice"


def test_a_coordinator_that_is_stuck_is_left(three):
    connection = flamepy.connect(three.endpoints, options=Options(attempt_timeout=0.5))
    session = connection.create_session(SessionAttributes("app"))
    assert session.invoke(b"x") == b"x"
    three.coordinators[0].is_stuck = True
    three.leader = 2
    # More than the connection takes while nobody reads.
    futures = session.submit_many([bytes(1 << 20)] * 40)
    assert all(one.result(30) == bytes(1 << 20) for one in futures)
    assert len(three.state.tasks[session.id]) == 41
    connection.close()


def test_a_frame_whose_answer_is_lost_is_sent_again_and_done_once(cluster, session):
    session.invoke(b"x")
    cluster.coordinators[0].drop_accepted = 3
    futures = session.submit_many([b"y"] * 100)
    assert [one.result(20) for one in futures] == [b"y"] * 100
    assert len(cluster.state.tasks[session.id]) == 101


def test_streams_that_break_again_and_again(cluster, session):
    stop = threading.Event()

    def breaker():
        while not stop.wait(0.03):
            cluster.coordinators[0].break_streams()

    thread = threading.Thread(target=breaker)
    thread.start()
    try:
        outputs = list(session.map((b"%d" % number for number in range(3000)), in_flight=200))
    finally:
        stop.set()
        thread.join()
    assert outputs == [b"%d" % number for number in range(3000)]
    assert len(cluster.state.tasks[session.id]) == 3000


def test_an_expired_client_is_an_unknown_outcome_and_the_stream_goes_on(cluster, session):
    future = session.run(b"hold")
    future.accepted(20)
    cluster.coordinators[0].drop_accepted = 1
    cluster.state.lock.acquire()
    try:
        lost = session.run(b"x")
        cluster.state.clients.clear()
    finally:
        cluster.state.lock.release()
    try:
        outcome = lost.result(20)
    except flamepy.FlameError as error:
        assert error.code == FlameErrorCode.UNKNOWN_OUTCOME
    else:
        assert outcome == b"x", "it was not sent before the client had expired"
    assert session.invoke(b"y", timeout=20) == b"y"


def test_a_session_that_is_gone_ends_its_waits(cluster, session):
    future = session.run(b"hold")
    future.accepted(20)
    del cluster.state.sessions[session.id]
    cluster.coordinators[0].break_streams()
    assert refused(future.result, 20).code == FlameErrorCode.NOT_FOUND
    assert refused(session.invoke, b"x").code == FlameErrorCode.NOT_FOUND


def test_streams_end_with_their_sessions(cluster, connection):
    session = connection.create_session(SessionAttributes("app"))
    assert session.run(b"x").result(20) == b"x"
    assert len(cluster.state.clients) == 1
    del session
    eventually("its client has ended", lambda: not cluster.state.clients)


# ── processes ───────────────────────────────────────────────────────────────────────────────────────────────────────


def run_python(code, **environment):
    """A process of its own, with all its children: none outlives this."""
    variables = {**os.environ, **environment, "PYTHONPATH": os.path.dirname(__file__)}
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=60)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return subprocess.CompletedProcess(code, process.returncode, out, err)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_of_a_process_with_a_connection_is_told(cluster):
    done = run_python(
        """
        import os, sys, flamepy
        session = flamepy.create_session("app")
        assert session.invoke(b"parent") == b"parent"
        child = os.fork()
        if child == 0:
            for call in [lambda: session.invoke(b"x"), session.refresh, flamepy.list_sessions]:
                try:
                    call()
                    os._exit(1)
                except flamepy.FlameError as error:
                    if error.code != flamepy.FlameErrorCode.INVALID_STATE or "spawn" not in error.remedy:
                        os._exit(2)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert session.invoke(b"parent") == b"parent"
        session.close()
        """,
        FLAME_ENDPOINT=cluster.endpoints[0],
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_of_a_process_that_has_not_connected_has_an_engine_of_its_own(cluster):
    done = run_python(
        """
        import os, sys, flamepy
        def work(data):
            with flamepy.connect(os.environ["FLAME_ENDPOINT"]) as connection:
                return connection.create_session(flamepy.SessionAttributes("app")).invoke(data)
        child = os.fork()
        if child == 0:
            os._exit(0 if work(b"child") == b"child" else 3)
        assert os.waitpid(child, 0)[1] == 0
        assert work(b"parent") == b"parent"
        """,
        FLAME_ENDPOINT=cluster.endpoints[0],
    )
    assert done.returncode == 0, done.stderr


def test_a_process_ends_whatever_is_under_way(cluster):
    done = run_python(
        """
        import flamepy
        session = flamepy.create_session("app")
        future = session.run(b"hold")
        future.accepted(20)
        print("ends")
        """,
        FLAME_ENDPOINT=cluster.endpoints[0],
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "ends\n", "")


def test_many_threads_share_a_connection(connection):
    outcome = queue.SimpleQueue()

    def work(number):
        session = connection.create_session(SessionAttributes("app"))
        outcome.put(all(session.invoke(b"%d" % one) == b"%d" % one for one in range(number, number + 50)))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    [one.start() for one in threads]
    [one.join(60) for one in threads]
    assert [outcome.get(timeout=1) for _ in threads] == [True] * 8


# ── TLS ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """An authority, another one, a server's certificate and a client's."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    for name in ["ca", "other"]:
        openssl(
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
            "-keyout",
            f"{name}.key",
            "-out",
            f"{name}.crt",
            "-subj",
            f"/CN={name}",
        )
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1")
    for name in ["server", "client"]:
        openssl(
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            f"{name}.key",
            "-out",
            f"{name}.csr",
            "-subj",
            f"/CN={name}",
        )
        openssl(
            "x509",
            "-req",
            "-in",
            f"{name}.csr",
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-out",
            f"{name}.crt",
            "-extfile",
            "names",
        )
    return folder


def secure(certificates, demands_client):
    read = lambda name: (certificates / name).read_bytes()  # noqa: E731
    return FakeCluster(
        credentials=grpc.ssl_server_credentials(
            [(read("server.key"), read("server.crt"))],
            root_certificates=read("ca.crt") if demands_client else None,
            require_client_auth=demands_client,
        )
    )


def test_tls(certificates, monkeypatch):
    from flamepy.core import FlameClientTls

    cluster = secure(certificates, False)
    address = cluster.endpoints[0].replace("http:", "https:")
    try:
        with flamepy.connect(address, FlameClientTls(ca_file=str(certificates / "ca.crt"))) as connection:
            session = connection.create_session(SessionAttributes("app"))
            assert session.invoke(b"x") == b"x"
        monkeypatch.setenv("FLAME_CA_FILE", str(certificates / "ca.crt"))
        flamepy.connect(address).close()
        monkeypatch.delenv("FLAME_CA_FILE")
        for tls in [FlameClientTls(ca_file=str(certificates / "other.crt")), None]:
            error = refused(flamepy.connect, address, tls)
            assert error.code == FlameErrorCode.INVALID_CONFIG and "ca_file" in error.remedy, error
        assert (
            refused(flamepy.connect, address, FlameClientTls(ca_file="/no/such")).code == FlameErrorCode.INVALID_CONFIG
        )
        assert refused(flamepy.connect, address, FlameClientTls(cert_file="x")).code == FlameErrorCode.INVALID_CONFIG
    finally:
        cluster.stop()


def test_client_certificates(certificates):
    from flamepy.core import FlameClientTls

    cluster = secure(certificates, True)
    address = cluster.endpoints[0].replace("http:", "https:")
    ca, cert, key = (str(certificates / name) for name in ["ca.crt", "client.crt", "client.key"])
    try:
        with flamepy.connect(address, FlameClientTls(ca, cert, key)) as connection:
            assert connection.list_applications()
        error = refused(flamepy.connect, address, FlameClientTls(ca), options=FAST)
        assert error.code == FlameErrorCode.INVALID_CONFIG
    finally:
        cluster.stop()
