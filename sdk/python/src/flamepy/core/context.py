"""Where the cluster is: `~/.flame/flame.yaml` and the environment.

Invariant: the file stays readable for published clients: `cluster.endpoint` is one URL, further coordinators are in
`cluster.endpoints`, a key that they skip. For the same reason unknown keys are skipped here.
Invariant: without file and environment the documented default holds.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional

import yaml

from .errors import FlameError, FlameErrorCode

DEFAULT_FLAME_CONF = "flame.yaml"
DEFAULT_FLAME_ENDPOINT = "http://127.0.0.1:8080"
DEFAULT_FLAME_CACHE_ENDPOINT = "grpc://127.0.0.1:9090"
DEFAULT_FLAME_RUNNER_TEMPLATE = "flmrun"

ENDPOINT_VARIABLE = "FLAME_ENDPOINT"
CACHE_ENDPOINT_VARIABLE = "FLAME_CACHE_ENDPOINT"
CACHE_STORAGE_VARIABLE = "FLAME_CACHE_STORAGE"
CA_FILE_VARIABLE = "FLAME_CA_FILE"
CERT_FILE_VARIABLE = "FLAME_CERT_FILE"
KEY_FILE_VARIABLE = "FLAME_KEY_FILE"

_FILE_BYTES_MAX = 1 << 20


@dataclass
class FlameClientTls:
    """The files of a TLS connection."""

    ca_file: Optional[str] = None
    """Certificates that servers are checked against; the system's when unset."""
    cert_file: Optional[str] = None
    """Who this client is; with `key_file`."""
    key_file: Optional[str] = None


@dataclass
class FlameClientCache:
    endpoint: Optional[str] = None
    tls: Optional[FlameClientTls] = None
    storage: Optional[str] = None
    endpoints: List[str] = field(default_factory=list)
    """Further nodes of the same cache."""


@dataclass
class FlameClusterConfig:
    endpoint: str = ""
    tls: Optional[FlameClientTls] = None
    endpoints: List[str] = field(default_factory=list)


@dataclass
class FlamePackage:
    storage: Optional[str]
    excludes: List[str] = field(default_factory=lambda: [".venv", "__pycache__", ".gitignore", "*.pyc"])


@dataclass
class FlameContextRunner:
    template: Optional[str] = None


def _wrong(message: str, remedy: str) -> FlameError:
    return FlameError(FlameErrorCode.INVALID_CONFIG, message, remedy=remedy)


class FlameContext:
    """The current context of a configuration file, with what the environment says instead."""

    def __init__(self, path: Optional[str] = None) -> None:
        self._cluster = FlameClusterConfig()
        self._cache: Optional[FlameClientCache] = None
        self._package: Optional[FlamePackage] = None
        self._runner: Optional[FlameContextRunner] = None
        file = Path(path) if path is not None else Path.home() / ".flame" / DEFAULT_FLAME_CONF
        if path is not None or file.is_file():
            self._read(file)
        self._apply_environment()

    @property
    def endpoint(self) -> str:
        """The first coordinator."""
        return self.endpoints[0]

    @property
    def endpoints(self) -> List[str]:
        """All coordinators that are named, in the order in which they are tried."""
        named = [self._cluster.endpoint, *self._cluster.endpoints]
        return list(dict.fromkeys(text for text in named if text)) or [DEFAULT_FLAME_ENDPOINT]

    @property
    def tls(self) -> Optional[FlameClientTls]:
        return self._cluster.tls

    @property
    def package(self) -> Optional[FlamePackage]:
        return self._package

    @property
    def cache(self) -> Optional[FlameClientCache]:
        return self._cache

    @property
    def cache_endpoint(self) -> str:
        """The first cache node."""
        return self.cache_endpoints[0]

    @property
    def cache_endpoints(self) -> List[str]:
        """All cache nodes that are named, in the order in which they are tried."""
        named = [self._cache.endpoint, *self._cache.endpoints] if self._cache else []
        return list(dict.fromkeys(text for text in named if text)) or [DEFAULT_FLAME_CACHE_ENDPOINT]

    @property
    def names_cache(self) -> bool:
        """Whether anybody has said where the cache is."""
        return bool(self._cache and (self._cache.endpoint or self._cache.endpoints))

    @property
    def cache_tls(self) -> Optional[FlameClientTls]:
        return self._cache.tls if self._cache else None

    @property
    def runner(self) -> FlameContextRunner:
        return self._runner or FlameContextRunner()

    def _read(self, file: Path) -> None:
        def wrong(why: str) -> FlameError:
            return _wrong(f"{file}: {why}", "mend the file, or set FLAME_ENDPOINT and move the file away")

        try:
            if file.stat().st_size > _FILE_BYTES_MAX:
                raise wrong(f"it is larger than {_FILE_BYTES_MAX} bytes")
            content = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise wrong(str(error)) from error
        if not isinstance(content, dict):
            raise wrong("it is no mapping with current-context and contexts")
        current = content.get("current-context")
        if not current:
            raise wrong("current-context is not set")
        contexts = content.get("contexts") or []
        if not isinstance(contexts, list):
            raise wrong("contexts is no list")
        found = next((one for one in contexts if isinstance(one, dict) and one.get("name") == current), None)
        if found is None:
            raise wrong(f"context {current!r} is not found among its contexts")
        try:
            self._take(found)
        except TypeError as error:
            raise wrong(f"in the context {current!r}: {error}") from error

    def _take(self, context: Dict[str, Any]) -> None:
        cluster = _mapping(context, "cluster")
        named = cluster.get("endpoint")
        first = [named] if isinstance(named, str) else _texts(cluster, "endpoint")
        self._cluster = FlameClusterConfig(
            endpoint=first[0] if first else "",
            endpoints=[*first[1:], *_texts(cluster, "endpoints")],
            tls=_tls(cluster),
        )
        if context.get("cache") is not None:
            cache = _mapping(context, "cache")
            nodes = [*_commas(_text(cache, "endpoint")), *_texts(cache, "endpoints")]
            first_node = nodes[0] if nodes else None
            self._cache = FlameClientCache(first_node, _tls(cache), _text(cache, "storage"), nodes[1:])
        if context.get("package") is not None:
            package = _mapping(context, "package")
            self._package = FlamePackage(_text(package, "storage"))
            if package.get("excludes") is not None:
                self._package.excludes = _texts(package, "excludes")
        if context.get("runner") is not None:
            self._runner = FlameContextRunner(_text(_mapping(context, "runner"), "template"))

    def _apply_environment(self) -> None:
        endpoint = _variable(ENDPOINT_VARIABLE)
        if endpoint:
            texts = _commas(endpoint)
            self._cluster.endpoint, self._cluster.endpoints = texts[0] if texts else "", texts[1:]
        cache_endpoint, storage = _variable(CACHE_ENDPOINT_VARIABLE), _variable(CACHE_STORAGE_VARIABLE)
        if cache_endpoint or storage:
            self._cache = self._cache or FlameClientCache()
            if cache_endpoint:
                texts = _commas(cache_endpoint)
                self._cache.endpoint, self._cache.endpoints = texts[0] if texts else None, texts[1:]
            self._cache.storage = storage or self._cache.storage
        self._cluster.tls = with_environment(self._cluster.tls)
        if self._cache is not None:
            self._cache.tls = with_environment(self._cache.tls)


def with_environment(tls: Optional[FlameClientTls]) -> Optional[FlameClientTls]:
    """Files that are not named are those of the environment, if any."""
    given = tls or FlameClientTls()
    filled = FlameClientTls(
        given.ca_file or _variable(CA_FILE_VARIABLE),
        given.cert_file or _variable(CERT_FILE_VARIABLE),
        given.key_file or _variable(KEY_FILE_VARIABLE),
    )
    return filled if filled != FlameClientTls() else tls


def _variable(name: str) -> Optional[str]:
    value = os.environ.get(name, "").strip()
    return value or None


def _commas(text: Optional[str]) -> List[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _mapping(outer: Dict[str, Any], key: str) -> Dict[str, Any]:
    value = outer.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise TypeError(f"{key} is no mapping")
    return value


def _text(outer: Dict[str, Any], key: str) -> Optional[str]:
    value = outer.get(key)
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{key} is no text")
    return value


def _texts(outer: Dict[str, Any], key: str) -> List[str]:
    value = outer.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise TypeError(f"{key} is no list of texts")
    return list(value)


def _tls(outer: Dict[str, Any]) -> Optional[FlameClientTls]:
    if outer.get("tls") is None:
        return None
    tls = _mapping(outer, "tls")
    return FlameClientTls(_text(tls, "ca_file"), _text(tls, "cert_file"), _text(tls, "key_file"))
