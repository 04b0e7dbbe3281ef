"""The published package as the client of our service side: its own acceptance command, and programs on its Runner.

FLAME_VENV is an environment with `flamepy` 0.6.0.
"""

from __future__ import annotations

import os
import subprocess
import textwrap
from pathlib import Path

import pytest

VENV = os.environ.get("FLAME_VENV", "")
PYTHON = Path(VENV) / "bin/python"

pytestmark = pytest.mark.skipif(not VENV, reason="FLAME_VENV names no environment with the published package")

LIMIT = 60


def run(words, folder):
    """What a program of the published package prints that ends well."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def program(code, folder):
    (folder / "program.py").write_text(textwrap.dedent(code))
    return run([str(PYTHON), "program.py"], folder).splitlines()


def test_its_acceptance_command(world, tmp_path):
    told = run([str(PYTHON.with_name("flamepy-runner-e2e")), "--tasks", "3"], tmp_path)
    assert "Flame Runner cluster e2e passed" in told and "function results: [0, 1, 4]" in told


def test_programs_on_its_runner(world, cache, tmp_path):
    """Functions, a class, an instance with its state, futures and references as arguments, failures."""
    lines = program(
        """
        from flamepy.runner import Runner, get_data
        from flamepy.core import FlameError

        class Counter:
            def __init__(self, count=0):
                self.count = count
            def add(self, value):
                self.count += value
                return self.count

        def fails():
            raise LookupError("no such thing")

        def same(*args, **more):
            return args, more

        with Runner("published") as runner:
            add = runner.service(lambda a, b: a + b)
            print(add(add(1, 2), 3).get())
            counter = runner.service(Counter(10))
            counter.add(1).wait()
            print(counter.add(2).get())
            print(runner.service(Counter).add(5).get())
            shared = runner.put_object([1, 2])
            print(runner.service(same)(shared, more=shared).get())
            future = add("x", "y")
            print(future.ref().key.split("/")[0], get_data(future.ref().encode())["result"])
            futures = [add(number, number) for number in range(20)]
            print(sum(runner.get(futures)), len(list(runner.select(futures))))
            try:
                runner.service(fails)().get()
            except FlameError as error:
                print(error.message.splitlines()[0])
        """,
        tmp_path,
    )
    assert lines == [
        "6",
        "13",
        "5",
        "(([1, 2],), {'more': [1, 2]})",
        "published xy",
        "380 20",
        "no such thing",
    ]
    assert cache.keys("published/") == [] and "published" not in world.state.applications


def test_the_state_of_its_instance_survives_the_executor(world, cache, tmp_path):
    (tmp_path / "go").write_text("")
    lines = program(
        """
        from flamepy.runner import Runner

        class Counter:
            count = 0
            def add(self, value):
                self.count += value
                return self.count

        with Runner("published") as runner:
            counter = runner.service(Counter())
            print(counter.add(1).get())
            print(counter.add(2).get())
        """,
        tmp_path,
    )
    assert lines == ["1", "3"]


def test_what_either_has_put_the_other_reads(cache, tmp_path):
    """Values of every format, both ways."""
    import numpy as np
    import pyarrow as pa

    import flamepy

    ours = [
        flamepy.put_object("app/s", {"a": [1]}),
        flamepy.put_object("app/s", np.arange(6, dtype="float32").reshape(2, 3)),
        flamepy.put_object("app/s", pa.table({"a": [1, 2], "b": ["x", None]})),
        flamepy.put_object("app/s", pa.array([1, 2])),
    ]
    flamepy.core.patch_object(ours[0], "patch")
    modules = Path(np.__file__).parents[1]
    lines = program(
        f"""
        import sys
        sys.path.append({str(modules)!r})  # numpy, which the published package does not bring
        import numpy as np, pyarrow as pa
        from flamepy.core import ObjectRef, get_object, put_object, patch_object
        refs = [ObjectRef.decode(bytes.fromhex(one)) for one in {[one.encode().hex() for one in ours]!r}]
        found = [get_object(ref) for ref in refs]
        assert get_object(refs[0], lambda base, deltas: (base, deltas)) == ({{"a": [1]}}, ["patch"])
        assert found[0] == {{"a": [1]}} and found[1].tolist() == [[0, 1, 2], [3, 4, 5]] and found[1].dtype == "float32"
        assert found[2].to_pydict() == {{"a": [1, 2], "b": ["x", None]}} and found[3].to_pylist() == [1, 2]
        for value in found:
            ref = put_object("app/t", value)
            print(ref.encode().hex())
        patch_object(ref, found[2])
        """,
        tmp_path,
    )
    theirs = [flamepy.ObjectRef.decode(bytes.fromhex(line)) for line in lines]
    found = [flamepy.get_object(ref) for ref in theirs]
    assert found[0] == {"a": [1]} and found[1].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found[2].to_pydict() == {"a": [1, 2], "b": ["x", None]} and found[3].to_pylist() == [1, 2]
    (patch,) = flamepy.get_object(theirs[3], lambda base, deltas: deltas)
    assert patch.equals(found[2])
