"""Ray's tasks: a stateless remote function on two worker processes."""

import protocol
from ray_peer import RayPeer, ray


@ray.remote
def echo(given):
    return given


class Tasks(RayPeer):
    def run_all(self, inputs):
        return ray.get([echo.remote(given) for given in inputs])

    def run_one(self, given):
        return ray.get(echo.remote(given))


if __name__ == "__main__":
    protocol.serve(f"Ray {ray.__version__}", Tasks)
