"""`python -m objects` runs every check of the object cache; with `--read` and `--leave` it
has one object in common with another client."""

import argparse
import os
import sys
import tempfile


def main():
    parser = argparse.ArgumentParser(prog="objects")
    parser.add_argument("--cache", required=True, help="where the cache is, e.g. grpc://127.0.0.1:9090")
    parser.add_argument("--only", help="only checks whose name contains this text")
    parser.add_argument("--any-version", action="store_true", help="also for a package that claims to be compatible")
    parser.add_argument("--read", metavar="KEY", help="an object that another client put")
    parser.add_argument("--leave", metavar="KEY", help="an object to upload for another client")
    parser.add_argument("--expect", help="the bytes of either, as text")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        # The package reads its configuration when it is first used: nothing that the user has configured is for it.
        os.environ["HOME"] = home
        os.environ["FLAME_ENDPOINT"] = "http://127.0.0.1:1"
        os.environ["FLAME_CACHE_ENDPOINT"] = arguments.cache
        os.environ.pop("FLAME_CACHE_STORAGE", None)
        good = run(arguments)
    # Threads of a client that hangs must not hold the process.
    sys.stdout.flush()
    os._exit(0 if good else 1)


def run(arguments):
    import flamepy

    from suite.harness import run_all

    from . import cache

    if flamepy.__version__ != "0.6.0" and not arguments.any_version:
        sys.exit(f"this suite is for flamepy 0.6.0, found {flamepy.__version__}")
    world = cache.World(arguments.cache)
    if arguments.leave:
        return cache.leave(world, arguments.leave, arguments.expect.encode())
    if arguments.read:
        return cache.compare(world, arguments.read, arguments.expect.encode())
    return run_all(world, arguments.only)


main()
