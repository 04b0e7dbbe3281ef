"""Counts words: a call for each part of a text, then a tree of calls that add up what those gave."""

import random
import sys
from collections import Counter
from typing import Dict, List

from flamepy.runner import Runner

WORDS = ["flame", "task", "session", "worker", "leader", "log", "quorum", "object"]
FAN_IN = 16


def count_words(part: str) -> Dict[str, int]:
    return Counter(part.split())


def merge(*counts: Dict[str, int]) -> Dict[str, int]:
    return sum(counts, Counter())


def text(parts: int, words: int) -> List[str]:
    """The same text every time."""
    source = random.Random(parts)
    return [" ".join(source.choices(WORDS, range(1, len(WORDS) + 1), k=words)) for _ in range(parts)]


def main(parts: int, words: int) -> None:
    with Runner("map-reduce") as runner:
        mapper, reducer = runner.service(count_words), runner.service(merge)
        level = [mapper(part) for part in text(parts, words)]
        calls = len(level)
        # Nobody waits here: a call begins when the calls have ended whose results it takes.
        while len(level) > 1:
            level = [reducer(*level[at : at + FAN_IN]) for at in range(0, len(level), FAN_IN)]
            calls += len(level)
        total = level[0].get()
    for word, count in sorted(total.items(), key=lambda one: -one[1])[:3]:
        print(f"{word}: {count}")
    print(f"{sum(total.values())} words, counted by {calls} calls")


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    main(given[0] if given else 200, given[1] if len(given) > 1 else 1000)
