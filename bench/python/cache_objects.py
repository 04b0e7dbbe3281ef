"""Our object cache: `put_object` and `get_object` of one client. Usage: cache_objects.py ENDPOINT."""

import itertools
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "peers"))
os.environ["FLAME_CACHE_ENDPOINT"] = sys.argv[1]

import object_phases  # noqa: E402

import flamepy  # noqa: E402
from flamepy import cache  # noqa: E402


class Objects:
    def __init__(self):
        self.sessions = map("bench/s{}".format, itertools.count())
        self.session = next(self.sessions)

    def put(self, value):
        return cache.put_object(self.session, value)

    def get(self, ref):
        return cache.get_object(ref)

    def drop(self, refs):
        refs.clear()
        cache.delete_objects(self.session)
        self.session = next(self.sessions)

    def close(self):
        cache.delete_objects("bench/*")


if __name__ == "__main__":
    object_phases.serve(f"flamepy {flamepy.__version__}", Objects)
