"""The published calls: one per task.

The replies have two generations, and a worker of one cannot read those of the other. Which one calls shows when a
session is entered: only the 0.7 request says a batch size, and it is never 0.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Iterable, Optional, Union

import grpc

from .._wire.v1 import shim_pb2, types_pb2
from .context import ApplicationContext, SessionContext
from .desk import Desk
from .orders import EnterOrder, LeaveOrder, Order, Result, SessionResult, TaskOrder, TaskResult
from .runner import Runner

if TYPE_CHECKING:
    from ..core.service import FlameService

OK = 0
FAILED = -1

_APPLICATION_MISSING = "the session comes without its application"


class _CallOutbox:
    """Waits for the answer to one call."""

    def __init__(self) -> None:
        self._came = threading.Event()
        self._result: Result = None

    def put(self, order: Order, result: Result) -> None:
        self._result = result
        self._came.set()

    def on_ending(self) -> None:
        """A task is answered as skipped then; nothing else is to be expected."""

    def abandon(self) -> None:
        self._came.set()

    def wait(self) -> Result:
        self._came.wait()
        return self._result


class Calls:
    """The published Instance service on a desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._is_0_7 = False

    def enter(
        self, request: shim_pb2.SessionContext, context: grpc.ServicerContext
    ) -> Union[types_pb2.Result, shim_pb2.OnSessionEnterResponse]:
        self._is_0_7 = request.batch_size > 0
        if request.HasField("application"):
            outbox = _CallOutbox()
            result = self._call(outbox, EnterOrder(outbox, session_context(request)), context)
            assert isinstance(result, SessionResult)
        else:
            result = SessionResult(_APPLICATION_MISSING)
        plain = plain_result(result)
        if not self._is_0_7:
            return plain
        return shim_pb2.OnSessionEnterResponse(result=plain, attributes=_attributes(result.publish, result.retract))

    def invoke(
        self, request: shim_pb2.TaskContext, context: grpc.ServicerContext
    ) -> Union[types_pb2.TaskResult, shim_pb2.OnTaskInvokeResponse]:
        outbox = _CallOutbox()
        order = task_order(outbox, request)
        result = self._call(outbox, order, context)
        assert isinstance(result, TaskResult)
        plain = task_result(result)
        if not self._is_0_7:
            return plain
        attributes = _attributes(result.publish, result.retract)
        return shim_pb2.OnTaskInvokeResponse(task_result=plain, attributes=attributes)

    def leave(self, request: types_pb2.EmptyRequest, context: grpc.ServicerContext) -> types_pb2.Result:
        outbox = _CallOutbox()
        result = self._call(outbox, LeaveOrder(outbox), context)
        assert isinstance(result, SessionResult)
        return plain_result(result)

    def _call(self, outbox: _CallOutbox, order: Order, context: grpc.ServicerContext) -> Result:
        """Has an order done. When the caller gives up, or the service ends before it begins, there is no answer."""

        def on_gone() -> None:
            self._desk.close(outbox)
            outbox.abandon()

        self._desk.open(outbox)
        if context.add_callback(on_gone):
            self._desk.bring([order])
            result = outbox.wait()
        else:
            result = None
        self._desk.close(outbox)
        if result is None:
            context.abort(grpc.StatusCode.UNAVAILABLE, "the service ends")
        return result


class DirectCalls:
    """The published calls without a socket, answered as release 0.6 does."""

    def __init__(self, service: FlameService) -> None:
        self._runner = Runner(service, Desk())
        self._lock = threading.Lock()

    def enter(self, request: shim_pb2.SessionContext) -> types_pb2.Result:
        if not request.HasField("application"):
            return plain_result(SessionResult(_APPLICATION_MISSING))
        return plain_result(self._perform(EnterOrder(_CallOutbox(), session_context(request))))

    def invoke(self, request: shim_pb2.TaskContext) -> types_pb2.TaskResult:
        return task_result(self._perform(task_order(_CallOutbox(), request)))

    def leave(self) -> types_pb2.Result:
        return plain_result(self._perform(LeaveOrder(_CallOutbox())))

    def _perform(self, order: Order) -> Result:
        with self._lock:
            return self._runner.perform_anyhow(order)


def session_context(request: shim_pb2.SessionContext) -> SessionContext:
    application = request.application

    def text(field: str) -> Optional[str]:
        value: str = getattr(application, field)
        return value if application.HasField(field) else None

    return SessionContext(
        request.common_data if request.HasField("common_data") else None,
        request.session_id,
        ApplicationContext(application.name, text("image"), text("command"), text("working_directory"), text("url")),
        dict(request.tokens),
        max(request.batch_size, 1),
    )


def task_order(outbox: _CallOutbox, request: shim_pb2.TaskContext) -> TaskOrder:
    value = request.input if request.HasField("input") else None
    return TaskOrder(outbox, request.session_id, request.task_id, value, None, None, None)


def plain_result(result: Result) -> types_pb2.Result:
    if isinstance(result, SessionResult) and result.failure is not None:
        return types_pb2.Result(return_code=FAILED, message=result.failure)
    return types_pb2.Result(return_code=OK)


def task_result(result: Result) -> types_pb2.TaskResult:
    assert isinstance(result, TaskResult)
    if result.failure is not None:
        return types_pb2.TaskResult(return_code=FAILED, message=result.failure)
    return types_pb2.TaskResult(return_code=OK, output=result.output)


def _attributes(publish: Iterable[bytes], retract: Iterable[bytes]) -> types_pb2.ExecutorAttributes:
    return types_pb2.ExecutorAttributes(publish=publish, retract=retract)
