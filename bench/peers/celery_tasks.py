"""Celery with a Redis that keeps nothing on disk, and two worker processes.

The same file is the application that Celery's worker loads; FLAME_PEER_REDIS tells it the socket of Redis. A Unix
socket: nothing listens on any network, and no port has to be found.
"""

import base64
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import celery
import protocol
import redis

WORKERS = 2
START_LIMIT_S = 60
STOP_LIMIT_S = 30
SOCKET_VARIABLE = "FLAME_PEER_REDIS"
PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG

socket = os.environ.get(SOCKET_VARIABLE, "")
app = celery.Celery("celery_tasks", broker=f"redis+socket://{socket}", backend=f"redis+socket://{socket}")
app.conf.update(task_serializer="json", result_serializer="json", accept_content=["json"])


@app.task(name="echo")
def echo(given):
    return given


def as_text(given):
    return base64.b64encode(given).decode()


def as_bytes(got):
    return base64.b64decode(got)


def die_with_parent():
    ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL)


class Tasks:
    def __init__(self, folder):
        path = Path(folder, "redis.sock")
        os.environ[SOCKET_VARIABLE] = str(path)
        app.conf.update(broker_url=f"redis+socket://{path}", result_backend=f"redis+socket://{path}")
        self.processes = []
        self.start([*redis_command(), "--port", "0", "--unixsocket", path, "--save", "", "--appendonly", "no"], folder)
        server = redis.Redis(unix_socket_path=str(path))
        wait_until(lambda: path.exists() and server.ping(), self.processes)
        # `prefork` is what Celery does by default; the rest leaves out what has nothing to do with running tasks.
        options = ["--pool", "prefork", "--concurrency", WORKERS, "--loglevel", "ERROR"]
        options += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        here = Path(__file__).parent
        self.start([sys.executable, "-m", "celery", "-A", "celery_tasks", "worker", *options], here)

    def start(self, command, folder):
        words = [str(word) for word in command]
        self.processes.append(subprocess.Popen(words, cwd=folder, stdout=2, preexec_fn=die_with_parent))

    def run_all(self, inputs):
        waiting = [echo.delay(as_text(given)) for given in inputs]
        return [as_bytes(task.get()) for task in waiting]

    def run_one(self, given):
        return as_bytes(echo.delay(as_text(given)).get())

    def close(self):
        for process in reversed(self.processes):
            process.terminate()
            process.wait(STOP_LIMIT_S)


def redis_command():
    """The unpacked server with its own libraries, from the folder of this Python environment."""
    root = Path(sys.prefix)
    libraries = ":".join(str(folder) for folder in root.glob("usr/lib/*-linux-gnu"))
    return ["/usr/bin/env", f"LD_LIBRARY_PATH={libraries}", str(root / "usr/bin/redis-server")]


def wait_until(condition, processes):
    deadline = time.monotonic() + START_LIMIT_S
    while True:
        try:
            if condition():
                return
        except redis.ConnectionError:
            pass
        if any(process.poll() is not None for process in processes):
            sys.exit("a process of the peer has ended by itself")
        if time.monotonic() > deadline:
            sys.exit("the peer does not become ready")
        time.sleep(0.02)


if __name__ == "__main__":
    protocol.serve(f"Celery {celery.__version__}", Tasks)
