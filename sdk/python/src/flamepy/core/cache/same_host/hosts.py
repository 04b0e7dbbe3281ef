"""Which caches are on this host, and connections to them.

A cache is asked once, over its port, how its memory is shared, and only if its address is one of this host: the socket is
found nowhere else. One that shares none is not asked again; one that went away is, after a pause.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import threading
import time
import weakref
from typing import Dict, Iterator, List, Optional, Tuple

from .. import nodes
from ..errors import ObjectError
from ..flight import Broken
from .link import Link
from .mapping import Mapping

logger = logging.getLogger("flamepy.cache")

# Seconds before a cache is asked again that did not answer.
_AGAIN_SECONDS = 5.0

_IS_POSSIBLE = sys.platform == "linux" and hasattr(socket, "recv_fds")


class Host:
    """A cache on this host."""

    def __init__(self, name: str, token: str) -> None:
        self.name, self._token = name, token
        self._lock = threading.Lock()
        self._idle: List[Link] = []
        self._mapping: Optional[Mapping] = None

    @contextlib.contextmanager
    def link(self) -> Iterator[Tuple[Link, Mapping]]:
        """A connection for this thread alone, and the memory. Raises OSError when there is none to be had."""
        with self._lock:
            link = self._idle.pop() if self._idle else None
            mapping = self._mapping
        if link is None or link.is_retired or mapping is None:
            link, mapping = self._connect()
        try:
            yield link, mapping
        finally:
            if not link.is_retired:
                with self._lock:
                    self._idle.append(link)
                link.tell_released()

    def on_fork(self) -> None:
        """In the child: the memory is the same, connections are not."""
        self._lock = threading.Lock()
        self._idle = []

    def _connect(self) -> Tuple[Link, Mapping]:
        link, descriptor, size = Link.connect(self.name, self._token)
        _links.add(link)
        with self._lock:
            if self._mapping is None:
                self._mapping = Mapping(descriptor, size)
            else:
                os.close(descriptor)
            return link, self._mapping


# By location: a cache, none (it shares no memory, or is elsewhere), or when to ask again.
_lock = threading.Lock()
_hosts: Dict[str, Optional[Host]] = {}
_ask_after: Dict[str, float] = {}
_links: weakref.WeakSet[Link] = weakref.WeakSet()


def host(endpoint: str) -> Optional[Host]:
    """The cache at this endpoint, if it is on this host and shares its memory."""
    if not _IS_POSSIBLE:
        return None
    where = nodes.location(endpoint)
    if where in _hosts:
        return _hosts[where]
    with _lock:
        if where in _hosts:
            return _hosts[where]
        if time.monotonic() < _ask_after.get(where, 0.0):
            return None
        try:
            found = _found(endpoint)
        except (Broken, ObjectError) as why:
            logger.debug("the cache at %s does not say whether it shares memory: %s", endpoint, why)
            _ask_after[where] = time.monotonic() + _AGAIN_SECONDS
            return None
        _hosts[where] = found
        return found


def forget(endpoint: str) -> None:
    """The connection is broken: the cache may have been started anew."""
    where = nodes.location(endpoint)
    with _lock:
        gone = _hosts.get(where)
        for name in [name for name, found in _hosts.items() if name == where or (found is gone and gone is not None)]:
            del _hosts[name]
            _ask_after[name] = time.monotonic() + _AGAIN_SECONDS


def _found(endpoint: str) -> Optional[Host]:
    from .. import own

    if not _is_here(nodes.parts(endpoint)[1]):
        return None
    try:
        name, token = own.local_objects(endpoint)
    except own.Unknown:  # a cache of another make
        return None
    known = [found for found in _hosts.values() if found is not None and found.name == name]
    # One cache under two names has one memory, which is mapped once.
    return known[0] if known else Host(name, token) if name else None


def _is_here(name: str) -> bool:
    """Whether this host has this address: then it can be bound."""
    try:
        found = socket.getaddrinfo(name, 0, type=socket.SOCK_STREAM)
    except OSError:
        return False
    for family, kind, protocol, _, address in found:
        with contextlib.suppress(OSError), socket.socket(family, kind, protocol) as probe:
            probe.bind(address)
            return True
    return False


def _after_fork(in_child: bool) -> None:
    global _lock
    if in_child:
        _lock = threading.Lock()
        for found in _hosts.values():
            if found is not None:
                found.on_fork()
    for link in list(_links):
        link.on_fork(in_child)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _after_fork(True), after_in_parent=lambda: _after_fork(False))
