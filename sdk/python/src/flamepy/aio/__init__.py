"""The same client for programs on an event loop: nothing here blocks, whichever loop runs.

    session = await flamepy.aio.create_session("app")
    outputs = await asyncio.gather(*(session.invoke(one) for one in inputs))
    await session.close()

A `flamepy.Session` that is awaited becomes an `AsyncSession`, too. Values that are not bytes travel as JSON, unless the
session has another codec.
"""

from .client import (
    AsyncConnection,
    close_session,
    connect,
    create_session,
    get_application,
    get_session,
    list_applications,
    list_executors,
    list_nodes,
    list_sessions,
    open_session,
    register_application,
    unregister_application,
    update_application,
)
from .session import AsyncSession
from .task import AsyncTask

__all__ = [
    "AsyncConnection",
    "AsyncSession",
    "AsyncTask",
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
