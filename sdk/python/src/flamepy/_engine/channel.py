"""One HTTP/2 connection to one coordinator: sizes, keepalive, TLS."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, List, Optional, Tuple

from .._grpc import grpc
from .._version import __version__
from ..core.context import FlameClientTls
from ..core.errors import FlameError, FlameErrorCode
from .endpoints import Endpoint

MESSAGE_BYTES_MAX = 64 << 20


@dataclass(frozen=True)
class Options:
    """How long things may take, in seconds."""

    connect_timeout: float = 10.0
    """For `connect`, until any coordinator has answered."""
    attempt_connect_timeout: float = 3.0
    """For one connection to one coordinator to come up."""
    attempt_timeout: float = 10.0
    """For one attempt of a call; for one silence of a stream that must not be silent."""
    deadline: float = 25.0
    """For a call with all its attempts; for a watch or a stream until it is served."""
    patience: float = 600.0
    """For tasks under way while no coordinator serves their stream: they may go on meanwhile, and the cluster remembers
    a client that is away for so long."""
    keepalive_interval: float = 5.0
    keepalive_timeout: float = 5.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not isinstance(value, (int, float)) or not value > 0:
                raise FlameError(FlameErrorCode.INVALID_ARGUMENT, f"{name} is {value!r}, it must be more than 0")


def open_channel(endpoint: Endpoint, tls: Optional[FlameClientTls], options: Options) -> grpc.aio.Channel:
    """Connects at the first call."""
    arguments = _arguments(endpoint, options)
    if endpoint.secure:
        return grpc.aio.secure_channel(endpoint.target, credentials(tls), options=arguments)
    return grpc.aio.insecure_channel(endpoint.target, options=arguments)


def open_blocking_channel(endpoint: Endpoint, tls: Optional[FlameClientTls], options: Options) -> grpc.Channel:
    """The same for calls that block their thread."""
    arguments = _arguments(endpoint, options)
    if endpoint.secure:
        return grpc.secure_channel(endpoint.target, credentials(tls), options=arguments)
    return grpc.insecure_channel(endpoint.target, options=arguments)


def _arguments(endpoint: Endpoint, options: Options) -> List[Tuple[str, Any]]:
    arguments: List[Tuple[str, Any]] = [
        # The cluster shows newer states only to those who say that they know them.
        ("grpc.primary_user_agent", f"flame-sdk-python/{__version__}"),
        ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
        ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
        ("grpc.keepalive_time_ms", int(options.keepalive_interval * 1000)),
        ("grpc.keepalive_timeout_ms", int(options.keepalive_timeout * 1000)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        # The core names the time that a connection may take to come up so.
        ("grpc.min_reconnect_backoff_ms", int(options.attempt_connect_timeout * 1000)),
        ("grpc.initial_reconnect_backoff_ms", 50),
        ("grpc.max_reconnect_backoff_ms", 1000),
        # Connections of this process to one node do not share their fate.
        ("grpc.use_local_subchannel_pool", 1),
    ]
    if endpoint.host == "localhost" or endpoint.host.startswith("127.") or endpoint.host == "::1":
        # Whatever http_proxy says: a proxy would look for it on its own machine.
        arguments.append(("grpc.enable_http_proxy", 0))
    return arguments


def raw_channel(endpoint: Endpoint, tls: Optional[FlameClientTls]) -> grpc.Channel:
    """A channel to one coordinator as the published package has it, for programs that call the protocol themselves."""
    arguments = [("grpc.max_receive_message_length", MESSAGE_BYTES_MAX)]
    if endpoint.secure:
        return grpc.secure_channel(endpoint.target, credentials(tls), options=arguments)
    return grpc.insecure_channel(endpoint.target, options=arguments)


def credentials(tls: Optional[FlameClientTls]) -> grpc.ChannelCredentials:
    """TLS with the files of `tls`; roots that are not named are those of the system."""
    tls = tls or FlameClientTls()
    if bool(tls.cert_file) != bool(tls.key_file):
        raise FlameError(
            FlameErrorCode.INVALID_CONFIG,
            "of cert_file and key_file only one is set",
            remedy="set both (FLAME_CERT_FILE, FLAME_KEY_FILE), or neither",
        )
    roots = _read(tls.ca_file) if tls.ca_file else _system_roots()
    key = _read(tls.key_file) if tls.key_file else None
    chain = _read(tls.cert_file) if tls.cert_file else None
    return grpc.ssl_channel_credentials(roots, key, chain)


def _read(path: str) -> bytes:
    try:
        content = Path(path).expanduser().read_bytes()
    except OSError as error:
        raise FlameError(FlameErrorCode.INVALID_CONFIG, f"{path}: {error.strerror or error}") from error
    if b"-----BEGIN " not in content:
        raise FlameError(FlameErrorCode.INVALID_CONFIG, f"{path}: it is no PEM file")
    return content


def _system_roots() -> Optional[bytes]:
    """None: those that gRPC brings along."""
    found = ssl.get_default_verify_paths().cafile
    if found is None:
        return None
    try:
        return Path(found).read_bytes()
    except OSError:
        return None
