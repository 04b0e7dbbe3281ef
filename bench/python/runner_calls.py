"""One client process that calls a function through our Runner, without waiting for the results in between.

Usage: runner_calls.py ENDPOINT APPLICATION CALLS, with the object cache in FLAME_CACHE_ENDPOINT. APPLICATION is the service
side of Runner; as somebody else has registered it, nothing is packed. Says `ready` when it is warm, starts when it reads a
line, prints one line of JSON at the end, and closes its session when it is told nothing more. Every result is compared; a
wrong one ends it with an error.
"""

import json
import os
import sys
import time

from flamepy.runner import Runner

WARM_UP_CALLS = 1000
EXECUTORS = 2


def add(left, right):
    return left + right


def call_all(service, first, count):
    futures = [service(number, 1) for number in range(first, first + count)]
    for number, future in enumerate(futures, first):
        got = future.get()
        if got != number + 1:
            raise AssertionError(f"{number} + 1 gave {got!r}")


def main():
    endpoint, application, calls = sys.argv[1], sys.argv[2], int(sys.argv[3])
    os.environ["FLAME_ENDPOINT"] = endpoint
    with Runner(application) as runner:
        service = runner.service(add, warmup=EXECUTORS)
        call_all(service, 0, WARM_UP_CALLS)
        print("ready", flush=True)
        sys.stdin.readline()
        began = time.monotonic()
        call_all(service, WARM_UP_CALLS, calls)
        print(json.dumps({"took_s": time.monotonic() - began}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
