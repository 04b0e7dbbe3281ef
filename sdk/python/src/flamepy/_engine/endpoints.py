"""What the text of an endpoint means.

Invariant: an endpoint is a host and a port; anything else is named in the error, at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable, List, Optional, Union
from urllib.parse import urlsplit

from ..core.context import FlameClientTls
from ..core.errors import FlameError, FlameErrorCode

DEFAULT_PORT = 8080
ENDPOINTS_MAX = 64
_SHOWN_CHARS_MAX = 200

Addresses = Union[str, Iterable[str]]


@dataclass(frozen=True)
class Endpoint:
    host: str
    port: int
    secure: bool

    @property
    def url(self) -> str:
        return f"{'https' if self.secure else 'http'}://{self.target}"

    @property
    def target(self) -> str:
        """As gRPC wants it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True)
class Endpoints:
    """The coordinators of one cluster, in the order in which they are tried."""

    all: List[Endpoint]
    tls: Optional[FlameClientTls] = None

    @property
    def text(self) -> str:
        return ", ".join(one.url for one in self.all)

    def member(self, text: str) -> Optional[Endpoint]:
        """Another node of the same cluster, by the word of one of them; None when that is no endpoint."""
        secure = all(one.secure for one in self.all)
        try:
            return _endpoint(f"https://{text}" if secure and "://" not in text else text)
        except FlameError:
            return None


def parse(addresses: Addresses, tls: Optional[FlameClientTls] = None) -> Endpoints:
    """Endpoints given as one text, possibly with commas between, or as many."""
    texts = [addresses] if isinstance(addresses, str) else list(addresses)
    if not all(isinstance(text, str) for text in texts):
        raise _wrong(f"an endpoint is a text, not {texts!r}")
    parts = [part.strip() for text in texts for part in text.split(",")]
    found = list(dict.fromkeys(_endpoint(part) for part in parts if part))
    if not found:
        raise _wrong("address cannot be empty")
    if len(found) > ENDPOINTS_MAX:
        raise _wrong(f"{len(found)} endpoints are given, at most {ENDPOINTS_MAX} are allowed")
    return Endpoints(found, tls)


def _endpoint(text: str) -> Endpoint:
    shown = repr(text[:_SHOWN_CHARS_MAX])
    url = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise _wrong(f"endpoint {shown} is no host and port: {error}") from None
    if parts.scheme not in ("http", "https"):
        raise _wrong(f"endpoint {shown} is neither http nor https")
    if not host or any(c.isspace() for c in parts.netloc):
        raise _wrong(f"endpoint {shown} has no host")
    if parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise _wrong(f"endpoint {shown} has more than a host and a port")
    if port == 0:
        raise _wrong(f"endpoint {shown} has no port")
    return Endpoint(host, port or DEFAULT_PORT, parts.scheme == "https")


def _wrong(message: str) -> FlameError:
    return FlameError(FlameErrorCode.INVALID_CONFIG, message, remedy="write it like http://host:8080")
