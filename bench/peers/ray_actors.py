"""Ray's actors: two processes with a method each, called in turn. Nothing schedules a call; the caller chose its actor."""

import protocol
from ray_peer import PROCESSORS, RayPeer, ray


@ray.remote
class Echo:
    def echo(self, given):
        return given


class Actors(RayPeer):
    def __init__(self, folder):
        super().__init__(folder)
        self.actors = [Echo.remote() for _ in range(PROCESSORS)]

    def run_all(self, inputs):
        actors = self.actors
        return ray.get([actors[at % len(actors)].echo.remote(given) for at, given in enumerate(inputs)])

    def run_one(self, given):
        return ray.get(self.actors[0].echo.remote(given))


if __name__ == "__main__":
    protocol.serve(f"Ray {ray.__version__}", Actors)
