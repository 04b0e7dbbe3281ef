"""How every Ray here is started: two processors, loopback only, no dashboard, no usage statistics."""

import os

# Read by Ray's own processes, which inherit them.
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
# 15 without this: on a machine that does anything else, Ray's workers would starve, and the comparison with them.
os.environ["RAY_worker_niceness"] = "0"
# Off, Ray takes the loopback address for the machine's own, and all its servers listen there alone.
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"

import ray  # noqa: E402

PROCESSORS = 2


class RayPeer:
    """A Ray of its own, which ends with `close`."""

    object_store_bytes = 100 << 20

    def __init__(self, folder):
        ray.init(
            num_cpus=PROCESSORS,
            include_dashboard=False,
            object_store_memory=self.object_store_bytes,
            log_to_driver=False,
            logging_level="ERROR",
            _temp_dir=folder,
        )

    def close(self):
        ray.shutdown()
