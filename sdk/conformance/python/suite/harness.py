"""Checks with a name, a body and a deadline; the outcome of each is one line on stdout."""

import itertools
import os
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

import flamepy
import grpc
from flamepy.core.types import ApplicationAttributes, SessionAttributes, Shim

# No check of this suite takes longer on a healthy cluster, however busy the machine.
CHECK_SECONDS_MAX = 90
# A call that has no answer by then is a failed check, not a hung suite.
CALL_SECONDS_MAX = 60

CHECKS = []


def check(function):
    """Adds a function to the suite under the name `python::module::function`."""
    module = function.__module__.rsplit(".", 1)[-1]
    CHECKS.append((f"python::{module}::{function.__name__}", function))
    return function


class World:
    """What every check needs: a connection, the service's command, and fresh names."""

    def __init__(self, endpoint, python, service):
        self.endpoint = endpoint
        self.python = python
        self.service = service
        self.connection = flamepy.connect(endpoint)
        self.frontend = self.connection._frontend
        self.channel = self.connection._channel
        self.numbers = itertools.count(1)

    def name(self, stem):
        return f"py-{stem}-{os.getpid()}-{next(self.numbers)}"

    def attributes(self, **changes):
        """Attributes of an application that runs the echo service and lets its executors go quickly."""
        attributes = {
            "shim": Shim.HOST,
            "command": self.python,
            "arguments": [self.service],
            "delay_release": 1,
        }
        return ApplicationAttributes(**(attributes | changes))

    def application(self, stem, **changes):
        name = self.name(stem)
        self.connection.register_application(name, self.attributes(**changes))
        return name

    def session(self, stem, application=None, **attributes):
        application = application or self.application(stem)
        return self.connection.create_session(SessionAttributes(application=application, **attributes))


def eventually(what, ask, seconds=60):
    """Asks again until the answer is yes, or the deadline has come."""
    deadline = time.monotonic() + seconds
    while True:
        answer = ask()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"it did not come to pass within {seconds} s: {what}"
        time.sleep(0.02)


def flame_error(call, *arguments, **named):
    """The error of a call that must be refused by the client library."""
    try:
        result = call(*arguments, **named)
    except flamepy.FlameError as error:
        return error
    raise AssertionError(f"it was accepted, an error was due; the answer was {result!r}")


def status(call, request):
    """Code and text of a call that must be refused, as they are on the wire."""
    try:
        answer = call(request, timeout=CALL_SECONDS_MAX)
        if hasattr(answer, "__next__"):
            answer = list(answer)
    except grpc.RpcError as error:
        return error.code(), error.details()
    raise AssertionError(f"it was accepted, an error was due; the answer was {str(answer)[:200]!r}")


def assert_status(call, request, code, *texts):
    """The call is refused with this code, and its text has all of these."""
    got, details = status(call, request)
    assert got == code, f"code {got} instead of {code}: {details[:300]}"
    for text in texts:
        assert text in details, f"{text!r} is not in {details[:300]!r}"
    assert len(details) < 2000, f"the error text has {len(details)} characters"


def run_one(function, world):
    """Runs one check in a thread of its own, so that a hang fails it and not the suite."""
    outcome = []

    def body():
        try:
            function(world)
            outcome.append(None)
        except BaseException as error:  # the outcome is reported, whatever it is
            frame = traceback.extract_tb(error.__traceback__)[-1]
            text = str(error) or repr(error)
            outcome.append(f"{type(error).__name__}: {text[:600]} ({os.path.basename(frame.filename)}:{frame.lineno})")

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    thread.join(CHECK_SECONDS_MAX)
    return outcome[0] if outcome else f"no answer within {CHECK_SECONDS_MAX} s"


def run_all(world, only):
    """Prints `ok NAME` or `FAILED NAME: reason` for each check and returns whether all passed."""
    passed = failed = 0
    for name, function in CHECKS:
        if only and only not in name:
            continue
        reason = run_one(function, world)
        if reason is None:
            passed += 1
            print(f"ok {name}", flush=True)
        else:
            failed += 1
            print(f"FAILED {name}: {reason}", flush=True)
    print(f"flamepy {flamepy.__version__}: passed={passed} failed={failed}", flush=True)
    return passed > 0 and failed == 0


def in_parallel(calls, threads=16):
    """Results of the calls, in order; the first error is raised."""
    with ThreadPoolExecutor(max_workers=threads) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]
