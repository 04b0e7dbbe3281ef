"""The asynchronous client: a thin facade over the engine."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Union

from .._engine.channel import Options
from .._engine.client import Client
from .._engine.endpoints import Addresses, parse
from ..core.client import Connection, ConnectionInstance, attributes_of
from ..core.context import FlameClientTls, FlameContext, with_environment
from ..core.payloads import Payloads
from ..core.session import Session
from ..core.types import Application, ApplicationAttributes, ResourceRequirement, SessionAttributes, SessionState
from .session import AsyncSession


class AsyncConnection:
    """A client of one cluster. May be used by any loop, and by several."""

    def __init__(self, connection: Connection) -> None:
        self.sync = connection
        """The same connection, for code that blocks."""
        self._client = connection.client
        self._engine = connection.client.engine

    @property
    def addr(self) -> Addresses:
        return self.sync.addr

    def __repr__(self) -> str:
        return f"Async{self.sync!r}"

    async def __aenter__(self) -> AsyncConnection:
        return self

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connection. What is under way ends with an error; the cluster goes on with its tasks."""
        await self._engine.await_(self._client.close())

    # ── applications ────────────────────────────────────────────────────────────────────────────────────────────────

    async def register_application(self, name: str, app_attrs: Union[ApplicationAttributes, Dict[str, Any]]) -> None:
        await self._engine.await_(self._client.register_application(name, app_attrs))

    async def update_application(self, name: str, app_attrs: Union[ApplicationAttributes, Dict[str, Any]]) -> None:
        """Replaces all attributes."""
        await self._engine.await_(self._client.update_application(name, app_attrs))

    async def unregister_application(self, name: str) -> None:
        await self._engine.await_(self._client.unregister_application(name))

    async def list_applications(self) -> List[Application]:
        return await self._engine.await_(self._client.list_applications())

    async def get_application(self, name: str) -> Optional[Application]:
        """None when there is no such application."""
        return await self._engine.await_(self._client.get_application(name))

    async def list_executors(self) -> List[Any]:
        """As protocol messages."""
        return list(await self._engine.await_(self._client.list_executors()))

    async def list_nodes(self) -> List[Any]:
        """As protocol messages."""
        return list(await self._engine.await_(self._client.list_nodes()))

    # ── sessions ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def create_session(self, attrs: SessionAttributes, *, codec: Any = None, output: Any = None) -> AsyncSession:
        """As `Connection.create_session`."""
        payloads = Payloads(codec, output)
        message = await self._engine.await_(self._client.create_session(attrs))
        return AsyncSession(Session.of(self.sync, message, payloads))

    async def open_session(
        self, session_id: str, spec: Optional[SessionAttributes] = None, *, codec: Any = None, output: Any = None
    ) -> AsyncSession:
        """Finds an open session, or makes it when a `spec` is given."""
        payloads = Payloads(codec, output)
        message = await self._engine.await_(self._client.open_session(session_id, spec))
        return AsyncSession(Session.of(self.sync, message, payloads))

    async def list_sessions(
        self, application: Optional[str] = None, state: Optional[SessionState] = None
    ) -> List[AsyncSession]:
        found = await self._engine.await_(self._client.list_sessions(application, state))
        return [AsyncSession(Session.of(self.sync, one)) for one in found]

    async def get_session(self, session_id: str) -> AsyncSession:
        message = await self._engine.await_(self._client.get_session(session_id))
        return AsyncSession(Session.of(self.sync, message))

    async def close_session(self, session_id: str, force: bool = False) -> AsyncSession:
        message = await self._engine.await_(self._client.close_session(session_id, force))
        return AsyncSession(Session.of(self.sync, message))

    async def delete_session(self, session_id: str) -> None:
        await self._engine.await_(self._client.delete_session(session_id))


async def connect(
    addr: Addresses, tls_config: Optional[FlameClientTls] = None, *, options: Optional[Options] = None
) -> AsyncConnection:
    """As `flamepy.connect`."""
    client = Client(parse(addr, with_environment(tls_config)), options or Options())
    await client.engine.await_(client.connect())
    return AsyncConnection(Connection(addr, client))


async def _instance() -> AsyncConnection:
    """The connection that the blocking functions use, too."""
    connection = ConnectionInstance.present()
    if connection is None:
        context = FlameContext()
        made = await connect(context.endpoints, context.tls)
        connection = ConnectionInstance.keep(made.sync, context)
        if connection is not made.sync:
            # Somebody else was faster.
            await made.close()
    return AsyncConnection(connection)


async def create_session(
    application: str,
    common_data: Any = None,
    session_id: Optional[str] = None,
    min_instances: int = 0,
    max_instances: Optional[int] = None,
    batch_size: int = 1,
    resreq: Optional[ResourceRequirement] = None,
    *,
    codec: Any = None,
    output: Any = None,
    **more: Any,
) -> AsyncSession:
    """As `flamepy.create_session`."""
    attributes = attributes_of(
        application, common_data, session_id, min_instances, max_instances, batch_size, resreq, codec, more
    )
    return await (await _instance()).create_session(attributes, codec=codec, output=output)


async def open_session(
    session_id: str, spec: Optional[SessionAttributes] = None, *, codec: Any = None, output: Any = None
) -> AsyncSession:
    return await (await _instance()).open_session(session_id, spec, codec=codec, output=output)


async def register_application(name: str, app_attrs: Union[ApplicationAttributes, Dict[str, Any]]) -> None:
    await (await _instance()).register_application(name, app_attrs)


async def update_application(name: str, app_attrs: Union[ApplicationAttributes, Dict[str, Any]]) -> None:
    await (await _instance()).update_application(name, app_attrs)


async def unregister_application(name: str) -> None:
    await (await _instance()).unregister_application(name)


async def list_applications() -> List[Application]:
    return await (await _instance()).list_applications()


async def get_application(name: str) -> Optional[Application]:
    return await (await _instance()).get_application(name)


async def list_executors() -> List[Any]:
    return await (await _instance()).list_executors()


async def list_nodes() -> List[Any]:
    return await (await _instance()).list_nodes()


async def list_sessions(application: Optional[str] = None, state: Optional[SessionState] = None) -> List[AsyncSession]:
    return await (await _instance()).list_sessions(application, state)


async def get_session(session_id: str) -> AsyncSession:
    return await (await _instance()).get_session(session_id)


async def close_session(session_id: str) -> AsyncSession:
    return await (await _instance()).close_session(session_id)
