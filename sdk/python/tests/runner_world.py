"""A cluster with workers for Runner: the coordinators of `fake`, the cache of `fake_cache`, and the service side of
`flamepy.runner.runpy` in this process, one executor for each session.

An executor can be killed: the next task of its session is run by another one.
"""

from __future__ import annotations

import queue
import threading
from typing import Any, Dict, List, Optional, Tuple

from fake import FakeCluster
from flamepy._remote import failure_text
from flamepy._service.context import ApplicationContext, SessionContext, TaskContext
from flamepy._wire.v1 import types_pb2
from flamepy.runner.runpy import FlameRunpyService

TEMPLATE = types_pb2.ApplicationSpec(
    command="${FLAME_HOME}/bin/uv",
    arguments=["run", "--python", "python${FLAME_PYTHON_VERSION}", "python", "-m", "flamepy.runner.runpy"],
    installer="python",
    labels=["runner"],
    max_instances=7,
)


class Workers:
    """Runs the tasks of every application that a Runner has registered."""

    def __init__(self, cluster: FakeCluster) -> None:
        self.state = cluster.state
        template = types_pb2.ApplicationSpec()
        template.CopyFrom(TEMPLATE)  # a test may change it
        self.state.applications["flmrun"] = template
        self.queues: Dict[str, queue.SimpleQueue[Any]] = {}
        self.services: Dict[str, FlameRunpyService] = {}
        self.entered: List[str] = []
        """Sessions, each time that an executor has entered one."""
        self.threads: List[threading.Thread] = []
        self.runs: List[Tuple[str, str]] = []
        """Session and number of each task that was begun."""
        self.paused = threading.Event()
        self.paused.set()
        self._tokens = 0
        self._create_task = self.state.create_task
        self.state.create_task = self.create_task  # type: ignore[method-assign]

    def stop(self) -> None:
        self.paused.set()
        for one in self.queues.values():
            one.put(None)
        for thread in self.threads:
            thread.join(20)
            assert not thread.is_alive(), "a service has ended"

    def kill(self, session_id: str) -> None:
        """The executor of the session is gone, with what it had in memory."""
        self.services.pop(session_id, None)

    def create_task(self, session_id: str, data: Optional[bytes]) -> Any:
        application = self.state.applications.get(self.state.sessions[session_id].spec.application)
        if application is None or "flamepy.runner.runpy" not in application.arguments:
            return self._create_task(session_id, data)
        task = self._create_task(session_id, b"hold")
        self.state.holds.pop()
        task.spec.ClearField("input")
        if data is not None:
            task.spec.input = data
        if session_id not in self.queues:
            self.queues[session_id] = queue.SimpleQueue()
            thread = threading.Thread(target=self._serve, args=(session_id,), daemon=True)
            self.threads.append(thread)
            thread.start()
        self.queues[session_id].put((task.metadata.id, data))
        return task

    def _serve(self, session_id: str) -> None:
        while True:
            task = self.queues[session_id].get()
            if task is None:
                return
            self.paused.wait(20)
            number, data = task
            try:
                output, failure = self.run(session_id, number, data), None
            except Exception as error:
                output, failure = None, failure_text(error)
            with self.state.changed:
                self.state.end(session_id, int(number), 3 if failure else 2, output, failure)

    def run(self, session_id: str, number: str, data: Optional[bytes]) -> Optional[bytes]:
        """Runs a task, on an executor that has entered the session."""
        service = self.services.get(session_id)
        if service is None:
            service = self.enter(session_id)
        self._tokens += 1
        self.runs.append((session_id, number))
        return service.on_task_invoke(TaskContext(number, session_id, data, token=self._tokens, attempt=1))

    def enter(self, session_id: str) -> FlameRunpyService:
        spec = self.state.sessions[session_id].spec
        service = FlameRunpyService()
        common = spec.common_data if spec.HasField("common_data") else None
        service.on_session_enter(SessionContext(common, session_id, ApplicationContext(spec.application)))
        self.entered.append(session_id)
        self.services[session_id] = service
        return service
