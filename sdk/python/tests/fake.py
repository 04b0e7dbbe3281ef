"""A cluster in this process: coordinators that share one state, with a service that obeys its inputs.

| input | what becomes of the task |
|---|---|
| `fail:TEXT` | fails with the text |
| `hold` | runs until `release` |
| `none` | succeeds without an output |
| anything else | succeeds with its input |

Each coordinator is a server of its own: it can be stopped, refuse everything, or break every stream.
"""

from __future__ import annotations

import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import grpc

from flamepy._wire.ha import cluster_pb2, session_pb2
from flamepy._wire.v1 import frontend_pb2, types_pb2

# As the coordinators: pings of clients are welcome.
OPTIONS = [
    ("grpc.so_reuseport", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 1),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.max_receive_message_length", -1),
]

NOW_MS = 1_700_000_000_000


class State:
    """What the coordinators agree on."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.applications: Dict[str, types_pb2.ApplicationSpec] = {}
        self.sessions: Dict[str, types_pb2.Session] = {}
        self.tasks: Dict[str, List[types_pb2.Task]] = {}
        self.log: List[Tuple[str, int]] = []
        """Ends, in the order in which they were recorded."""
        self.clients: Dict[int, Dict[int, session_pb2.Accepted]] = {}
        self.keys: Dict[bytes, types_pb2.Task] = {}
        self.requests: List[Tuple[str, Dict[str, Any]]] = []
        self.frames: List[int] = []
        self.holds: List[Tuple[str, int]] = []
        self.next_request = 0
        """Of the next change with a request id; 0: there are no request ids."""
        self.remembered_from = 1
        self.changes: Dict[bytes, Any] = {}
        """The answers by request id: a reply, or code and text."""

    def create_task(self, session_id: str, data: Optional[bytes]) -> types_pb2.Task:
        tasks = self.tasks[session_id]
        task = types_pb2.Task(
            metadata=types_pb2.Metadata(id=str(len(tasks) + 1)),
            spec=types_pb2.TaskSpec(session_id=session_id),
            status=types_pb2.TaskStatus(creation_time=NOW_MS, state=1),
        )
        if data is not None:
            task.spec.input = data
        tasks.append(task)
        text = data or b""
        if text == b"hold":
            self.holds.append((session_id, len(tasks)))
        elif text.startswith(b"fail:"):
            self.end(session_id, len(tasks), 3, None, text[5:].decode())
        else:
            self.end(session_id, len(tasks), 2, None if text == b"none" else data, None)
        return task

    def end(self, session_id: str, number: int, state: int, output: Optional[bytes], message: Optional[str]) -> None:
        task = self.tasks[session_id][number - 1]
        if task.status.state in (2, 3, 4):
            return
        task.status.state = state
        task.status.completion_time = NOW_MS
        task.status.events.add(code=state, message=message, creation_time=NOW_MS)
        if output is not None:
            task.spec.output = output
        self.log.append((session_id, number))
        self.changed.notify_all()

    def release(self) -> None:
        """Everything that is held ends well."""
        with self.changed:
            held, self.holds = self.holds, []
            for session_id, number in held:
                self.end(session_id, number, 2, b"held", None)


class Refused(Exception):
    pass


class Refusal:
    """Takes a refusal down, where a context would send it."""

    status: Any = None

    def abort(self, code: grpc.StatusCode, text: str) -> None:
        self.status = (code, text)
        raise Refused


class Coordinator:
    """One server of the cluster."""

    def __init__(self, cluster: FakeCluster, credentials: Optional[grpc.ServerCredentials] = None) -> None:
        self.cluster = cluster
        self.state = cluster.state
        self.refusal: Optional[Tuple[grpc.StatusCode, str]] = None
        self.swallow: List[str] = []
        """Calls that are done, and whose answers are lost: once for each mention."""
        self.on_swallowed: Callable[[], object] = lambda: None
        """What happens then."""
        self.is_stuck = False
        """It keeps its streams open and does nothing."""
        self.drop_accepted = 0
        """So many answers to frames are lost together with their stream."""
        self.streams: List[queue.SimpleQueue[Any]] = []
        self.server = grpc.server(ThreadPoolExecutor(64), options=OPTIONS)
        self.server.add_generic_rpc_handlers(
            (self._handlers("flame.v1.Frontend"), self._handlers("flame.ha.v1.Cluster"))
        )
        stream = grpc.stream_stream_rpc_method_handler(
            self._stream, session_pb2.SessionUp.FromString, session_pb2.SessionDown.SerializeToString
        )
        run = grpc.unary_unary_rpc_method_handler(
            lambda request, context: self._guarded("Run", request, context),
            session_pb2.RunTask.FromString,
            session_pb2.RanTask.SerializeToString,
        )
        self.server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("flame.ha.v1.Sessions", {"Stream": stream, "Run": run}),)
        )
        if credentials is None:
            self.port = self.server.add_insecure_port("127.0.0.1:0")
        else:
            self.port = self.server.add_secure_port("127.0.0.1:0", credentials)
        self.server.start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        """As if it had been killed."""
        self.server.stop(0).wait()

    def break_streams(self) -> None:
        """Every stream of a session ends with UNAVAILABLE."""
        for one in list(self.streams):
            one.put(grpc.StatusCode.UNAVAILABLE)

    # ── calls ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _handlers(self, service: str) -> grpc.GenericRpcHandler:
        requests = {"flame.v1.Frontend": frontend_pb2, "flame.ha.v1.Cluster": cluster_pb2}[service]
        methods = requests.DESCRIPTOR.services_by_name[service.rsplit(".", 1)[1]].methods
        handlers = {}
        for method in methods:
            name = method.name
            if not hasattr(self, name):
                continue
            parse = getattr(requests, method.input_type.name).FromString
            make = (
                grpc.unary_stream_rpc_method_handler if method.server_streaming else grpc.unary_unary_rpc_method_handler
            )
            call = self._guarded_stream if method.server_streaming else self._guarded
            handlers[name] = make(
                lambda request, context, name=name, call=call: call(name, request, context),
                parse,
                lambda reply: reply.SerializeToString(),
            )
        return grpc.method_handlers_generic_handler(service, handlers)

    def _note(self, name: str, context: Any) -> None:
        metadata = dict(context.invocation_metadata())
        self.state.requests.append((name, metadata))
        if self.refusal is not None and name != "Members":
            context.set_trailing_metadata((("said-by", "fake"),))
            context.abort(*self.refusal)

    def _guarded(self, name: str, request: Any, context: Any) -> Any:
        self._note(name, context)
        metadata = dict(context.invocation_metadata())
        identity = metadata.get("flame-request-id-bin")
        with self.state.changed:
            if identity is None:
                reply = getattr(self, name)(request, context)
            else:
                reply = self._once(name, request, context, identity, int(metadata["flame-request-seen"]))
        if name in self.swallow:
            self.swallow.remove(name)
            self.on_swallowed()
            context.abort(grpc.StatusCode.UNKNOWN, "the answer was lost")
        if isinstance(reply, tuple):
            context.abort(*reply)
        return reply

    def _once(self, name: str, request: Any, context: Any, identity: bytes, seen: int) -> Any:
        """As the coordinators do a change that has a request id."""
        state = self.state
        if identity not in state.changes:
            if seen < state.remembered_from:
                context.set_trailing_metadata((("flame-request-seen", str(state.next_request)),))
                context.abort(grpc.StatusCode.ABORTED, "nobody remembers that far back")
            state.next_request += 1
            refusal = Refusal()
            try:
                state.changes[identity] = getattr(self, name)(request, refusal)
            except Refused:
                state.changes[identity] = refusal.status
        return state.changes[identity]

    def _guarded_stream(self, name: str, request: Any, context: Any) -> Iterator[Any]:
        self._note(name, context)
        yield from getattr(self, name)(request, context)

    def Members(self, request: Any, context: Any) -> Any:
        members = [
            cluster_pb2.Member(id=number + 1, client_endpoint=one.endpoint, voter=True)
            for number, one in enumerate(self.cluster.coordinators)
        ]
        reply = cluster_pb2.MembersReply(cluster_id="fake", members=members, leader=self.cluster.leader, term=1)
        reply.next_request = self.state.next_request
        return reply

    def RegisterApplication(self, request: Any, context: Any) -> Any:
        if request.name in self.state.applications:
            message = f"application <{request.name}> already exists"
            return types_pb2.Result(return_code=-1, message=message)
        self.state.applications[request.name] = request.application
        return types_pb2.Result()

    def UpdateApplication(self, request: Any, context: Any) -> Any:
        if request.name not in self.state.applications:
            return types_pb2.Result(return_code=-1, message=f"application <{request.name}> not found")
        self.state.applications[request.name] = request.application
        return types_pb2.Result()

    def UnregisterApplication(self, request: Any, context: Any) -> Any:
        if self.state.applications.pop(request.name, None) is None:
            return types_pb2.Result(return_code=-1, message=f"application <{request.name}> not found")
        return types_pb2.Result()

    def _application(self, name: str) -> Any:
        return types_pb2.Application(
            metadata=types_pb2.Metadata(id=name, name=name),
            spec=self.state.applications[name],
            status=types_pb2.ApplicationStatus(state=0, creation_time=NOW_MS),
        )

    def GetApplication(self, request: Any, context: Any) -> Any:
        if request.name not in self.state.applications:
            context.abort(grpc.StatusCode.NOT_FOUND, f"application {request.name} not found")
        return self._application(request.name)

    def ListApplications(self, request: Any, context: Any) -> Any:
        names = sorted(self.state.applications)
        return types_pb2.ApplicationList(applications=[self._application(name) for name in names])

    def ListExecutors(self, request: Any, context: Any) -> Any:
        return types_pb2.ExecutorList(executors=[types_pb2.Executor(metadata=types_pb2.Metadata(id="e"))])

    def ListNodes(self, request: Any, context: Any) -> Any:
        return types_pb2.NodeList(nodes=[types_pb2.Node(metadata=types_pb2.Metadata(id="n"))])

    def _session(self, session_id: str, context: Any) -> types_pb2.Session:
        session = self.state.sessions.get(session_id)
        if session is None:
            context.abort(grpc.StatusCode.NOT_FOUND, f"session {session_id} not found")
            raise AssertionError
        status = session.status
        states = [task.status.state for task in self.state.tasks[session_id]]
        status.pending, status.running = states.count(0), states.count(1)
        status.succeed, status.failed, status.cancelled = states.count(2), states.count(3), states.count(4)
        return session

    def CreateSession(self, request: Any, context: Any) -> Any:
        if request.session_id in self.state.sessions:
            context.abort(grpc.StatusCode.ALREADY_EXISTS, f"session {request.session_id} already exists")
        if request.session.application not in self.state.applications:
            context.abort(grpc.StatusCode.NOT_FOUND, f"application {request.session.application} not found")
        self.state.sessions[request.session_id] = types_pb2.Session(
            metadata=types_pb2.Metadata(id=request.session_id),
            spec=request.session,
            status=types_pb2.SessionStatus(creation_time=NOW_MS),
        )
        self.state.tasks[request.session_id] = []
        return self._session(request.session_id, context)

    def OpenSession(self, request: Any, context: Any) -> Any:
        found = self.state.sessions.get(request.session_id)
        if found is None and request.HasField("session"):
            return self.CreateSession(request, context)
        session = self._session(request.session_id, context)
        if session.status.state != 0:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"session {request.session_id} is not open")
        return session

    def GetSession(self, request: Any, context: Any) -> Any:
        return self._session(request.session_id, context)

    def ListSessions(self, request: Any, context: Any) -> Any:
        return types_pb2.SessionList(sessions=[self._session(one, context) for one in self.state.sessions])

    def CloseSession(self, request: Any, context: Any) -> Any:
        session = self._session(request.session_id, context)
        if session.status.running:
            context.abort(grpc.StatusCode.INTERNAL, "Cannot close session with running tasks")
        session.status.state = 1
        session.status.completion_time = NOW_MS
        return session

    def DeleteSession(self, request: Any, context: Any) -> Any:
        session = self._session(request.session_id, context)
        if session.status.state == 0:
            context.abort(grpc.StatusCode.INTERNAL, "Cannot delete open session")
        del self.state.sessions[request.session_id]
        return session

    def SuspendSession(self, request: Any, context: Any) -> Any:
        session = self._session(request.session_id, context)
        session.status.state = 3
        return session

    def ResumeSession(self, request: Any, context: Any) -> Any:
        session = self._session(request.session_id, context)
        session.status.state = 0
        return session

    def ForceCloseSession(self, request: Any, context: Any) -> Any:
        self._session(request.session_id, context)
        for number in range(1, len(self.state.tasks[request.session_id]) + 1):
            self.state.end(request.session_id, number, 4, None, None)
        return cluster_pb2.ForceCloseSessionReply()

    def CreateTask(self, request: Any, context: Any) -> Any:
        session = self._session(request.task.session_id, context)
        if session.status.state != 0:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"session {request.task.session_id} is not open")
        key = dict(context.invocation_metadata()).get("flame-idempotency-key-bin")
        if key is None or key not in self.state.keys:
            data = request.task.input if request.task.HasField("input") else None
            task = self.state.create_task(request.task.session_id, data)
            self.state.keys[key or b""] = task
        return self.state.keys[key or b""]

    def Run(self, request: Any, context: Any) -> Any:
        if request.HasField("submit"):
            spec = types_pb2.TaskSpec(session_id=request.session_id)
            if request.submit.HasField("input"):
                spec.input = request.submit.input
            task = self.CreateTask(frontend_pb2.CreateTaskRequest(task=spec), context)
        else:
            ask = frontend_pb2.GetTaskRequest(session_id=request.session_id, task_id=str(request.wait))
            task = self._task(ask, context)
        number = int(task.metadata.id)
        # As the coordinators: an answer comes before the caller gives up.
        until = time.monotonic() + context.time_remaining() * 0.9
        while task.status.state not in (2, 3, 4) and time.monotonic() < until and context.is_active():
            self.state.changed.wait(0.01)
        if task.status.state not in (2, 3, 4):
            return session_pb2.RanTask(task=number)
        result = session_pb2.TaskResult(task=number, state=task.status.state)
        if task.spec.HasField("output"):
            result.output = task.spec.output
        if task.status.events and task.status.events[-1].HasField("message"):
            result.message = task.status.events[-1].message
        return session_pb2.RanTask(task=number, result=result)

    def _task(self, request: Any, context: Any) -> types_pb2.Task:
        self._session(request.session_id, context)
        tasks = self.state.tasks[request.session_id]
        if not 1 <= int(request.task_id) <= len(tasks):
            context.abort(grpc.StatusCode.NOT_FOUND, f"task {request.task_id} not found")
        return tasks[int(request.task_id) - 1]

    def GetTask(self, request: Any, context: Any) -> Any:
        return self._task(request, context)

    def CancelTask(self, request: Any, context: Any) -> Any:
        task = self._task(request, context)
        if task.status.state in (2, 3, 4):
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "the task has ended")
        self.state.end(request.session_id, int(request.task_id), 4, None, None)
        return cluster_pb2.CancelTaskReply()

    def ListTasks(self, request: Any, context: Any) -> Iterator[Any]:
        self._session(request.session_id, context)
        for number, task in enumerate(list(self.state.tasks[request.session_id])):
            if number == 2 and "ListTasks" in self.swallow:
                self.swallow.remove("ListTasks")
                context.abort(grpc.StatusCode.UNKNOWN, "the rest was lost")
            yield task

    def WatchTask(self, request: Any, context: Any) -> Iterator[Any]:
        task = self._task(request, context)
        while True:
            with self.state.changed:
                copy = types_pb2.Task()
                copy.CopyFrom(task)
            yield copy
            if copy.status.state in (2, 3, 4):
                return
            if "WatchTask" in self.swallow:
                self.swallow.remove("WatchTask")
                context.abort(grpc.StatusCode.UNKNOWN, "the rest was lost")
            with self.state.changed:
                while task.status.state == copy.status.state and context.is_active():
                    self.state.changed.wait(0.05)
            if not context.is_active():
                return

    # ── the stream of a session ─────────────────────────────────────────────────────────────────────────────────────

    def _stream(self, frames: Iterator[Any], context: Any) -> Iterator[Any]:
        self._note("Stream", context)
        first = next(frames).open
        state = self.state
        with state.changed:
            self._session(first.session_id, context)
            client = first.client or len(state.clients) + 1
            if client not in state.clients and first.client:
                context.abort(grpc.StatusCode.ABORTED, f"client {client} has expired")
            answers = state.clients.setdefault(client, {})
            at = len(state.log)
        down: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.streams.append(down)
        opened = session_pb2.Opened(
            feature_level=1, client=client, credit_bytes=8 << 20, credit_frames=256, position=position(at)
        )
        yield session_pb2.SessionDown(opened=opened)
        threading.Thread(target=self._read, args=(frames, down), daemon=True).start()
        own: set[int] = set()
        follow: Optional[int] = None
        closing = False
        while context.is_active():
            if self.is_stuck:
                time.sleep(0.005)
                continue
            try:
                item = down.get(timeout=0.005)
            except queue.Empty:
                item = None
            if isinstance(item, grpc.StatusCode):
                context.abort(item, "the stream was broken")
            if item == "end":
                closing = True
            elif item is not None and item.WhichOneof("frame") == "watch":
                follow = getattr(item.watch, "from").log_index
                for one in item.watch.tasks:
                    own.update(range(one.first, one.last + 1))
            elif item is not None:
                kind = item.WhichOneof("frame")
                item = self._answer(getattr(item, kind), kind, first.session_id, answers)
                own.update(range(item.first_task, item.first_task + item.count))
                if self.drop_accepted:
                    self.drop_accepted -= 1
                    context.abort(grpc.StatusCode.UNKNOWN, "the answer was lost")
                yield session_pb2.SessionDown(accepted=item)
            if follow is not None:
                with state.lock:
                    news = state.log[follow:]
                    tasks = [
                        (number, state.tasks[name][number - 1])
                        for name, number in news
                        if name == first.session_id and number in own
                    ]
                    follow += len(news)
                    results = session_pb2.Results(position=position(follow))
                    for number, task in tasks:
                        one = results.results.add(task=number, state=task.status.state)
                        if task.spec.HasField("output"):
                            one.output = task.spec.output
                        if task.status.events[-1].HasField("message"):
                            one.message = task.status.events[-1].message
                if tasks:
                    yield session_pb2.SessionDown(results=results)
            if closing:
                state.clients.pop(client, None)
                return

    @staticmethod
    def _read(frames: Iterator[Any], down: Any) -> None:
        try:
            for message in frames:
                down.put(message)
        except grpc.RpcError:
            return
        down.put("end")

    def _answer(self, frame: Any, kind: str, session_id: str, answers: Dict[int, Any]) -> Any:
        state = self.state
        with state.changed:
            known = answers.get(frame.seq)
            if known is not None:
                return known
            answer = session_pb2.Accepted(seq=frame.seq)
            if state.sessions[session_id].status.state == 1:
                answer.error.code, answer.error.message = 3, f"session {session_id} is not open"
            elif kind == "submit":
                state.frames.append(len(frame.tasks))
                answer.first_task = len(state.tasks[session_id]) + 1
                answer.count = len(frame.tasks)
                for one in frame.tasks:
                    state.create_task(session_id, one.input if one.HasField("input") else None)
            else:
                state.end(session_id, frame.task, 4, None, None)
            answers[frame.seq] = answer
            return answer


def position(at: int) -> session_pb2.Position:
    return session_pb2.Position(generation=1, log_index=at)


class FakeCluster:
    def __init__(self, size: int = 1, credentials: Optional[grpc.ServerCredentials] = None) -> None:
        self.state = State()
        self.leader = 1
        self.coordinators: List[Coordinator] = []
        for _ in range(size):
            self.coordinators.append(Coordinator(self, credentials))
        self.state.applications["app"] = types_pb2.ApplicationSpec(command="/bin/true")

    @property
    def endpoints(self) -> List[str]:
        return [one.endpoint for one in self.coordinators]

    def stop(self) -> None:
        for one in self.coordinators:
            one.stop()

    def metadata(self, name: str) -> List[Dict[str, Any]]:
        """The headers of each call of that name."""
        return [metadata for called, metadata in self.state.requests if called == name]


def eventually(what: str, ask: Any, seconds: float = 20.0) -> Any:
    """Asks again until the answer is yes, or the deadline has come."""
    until = time.monotonic() + seconds
    while True:
        answer = ask()
        if answer:
            return answer
        assert time.monotonic() < until, f"it did not come to pass within {seconds} s: {what}"
        time.sleep(0.005)
