"""A map-reduce on our Runner, with a stateful instance beside it, that goes on while nodes of the object cache and
coordinators die.

Usage: runner.py CALLS CALLS_PER_SECOND PROJECT. Cluster and cache are in the environment; PROJECT is the folder that is packed.
It handles no error and tries nothing again. Says `running` once results come, and prints one line of JSON at the end.
"""

import json
import os
import queue
import sys
import threading
import time
from collections import Counter

import flamepy
from flamepy.runner import Runner

APPLICATION = "chaos-runner"

# Objects that all calls share, and the words in each.
TEXTS, WORDS = 40, 20_000

# Results that one call merges.
FAN_IN = 10

# One call of the stateful instance for so many others.
TALLY_EVERY = 20

# Results after which trouble may begin.
RUNNING = 100


def count(text, offset, step):
    """Map: the words at some places of a text."""
    found = {}
    for word in text.split()[offset::step]:
        found[word] = found.get(word, 0) + 1
    return found


def merge(*counts):
    """Reduce."""
    merged = {}
    for one in counts:
        for word, number in one.items():
            merged[word] = merged.get(word, 0) + number
    return merged


class Tally:
    def __init__(self):
        self.calls = 0

    def add(self):
        self.calls += 1
        return self.calls


def text(number):
    return " ".join(f"word{(number + 7 * place) % 101}" for place in range(WORDS))


class Watch:
    """Waits for the calls in their order, and knows the longest time without any result."""

    def __init__(self):
        self.futures = queue.SimpleQueue()
        self.errors = []
        self.ended = 0
        self.last = time.monotonic()
        self.longest = 0.0
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        for future in iter(self.futures.get, None):
            error = future.exception()
            now = time.monotonic()
            self.longest, self.last = max(self.longest, now - self.last), now
            self.ended += 1
            if error is not None:
                self.errors.append(str(error))
            if self.ended == RUNNING:
                print("running", flush=True)

    def finish(self):
        self.futures.put(None)
        self.thread.join()


def main(calls, pace):
    texts = [text(number) for number in range(TEXTS)]
    maps = calls * (FAN_IN - 1) // FAN_IN
    began = time.monotonic()
    with Runner(APPLICATION) as runner:
        refs = [runner.put_object(one) for one in texts]
        counting, merging = runner.service(count), runner.service(merge)
        tally = runner.service(Tally(), stateful=True)
        watch, tallies, made = Watch(), [], 0

        def made_one(future):
            nonlocal made
            made += 1
            watch.futures.put(future)
            return future

        # A result waits on its level until there are enough to be merged.
        levels = [[]]
        start = time.monotonic()
        for number in range(maps):
            time.sleep(max(0.0, start + made / pace - time.monotonic()))
            # Those of one text share its words among them.
            which = number % TEXTS
            levels[0].append(made_one(counting(refs[which], number // TEXTS, len(range(which, maps, TEXTS)))))
            for level in range(len(levels)):
                if len(levels[level]) == FAN_IN:
                    if level + 1 == len(levels):
                        levels.append([])
                    levels[level + 1].append(made_one(merging(*levels[level])))
                    levels[level] = []
            if number % TALLY_EVERY == 0:
                tallies.append(tally.add())
        total = made_one(merging(*[one for level in levels for one in level]))
        watch.finish()
        # Each word was counted once if every call had its result once.
        words = sum((Counter(one.split()) for one in texts), Counter())
        right = not watch.errors and Counter(total.get()) == words
        applied = [one.exception() or one.get() for one in tallies]
        # Without a version: what this process has read is not looked at.
        objects = [flamepy.get_object(flamepy.ObjectRef(ref.endpoint, ref.key)) for ref in refs]
        told = {
            "calls": made,
            "errors": len(watch.errors),
            "first_errors": watch.errors[:3],
            "right": right,
            "tallies": len(tallies),
            "tallies_right": applied == list(range(1, len(tallies) + 1)),
            "tallies_wrong": [str(one) for place, one in enumerate(applied, 1) if one != place][:3],
            "objects": len(objects),
            "objects_right": objects == texts,
            "longest_pause_ms": round(watch.longest * 1000),
            "took_ms": round((time.monotonic() - began) * 1000),
        }
    print(json.dumps(told), flush=True)


os.chdir(sys.argv[3])
main(int(sys.argv[1]), float(sys.argv[2]))
