"""The Python echo service of the conformance suite, on the published flamepy.

What it does is said by the task's input; ../README.md has the table. Our worker starts it.
"""

import os
import time

import flamepy
from flamepy.core.service import FlameService


class Echo(FlameService):
    def __init__(self):
        self.session = None

    def on_session_enter(self, context):
        common = context.common_data()
        if common is not None and common.startswith(b"refuse:"):
            raise RuntimeError(common.removeprefix(b"refuse:").decode())
        self.session = context

    def on_task_invoke(self, context):
        if self.session is None:
            raise RuntimeError("a task came before its session was entered")
        write_log(context)
        if context.input is None:
            return None
        verb, _, rest = context.input.decode(errors="replace").partition(":")
        if verb == "fail":
            raise RuntimeError(rest)
        if verb == "none":
            return None
        if verb == "empty":
            return b""
        if verb == "common":
            return self.session.common_data()
        if verb == "session":
            return self.session.session_id.encode()
        if verb == "application":
            return self.session.application.name.encode()
        if verb == "env":
            value = os.environ.get(rest)
            return None if value is None else value.encode()
        if verb == "pid":
            return str(os.getpid()).encode()
        if verb == "bytes":
            return b"\0" * int(rest)
        if verb == "crash":
            os.abort()
        if verb == "sleep":
            time.sleep(int(rest.split(":")[0]) / 1000)
        return context.input

    def on_session_leave(self):
        self.session = None


def write_log(context):
    """One line in one write, so that lines of several processes do not mix."""
    path = os.environ.get("FLAME_ECHO_LOG")
    if path is None:
        return
    line = f"{context.session_id}/{context.task_id}\t{os.getpid()}\n"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(handle, line.encode())
    finally:
        os.close(handle)


if __name__ == "__main__":
    flamepy.run(Echo())
