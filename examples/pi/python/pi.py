"""Counts how many random points of the unit square fall into the circle: one task for so many points."""

import random
from dataclasses import dataclass

import flamepy


@dataclass
class Points:
    number: int
    seed: int


ins = flamepy.FlameInstance()


@ins.entrypoint
def count_inside(points: Points) -> int:
    # Seeded, so that a task that has to run twice gives the same answer twice.
    rand = random.Random(points.seed).random
    return sum(1 for _ in range(points.number) if rand() ** 2 + rand() ** 2 <= 1.0)


if __name__ == "__main__":
    ins.run()
