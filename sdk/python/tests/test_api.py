"""The names, defaults and texts of the published package 0.6.0 (sessions, tasks and services)."""

import dataclasses
import importlib
import inspect
import pickle
from datetime import datetime
from enum import IntEnum

import pytest

import flamepy
import flamepy.core
from flamepy import FlameErrorCode, ResourceRequirement

TOP = [
    "TaskID",
    "SessionID",
    "ApplicationID",
    "Message",
    "TaskInput",
    "TaskOutput",
    "CommonData",
    "DEFAULT_FLAME_CONF",
    "DEFAULT_FLAME_ENDPOINT",
    "DEFAULT_FLAME_CACHE_ENDPOINT",
    "SessionState",
    "TaskState",
    "ApplicationState",
    "FlameErrorCode",
    "Shim",
    "FlameError",
    "Event",
    "ResourceRequirement",
    "SessionAttributes",
    "ApplicationSchema",
    "ApplicationAttributes",
    "Task",
    "Application",
    "FlamePackage",
    "FlameContextRunner",
    "TaskInformer",
    "FlameContext",
    "connect",
    "create_session",
    "open_session",
    "register_application",
    "unregister_application",
    "list_applications",
    "list_executors",
    "list_nodes",
    "get_application",
    "list_sessions",
    "get_session",
    "close_session",
    "Connection",
    "Session",
    "TaskWatcher",
    "FLAME_INSTANCE_ENDPOINT",
    "ApplicationContext",
    "SessionContext",
    "TaskContext",
    "FlameService",
    "run",
    "ObjectRef",
    "get_object",
    "put_object",
    "update_object",
    "runner",
    "service",
    "util",
]
CORE = [
    "ConnectionInstance",
    "FlameInstanceServer",
    "FlameInstanceServicer",
    "short_name",
    "WILDCARD_SESSION",
    "ObjectKey",
    "download_object",
    "patch_object",
    "upload_object",
]
MODULES = ["runner", "service", "util"]
CACHE = ["ObjectRef", "delete_objects", "get_object", "patch_object", "put_object", "update_object"]
TYPES = ["FlameClientTls", "FlameClientCache", "FlameClusterConfig", "DEFAULT_FLAME_RUNNER_TEMPLATE"]

ENUMS = {
    "SessionState": {"OPEN": 0, "CLOSED": 1},
    "TaskState": {"PENDING": 0, "RUNNING": 1, "SUCCEED": 2, "FAILED": 3},
    "ApplicationState": {"ENABLED": 0, "DISABLED": 1},
    "Shim": {"HOST": 0, "WASM": 1},
    "FlameErrorCode": {
        "INVALID_CONFIG": 0,
        "INVALID_STATE": 1,
        "INVALID_ARGUMENT": 2,
        "INTERNAL": 3,
        "ALREADY_EXISTS": 4,
        "NOT_FOUND": 5,
    },
}

ATTRIBUTES = [
    "shim",
    "image",
    "description",
    "labels",
    "command",
    "arguments",
    "environments",
    "working_directory",
    "max_instances",
    "delay_release",
    "schema",
    "url",
    "installer",
]

# Fields of data classes with their defaults; `...` for none. What we have in addition follows and has a default.
CLASSES = {
    "Event": {"code": ..., "message": None, "creation_time": None},
    "ResourceRequirement": {"cpu": 0, "memory": 0, "gpu": 0},
    "SessionAttributes": {
        "application": ...,
        "id": None,
        "common_data": None,
        "min_instances": 0,
        "max_instances": None,
        "batch_size": 1,
        "resreq": None,
    },
    "ApplicationSchema": {"input": None, "output": None, "common_data": None},
    "ApplicationAttributes": dict.fromkeys(ATTRIBUTES),
    "Application": {"id": ..., "name": ..., "state": ..., "creation_time": ..., **dict.fromkeys(ATTRIBUTES)},
    "Task": {
        "id": ...,
        "session_id": ...,
        "state": ...,
        "creation_time": ...,
        "input": None,
        "output": None,
        "completion_time": None,
        "events": None,
    },
    "FlameContextRunner": {"template": None},
}

# Parameters with their defaults; further ones may be given by name only.
FUNCTIONS = {
    "connect": {"addr": ..., "tls_config": None},
    "create_session": {
        "application": ...,
        "common_data": None,
        "session_id": None,
        "min_instances": 0,
        "max_instances": None,
        "batch_size": 1,
        "resreq": None,
    },
    "open_session": {"session_id": ..., "spec": None},
    "register_application": {"name": ..., "app_attrs": ...},
    "unregister_application": {"name": ...},
    "list_applications": {},
    "get_application": {"name": ...},
    "list_executors": {},
    "list_nodes": {},
    "get_session": {"session_id": ...},
    "close_session": {"session_id": ...},
    "run": {"service": ...},
}
METHODS = {
    "Session": {
        "create_task": {"input_data": ...},
        "get_task": {"task_id": ...},
        "list_tasks": {},
        "watch_task": {"task_id": ..., "timeout": None},
        "invoke": {"input_data": ...},
        "run": {"input_data": ...},
        "close": {},
        "common_data": {},
    },
    "Connection": {
        "connect": {"addr": ..., "tls_config": None},
        "close": {},
        "create_session": {"attrs": ...},
        "open_session": {"session_id": ..., "spec": None},
        "register_application": {"name": ..., "app_attrs": ...},
        "unregister_application": {"name": ...},
        "list_applications": {},
        "get_application": {"name": ...},
        "list_executors": {},
        "list_nodes": {},
        "list_sessions": {},
        "get_session": {"session_id": ...},
        "close_session": {"session_id": ...},
    },
    "TaskInformer": {"on_update": {"task": ...}, "on_error": {"error": ...}},
    "FlameService": {"on_session_enter": {"context": ...}, "on_task_invoke": {"context": ...}, "on_session_leave": {}},
}


def test_every_published_name_is_here():
    assert [name for name in TOP if not hasattr(flamepy, name)] == []
    assert [name for name in TOP + CORE if name not in MODULES and not hasattr(flamepy.core, name)] == []
    assert [name for name in CACHE if not hasattr(importlib.import_module("flamepy.cache"), name)] == []
    types = importlib.import_module("flamepy.core.types")
    assert [name for name in TYPES if not hasattr(types, name)] == []
    for name in ["Connection", "Session", "TaskWatcher", "TaskIterator", "ConnectionInstance"]:
        assert hasattr(importlib.import_module("flamepy.core.client"), name)
    assert flamepy.util.short_name("x").startswith("x-") and len(flamepy.util.short_name("x", 9)) == 11
    assert flamepy.COMPATIBLE_WITH == "0.6.0"


@pytest.mark.parametrize("name", ENUMS)
def test_enumerations(name):
    kind = getattr(flamepy, name)
    assert issubclass(kind, IntEnum)
    assert {member: kind[member].value for member in ENUMS[name]} == ENUMS[name]
    assert kind(4711) is kind.UNKNOWN, "a later release may say more"


@pytest.mark.parametrize("name", CLASSES)
def test_data_classes(name):
    found = dataclasses.fields(getattr(flamepy, name))
    expected = CLASSES[name]
    got = {one.name: ... if one.default is dataclasses.MISSING else one.default for one in found}
    assert dict(list(got.items())[: len(expected)]) == expected
    assert all(value is not ... for value in list(got.values())[len(expected) :])


def parameters(call, expected):
    found = list(inspect.signature(call).parameters.values())
    found = [one for one in found if one.name not in ("self", "cls")]
    got = {one.name: ... if one.default is inspect.Parameter.empty else one.default for one in found[: len(expected)]}
    assert got == expected
    for one in found[len(expected) :]:
        assert one.default is not inspect.Parameter.empty or one.kind == inspect.Parameter.VAR_KEYWORD, one


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name):
    parameters(getattr(flamepy, name), FUNCTIONS[name])


@pytest.mark.parametrize("kind", METHODS)
def test_methods(kind):
    for name, expected in METHODS[kind].items():
        parameters(getattr(getattr(flamepy, kind), name), expected)


def test_resources_as_text():
    read = ResourceRequirement.from_string
    assert read("cpu=1,mem=1g,gpu=2") == ResourceRequirement(1, 1 << 30, 2)
    assert read(" mem = 3Ki , CPU=2 ") == ResourceRequirement(2, 3 << 10, 0)
    for power, letters in enumerate(["k kb ki kib K", "m mb mi mib", "g gb gi gib G", "t tb ti tib", "p pb pi pib"]):
        for suffix in letters.split():
            assert read(f"memory=2{suffix}").memory == 2 << (10 * (power + 1)), suffix
    assert read("mem=10").memory == 10
    for bad in ["", " ", "cpu", "foo=1", "cpu=", "cpu=a", "mem=1.5g", "mem=1x", "mem=-1g"]:
        with pytest.raises(ValueError):
            read(bad)


def test_errors_have_the_published_text():
    error = flamepy.FlameError(FlameErrorCode.NOT_FOUND, "gone")
    assert (str(error), error.code, error.message) == ("gone (code: 5)", FlameErrorCode.NOT_FOUND, "gone")
    with_remedy = flamepy.FlameError(FlameErrorCode.NOT_FOUND, "gone", remedy="look elsewhere")
    assert str(with_remedy).startswith("gone (code: 5)") and "look elsewhere" in str(with_remedy)
    again = pickle.loads(pickle.dumps(with_remedy))
    assert (again.code, again.message, again.remedy) == (5, "gone", "look elsewhere")


def test_tasks_say_whether_they_have_ended():
    task = lambda state: flamepy.Task("1", "s", flamepy.TaskState(state), datetime.now())  # noqa: E731
    assert [task(state).is_completed() for state in range(4)] == [False, False, True, True]
    assert [task(state).is_failed() for state in range(4)] == [False, False, False, True]


def test_names_that_are_not_there():
    for module in [flamepy, flamepy.core]:
        with pytest.raises(AttributeError, match="nonsense"):
            module.nonsense


def test_secrets_are_not_shown():
    assert "hunter2" not in repr(flamepy.SessionAttributes("a", tokens={"s": "hunter2"}))
