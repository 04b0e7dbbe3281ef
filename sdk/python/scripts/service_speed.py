#!/usr/bin/env python3
"""How fast a service of this package is that does nothing: `service_speed.py [TASKS]`.

In turns by gRPC and in frames: tasks a second with many in flight; for one task after the other how long one takes,
and what it costs the process of the service; and the time from the start of the process to its first answer.

The service is a process of its own, as a worker starts it. The worker is a few lines of Python here, so the numbers are
lower bounds, and where gRPC is used, it is used by both.
"""

import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, NamedTuple, Tuple, Union

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from service_worker import FrameStream, Stream, wait_until  # noqa: E402

SERVICE = """
import flamepy

class Nothing(flamepy.FlameService):
    {define} on_task_invoke(self, context):
        return context.input

flamepy.run(Nothing())
"""

INPUT = b"x" * 100


class Spent(NamedTuple):
    """What a process has spent since its start."""

    cpu_ns: int
    switches: int


def spent(pid: int) -> Spent:
    cpu = switches = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        cpu += int((task / "schedstat").read_text().split()[0])
        for line in (task / "status").read_text().splitlines():
            if "ctxt_switches" in line:
                switches += int(line.split()[1])
    return Spent(cpu, switches)


@contextmanager
def service(transport: str, define: str) -> Iterator[Tuple[subprocess.Popen, Union[Stream, FrameStream]]]:
    with tempfile.TemporaryDirectory(prefix="flame-") as folder:
        path = Path(folder, "s.sock")
        variable = "FLAME_FRAMES_ENDPOINT" if transport == "frames" else "FLAME_INSTANCE_ENDPOINT"
        environment = {variable: str(path), "PYTHONPATH": str(ROOT / "src")}
        process = subprocess.Popen([sys.executable, "-c", SERVICE.format(define=define)], env=environment)
        try:
            wait_until(path.exists, "the service listens")
            with (FrameStream if transport == "frames" else Stream)(str(path)) as stream:
                stream.enter()
                stream.call(b"")
                yield process, stream
        finally:
            process.terminate()
            process.wait()


def throughput(transport: str, define: str, depth: int, tasks: int) -> float:
    with service(transport, define) as (_, stream):
        return run(stream, depth, tasks)


def run(stream: Union[Stream, FrameStream], depth: int, tasks: int) -> float:
    """Hands tasks over as a worker does: more when half of them are done."""
    begun = time.perf_counter()
    sent = done = 0
    while done < tasks:
        if sent - done <= depth // 2 and sent < tasks:
            more = min(depth - (sent - done), tasks - sent)
            stream.invoke([INPUT] * more, sent + 1)
            sent += more
        done += len(stream.next().done.done)
    return tasks / (time.perf_counter() - begun)


def alone(transport: str, define: str, tasks: int) -> str:
    """One task after the other."""
    with service(transport, define) as (process, stream):
        for number in range(tasks // 4):
            stream.call(INPUT, number)
        took = []
        before = spent(process.pid)
        for number in range(tasks):
            begun = time.perf_counter()
            stream.call(INPUT, number)
            took.append(time.perf_counter() - begun)
        after = spent(process.pid)
    took.sort()
    cpu = (after.cpu_ns - before.cpu_ns) / tasks / 1000
    switches = (after.switches - before.switches) / tasks
    p50, p99 = took[tasks // 2] * 1e6, took[tasks * 99 // 100] * 1e6
    return f"p50 {p50:5,.0f} µs, p99 {p99:6,.0f} µs; service: {cpu:5,.0f} CPU µs, {switches:5.1f} switches"


def cold(transport: str) -> float:
    begun = time.perf_counter()
    with service(transport, "def"):
        return time.perf_counter() - begun


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    both = ("grpc", "frames")
    for kind in ("def", "async def"):
        for at_a_time in (256, 32):
            for how in both:
                speed = throughput(how, kind, at_a_time, count)
                print(f"{how:6} {kind:9} {at_a_time:4} in flight: {speed:8,.0f} tasks/s", flush=True)
        for how in both:
            print(f"{how:6} {kind:9} alone: {alone(how, kind, count // 20)}", flush=True)
    starts = {how: [] for how in both}
    for _ in range(5):
        for how in both:
            starts[how].append(cold(how))
    for how in both:
        print(f"{how:6} first answer after {min(starts[how]) * 1000:,.0f} ms (least of 5)", flush=True)
