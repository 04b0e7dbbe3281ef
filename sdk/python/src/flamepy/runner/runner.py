"""Functions, classes and objects of the current project as services of the cluster."""

from __future__ import annotations

import logging
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, Sequence

from ..core import client as core
from ..core.cache import ObjectKey, ObjectRef, delete_objects, put_object
from ..core.context import DEFAULT_FLAME_RUNNER_TEMPLATE, FlameContext
from ..core.errors import FlameError, FlameErrorCode
from ..core.types import Application, ApplicationAttributes, ResourceRequirement
from . import package
from .future import ObjectFuture, ObjectFutureIterator, checked
from .scaling import invalid
from .service import RunnerService
from .storage import StorageBackend, create_storage_backend

__all__ = ["ObjectFuture", "ObjectFutureIterator", "Runner", "RunnerService"]

logger = logging.getLogger("flamepy.runner")

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}")
_PYTHON = re.compile(r"(python)?\d+(\.\d+){0,2}")

# So many results are fetched side by side.
_READERS = 8


class Runner:
    """Packs the current directory, registers it as an application for as long as this lives, and makes services of it.

        with Runner("my-app") as runner:
            add = runner.service(lambda a, b: a + b)
            print(add(1, 2).get())

    An application of that name that is there already is used and left as it is at the end, unless `fail_if_exists`. If it
    is of an earlier Runner and the code has changed since, it gets the new code.
    """

    def __init__(
        self,
        name: str,
        fail_if_exists: bool = False,
        dependencies: Optional[Sequence[str]] = None,
        python_version: Optional[str] = None,
    ) -> None:
        if not isinstance(name, str) or not _NAME.fullmatch(name) or ".." in name:
            raise invalid(
                f"invalid application name {name!r}",
                "1 to 253 letters, digits, '-', '_' and '.', not beginning with '-' or '.'",
            )
        if python_version is not None and not _PYTHON.fullmatch(python_version):
            raise invalid(f"invalid python_version {python_version!r}", "write it like 3.12")
        self.name = name
        self._dependencies = dependencies
        self._python_version = python_version
        self._services: List[RunnerService] = []
        self._package: Optional[package.Package] = None
        self._storage: Optional[StorageBackend] = None
        self._is_uploaded = False
        self._is_owner = False
        """The application is of this Runner: it goes with it."""
        self._is_closed = False
        try:
            self._start(fail_if_exists)
        except BaseException:
            self._is_closed = True
            self._remove_package()
            raise

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Runner({self.name!r}{', closed' if self._is_closed else ''})"

    # ── services and objects ────────────────────────────────────────────────────────────────────────────────────────

    def service(
        self,
        execution_object: Any,
        autoscale: Optional[bool] = None,
        warmup: int = 0,
        resreq: Optional[ResourceRequirement] = None,
        *,
        stateful: Optional[bool] = None,
    ) -> RunnerService:
        """Makes a service of a function, a class or an instance.

        `autoscale`: as many executors as there is work for, and at least `warmup`; else as many as `warmup`, or one.
        Functions do by default. `stateful=True`, for instances: one executor, and a state that survives it.
        """
        self._check_open()
        made = RunnerService(self.name, execution_object, autoscale, warmup, resreq, stateful=stateful)
        self._services.append(made)
        return made

    def get(self, futures: Iterable[ObjectFuture], timeout: Optional[float] = None) -> List[Any]:
        """The results, in the order of the futures."""
        found = checked(futures)
        self.wait(found, timeout)
        if len(found) < 2:
            return [one.get() for one in found]
        with ThreadPoolExecutor(min(_READERS, len(found)), thread_name_prefix="flamepy-get") as pool:
            return list(pool.map(ObjectFuture.get, found))

    def ref(self, futures: Iterable[ObjectFuture], timeout: Optional[float] = None) -> List[ObjectRef]:
        """References to the results, in the order of the futures."""
        found = checked(futures)
        self.wait(found, timeout)
        return [one.ref() for one in found]

    def wait(self, futures: Iterable[ObjectFuture], timeout: Optional[float] = None) -> None:
        """Waits until all calls have ended. Raises why one has failed, as soon as it has."""
        for one in ObjectFutureIterator(futures, timeout):
            one.wait()

    def select(self, futures: Iterable[ObjectFuture], timeout: Optional[float] = None) -> ObjectFutureIterator:
        """The futures as they end."""
        return ObjectFutureIterator(checked(futures), timeout)

    def put_object(self, obj: Any) -> ObjectRef:
        """Puts what all services of this Runner may use, until it is closed."""
        self._check_open()
        return put_object(str(ObjectKey.for_shared(self.name)), obj)

    def close(self) -> None:
        """Ends the services with their calls, and takes away what this Runner has brought: the application, its objects
        and its package. What fails is logged, and the rest is done. A second time does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        for one in self._services:
            self._try("close a service", lambda one=one: one.close(force=True))
        if self._is_owner:
            self._try("unregister the application", lambda: core.unregister_application(self.name))
            self._try("delete its objects", lambda: delete_objects(str(ObjectKey.for_all_sessions(self.name))))
        self._remove_package()

    # ── starting ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _start(self, fail_if_exists: bool) -> None:
        context = FlameContext()
        template = _template(context.runner.template or DEFAULT_FLAME_RUNNER_TEMPLATE)
        present = core.get_application(self.name)
        if present is not None and fail_if_exists:
            raise FlameError(
                FlameErrorCode.ALREADY_EXISTS,
                f"application {self.name!r} already exists",
                remedy="choose another name, or leave fail_if_exists out to use it",
            )
        if present is not None and not package.is_package_of(self.name, present.url):
            logger.info("application %s is no package of a Runner: it is used as it is", self.name)
            return
        configured = context.package
        self._package = package.build(
            Path(os.getcwd()), self.name, configured.excludes if configured else (), self._dependencies
        )
        self._storage = create_storage_backend(configured.storage if configured else None, self.name)
        if present is None:
            core.register_application(self.name, self._attributes(template, self._upload()))
            self._is_owner = True
        else:
            self._renew(template, present)

    def _renew(self, template: Application, present: Application) -> None:
        """Gives an application of an earlier Runner the code of this one."""
        assert self._package is not None
        location = (present.url or "").partition("#")[0]
        is_same = location.endswith("/" + self._package.filename)
        attributes = self._attributes(template, self._package.checked(location) if is_same else self._upload())
        if attributes.url == present.url and attributes.environments == (present.environments or None):
            return
        try:
            core.update_application(self.name, attributes)
        except FlameError as error:
            raise FlameError(
                error.code,
                f"application {self.name!r} is there with other code, and cannot be given this one: {error.message}",
                remedy="close the sessions of the other Runner (flmctl list -s), or choose another name",
            ) from error

    def _upload(self) -> str:
        assert self._package is not None and self._storage is not None
        url = self._storage.upload(str(self._package.path), self._package.filename)
        self._is_uploaded = True
        return self._package.checked(url)

    def _attributes(self, template: Application, url: str) -> ApplicationAttributes:
        """The application: as the template, but for its code."""
        environments: Dict[str, str] = dict(template.environments or {})
        if self._python_version is not None:
            environments["FLAME_PYTHON_VERSION"] = self._python_version.replace("python", "")
        folder = template.working_directory
        return ApplicationAttributes(
            image=template.image,
            command=template.command,
            labels=template.labels,
            arguments=template.arguments,
            environments=environments or None,
            working_directory=f"{folder.rstrip('/')}/{self.name}" if folder else None,
            max_instances=template.max_instances,
            delay_release=template.delay_release,
            schema=template.schema,
            installer=template.installer,
            url=url,
        )

    # ── ending ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _remove_package(self) -> None:
        if self._package is None:
            return
        made, self._package = self._package, None
        if self._is_uploaded and self._storage is not None and not self._is_used(made):
            storage = self._storage
            self._try("delete the package", lambda: storage.delete(made.filename))
        self._try("remove the package", made.remove)

    def _is_used(self, made: package.Package) -> bool:
        """Whether an application that stays is of this package."""
        if self._is_owner:
            return False
        try:
            present = core.get_application(self.name)
        except FlameError as error:
            logger.warning("package %s is left: %s", made.filename, error.message)
            return True
        return present is not None and (present.url or "").partition("#")[0].endswith("/" + made.filename)

    def _try(self, what: str, call: Any) -> None:
        try:
            call()
        except Exception as error:
            logger.warning("Runner %s could not %s: %s", self.name, what, error)

    def _check_open(self) -> None:
        if self._is_closed:
            raise FlameError(FlameErrorCode.INVALID_STATE, f"the Runner {self.name!r} is closed")


def _template(name: str) -> Application:
    try:
        found = core.get_application(name)
    except FlameError as error:
        raise FlameError(
            error.code,
            f"Failed to get application template '{name}': {error.message}",
            remedy="confirm that the coordinators run, and that FLAME_ENDPOINT or ~/.flame/flame.yaml names them",
        ) from error
    if found is None:
        raise FlameError(
            FlameErrorCode.NOT_FOUND,
            f"Failed to get application template '{name}': it is not registered",
            remedy=f"confirm that {name} appears in `flmctl list -a`; another template is named by runner.template in "
            "~/.flame/flame.yaml",
        )
    return found
