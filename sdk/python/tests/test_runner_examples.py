"""The examples of Runner, run as their pages say, on the cluster of `runner_world`. `live` runs them on a real one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import flamepy

EXAMPLES = Path(__file__).parents[3] / "examples"
SOURCE = Path(flamepy.__file__).parents[1]


def run(name, *words):
    """What an example prints."""
    folder = EXAMPLES / name
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONDONTWRITEBYTECODE": "1"}
    program = name.replace("-", "_") + ".py"
    done = subprocess.run(
        [sys.executable, program, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (folder / "dist").exists(), "it has tidied up"
    return done.stdout.splitlines()


def check_map_reduce(run):
    lines = run("map-reduce", "40", "100")
    assert re.fullmatch(r"object: \d+", lines[0]) and lines[-1] == "4000 words, counted by 44 calls"
    assert run("map-reduce", "40", "100") == lines, "the text is the same every time"


def check_parameter_server(run):
    (line,) = run("parameter-server", "4", "25")
    match = re.fullmatch(r"y = (\S+) x (\S+) after 25 steps of 4 workers", line)
    assert match is not None and abs(float(match[1]) - 3) < 0.1 and abs(float(match[2]) + 2) < 0.1, line


def check_replay_buffer(run):
    lines = run("replay-buffer", "4", "20")
    steps = [float(re.fullmatch(r"round \d: (\S+) steps", line)[1]) for line in lines[:-1]]
    assert len(steps) == 4 and steps[-1] < steps[0] and lines[-1] == ">>>>>>> learned from 80 episodes, 64 kept"


def test_map_reduce(world):
    check_map_reduce(run)


def test_parameter_server(world, cache):
    check_parameter_server(run)
    assert cache.keys() == []


def test_replay_buffer(world, cache):
    check_replay_buffer(run)
    assert cache.keys() == [] and cache.count("patch") == 80


def test_their_pages_say_how_they_are_run():
    for name in ["map-reduce", "parameter-server", "replay-buffer"]:
        page = (EXAMPLES / name / "README.md").read_text()
        assert f"cd examples/{name}\npython3 {name.replace('-', '_')}.py" in page
        assert f"({name}/README.md)" in (EXAMPLES / "README.md").read_text()
