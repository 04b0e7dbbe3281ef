#!/usr/bin/env python3
"""How many tasks a second a service of this package answers that does nothing: `service_speed.py [TASKS]`.

The service is a process of its own, as a worker starts it. The worker is a few lines of Python here, so the numbers are
lower bounds.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from service_worker import Stream, wait_until  # noqa: E402

SERVICE = """
import flamepy

class Nothing(flamepy.FlameService):
    {define} on_task_invoke(self, context):
        return context.input

flamepy.run(Nothing())
"""


def measure(define: str, depth: int, tasks: int) -> float:
    with tempfile.TemporaryDirectory(prefix="flame-") as folder:
        path = Path(folder, "s.sock")
        environment = {"FLAME_INSTANCE_ENDPOINT": str(path), "PYTHONPATH": str(ROOT / "src")}
        process = subprocess.Popen([sys.executable, "-c", SERVICE.format(define=define)], env=environment)
        try:
            wait_until(path.exists, "the service listens")
            with Stream(str(path)) as stream:
                stream.enter()
                stream.call(b"")
                return run(stream, depth, tasks)
        finally:
            process.terminate()
            process.wait()


def run(stream: Stream, depth: int, tasks: int) -> float:
    """Hands tasks over as a worker does: more when half of them are done."""
    begun = time.perf_counter()
    sent = done = 0
    while done < tasks:
        if sent - done <= depth // 2 and sent < tasks:
            more = min(depth - (sent - done), tasks - sent)
            stream.invoke([b"x" * 100] * more, sent + 1)
            sent += more
        done += len(stream.next().done.done)
    return tasks / (time.perf_counter() - begun)


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    for kind in ("def", "async def"):
        for at_a_time in (256, 32, 1):
            speed = measure(kind, at_a_time, count if at_a_time > 1 else count // 20)
            print(f"{kind:9} {at_a_time:4} in flight: {speed:8,.0f} tasks/s")
