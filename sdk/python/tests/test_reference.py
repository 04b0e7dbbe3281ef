"""Every code block of the published SDK reference and of the published guide of Runner, as written there."""

import inspect
import tarfile

import pytest

import flamepy


@pytest.fixture(autouse=True)
def _world(world):
    """With workers and an object cache."""
    world.state.applications["flmping"] = world.state.applications["app"]


def test_configuration(tmp_path, monkeypatch):
    monkeypatch.delenv("FLAME_ENDPOINT")
    monkeypatch.delenv("FLAME_CACHE_ENDPOINT")
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


def test_names_of_the_object_cache(cache):
    import flamepy
    import flamepy.cache
    import flamepy.core

    for name in ["ObjectRef", "put_object", "get_object", "update_object"]:
        assert getattr(flamepy, name) is getattr(flamepy.core, name) is getattr(flamepy.cache, name)
    for name in ["ObjectKey", "WILDCARD_SESSION", "patch_object", "upload_object", "download_object"]:
        assert hasattr(flamepy.core, name)
    # "Without a custom deserializer, get_object() returns only the base object"
    ref = flamepy.put_object("app/session", "base")
    flamepy.core.patch_object(ref, "delta")
    assert flamepy.get_object(ref) == "base"
    assert flamepy.get_object(ref, lambda base, deltas: (base, deltas)) == ("base", ["delta"])
    flamepy.cache.delete_objects("app/session")
    assert cache.keys() == []


def test_runner_of_the_reference(capsys):
    from flamepy.runner import Runner

    def add(a, b):
        return a + b

    with Runner("add-app") as runner:
        svc = runner.service(add)
        print(svc(1, 2).get())
    assert capsys.readouterr().out == "3\n"


# ── the guide ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_guide_template():
    import flamepy

    flmrun = flamepy.get_application("flmrun")
    if flmrun is None:
        raise RuntimeError("flmrun application is not registered")


def test_guide_configuration(cache, tmp_path, monkeypatch):
    """With the addresses of this test."""
    endpoint = flamepy.core.FlameContext().endpoint
    monkeypatch.delenv("FLAME_ENDPOINT")
    monkeypatch.delenv("FLAME_CACHE_ENDPOINT")
    (tmp_path / ".flame").mkdir()
    text = """---
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
        - "*.tmp"
    runner:
      template: "flmrun"
"""
    text = text.replace("http://127.0.0.1:8080", endpoint).replace("grpc://127.0.0.1:9090", cache.endpoint)
    (tmp_path / ".flame/flame.yaml").write_text(text)
    (tmp_path / "project/x.tmp").write_text("")
    from flamepy.runner import Runner

    with Runner("configured"), tarfile.open("dist/configured.tar.gz") as archive:
        assert archive.getnames() == ["pyproject.toml"]


def test_guide_function(capsys):
    from flamepy.runner import Runner

    def sum_fn(a: int, b: int) -> int:
        return a + b

    with Runner("sum-app") as runner:
        sum_service = runner.service(sum_fn)
        result = sum_service(1, 3)
        print(result.get())
    assert capsys.readouterr().out == "4\n"


def test_guide_instance(capsys):
    from flamepy.runner import Runner

    class Counter:
        def __init__(self, initial: int = 0):
            self._count = initial

        def add(self, value: int) -> int:
            self._count += value
            return self._count

        def get(self) -> int:
            return self._count

    with Runner("counter-app") as runner:
        counter = runner.service(Counter(10), stateful=True, warmup=1)
        counter.add(1).wait()
        counter.add(3).wait()
        print(counter.get().get())
    assert capsys.readouterr().out == "14\n"


def test_guide_futures(capsys):
    from flamepy.runner import Runner

    def double(value: int) -> int:
        return value * 2

    def add(a: int, b: int) -> int:
        return a + b

    with Runner("chain-app") as runner:
        double_service = runner.service(double)
        add_service = runner.service(add)

        first = double_service(21)
        total = add_service(first, 8)
        print(total.get())
    assert capsys.readouterr().out == "50\n"


def test_guide_resources():
    import flamepy
    from flamepy.runner import Runner

    with Runner("cpu-app") as runner:
        svc = runner.service(
            sum,
            resreq=flamepy.ResourceRequirement.from_string("cpu=1,mem=1g"),
        )
        assert svc([1, 2]).get() == 3


def test_resources_are_those_of_the_session(world):
    with flamepy.runner.Runner("cpu-app") as runner:
        svc = runner.service(sum, resreq=flamepy.ResourceRequirement.from_string("cpu=1,mem=1g"))
        spec = world.state.sessions[svc.session_id].spec
    assert (spec.resreq.cpu, spec.resreq.memory) == (1, 1 << 30)


def test_guide_methods():
    """Names and parameters that the guide lists."""
    from flamepy.runner import ObjectFuture, Runner, RunnerService

    def parameters(call):
        return [name for name in inspect.signature(call).parameters if name != "self"]

    assert parameters(Runner)[:2] == ["name", "fail_if_exists"]
    assert set(parameters(Runner.service)) == {"execution_object", "stateful", "autoscale", "warmup", "resreq"}
    assert parameters(Runner.service)[:4] == ["execution_object", "autoscale", "warmup", "resreq"], "as published"
    for name in ["get", "ref", "wait", "select"]:
        assert parameters(getattr(Runner, name))[0] == "futures"
    assert parameters(Runner.put_object) == ["obj"] and callable(Runner.close) and callable(RunnerService.close)
    assert all(callable(getattr(ObjectFuture, name)) for name in ["get", "ref", "wait"])
