"""What became of a client's tasks: how many results were right, and the longest time without any."""

import json
import threading
import time

# Results after which trouble may begin.
RUNNING = 100

ERRORS_SHOWN = 3


class Story:
    def __init__(self, name, tasks):
        self.name = name
        self.tasks = tasks
        self.lock = threading.Lock()
        self.open = set()
        self.right = 0
        self.errors = []
        self.began = self.last = time.monotonic()
        self.longest = 0.0

    def input(self, number):
        """The input of a task; no other has the same."""
        sent = f"{self.name}-{number}".encode()
        with self.lock:
            self.open.add(sent)
        return sent

    def ended(self, sent, result, error):
        """A task has ended: with the result that `result` gives, or this error."""
        with self.lock:
            now = time.monotonic()
            self.longest = max(self.longest, now - self.last)
            self.last = now
            if error is not None:
                self.errors.append(f"{sent.decode()}: {error}")
            elif sent not in self.open:
                self.errors.append(f"{sent.decode()}: a second result")
            elif result() != sent:
                self.errors.append(f"{sent.decode()}: {result()!r}")
            else:
                self.right += 1
            self.open.discard(sent)
            if self.right == RUNNING:
                print("running", flush=True)

    def tell(self):
        told = {
            "right": self.right,
            "errors": len(self.errors),
            "first_errors": self.errors[:ERRORS_SHOWN],
            "longest_pause_ms": round(self.longest * 1000),
            "took_ms": round((time.monotonic() - self.began) * 1000),
        }
        print(json.dumps(told), flush=True)
