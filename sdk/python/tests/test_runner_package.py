"""Runner's package: what is in it, where it goes, and the application that is registered with it."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import logging
import os
import sys
import tarfile
import threading
from pathlib import Path

import pytest
from fake_cache import FakeCache

import flamepy
from flamepy import FlameError, FlameErrorCode
from flamepy.runner import Runner, e2e, package, storage

LIMIT = 20.0


def write(folder, **files):
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def names(made):
    with tarfile.open(made.path) as archive:
        return archive.getnames()


def content(made, name):
    with tarfile.open(made.path) as archive:
        return archive.extractfile(name).read().decode()


@pytest.fixture
def project(tmp_path, monkeypatch):
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "main.py").write_text("print(1)\n")
    (folder / "lib").mkdir()
    (folder / "lib/__init__.py").write_text("")
    return folder


# ── what is in it ───────────────────────────────────────────────────────────────────────────────────────────────────

EXCLUDED = [
    ".venv/x",
    "venv/x",
    "lib/__pycache__/x.pyc",
    ".pytest_cache/x",
    ".ruff_cache/x",
    ".mypy_cache/x",
    "thing.egg-info/x",
    ".git/config",
    ".tox/x",
    "lib/node_modules/x",
    "a.pyc",
    "lib/b.pyo",
    ".DS_Store",
    "dist/old.tar.gz",
]


def test_the_project_is_packed_without_what_is_no_code(project):
    for path in EXCLUDED:
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_text("x")
    (project / "lib/dist").mkdir()
    (project / "lib/dist/kept.py").write_text("")
    made = package.build(project, "my-app")
    assert made.path == project / "dist/my-app.tar.gz"
    assert names(made) == ["lib", "lib/__init__.py", "lib/dist", "lib/dist/kept.py", "main.py", "pyproject.toml"]
    assert made.sha256 == hashlib.sha256(made.path.read_bytes()).hexdigest()
    assert made.filename == f"my-app-{made.sha256[:16]}.tar.gz"
    assert sorted(one.name for one in (project / "dist").iterdir()) == ["my-app.tar.gz", "old.tar.gz"]


def test_more_is_excluded_on_request(project):
    for path in ["a.log", "lib/b.log", "data/x", "lib/data/y", "models", "docs/api/z", "keep.txt"]:
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_text("x")
    made = package.build(project, "my-app", ["*.log", "data/", "models/", "docs/api"])
    assert names(made) == ["docs", "keep.txt", "lib", "lib/__init__.py", "main.py", "models", "pyproject.toml"], (
        "what ends with a slash means folders"
    )


def test_the_same_files_give_the_same_bytes(project):
    first = package.build(project, "my-app").sha256
    for path in project.rglob("*"):
        os.utime(path, (1, 1))
    assert package.build(project, "my-app").sha256 == first
    (project / "main.py").write_text("print(2)\n")
    assert package.build(project, "my-app").sha256 != first


def test_links(project, tmp_path, caplog):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/data.txt").write_text("data")
    (project / "file.txt").symlink_to(tmp_path / "elsewhere/data.txt")
    (project / "folder").symlink_to(tmp_path / "elsewhere")
    (project / "nowhere").symlink_to(tmp_path / "absent")
    with caplog.at_level(logging.WARNING):
        made = package.build(project, "my-app")
    assert content(made, "file.txt") == "data" and "folder" not in names(made) and "nowhere" not in names(made)
    assert "folder is a link to a folder" in caplog.text and "leads nowhere" in caplog.text


def test_modes(project):
    (project / "run.sh").write_text("#!/bin/sh\n")
    (project / "run.sh").chmod(0o700)
    with tarfile.open(package.build(project, "my-app").path) as archive:
        modes = {one.name: one.mode for one in archive.getmembers()}
        assert all((one.uid, one.gid, one.uname, one.mtime) == (0, 0, "", 315_532_800) for one in archive.getmembers())
    assert (modes["run.sh"], modes["main.py"], modes["lib"]) == (0o755, 0o644, 0o755)


def test_a_folder_without_a_project_gets_one(project):
    tomllib = pytest.importorskip("tomllib", reason="Python 3.11 reads TOML")
    made = package.build(project, "-my.app_", dependencies=["numpy>=2", 'weird"\\'])
    found = tomllib.loads(content(made, "pyproject.toml"))
    assert found["project"] == {
        "name": "my.app",
        "version": "0.1.0",
        "requires-python": ">=3.9",
        "dependencies": ["numpy>=2", 'weird"\\'],
    }
    assert found["build-system"]["build-backend"] == "setuptools.build_meta"
    assert found["tool"]["setuptools"]["py-modules"] == []
    with pytest.raises(FlameError, match="must be a list"):
        package.build(project, "my-app", dependencies="numpy")
    with pytest.raises(FlameError, match="of one line"):
        package.build(project, "my-app", dependencies=["a\nb"])


@pytest.mark.parametrize("file", package.PROJECT_FILES)
def test_a_project_stays_as_it_is(project, file):
    (project / file).write_text("# mine\n")
    made = package.build(project, "my-app")
    assert content(made, file) == "# mine\n" and names(made).count("pyproject.toml") == (file == "pyproject.toml")
    with pytest.warns(UserWarning, match="have no effect"):
        package.build(project, "my-app", dependencies=["numpy"])


def test_what_cannot_be_packed_says_so(project):
    (project / "dist").write_text("a file in the place of the folder")
    with pytest.raises(FlameError, match="Failed to package") as error:
        package.build(project, "my-app")
    assert "package.excludes" in error.value.remedy


def test_whose_package_an_url_is():
    for url in [
        "grpc://h:1/a/pkg/a-0123456789abcdef.tar.gz",
        "file:///x/a.tar.gz",
        "http://h/a-0123456789abcdef.tar.gz#sha256=1",
    ]:
        assert package.is_package_of("a", url), url
    for url in [
        None,
        "",
        "file:///x/b.tar.gz",
        "http://h/a-b.tar.gz",
        "http://h/ab-0123456789abcdef.tar.gz",
        "/a.tar.gz/x",
    ]:
        assert not package.is_package_of("a", url), url


# ── where it goes ───────────────────────────────────────────────────────────────────────────────────────────────────


class Server(http.server.ThreadingHTTPServer):
    """Takes PUT, GET and DELETE, unless it is told to answer something else."""

    def __init__(self):
        self.files, self.calls, self.answers = {}, [], None
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(http.server.BaseHTTPRequestHandler):
    def _answer(self, status, body=b""):
        self.server.calls.append((self.command, self.path))
        self.send_response(self.server.answers or status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self):
        self.server.files[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(201)

    def do_GET(self):
        found = self.server.files.get(self.path)
        self._answer(200 if found is not None else 404, found or b"")

    def do_DELETE(self):
        self._answer(204 if self.server.files.pop(self.path, None) is not None else 404)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def web():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server, f"http://127.0.0.1:{server.server_address[1]}/packages"
        finally:
            server.shutdown()
            thread.join()


def test_a_shared_folder(project, tmp_path):
    made = package.build(project, "my-app")
    (tmp_path / "shared dir").mkdir()
    place = storage.create_storage_backend(f"file://{tmp_path}/shared dir")
    url = place.upload(str(made.path), made.filename)
    assert url == f"file://{tmp_path}/shared dir/{made.filename}", "the path as it is: that is how workers read it"
    target = tmp_path / "shared dir" / made.filename
    target.write_bytes(b"half of it")
    place.upload(str(made.path), made.filename)
    assert target.read_bytes() == made.path.read_bytes(), "a damaged one is put anew"
    place.download(made.filename, str(tmp_path / "copy"))
    assert (tmp_path / "copy").read_bytes() == made.path.read_bytes()
    place.delete(made.filename)
    place.delete(made.filename)
    assert list((tmp_path / "shared dir").iterdir()) == []
    with pytest.raises(FlameError, match="Failed to download package"):
        place.download(made.filename, str(tmp_path / "copy"))


def test_a_web_server(project, tmp_path):
    made = package.build(project, "my-app")
    with web() as (server, base):
        place = storage.create_storage_backend(base)
        url = place.upload(str(made.path), made.filename)
        assert url == f"{base}/{made.filename}" and server.files[f"/packages/{made.filename}"] == made.path.read_bytes()
        place.download(made.filename, str(tmp_path / "copy"))
        assert (tmp_path / "copy").read_bytes() == made.path.read_bytes()
        place.delete(made.filename)
        place.delete(made.filename)
        assert server.files == {}
        for status in [500, 404, 202]:
            server.answers = status
            with pytest.raises(FlameError, match="Failed to upload package") as error:
                place.upload(str(made.path), made.filename)
            assert str(status) in error.value.message and error.value.code == FlameErrorCode.UNAVAILABLE
        server.answers = 500
        with pytest.raises(FlameError, match="Failed to delete package"):
            place.delete(made.filename)
    with pytest.raises(FlameError, match="Failed to upload package") as error:
        place.upload(str(made.path), made.filename)
    assert "reachable from here and from the workers" in error.value.remedy


def test_the_object_cache(project, tmp_path, cache):
    made = package.build(project, "my-app")
    for base in [None, cache.endpoint]:
        place = storage.create_storage_backend(base, "my-app")
        url = place.upload(str(made.path), made.filename)
        key = f"my-app/pkg/{made.filename}"
        assert url == f"{cache.endpoint}/{key}" and cache.objects[key].base == made.path.read_bytes()
        place.download(made.filename, str(tmp_path / "copy"))
        assert (tmp_path / "copy").read_bytes() == made.path.read_bytes()
        place.delete(made.filename)
        assert cache.keys() == []
    assert storage._url_of(flamepy.ObjectRef("grpc+tls://h:1", "a/pkg/x")) == "grpcs://h:1/a/pkg/x"


def test_storages_that_are_none(tmp_path):
    with pytest.raises(FlameError, match="Unsupported storage scheme: ftp") as error:
        storage.create_storage_backend("ftp://h/x", "a")
    assert error.value.code == FlameErrorCode.INVALID_CONFIG
    with pytest.raises(FlameError, match=r"Unsupported storage scheme: \."):
        storage.create_storage_backend("/tmp", "a")
    for host in ["file://host/x", "file://packages"]:
        with pytest.raises(FlameError, match="names the host"):
            storage.create_storage_backend(host, "a")
    with pytest.raises(FlameError, match="has a '#' in its name"):
        storage.create_storage_backend(f"file://{tmp_path}/c#", "a")


# ── starting ────────────────────────────────────────────────────────────────────────────────────────────────────────


def configure(tmp_path, **sections):
    (tmp_path / ".flame").mkdir(exist_ok=True)
    more = "".join(f"  {name}: {text}\n" for name, text in sections.items())
    (tmp_path / ".flame/flame.yaml").write_text(f"current-context: a\ncontexts:\n- name: a\n{more}")


def key_of(url):
    """The key of the object that this URL of a package names."""
    return url.partition("#")[0].partition("://")[2].partition("/")[2]


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def test_the_application_is_as_the_template_but_for_its_code(world, cache, tmp_path):
    template = world.state.applications["flmrun"]
    template.working_directory, template.image = "/opt/work/", "image"
    template.environments.add(name="A", value="1")
    with Runner("my-app", python_version="python3.12", dependencies=["numpy"]):
        made = flamepy.get_application("my-app")
        assert (made.command, made.arguments) == ("${FLAME_HOME}/bin/uv", list(template.arguments))
        assert (made.installer, made.image, made.labels, made.max_instances) == ("python", "image", ["runner"], 7)
        assert made.working_directory == "/opt/work/my-app" and made.shim == flamepy.Shim.HOST
        assert made.environments == {"A": "1", "FLAME_PYTHON_VERSION": "3.12"}
        digest = sha256(cache.objects[key_of(made.url)].base)
        assert made.url == f"{cache.endpoint}/my-app/pkg/my-app-{digest[:16]}.tar.gz#sha256={digest}"
    template.working_directory = ""
    template.ClearField("working_directory")
    with Runner("my-app"):
        assert flamepy.get_application("my-app").working_directory is None


def test_an_application_that_is_there(world, cache, tmp_path):
    with Runner("my-app") as first:
        url = flamepy.get_application("my-app").url
        with pytest.raises(FlameError) as error:
            Runner("my-app", fail_if_exists=True)
        assert error.value.code == FlameErrorCode.ALREADY_EXISTS
        with Runner("my-app") as second:
            assert second.service(len)([1, 2]).get(LIMIT) == 2
        assert flamepy.get_application("my-app").url == url and key_of(url) in cache.objects
        assert first.service(len)([1]).get(LIMIT) == 1
    assert "my-app" not in world.state.applications and cache.keys("my-app/") == []


def test_code_that_has_changed_is_never_served_from_before(world, cache, tmp_path):
    Runner("my-app")  # of a program that ended without closing it
    before = flamepy.get_application("my-app").url
    (tmp_path / "project/new.py").write_text("x = 1\n")
    with Runner("my-app"):
        after = flamepy.get_application("my-app").url
        assert after != before and key_of(after) in cache.objects
    assert flamepy.get_application("my-app").url == after, "it stays as it is"
    assert key_of(after) in cache.objects, "and so does its package"
    with Runner("my-app", python_version="3.12"):
        made = flamepy.get_application("my-app")
        assert made.url == after and made.environments == {"FLAME_PYTHON_VERSION": "3.12"}


def test_an_url_without_a_checksum_gets_one(world, cache, tmp_path):
    """The same code, registered by somebody who wrote no checksum: nothing is sent again."""
    Runner("my-app")
    url = flamepy.get_application("my-app").url
    world.state.applications["my-app"].url = url.partition("#")[0]
    before = cache.count("put")
    with Runner("my-app"):
        assert flamepy.get_application("my-app").url == url and cache.count("put") == before


def test_an_application_in_use_is_not_given_other_code(world, tmp_path, monkeypatch):
    Runner("my-app")
    (tmp_path / "project/new.py").write_text("x = 1\n")

    def refused(*_):
        raise FlameError(FlameErrorCode.INVALID_STATE, "application my-app has 1 open sessions")

    monkeypatch.setattr("flamepy.core.client.update_application", refused)
    with pytest.raises(FlameError, match="is there with other code") as error:
        Runner("my-app")
    assert error.value.code == FlameErrorCode.INVALID_STATE and "another name" in error.value.remedy
    assert not (tmp_path / "project/dist").exists()


def test_an_application_of_another_kind_is_used_as_it_is(world, cache, tmp_path):
    world.state.applications["other"] = world.state.applications["flmrun"]
    with Runner("other") as runner:
        assert runner.service(len)([1]).get(LIMIT) == 1
        assert not (tmp_path / "project/dist").exists() and cache.keys("other/pkg") == []
    assert "other" in world.state.applications and flamepy.get_application("other").url is None


def test_exclusions_of_the_configuration(world, cluster, cache, tmp_path):
    """Without a storage, too."""
    for name in ["a.log", "b.pkl", "c.py"]:
        (tmp_path / "project" / name).write_text("x")
    configure(tmp_path, package="{excludes: ['*.log', '*.pkl']}")
    with Runner("my-app"):
        with tarfile.open(tmp_path / "project/dist/my-app.tar.gz") as archive:
            assert archive.getnames() == ["c.py", "pyproject.toml"]


def test_every_storage(world, cache, tmp_path):
    (tmp_path / "shared").mkdir()
    with web() as (server, base):
        for given, files in [
            (f"file://{tmp_path}/shared", lambda: os.listdir(tmp_path / "shared")),
            (base, lambda: list(server.files)),
        ]:
            configure(tmp_path, package=f"{{storage: '{given}'}}")
            with Runner("my-app") as runner:
                assert runner.service(len)([1]).get(LIMIT) == 1
                url = flamepy.get_application("my-app").url
                assert url.startswith(f"{given}/my-app-") and len(files()) == 1
            assert files() == [] and cache.keys("my-app/pkg") == []
    other = FakeCache()
    try:
        configure(tmp_path, package=f"{{storage: '{other.endpoint}'}}")
        with Runner("my-app"):
            assert len(other.keys("my-app/pkg/")) == 1 and cache.keys("my-app/pkg") == []
        assert other.keys() == []
    finally:
        other.stop()


# ── what the guide's page on trouble promises ───────────────────────────────────────────────────────────────────────


def test_no_template(world, tmp_path):
    del world.state.applications["flmrun"]
    with pytest.raises(FlameError, match="Failed to get application template 'flmrun'") as error:
        Runner("my-app")
    assert error.value.code == FlameErrorCode.NOT_FOUND and "flmctl list -a" in error.value.remedy
    configure(tmp_path, runner="{template: mine}")
    with pytest.raises(FlameError, match="Failed to get application template 'mine'"):
        Runner("my-app")
    world.state.applications["mine"] = world.state.applications["app"]
    with Runner("my-app"):
        assert flamepy.get_application("my-app").command == "/bin/true"


def test_no_cluster(world, cluster, monkeypatch):
    monkeypatch.setattr("flamepy.core.client.Options", lambda: flamepy.core.Options(connect_timeout=0.2))
    gone = cluster.endpoints[0]
    cluster.stop()
    monkeypatch.setenv("FLAME_ENDPOINT", gone)
    with pytest.raises(FlameError, match="Failed to get application template 'flmrun'") as error:
        Runner("my-app")
    assert "coordinators" in error.value.remedy


def test_no_storage_configured(world, monkeypatch, tmp_path):
    monkeypatch.setattr("flamepy.core.cache.calls._REACH_SECONDS", 0.1)
    gone = FakeCache()
    gone.stop()
    # In the place of the documented default, where a cache of this machine may be.
    monkeypatch.setattr("flamepy.core.context.DEFAULT_FLAME_CACHE_ENDPOINT", gone.endpoint)
    monkeypatch.delenv("FLAME_CACHE_ENDPOINT")
    with pytest.raises(FlameError, match="Storage not configured") as error:
        Runner("my-app")
    assert error.value.code == FlameErrorCode.INVALID_CONFIG and "cache.endpoint" in error.value.remedy
    assert "my-app" not in world.state.applications and not (tmp_path / "project/dist").exists()
    monkeypatch.setenv("FLAME_CACHE_ENDPOINT", gone.endpoint)
    with pytest.raises(FlameError, match=r"Failed to upload package my-app-.*no object cache serves"):
        Runner("my-app")


def test_no_such_folder(world, tmp_path):
    configure(tmp_path, package=f"{{storage: 'file://{tmp_path}/absent'}}")
    with pytest.raises(FlameError, match=f"Storage directory does not exist: {tmp_path}/absent") as error:
        Runner("my-app")
    assert error.value.code == FlameErrorCode.INVALID_CONFIG and "create the directory" in error.value.remedy


def test_modules_that_the_executor_has_not(world, tmp_path, monkeypatch):
    """Here the executor is in this process: what it has not is taken away between the call and its run."""
    (tmp_path / "project/of_the_client.py").write_text("class Thing:\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path / "project"))
    import of_the_client

    with Runner("my-app") as runner:
        service = runner.service(len)
        world.paused.clear()
        future = service(of_the_client.Thing())
        future._future.accepted(LIMIT)
        monkeypatch.delitem(sys.modules, "of_the_client")
        (tmp_path / "project/of_the_client.py").unlink()
        world.paused.set()
        with pytest.raises(FlameError, match="cannot be unpickled: No module named 'of_the_client'") as error:
            future.get(LIMIT)
        assert "importable from the packaged project" in str(error.value)


@pytest.mark.parametrize("bad", ["", "-x", ".x", "a/b", "a b", "a..b", "x" * 254, None])
def test_bad_names(bad):
    with pytest.raises(ValueError, match="invalid application name"):
        Runner(bad)
    with pytest.raises(ValueError, match="python_version"):
        Runner("my-app", python_version="three")


# ── the acceptance command ──────────────────────────────────────────────────────────────────────────────────────────


def test_the_acceptance_command(world, cache, tmp_path, capsys):
    assert e2e.main(["--tasks", "3", "--name", "accept"]) == 0
    told = capsys.readouterr().out
    assert "Flame Runner cluster e2e passed" in told and "app: accept" in told
    assert "function results: [0, 1, 4]" in told and "ObjectFuture chained result: 25" in told
    assert "stateful instance result: 13" in told
    assert "accept" not in world.state.applications and Path.cwd() == tmp_path / "project"
    assert e2e.main(["--json", "--workdir", str(tmp_path / "elsewhere")]) == 0
    assert '"stateful_result": 13' in capsys.readouterr().out and (tmp_path / "elsewhere").is_dir()
    del world.state.applications["flmrun"]
    assert e2e.main([]) == 1
    assert "Failed to get application template" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        e2e.main(["--tasks", "0"])
