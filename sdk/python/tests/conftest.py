import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import flamepy
from fake import FakeCluster


@pytest.fixture(autouse=True)
def _nothing_of_this_machine(monkeypatch, tmp_path):
    """No configuration of whoever runs the tests."""
    monkeypatch.setenv("HOME", str(tmp_path))
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
