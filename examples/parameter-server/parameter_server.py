"""Fits a line through points that lie on many workers: they send gradients, one instance keeps the parameters."""

import random
import sys
from typing import List, Tuple

from flamepy.runner import Runner

TRUE = (3.0, -2.0)
RATE = 0.3

Point = Tuple[float, float]


class Parameters:
    """The state that all workers share. It survives its executor: each change is in the object cache."""

    def __init__(self) -> None:
        self._slope = self._offset = 0.0
        self._steps = 0

    def apply(self, gradients: List[Tuple[float, float]]) -> Tuple[float, float]:
        """Takes a step, and gives the parameters after it."""
        self._slope -= RATE * sum(one for one, _ in gradients) / len(gradients)
        self._offset -= RATE * sum(one for _, one in gradients) / len(gradients)
        self._steps += 1
        return self._slope, self._offset

    def get(self) -> Tuple[float, float, int]:
        return self._slope, self._offset, self._steps


def gradient(points: List[Point], parameters: Tuple[float, float]) -> Tuple[float, float]:
    """Where the error of these points grows."""
    slope, offset = parameters
    errors = [(x, slope * x + offset - y) for x, y in points]
    return 2 * sum(x * error for x, error in errors) / len(errors), 2 * sum(error for _, error in errors) / len(errors)


def shard(number: int, size: int = 500) -> List[Point]:
    """Points near the true line; the same ones every time."""
    source = random.Random(number)
    found = []
    for _ in range(size):
        x = source.uniform(-1, 1)
        found.append((x, TRUE[0] * x + TRUE[1] + source.gauss(0, 0.1)))
    return found


def main(shards: int, steps: int) -> None:
    with Runner("parameter-server") as runner:
        server = runner.service(Parameters(), stateful=True)
        worker = runner.service(gradient)
        # The points are put once. Workers read them by reference, and keep what they have read.
        data = [runner.put_object(shard(number)) for number in range(shards)]
        parameters = (0.0, 0.0)
        for _ in range(steps):
            # Futures in a list: the gradients go to the server without coming here.
            parameters = server.apply([worker(points, parameters) for points in data])
        slope, offset, taken = server.get().get()
    print(f"y = {slope:.2f} x {offset:+.2f} after {taken} steps of {shards} workers")


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    main(given[0] if given else 8, given[1] if len(given) > 1 else 25)
