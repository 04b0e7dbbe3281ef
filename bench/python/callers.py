"""Callers on the published flamepy, each in a thread: every one runs a task, waits for its result, and runs the next.

Usage: callers.py ENDPOINT APPLICATION CALLERS TASKS. Says `ready` when it is warm, starts when it reads a line,
prints one line of JSON at the end, and closes its session when it is told nothing more. Every output is compared with
its input; a wrong one ends it with an error.
"""

import json
import sys
import threading
import time

import flamepy
from flamepy.core.types import SessionAttributes

INPUT_BYTES = 100
WARM_UP_TASKS = 5


def payload(number):
    return f"{number:016x}".encode().ljust(INPUT_BYTES, b".")


class Caller(threading.Thread):
    """Runs the tasks with these numbers, one after the other."""

    def __init__(self, session, numbers):
        super().__init__(daemon=True)
        self.session = session
        self.numbers = numbers
        self.latencies_ms = []
        self.error = None

    def run(self):
        try:
            for number in self.numbers:
                sent = payload(number)
                began = time.monotonic()
                got = self.session.invoke(sent)
                self.latencies_ms.append((time.monotonic() - began) * 1000)
                if got != sent:
                    raise AssertionError(f"sent {sent!r}, got {got!r}")
        except BaseException as error:  # told by the main thread
            self.error = error


def run_all(session, callers, first, count):
    numbers = range(first, first + count)
    threads = [Caller(session, numbers[at::callers]) for at in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for thread in threads:
        if thread.error is not None:
            raise thread.error
    return [latency for thread in threads for latency in thread.latencies_ms]


def main():
    endpoint, application, callers, tasks = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    connection = flamepy.connect(endpoint)
    session = connection.create_session(SessionAttributes(application=application))
    warm_up = callers * WARM_UP_TASKS
    run_all(session, callers, 0, warm_up)
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.monotonic()
    latencies_ms = run_all(session, callers, warm_up, tasks)
    took_s = time.monotonic() - began
    print(json.dumps({"took_s": took_s, "latencies_ms": latencies_ms}), flush=True)
    sys.stdin.read()
    session.close()


if __name__ == "__main__":
    main()
