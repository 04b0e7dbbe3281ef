"""The calls, by name, with their messages."""

from __future__ import annotations

from typing import Any, Callable, Generic, TypeVar

from google.protobuf.message import Message

from .._wire.ha import cluster_pb2 as cluster
from .._wire.ha import session_pb2 as session
from .._wire.v1 import frontend_pb2 as frontend
from .._wire.v1 import types_pb2 as types

R = TypeVar("R", bound=Message)


def serialize(message: Message) -> bytes:
    """The method of a base class is not that of the message."""
    return message.SerializeToString()


class Method(Generic[R]):
    """A call with one request."""

    __slots__ = ("parse", "path")

    def __init__(self, path: str, reply: Any) -> None:
        self.path = path
        self.parse: Callable[[bytes], R] = reply.FromString


def _frontend(name: str, reply: Any) -> Method[Any]:
    return Method(f"/flame.v1.Frontend/{name}", reply)


def _cluster(name: str, reply: Any) -> Method[Any]:
    return Method(f"/flame.ha.v1.Cluster/{name}", reply)


REGISTER_APPLICATION: Method[types.Result] = _frontend("RegisterApplication", types.Result)
UNREGISTER_APPLICATION: Method[types.Result] = _frontend("UnregisterApplication", types.Result)
UPDATE_APPLICATION: Method[types.Result] = _frontend("UpdateApplication", types.Result)
GET_APPLICATION: Method[types.Application] = _frontend("GetApplication", types.Application)
LIST_APPLICATIONS: Method[types.ApplicationList] = _frontend("ListApplications", types.ApplicationList)
LIST_EXECUTORS: Method[types.ExecutorList] = _frontend("ListExecutors", types.ExecutorList)
LIST_NODES: Method[types.NodeList] = _frontend("ListNodes", types.NodeList)
GET_NODE: Method[frontend.GetNodeResponse] = _frontend("GetNode", frontend.GetNodeResponse)
CREATE_SESSION: Method[types.Session] = _frontend("CreateSession", types.Session)
DELETE_SESSION: Method[types.Session] = _frontend("DeleteSession", types.Session)
OPEN_SESSION: Method[types.Session] = _frontend("OpenSession", types.Session)
CLOSE_SESSION: Method[types.Session] = _frontend("CloseSession", types.Session)
SUSPEND_SESSION: Method[types.Session] = _frontend("SuspendSession", types.Session)
RESUME_SESSION: Method[types.Session] = _frontend("ResumeSession", types.Session)
GET_SESSION: Method[types.Session] = _frontend("GetSession", types.Session)
LIST_SESSIONS: Method[types.SessionList] = _frontend("ListSessions", types.SessionList)
CREATE_TASK: Method[types.Task] = _frontend("CreateTask", types.Task)
GET_TASK: Method[types.Task] = _frontend("GetTask", types.Task)
LIST_TASKS: Method[types.Task] = _frontend("ListTasks", types.Task)
WATCH_TASK: Method[types.Task] = _frontend("WatchTask", types.Task)

MEMBERS: Method[cluster.MembersReply] = _cluster("Members", cluster.MembersReply)
CANCEL_TASK: Method[cluster.CancelTaskReply] = _cluster("CancelTask", cluster.CancelTaskReply)
FORCE_CLOSE_SESSION: Method[cluster.ForceCloseSessionReply] = _cluster(
    "ForceCloseSession", cluster.ForceCloseSessionReply
)

RUN: Method[session.RanTask] = Method("/flame.ha.v1.Sessions/Run", session.RanTask)

SESSION_STREAM = "/flame.ha.v1.Sessions/Stream"
