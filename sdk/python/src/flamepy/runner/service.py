"""A function, class or instance as a service: a session of the Runner's application whose tasks are its calls."""

from __future__ import annotations

import functools
import inspect
import logging
import threading
from typing import Any, Callable, List, Optional

from ..core import client as core
from ..core.cache import ObjectError, ObjectKey, ObjectRef, delete_objects, put_object, values
from ..core.errors import FlameError, FlameErrorCode
from ..core.types import ResourceRequirement, SessionAttributes
from ..util import short_name
from . import arguments
from .future import Chained, ObjectFuture
from .scaling import Kind, invalid, kind_of
from .types import INLINE_BYTES, RunnerContext, SessionContext

logger = logging.getLogger("flamepy.runner")

SESSION_ATTRIBUTE = "_session_context"


class RunnerService:
    """Calls go to the cluster and return an `ObjectFuture` at once.

    A function is called as `service(…)`; of a class or an instance there is a method here for each of its public ones.
    """

    def __init__(
        self,
        app: str,
        execution_object: Any,
        autoscale: Optional[bool] = None,
        warmup: int = 0,
        resreq: Optional[ResourceRequirement] = None,
        *,
        stateful: Optional[bool] = None,
    ) -> None:
        self._app = app
        self._object = execution_object
        self._name = _name(execution_object)
        self._kind = kind_of(execution_object)
        context = RunnerContext(execution_object, stateful, autoscale, warmup, INLINE_BYTES)
        methods = [] if self._kind is Kind.FUNCTION else self._methods()
        if self._kind is Kind.CLASS:
            _check_makes_itself(execution_object, self._name)
        session_id = _session_id(execution_object) or short_name(app)
        self._prefix = f"{app}/{session_id}"
        self._session: Optional[core.Session] = None
        self._context: Optional[ObjectRef] = self._put(context)
        attributes = SessionAttributes(
            app,
            session_id,
            self._context.encode(),
            min_instances=context.min_instances,
            max_instances=context.max_instances,
            resreq=resreq,
        )
        try:
            self._session = core.open_session(session_id, attributes)
        except BaseException:
            self._drop_context()
            raise
        if self._session.common_data() != attributes.common_data:
            self._drop_context()  # the session was there, with one of its own
        self._is_ordered = context.max_instances == 1
        """One executor runs the calls in the order in which they were made."""
        self._turn = threading.Lock()
        self._before: Optional[Chained] = None
        for name in methods:
            setattr(self, name, self._wrapper(name))

    @property
    def session_id(self) -> str:
        """The session that serves the calls."""
        return self._prefix.rpartition("/")[2]

    def __call__(self, *args: Any, **kwargs: Any) -> ObjectFuture:
        if self._kind is not Kind.FUNCTION:
            raise invalid(
                f"a service of the {self._kind.value} {self._name} is not called itself",
                f"call one of its methods: {', '.join(self._methods())}",
            )
        return self._call(None, args, kwargs)

    def close(self, force: bool = False) -> None:
        """Closes the session. While calls run it is refused, unless they are ended by `force`. A second time does
        nothing."""
        session = self._session
        if session is not None:
            session.close(force)
            self._session = None
            self._drop_context()

    def __enter__(self) -> RunnerService:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self.close(force=error is not None)

    def __repr__(self) -> str:
        return f"RunnerService({self._name}, session {self.session_id!r})"

    def _put(self, context: RunnerContext) -> ObjectRef:
        try:
            pickled = bytes(values.pickled(context)[len(values.PICKLE) :])
        except ObjectError as error:
            cause = error.__cause__
            raise invalid(
                f"cannot pickle {self._name}: {type(cause).__name__}: {cause}",
                "keep service functions and classes importable from the packaged project, and connections, locks and "
                "open files out of them",
            ) from cause
        # The bytes of the pickle are the object, as published. It is not with the session's results: those are lost with
        # the one node that has them, and no executor could begin without this. Also, only what all sessions share can be
        # replaced on condition of its version, which is how a state is kept.
        return put_object(str(ObjectKey.for_shared(self._app)), pickled)

    def _drop_context(self) -> None:
        made, self._context = self._context, None
        if made is None:
            return
        try:
            delete_objects(made.key)
        except FlameError as error:
            logger.warning("%s is left in the object cache until %s is unregistered: %s", made.key, self._app, error)

    def _methods(self) -> List[str]:
        """The public methods. Properties are not asked for their value."""
        names = []
        for name in dir(self._object):
            if name.startswith("_") or not _is_method(inspect.getattr_static(self._object, name, None)):
                continue
            if hasattr(RunnerService, name):
                logger.warning(
                    "%s.%s cannot be called as a service: RunnerService has that name itself", self._name, name
                )
                continue
            names.append(name)
        if not names:
            raise invalid(f"the {self._kind.value} {self._name} has no public method that could be called")
        return names

    def _wrapper(self, name: str) -> Callable[..., ObjectFuture]:
        def call(*args: Any, **kwargs: Any) -> ObjectFuture:
            return self._call(name, args, kwargs)

        call.__name__, call.__qualname__ = name, f"{self._name}.{name}"
        found = inspect.getattr_static(self._object, name)
        call.__doc__ = inspect.getdoc(getattr(found, "__func__", found))
        return call

    def _call(self, method: Optional[str], args: Any, kwargs: Any) -> ObjectFuture:
        session = self._session
        if session is None:
            raise FlameError(FlameErrorCode.INVALID_STATE, f"the service of {self._name} is closed")
        name = self._name if method is None else f"{self._name}.{method}"
        packed = arguments.pack(method, args, kwargs, self._prefix, name)
        submit = functools.partial(_submit, session, packed, self._prefix)
        if not self._is_ordered:
            return ObjectFuture(
                Chained(packed.futures, None, submit, name) if packed.futures else submit(), self._prefix
            )
        with self._turn:
            before = self._before if self._before is not None and not self._before.has_begun else None
            if before is None and not packed.futures:
                return ObjectFuture(submit(), self._prefix)
            chained = self._before = Chained(packed.futures, before, submit, name)
            return ObjectFuture(chained, self._prefix)


RunnerService.__module__ = "flamepy.runner.runner"


def _submit(session: core.Session, packed: arguments.Packed, prefix: str) -> Any:
    return session.run(packed.input(prefix))


def _name(execution_object: Any) -> str:
    found = getattr(execution_object, "__qualname__", None) or getattr(execution_object, "__name__", None)
    return found if isinstance(found, str) else type(execution_object).__qualname__


def _is_method(found: Any) -> bool:
    return callable(found) or isinstance(found, (staticmethod, classmethod))


def _check_makes_itself(cls: type, name: str) -> None:
    """The service makes an instance of a class, without arguments."""
    try:
        inspect.signature(cls).bind()
    except ValueError:
        return  # a builtin that does not say what it takes
    except TypeError as error:
        raise invalid(
            f"the class {name} cannot be made by its service, which calls it without arguments: {error}",
            f"pass an instance, as in service({name}(…))",
        ) from None


def _session_id(execution_object: Any) -> Optional[str]:
    """The session that the object asks for."""
    found = getattr(execution_object, SESSION_ATTRIBUTE, None)
    if found is None:
        return None
    if not isinstance(found, SessionContext):
        raise invalid(f"{SESSION_ATTRIBUTE} must be a SessionContext, not {type(found).__name__}")
    return found.session_id
