"""Which cache nodes there are, and connections to them.

**Invariant:** a fork never touches the connections of its parent.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple
from urllib.parse import urlsplit

from ..context import (
    CA_FILE_VARIABLE,
    CACHE_ENDPOINT_VARIABLE,
    CACHE_STORAGE_VARIABLE,
    CERT_FILE_VARIABLE,
    DEFAULT_FLAME_CONF,
    KEY_FILE_VARIABLE,
    FlameClientTls,
    FlameContext,
)
from ..errors import FlameErrorCode
from .errors import ObjectError

DEFAULT_PORT = 9090

_PLAIN = ("grpc", "grpc+tcp")
_SECURE = ("grpcs", "grpc+tls")

# A node that went away is looked for again soon; connections are not shared, so that one that is broken spoils no other.
OPTIONS: List[Tuple[str, Any]] = [
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 20_000),
]


def location(endpoint: str) -> str:
    """The endpoint as Arrow Flight names it. Raises INVALID_CONFIG for what is none."""
    scheme, host, port = parts(endpoint)
    shown = f"[{host}]" if ":" in host else host
    return f"{'grpc+tls' if scheme in _SECURE else 'grpc+tcp'}://{shown}:{port}"


def parts(endpoint: str) -> Tuple[str, str, int]:
    """Scheme, host and port."""
    url = endpoint if "://" in endpoint else f"grpc://{endpoint}"
    try:
        found = urlsplit(url)
        host, port = found.hostname, found.port
    except ValueError as error:
        raise _wrong(endpoint, str(error)) from None
    if found.scheme not in _PLAIN + _SECURE:
        raise _wrong(endpoint, f"the scheme {found.scheme!r} is none of grpc, grpcs, grpc+tls")
    if not host or found.path.strip("/") or found.query or found.fragment or "@" in found.netloc:
        raise _wrong(endpoint, "it is not just a host and a port")
    return found.scheme, host, port or DEFAULT_PORT


def _wrong(endpoint: str, why: str) -> ObjectError:
    return ObjectError(
        FlameErrorCode.INVALID_CONFIG,
        f"cache endpoint {endpoint[:200]!r}: {why}",
        remedy="write it like grpc://host:9090",
    )


# ── what is configured ──────────────────────────────────────────────────────────────────────────────────────────────

_VARIABLES = (CACHE_ENDPOINT_VARIABLE, CACHE_STORAGE_VARIABLE, CA_FILE_VARIABLE, CERT_FILE_VARIABLE, KEY_FILE_VARIABLE)
_context: Tuple[Any, Optional[FlameContext]] = (None, None)


def context() -> FlameContext:
    """The configuration; read again when the file or the environment has changed."""
    global _context
    file = Path.home() / ".flame" / DEFAULT_FLAME_CONF
    try:
        told = file.stat()
        stamp: Any = (told.st_mtime_ns, told.st_size, told.st_ino)
    except OSError:
        stamp = None
    sign = (str(file), stamp, *map(os.environ.get, _VARIABLES))
    known, found = _context
    if found is None or known != sign:
        found = FlameContext()
        _context = (sign, found)
    return found


def configured() -> List[str]:
    """The nodes to which new objects go, the first that answers."""
    return context().cache_endpoints


def near(endpoint: str) -> List[str]:
    """The node of a reference, then every other one that is known: each gives what any of them has."""
    return different([endpoint, *configured()])


def different(endpoints: List[str]) -> List[str]:
    """Each node once, however it is written."""
    found: Dict[str, str] = {}
    for one in endpoints:
        found.setdefault(location(one), one)
    return list(found.values())


# ── connections ─────────────────────────────────────────────────────────────────────────────────────────────────────

_lock = threading.Lock()
_clients: Dict[Tuple[str, Optional[Tuple[Optional[str], ...]]], Any] = {}
_of_parents: List[Any] = []


def client(endpoint: str) -> Any:
    """The connection to a node; made when it is first needed, and shared."""
    import pyarrow.flight as flight

    where = location(endpoint)
    tls = context().cache_tls if where.startswith("grpc+tls") else None
    name = (where, None if tls is None else (tls.ca_file, tls.cert_file, tls.key_file))
    with _lock:
        found = _clients.get(name)
        if found is None:
            found = flight.FlightClient(where, generic_options=list(OPTIONS), **certificates(tls))
            _clients[name] = found
        return found


def forget(endpoint: str) -> None:
    """The connection is broken: the next call makes another. Whoever still reads from it goes on."""
    where = location(endpoint)
    with _lock:
        for name in [name for name in _clients if name[0] == where]:
            del _clients[name]


def certificates(tls: Optional[FlameClientTls]) -> Dict[str, bytes]:
    """The contents of the files, by the names that Arrow Flight gives them."""
    if tls is None:
        return {}
    names = {"tls_root_certs": tls.ca_file, "cert_chain": tls.cert_file, "private_key": tls.key_file}
    if (tls.cert_file is None) != (tls.key_file is None):
        raise ObjectError(
            FlameErrorCode.INVALID_CONFIG,
            "a client certificate is a pair of files, and one of cert_file and key_file is not set",
            remedy="set both in cache.tls, or FLAME_CERT_FILE and FLAME_KEY_FILE",
        )
    try:
        return {option: Path(name).read_bytes() for option, name in names.items() if name}
    except OSError as error:
        raise ObjectError(FlameErrorCode.INVALID_CONFIG, f"a certificate cannot be read: {error}") from error


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()
    # Kept, not closed: to end them here would touch what the parent uses.
    _of_parents.append(dict(_clients))
    _clients.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
