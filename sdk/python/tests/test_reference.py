"""Every code block of the published SDK reference, as written there."""

import pytest

import flamepy


@pytest.fixture(autouse=True)
def _endpoint(cluster, monkeypatch):
    cluster.state.applications["flmping"] = cluster.state.applications["app"]
    monkeypatch.setenv("FLAME_ENDPOINT", cluster.endpoints[0])
    yield
    present = flamepy.core.ConnectionInstance.present()
    if present is not None:
        present.close()


def test_configuration(tmp_path, monkeypatch):
    monkeypatch.delenv("FLAME_ENDPOINT")
    (tmp_path / ".flame").mkdir()
    (tmp_path / ".flame/flame.yaml").write_text(
        """---
current-context: flame
contexts:
  - name: flame
    cluster:
      endpoint: "http://127.0.0.1:8080"
    cache:
      endpoint: "grpc://127.0.0.1:9090"
    package:
      excludes:
        - "*.log"
        - "*.pkl"
"""
    )
    context = flamepy.FlameContext()
    assert context.endpoint == "http://127.0.0.1:8080"
    assert context.cache_endpoint == "grpc://127.0.0.1:9090"
    assert context.package.excludes == ["*.log", "*.pkl"]


def test_client(cluster):
    import flamepy

    session = flamepy.create_session(
        "flmping",
        min_instances=1,
        resreq=flamepy.ResourceRequirement.from_string("cpu=1,mem=1g"),
    )
    output = session.invoke(b"hello")
    session.close()
    assert output == b"hello"
    spec = cluster.state.sessions[session.id].spec
    assert (spec.min_instances, spec.batch_size, spec.resreq.cpu, spec.resreq.memory) == (1, 1, 1, 1 << 30)


def test_service():
    import flamepy

    class Echo(flamepy.FlameService):
        def on_session_enter(self, context):
            self.session_id = context.session_id

        def on_task_invoke(self, context):
            return context.input

        def on_session_leave(self):
            pass

    assert Echo().on_task_invoke(flamepy.TaskContext(task_id="1", session_id="s", input=b"x")) == b"x"


def test_errors(capsys):
    import flamepy

    try:
        flamepy.connect("invalid://address")
    except flamepy.FlameError as exc:
        print(exc.code, exc.message)
    assert "invalid://address" in capsys.readouterr().out
