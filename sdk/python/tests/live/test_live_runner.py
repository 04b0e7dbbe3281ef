"""Runner on a real cluster, with the object cache of FLAME_TEST_CACHE_ENDPOINT: the acceptance command and the examples."""

from __future__ import annotations

import os
from typing import Iterator

import pytest
from live_cluster import ENDPOINT, connection, needs_cluster
from test_runner_examples import check_map_reduce, check_parameter_server, check_replay_buffer, run

import flamepy
from flamepy.runner import e2e

__all__ = ["connection"]

CACHE = os.environ.get("FLAME_TEST_CACHE_ENDPOINT", "")

pytestmark = [
    needs_cluster,
    pytest.mark.skipif(not CACHE, reason="FLAME_TEST_CACHE_ENDPOINT names no object cache"),
]


@pytest.fixture(autouse=True)
def _configured(connection: flamepy.Connection, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("FLAME_ENDPOINT", ENDPOINT)
    monkeypatch.setenv("FLAME_CACHE_ENDPOINT", CACHE)
    if connection.get_application("flmrun") is None:
        pytest.skip("the cluster has no flmrun")
    yield


def test_the_acceptance_command() -> None:
    result = e2e.run_runner_e2e(tasks=20)
    assert result.function_results == [number * number for number in range(20)]
    assert (result.chained_result, result.stateful_result) == (25, 13)


@pytest.mark.parametrize("check", [check_map_reduce, check_parameter_server, check_replay_buffer])
def test_examples(check) -> None:
    check(run)
