"""Where packages go, so that workers can fetch them: the object cache, a shared folder, or a web server.

Names of packages come with the hash of their content: what is there under a name is what is meant by it.
"""

from __future__ import annotations

import abc
import contextlib
import http.client
import os
import shutil
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import Any, List, Optional
from urllib.parse import quote, urlsplit

from ..core.cache import ObjectRef, flight, nodes, objects
from ..core.cache.calls import anywhere
from ..core.errors import FlameError, FlameErrorCode
from .package import sha256_of

UPLOAD_TIMEOUT, DELETE_TIMEOUT, DOWNLOAD_TIMEOUT = 300, 60, 300

PACKAGE_SESSION = "pkg"
"""By convention the session of an application's packages."""

_REACHABLE = "verify that it is reachable from here and from the workers"


class StorageBackend(abc.ABC):
    """One place for packages."""

    @abc.abstractmethod
    def upload(self, local_path: str, filename: str) -> str:
        """Puts a file there; the URL under which workers find it."""

    @abc.abstractmethod
    def delete(self, filename: str) -> None:
        """Takes it away. One that is not there is no error."""

    @abc.abstractmethod
    def download(self, filename: str, local_path: str) -> None:
        """Fetches it."""


def create_storage_backend(storage_base: Optional[str] = None, app_name: Optional[str] = None) -> StorageBackend:
    """The place that `package.storage` names; without one, the object cache."""
    if not storage_base:
        return CacheStorage(None, app_name)
    scheme = urlsplit(storage_base).scheme
    if scheme == "file":
        return FileStorage(storage_base)
    if scheme in ("http", "https"):
        return HttpStorage(storage_base)
    if scheme in ("grpc", "grpcs"):
        return CacheStorage(storage_base, app_name)
    raise FlameError(
        FlameErrorCode.INVALID_CONFIG,
        f"Unsupported storage scheme: {scheme}. Supported: file://, http://, https://, grpc://, grpcs://",
        remedy="set package.storage to such a URL, or leave it out to use the object cache",
    )


class FileStorage(StorageBackend):
    """A folder that clients and workers share."""

    def __init__(self, storage_base: str) -> None:
        host, slash, path = storage_base.partition("://")[2].partition("/")
        if host not in ("", "localhost") or not slash:
            raise FlameError(
                FlameErrorCode.INVALID_CONFIG,
                f"package storage {storage_base!r} names the host {host!r}",
                remedy="a folder is written like file:///mnt/shared/packages",
            )
        if "#" in path:
            # Whoever reads the URL of a package takes what follows for its checksum.
            raise FlameError(
                FlameErrorCode.INVALID_CONFIG,
                f"package storage {storage_base!r} has a '#' in its name",
                remedy="choose a folder without one",
            )
        # As it is written: workers, and the published package, read no escapes in paths either.
        self._folder = Path("/" + path)
        if not self._folder.is_dir():
            raise FlameError(
                FlameErrorCode.INVALID_CONFIG,
                f"Storage directory does not exist: {self._folder}",
                remedy="create the directory on a filesystem that both the client and the workers can access",
            )

    def upload(self, local_path: str, filename: str) -> str:
        target = self._folder / filename
        with _told("upload", filename, str(self._folder)):
            if not (target.is_file() and sha256_of(target) == sha256_of(Path(local_path))):
                part = target.with_name(f".{filename}.{uuid.uuid4().hex}.part")
                try:
                    shutil.copyfile(local_path, part)
                    os.replace(part, target)
                finally:
                    part.unlink(missing_ok=True)
        return f"file://{target}"

    def delete(self, filename: str) -> None:
        with _told("delete", filename, str(self._folder)):
            (self._folder / filename).unlink(missing_ok=True)

    def download(self, filename: str, local_path: str) -> None:
        with _told("download", filename, str(self._folder)):
            shutil.copyfile(self._folder / filename, local_path)


class HttpStorage(StorageBackend):
    """A web server that takes PUT, GET and DELETE."""

    def __init__(
        self,
        storage_base: str,
        upload_timeout: int = UPLOAD_TIMEOUT,
        delete_timeout: int = DELETE_TIMEOUT,
        download_timeout: int = DOWNLOAD_TIMEOUT,
    ) -> None:
        self._base = storage_base.rstrip("/") + "/"
        self._upload_timeout = upload_timeout
        self._delete_timeout = delete_timeout
        self._download_timeout = download_timeout

    def upload(self, local_path: str, filename: str) -> str:
        url = self._url(filename)
        headers = {"Content-Type": "application/gzip", "Content-Length": str(os.path.getsize(local_path))}
        with _told("upload", filename, url), open(local_path, "rb") as file:
            request = urllib.request.Request(url, data=file, headers=headers, method="PUT")
            with urllib.request.urlopen(request, timeout=self._upload_timeout) as reply:
                if reply.status not in (200, 201, 204):
                    raise OSError(f"the server answered {reply.status}")
        return url

    def delete(self, filename: str) -> None:
        url = self._url(filename)
        with _told("delete", filename, url):
            try:
                request = urllib.request.Request(url, method="DELETE")
                urllib.request.urlopen(request, timeout=self._delete_timeout).close()
            except urllib.error.HTTPError as error:
                if error.code != 404:
                    raise

    def download(self, filename: str, local_path: str) -> None:
        url = self._url(filename)
        request, timeout = urllib.request.urlopen, self._download_timeout
        with _told("download", filename, url), request(url, timeout=timeout) as reply, open(local_path, "wb") as file:
            shutil.copyfileobj(reply, file)

    def _url(self, filename: str) -> str:
        return self._base + quote(filename)


class CacheStorage(StorageBackend):
    """The object cache: the one that is configured, or the one that is named."""

    def __init__(self, storage_base: Optional[str] = None, app_name: Optional[str] = None) -> None:
        if not app_name:
            raise FlameError(FlameErrorCode.INVALID_ARGUMENT, "packages in the object cache belong to an application")
        self._app_name = app_name
        self._named: List[str] = []
        if storage_base:
            scheme, host, port = nodes.parts(storage_base)
            self._named = [f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"]

    def upload(self, local_path: str, filename: str) -> str:
        with _told("upload", filename, ", ".join(self._endpoints())):
            try:
                ref = objects.upload_to(self._endpoints(), self._key(filename), local_path)
            except FlameError as error:
                if error.code is FlameErrorCode.UNAVAILABLE and not self._named and not nodes.context().names_cache:
                    raise _not_configured(error) from error
                raise
        return _url_of(ref)

    def delete(self, filename: str) -> None:
        with _told("delete", filename, ", ".join(self._endpoints())):
            anywhere(self._endpoints(), lambda client: flight.delete(client, self._key(filename)))

    def download(self, filename: str, local_path: str) -> None:
        with _told("download", filename, ", ".join(self._endpoints())):
            objects.download_object(ObjectRef(self._endpoints()[0], self._key(filename)), local_path)

    def _endpoints(self) -> List[str]:
        return self._named or nodes.configured()

    def _key(self, filename: str) -> str:
        return f"{self._app_name}/{PACKAGE_SESSION}/{filename}"


def _url_of(ref: ObjectRef) -> str:
    """The package where the cache says it is, in the words that workers know."""
    scheme, host, port = nodes.parts(ref.endpoint)
    shown = f"[{host}]" if ":" in host else host
    return f"{'grpcs' if scheme in ('grpcs', 'grpc+tls') else 'grpc'}://{shown}:{port}/{ref.key}"


def _not_configured(error: FlameError) -> FlameError:
    return FlameError(
        FlameErrorCode.INVALID_CONFIG,
        f"Storage not configured: neither cache.endpoint nor package.storage is set, and at the default there is none: "
        f"{error.message}",
        remedy="configure cache.endpoint or package.storage in ~/.flame/flame.yaml; for a local cluster cache.endpoint: "
        f'"{nodes.configured()[0]}" is enough, or FLAME_CACHE_ENDPOINT',
    )


class _told(contextlib.AbstractContextManager):  # type: ignore[type-arg]
    """Says of an error what was tried, and where."""

    def __init__(self, what: str, filename: str, where: str) -> None:
        self._text = f"Failed to {what} package {filename} ({where})"

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, FlameError):
            if error.message.startswith("Storage not configured"):
                return
            raise FlameError(error.code, f"{self._text}: {error.message}", remedy=error.remedy or _REACHABLE) from error
        if isinstance(error, (OSError, http.client.HTTPException)):
            raise FlameError(FlameErrorCode.UNAVAILABLE, f"{self._text}: {error}", remedy=_REACHABLE) from error
