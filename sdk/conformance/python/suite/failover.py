"""Runs in flight while the leader is killed: they all end well, and none is executed twice.

Prints `in-flight` once some runs have finished and some are running; whoever listens then kills the leader and writes
`killed` to our stdin. More runs are started after that, and all are awaited.
"""

import sys
from collections import Counter
from concurrent.futures import wait

from flamepy.core.types import TaskState

from .harness import eventually

# Every fourth task sleeps, so that some are running whenever the leader dies.
SLEEP_EVERY = 4
SLEEP_MS = 1500
RUNS_BEFORE = 40
RUNS_AFTER = 20
SECONDS_MAX = 120


def payload(number):
    text = f"sleep:{SLEEP_MS}:{number}" if number % SLEEP_EVERY == 0 else f"echo:{number}"
    return text.encode()


def run(world, echo_log):
    try:
        count = scene(world, echo_log)
    except Exception as error:  # the outcome is reported, whatever it is
        print(f"FAILED python::failover: {type(error).__name__}: {error}", flush=True)
        return False
    print(f"flamepy 0.6.0 failover: runs={count} succeeded={count} executed={count}", flush=True)
    return True


def scene(world, echo_log):
    application = world.application("failover", environments={"FLAME_ECHO_LOG": echo_log})
    session = world.session("failover", application=application)
    futures = [session.run(payload(number)) for number in range(RUNS_BEFORE)]

    def half_way():
        states = Counter(task.state for task in session.list_tasks())
        assert states[TaskState.SUCCEED] < RUNS_BEFORE, "everything had finished before the leader could be killed"
        return states[TaskState.RUNNING] > 0 and states[TaskState.SUCCEED] > 0

    eventually("some runs have finished and some are running", half_way)
    print("in-flight", flush=True)
    answer = sys.stdin.readline().strip()
    assert answer == "killed", f"expected the word `killed` on stdin, got {answer!r}"
    futures += [session.run(payload(number)) for number in range(RUNS_BEFORE, RUNS_BEFORE + RUNS_AFTER)]
    _, unfinished = wait(futures, timeout=SECONDS_MAX)
    assert not unfinished, f"{len(unfinished)} runs hang"
    for number, future in enumerate(futures):
        assert future.result() == payload(number), f"run {number} got another's output"
    executed_once(session, len(futures), echo_log)
    return len(futures)


def executed_once(session, count, echo_log):
    """The service's own log has one line for each task: a leader change alone re-runs nothing."""
    with open(echo_log, encoding="utf-8") as lines:
        executions = Counter(line.split("\t")[0] for line in lines)
    for number in range(1, count + 1):
        times = executions[f"{session.id}/{number}"]
        assert times == 1, f"task {number} was executed {times} times"
