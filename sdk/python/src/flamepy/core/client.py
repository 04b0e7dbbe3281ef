"""The blocking client: a thin facade over the engine, by the names of the published package."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Union

from .._engine.channel import Options, raw_channel
from .._engine.client import Client
from .._engine.endpoints import Addresses, parse
from .._engine.loop import engine
from .._grpc import grpc
from .context import FlameClientTls, FlameContext, with_environment
from .payloads import Payloads, encoded
from .session import Session
from .types import (
    Application,
    ApplicationAttributes,
    FlameError,
    FlameErrorCode,
    ResourceRequirement,
    SessionAttributes,
    SessionState,
)
from .watch import TaskIterator, TaskWatcher

if TYPE_CHECKING:
    from ..proto.frontend_pb2_grpc import FrontendStub

__all__ = [
    "Connection",
    "ConnectionInstance",
    "Options",
    "Session",
    "TaskIterator",
    "TaskWatcher",
    "close_session",
    "connect",
    "create_session",
    "get_application",
    "get_session",
    "list_applications",
    "list_executors",
    "list_nodes",
    "list_sessions",
    "open_session",
    "register_application",
    "unregister_application",
    "update_application",
]


class Connection:
    """A client of one cluster. May be used by many threads."""

    def __init__(self, addr: Addresses, client: Client) -> None:
        self.addr = addr
        self.client = client
        self._raw: Optional[grpc.Channel] = None

    @classmethod
    def connect(
        cls, addr: Addresses, tls_config: Optional[FlameClientTls] = None, *, options: Optional[Options] = None
    ) -> Connection:
        """Connects to the cluster at `addr`: a URL, several with commas between, or a list."""
        client = Client(parse(addr, with_environment(tls_config)), options or Options())
        client.engine.wait(client.connect())
        return cls(addr, client)

    def close(self) -> None:
        """Ends the connection. What is under way ends with an error; the cluster goes on with its tasks."""
        if self._raw is not None:
            self._raw.close()
        self.client.engine.wait(self.client.close())

    @property
    def _channel(self) -> grpc.Channel:
        """A channel to the first coordinator, for programs that call the published protocol themselves: nothing is tried
        again on it, and it does not move on."""
        if self._raw is None:
            endpoints = self.client.endpoints
            self._raw = raw_channel(endpoints.all[0], endpoints.tls)
        return self._raw

    @property
    def _frontend(self) -> FrontendStub:
        from ..proto.frontend_pb2_grpc import FrontendStub

        return FrontendStub(self._channel)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Connection({self.client.endpoints.text})"

    # ── applications ────────────────────────────────────────────────────────────────────────────────────────────────

    def register_application(self, name: str, app_attrs: Union[ApplicationAttributes, Dict[str, Any]]) -> None:
        self.client.engine.wait(self.client.register_application(name, app_attrs))

    def update_application(self, name: str, app_attrs: Union[ApplicationAttributes, Dict[str, Any]]) -> None:
        """Replaces all attributes."""
        self.client.engine.wait(self.client.update_application(name, app_attrs))

    def unregister_application(self, name: str) -> None:
        self.client.engine.wait(self.client.unregister_application(name))

    def list_applications(self) -> List[Application]:
        return self.client.engine.wait(self.client.list_applications())

    def get_application(self, name: str) -> Optional[Application]:
        """None when there is no such application."""
        return self.client.engine.wait(self.client.get_application(name))

    def list_executors(self) -> List[Any]:
        """As protocol messages."""
        return list(self.client.engine.wait(self.client.list_executors()))

    def list_nodes(self) -> List[Any]:
        """As protocol messages."""
        return list(self.client.engine.wait(self.client.list_nodes()))

    # ── sessions ────────────────────────────────────────────────────────────────────────────────────────────────────

    def create_session(self, attrs: SessionAttributes, *, codec: Any = None, output: Any = None) -> Session:
        """Makes a session. `codec` (json, msgpack, pickle): inputs and outputs are values, not bytes; `output`: the type
        of outputs."""
        payloads = Payloads(codec, output)
        return Session.of(self, self.client.engine.wait(self.client.create_session(attrs)), payloads)

    def open_session(
        self,
        session_id: str,
        spec: Optional[SessionAttributes] = None,
        *,
        codec: Any = None,
        output: Any = None,
    ) -> Session:
        """Finds an open session, or makes it when a `spec` is given."""
        payloads = Payloads(codec, output)
        return Session.of(self, self.client.engine.wait(self.client.open_session(session_id, spec)), payloads)

    def list_sessions(self, application: Optional[str] = None, state: Optional[SessionState] = None) -> List[Session]:
        found = self.client.engine.wait(self.client.list_sessions(application, state))
        return [Session.of(self, one) for one in found]

    def get_session(self, session_id: str) -> Session:
        return Session.of(self, self.client.engine.wait(self.client.get_session(session_id)))

    def close_session(self, session_id: str, force: bool = False) -> Session:
        return Session.of(self, self.client.engine.wait(self.client.close_session(session_id, force)))

    def delete_session(self, session_id: str) -> None:
        self.client.engine.wait(self.client.delete_session(session_id))


class ConnectionInstance:
    """The connection that the top-level functions use: made when it is first needed, by the configuration."""

    _lock = threading.Lock()
    _connection: Optional[Connection] = None
    _context: Optional[FlameContext] = None

    @classmethod
    def present(cls) -> Optional[Connection]:
        """None when there is none, or it was closed, or it is that of the parent."""
        connection = cls._connection
        if connection is None or connection.client.is_closed or connection.client.engine is not engine():
            return None
        return connection

    @classmethod
    def instance(cls) -> Connection:
        connection = cls.present()
        if connection is None:
            with cls._lock:
                connection = cls.present()
                if connection is None:
                    cls._context = FlameContext()
                    connection = Connection.connect(cls._context.endpoints, cls._context.tls)
                    cls._connection = connection
        return connection

    @classmethod
    def keep(cls, connection: Connection, context: FlameContext) -> Connection:
        """Makes it the one, unless there is one by now; returns the one."""
        with cls._lock:
            present = cls.present()
            if present is not None:
                return present
            cls._connection, cls._context = connection, context
            return connection

    @classmethod
    def after_fork(cls) -> None:
        """The lock may have been held by a thread that is not here."""
        cls._lock = threading.Lock()
        cls._connection = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=ConnectionInstance.after_fork)


def connect(
    addr: Addresses, tls_config: Optional[FlameClientTls] = None, *, options: Optional[Options] = None
) -> Connection:
    """Connects to the cluster at `addr`: a URL, several with commas between, or a list of them.

    Raises INVALID_CONFIG when nobody answers within `Options.connect_timeout` (10 s).
    """
    return Connection.connect(addr, tls_config, options=options)


def create_session(
    application: str,
    common_data: Optional[bytes] = None,
    session_id: Optional[str] = None,
    min_instances: int = 0,
    max_instances: Optional[int] = None,
    batch_size: int = 1,
    resreq: Optional[ResourceRequirement] = None,
    *,
    codec: Any = None,
    output: Any = None,
    **more: Any,
) -> Session:
    """Makes a session of `application`. `more`: further fields of SessionAttributes, such as priority and tokens."""
    attributes = attributes_of(
        application, common_data, session_id, min_instances, max_instances, batch_size, resreq, codec, more
    )
    return ConnectionInstance.instance().create_session(attributes, codec=codec, output=output)


def attributes_of(
    application: str,
    common_data: Any,
    session_id: Optional[str],
    min_instances: int,
    max_instances: Optional[int],
    batch_size: int,
    resreq: Optional[ResourceRequirement],
    codec: Any,
    more: Dict[str, Any],
) -> SessionAttributes:
    if common_data is not None and not isinstance(common_data, (bytes, bytearray, memoryview)):
        chosen = Payloads(codec).codec
        if chosen is not None:
            common_data = encoded(common_data, chosen, "the common data")
    try:
        return SessionAttributes(
            application,
            session_id,
            common_data,
            min_instances,
            max_instances,
            batch_size,
            resreq,
            **more,
        )
    except TypeError as error:
        raise FlameError(FlameErrorCode.INVALID_ARGUMENT, f"create_session: {error}") from None


def open_session(
    session_id: str, spec: Optional[SessionAttributes] = None, *, codec: Any = None, output: Any = None
) -> Session:
    """Finds an open session, or makes it when a `spec` is given."""
    return ConnectionInstance.instance().open_session(session_id, spec, codec=codec, output=output)


def register_application(name: str, app_attrs: Union[ApplicationAttributes, Dict[str, Any]]) -> None:
    ConnectionInstance.instance().register_application(name, app_attrs)


def update_application(name: str, app_attrs: Union[ApplicationAttributes, Dict[str, Any]]) -> None:
    """Replaces all attributes."""
    ConnectionInstance.instance().update_application(name, app_attrs)


def unregister_application(name: str) -> None:
    ConnectionInstance.instance().unregister_application(name)


def list_applications() -> List[Application]:
    return ConnectionInstance.instance().list_applications()


def get_application(name: str) -> Optional[Application]:
    return ConnectionInstance.instance().get_application(name)


def list_executors() -> List[Any]:
    return ConnectionInstance.instance().list_executors()


def list_nodes() -> List[Any]:
    return ConnectionInstance.instance().list_nodes()


def list_sessions(application: Optional[str] = None, state: Optional[SessionState] = None) -> List[Session]:
    return ConnectionInstance.instance().list_sessions(application, state)


def get_session(session_id: str) -> Session:
    return ConnectionInstance.instance().get_session(session_id)


def close_session(session_id: str) -> Session:
    return ConnectionInstance.instance().close_session(session_id)
