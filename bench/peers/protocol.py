"""How the benchmark speaks with a peer's program; each peer is a class and one call of `serve`.

Usage of each program: NAME.py MODE TASKS FOLDER, where FOLDER is for the peer's own files.

It prints one line of JSON when it is warm, starts when it reads a line, prints one line of JSON with its figures, and
ends its peer when its standard input is closed: so a peer ends with the benchmark, however that ends. Nothing else is
on its standard output. Inputs are those of the benchmark's own tasks: 100 bytes, no two alike; every output is compared
with its input, and a wrong one ends the program with an error.
"""

import json
import os
import sys
import time

INPUT_BYTES = 100
WARM_UP_TASKS = 200
WARM_UP_ONE_BY_ONE = 50


def payload(number):
    return f"{number:016x}".encode().ljust(INPUT_BYTES, b".")


def check(outputs, inputs):
    if list(outputs) != list(inputs):
        raise AssertionError("an output is not the input of its task")


class Line:
    """Standard output for the benchmark alone: what libraries print goes to standard error from now on."""

    def __init__(self):
        self.out = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def say(self, **words):
        print(json.dumps(words), file=self.out, flush=True)


def throughput(peer, tasks, ready):
    """All tasks at once, as fast as the peer takes them."""
    warm_up = [payload(number) for number in range(WARM_UP_TASKS)]
    check(peer.run_all(warm_up), warm_up)
    inputs = [payload(number) for number in range(WARM_UP_TASKS, WARM_UP_TASKS + tasks)]
    ready()
    began = time.monotonic()
    outputs = peer.run_all(inputs)
    took_s = time.monotonic() - began
    check(outputs, inputs)
    return {"took_s": took_s, "tasks": tasks}


def latency(peer, tasks, ready):
    """Each task when the result of the one before has come."""
    for number in range(WARM_UP_ONE_BY_ONE):
        check([peer.run_one(payload(number))], [payload(number)])
    ready()
    latencies_ms = []
    began = time.monotonic()
    for number in range(WARM_UP_ONE_BY_ONE, WARM_UP_ONE_BY_ONE + tasks):
        sent = payload(number)
        at = time.monotonic()
        got = peer.run_one(sent)
        latencies_ms.append((time.monotonic() - at) * 1000)
        check([got], [sent])
    return {"took_s": time.monotonic() - began, "tasks": tasks, "latencies_ms": latencies_ms}


def cold_start(peer, _tasks, ready):
    """Ready with the first result; what it costs to be there is for the benchmark to look at."""
    check([peer.run_one(payload(0))], [payload(0)])
    began = time.monotonic()
    ready()
    return {"took_s": time.monotonic() - began, "tasks": 1}


MODES = {"throughput": throughput, "latency": latency, "cold-start": cold_start}


def serve(version, start):
    """Starts the peer with `start(folder)` and does what the command line says."""
    mode, tasks, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    line = Line()
    peer = start(folder)
    try:

        def ready():
            line.say(ready=True, version=version)
            if not sys.stdin.readline():
                sys.exit("nobody wants to measure any more")

        line.say(**MODES[mode](peer, tasks, ready))
        sys.stdin.read()
    finally:
        peer.close()
