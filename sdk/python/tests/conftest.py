import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import flamepy
from fake import FakeCluster
from flamepy.core.cache.local import LocalCache


@pytest.fixture(autouse=True)
def _nothing_of_this_machine(monkeypatch, tmp_path):
    """No configuration of whoever runs the tests."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("flamepy.core.cache.objects.local", LocalCache(256 << 20))
    for name in ["ENDPOINT", "FRAMES_ENDPOINT", "CACHE_ENDPOINT", "CACHE_STORAGE", "CA_FILE", "CERT_FILE", "KEY_FILE"]:
        monkeypatch.delenv(f"FLAME_{name}", raising=False)


@pytest.fixture
def cluster():
    made = FakeCluster()
    yield made
    made.stop()


@pytest.fixture
def three():
    made = FakeCluster(3)
    yield made
    made.stop()


@pytest.fixture
def connection(cluster):
    with flamepy.connect(cluster.endpoints) as made:
        yield made


@pytest.fixture
def session(connection):
    return connection.create_session(flamepy.SessionAttributes("app"))


@pytest.fixture
def cache(monkeypatch):
    from fake_cache import FakeCache

    made = FakeCache()
    monkeypatch.setenv("FLAME_CACHE_ENDPOINT", made.endpoint)
    yield made
    made.stop()


@pytest.fixture
def world(cluster, cache, monkeypatch, tmp_path):
    """A cluster with workers, and a project of its own as the current directory."""
    from runner_world import Workers

    made = Workers(cluster)
    monkeypatch.setenv("FLAME_ENDPOINT", cluster.endpoints[0])
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    yield made
    made.stop()
    present = flamepy.core.ConnectionInstance.present()
    if present is not None:
        present.close()
