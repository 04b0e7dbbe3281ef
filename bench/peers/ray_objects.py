"""Ray's object store: `ray.put` and `ray.get` of one driver."""

import sys

import object_phases
from ray_peer import RayPeer, ray


class Objects(RayPeer):
    # As much as our cache shares.
    object_store_bytes = 1 << 30

    def put(self, value):
        return ray.put(value)

    def get(self, ref):
        return ray.get(ref)

    def drop(self, refs):
        refs.clear()


if __name__ == "__main__":
    object_phases.serve(f"Ray {ray.__version__}", lambda: Objects(sys.argv[3]))
