"""Dask's distributed scheduler with two worker processes of one thread each, as `LocalCluster` makes them."""

import dask
import protocol
from distributed import Client, LocalCluster

WORKERS = 2


def echo(given):
    return given


class Tasks:
    def __init__(self, folder):
        dask.config.set({"temporary-directory": folder})
        self.cluster = LocalCluster(
            n_workers=WORKERS,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
        )
        self.client = Client(self.cluster)

    def run_all(self, inputs):
        # Not pure: otherwise equal calls would be one task.
        return self.client.gather(self.client.map(echo, inputs, pure=False))

    def run_one(self, given):
        return self.client.submit(echo, given, pure=False).result()

    def close(self):
        self.client.close()
        self.cluster.close()


if __name__ == "__main__":
    protocol.serve(f"Dask {dask.__version__}", Tasks)
