"""`python -m suite suite` runs every check; `python -m suite failover` keeps runs in flight across a leader's death."""

import argparse
import os
import sys

import flamepy

from . import applications, sessions, tasks, watches, wire  # noqa: F401  (importing them fills the list of checks)
from . import failover
from .harness import World, run_all

PUBLISHED_VERSION = "0.6.0"


def main():
    parser = argparse.ArgumentParser(prog="suite")
    parser.add_argument("mode", choices=["suite", "failover"])
    parser.add_argument("--endpoint", required=True, help="where the client connects, e.g. http://127.0.0.1:8080")
    parser.add_argument("--service", required=True, help="path of echo_service.py")
    parser.add_argument("--echo-log", help="where the service logs its invocations (failover)")
    parser.add_argument("--only", help="only checks whose name contains this text")
    parser.add_argument("--any-version", action="store_true", help="also for a package that claims to be compatible")
    arguments = parser.parse_args()
    if flamepy.__version__ != PUBLISHED_VERSION and not arguments.any_version:
        sys.exit(f"this suite is for flamepy {PUBLISHED_VERSION}, found {flamepy.__version__}")
    world = World(arguments.endpoint, sys.executable, arguments.service)
    if arguments.mode == "suite":
        good = run_all(world, arguments.only)
    else:
        good = failover.run(world, arguments.echo_log)
    # Threads of a client that hangs must not hold the process.
    sys.stdout.flush()
    os._exit(0 if good else 1)


main()
