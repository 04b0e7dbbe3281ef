"""One client process on our flamepy that hands over all its tasks at once, and takes the results as they come.

Usage: mapper.py ENDPOINT APPLICATION TASKS. Says `ready` when it is warm, starts when it reads a line, prints one line of
JSON at the end, and closes its session when it is told nothing more. Every output is compared with its input; a wrong one
ends it with an error.
"""

import json
import sys
import time

import flamepy
from flamepy.core.types import SessionAttributes

INPUT_BYTES = 100
WARM_UP_TASKS = 1000


def payload(number):
    return f"{number:016x}".encode().ljust(INPUT_BYTES, b".")


def run_all(session, first, count):
    inputs = [payload(number) for number in range(first, first + count)]
    for sent, got in zip(inputs, session.map(inputs), strict=True):
        if got != sent:
            raise AssertionError(f"sent {sent!r}, got {got!r}")


def main():
    endpoint, application, tasks = sys.argv[1], sys.argv[2], int(sys.argv[3])
    connection = flamepy.connect(endpoint)
    session = connection.create_session(SessionAttributes(application=application))
    run_all(session, 0, WARM_UP_TASKS)
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.monotonic()
    run_all(session, WARM_UP_TASKS, tasks)
    print(json.dumps({"took_s": time.monotonic() - began}), flush=True)
    sys.stdin.read()
    session.close()


if __name__ == "__main__":
    main()
