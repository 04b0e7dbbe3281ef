"""Applications: register, get, list, unregister, and what is refused."""

import flamepy
from flamepy.core.types import ApplicationSchema, ApplicationState, Shim

from .harness import check, flame_error

FULL = {
    "shim": Shim.HOST,
    "image": "registry.example/echo:1",
    "description": "an echo",
    "labels": ["one", "two"],
    "command": "/bin/true",
    "arguments": ["--first", "second"],
    "environments": {"ONE": "1", "TWO": "2"},
    "working_directory": "/tmp",
    "max_instances": 7,
    "delay_release": 11,
    "schema": ApplicationSchema(input='{"type":"string"}', output='{"type":"integer"}', common_data='{"type":"object"}'),
    "url": "file:///opt/echo.tar.gz",
}


@check
def the_built_in_application_is_there(world):
    listed = {application.name: application for application in world.connection.list_applications()}
    for name in ("flmping", "flmexec", "flmrun"):
        assert name in listed, f"{name} is missing from {sorted(listed)}"
        assert listed[name].state == ApplicationState.ENABLED
        assert listed[name].shim == Shim.HOST
        program = "uv" if name == "flmrun" else f"{name}-service"
        assert listed[name].command.endswith(f"/bin/{program}"), listed[name].command


@check
def every_attribute_comes_back(world):
    name = world.name("full")
    world.connection.register_application(name, FULL)
    got = world.connection.get_application(name)
    assert got.id == got.name == name
    assert got.state == ApplicationState.ENABLED
    for field, value in FULL.items():
        assert getattr(got, field) == value, f"{field}: {getattr(got, field)!r}"
    listed = [application for application in world.connection.list_applications() if application.name == name]
    assert len(listed) == 1
    assert listed[0].environments == FULL["environments"]


@check
def unset_attributes_get_the_published_defaults(world):
    name = world.name("bare")
    world.connection.register_application(name, {"command": "/bin/true"})
    got = world.connection.get_application(name)
    assert got.shim == Shim.HOST
    assert got.max_instances == 1_000_000, got.max_instances
    assert got.delay_release == 60, got.delay_release
    assert got.working_directory is None
    assert got.schema is None


@check
def a_duplicate_is_refused_in_band(world):
    name = world.application("twice")
    error = flame_error(world.connection.register_application, name, world.attributes())
    assert "already exists" in error.message, error.message
    assert "failed to register application" not in error.message, "it came as a status, not in the reply"


@check
def an_unknown_application_is_none(world):
    assert world.connection.get_application("no-such-application") is None


@check
def an_open_session_blocks_unregister(world):
    name = world.application("busy")
    session = world.session("busy", application=name)
    error = flame_error(world.connection.unregister_application, name)
    assert "open session" in error.message, error.message
    session.close()
    world.connection.unregister_application(name)
    assert world.connection.get_application(name) is None


@check
def a_name_can_be_used_again_after_unregister(world):
    name = world.application("again")
    world.connection.unregister_application(name)
    world.connection.register_application(name, world.attributes(description="second"))
    assert world.connection.get_application(name).description == "second"


@check
def bad_names_are_refused_in_band(world):
    for name in ["", "a..b", "../x", "a/b", "a\\b", ".hidden", "-dash", "a b", "ä", "x" * 254]:
        error = flame_error(world.connection.register_application, name, world.attributes())
        assert error.code == flamepy.FlameErrorCode.INTERNAL
        assert "failed to register application" not in error.message, f"{name!r} came as a status: {error.message}"


@check
def bad_schemas_are_refused(world):
    bad = '{"type": 5}'
    for schema, text in [
        (ApplicationSchema(input=bad), "invalid input schema"),
        (ApplicationSchema(input="{"), "invalid input schema"),
        (ApplicationSchema(output=bad), "invalid output schema"),
        (ApplicationSchema(common_data=bad), "invalid common data schema"),
    ]:
        error = flame_error(world.connection.register_application, world.name("schema"), world.attributes(schema=schema))
        assert text in error.message, error.message


@check
def a_relative_working_directory_is_refused(world):
    attributes = world.attributes(working_directory="relative/path")
    error = flame_error(world.connection.register_application, world.name("relative"), attributes)
    assert "absolute" in error.message, error.message


@check
def an_empty_working_directory_is_unset(world):
    name = world.application("emptydir", working_directory="")
    assert world.connection.get_application(name).working_directory is None


@check
def an_image_and_a_shim_are_kept(world):
    name = world.application("kept", shim=Shim.WASM, image="image:1")
    got = world.connection.get_application(name)
    assert (got.shim, got.image) == (Shim.WASM, "image:1")
