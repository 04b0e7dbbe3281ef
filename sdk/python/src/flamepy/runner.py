"""A place holder with a clear answer."""

raise ImportError(
    "flamepy.runner is not in this release of flamepy: Runner comes with the object cache, in a later one. "
    "Register an application and create a session of it instead (flamepy.register_application, flamepy.create_session)",
    name="flamepy.runner",
)
