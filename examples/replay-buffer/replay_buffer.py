"""Learns the way out of a corridor: many actors play, and what they have seen is one object that grows by patches.

A patch adds an episode without sending the others again, neither by who adds it nor to who has read them: the learner gets
only what is new to it.
"""

import random
import sys
from dataclasses import dataclass
from typing import Dict, List, Tuple

from flamepy.core import ObjectRef, get_object, patch_object, put_object, update_object
from flamepy.runner import Runner

CELLS = 8
STEPS_MAX = 60
KEPT = 64

# State, action (-1 or 1), reward, next state.
Transition = Tuple[int, int, float, int]
Values = Dict[Tuple[int, int], float]


@dataclass
class Episode:
    seed: int
    transitions: List[Transition]


@dataclass
class ReplayBuffer:
    """Episodes in the object cache: a list of those that are kept, and a patch for each that came after it."""

    ref: ObjectRef

    def add(self, episode: Episode) -> None:
        patch_object(self.ref, episode)

    def episodes(self) -> List[Episode]:
        return get_object(self.ref, lambda kept, added: sorted([*kept, *added], key=lambda one: one.seed))

    def trim(self) -> None:
        """Leaves the last ones. Nobody adds any meanwhile."""
        self.ref = update_object(self.ref, self.episodes()[-KEPT:])


def play(buffer: ReplayBuffer, values: Values, seed: int, curiosity: float) -> int:
    """Plays an episode and adds it to the buffer. Returns its length."""
    chance = random.Random(seed)
    transitions: List[Transition] = []
    cell = 0
    while cell < CELLS - 1 and len(transitions) < STEPS_MAX:
        best = max((-1, 1), key=lambda action: (values.get((cell, action), 0.0), chance.random()))
        action = chance.choice((-1, 1)) if chance.random() < curiosity else best
        after = min(max(cell + action, 0), CELLS - 1)
        transitions.append((cell, action, 1.0 if after == CELLS - 1 else -0.01, after))
        cell = after
    # A task may run twice, when its worker is lost: the same seed gives the same episode.
    buffer.add(Episode(seed, transitions))
    return len(transitions)


def learn(episodes: List[Episode], values: Values) -> None:
    for episode in {one.seed: one for one in episodes}.values():
        for cell, action, reward, after in reversed(episode.transitions):
            future = 0.0 if after == CELLS - 1 else max(values.get((after, one), 0.0) for one in (-1, 1))
            known = values.get((cell, action), 0.0)
            values[cell, action] = known + 0.5 * (reward + 0.95 * future - known)


def main(rounds: int, actors: int) -> None:
    values: Values = {}
    with Runner("replay-buffer") as runner:
        actor = runner.service(play)
        buffer = ReplayBuffer(put_object("replay-buffer/shared", []))
        for number in range(rounds):
            curiosity = 0.5 / (number + 1)
            seeds = range(number * actors, (number + 1) * actors)
            lengths = runner.get([actor(buffer, values, seed, curiosity) for seed in seeds])
            learn(buffer.episodes(), values)
            buffer.trim()
            print(f"round {number + 1}: {sum(lengths) / actors:.1f} steps")
        way = [max((-1, 1), key=lambda action: values.get((cell, action), 0.0)) for cell in range(CELLS - 1)]
        episodes = len(buffer.episodes())
    shown = "".join(">" if action == 1 else "<" for action in way)
    print(f"{shown} learned from {rounds * actors} episodes, {episodes} kept")


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    main(given[0] if given else 5, given[1] if len(given) > 1 else 20)
