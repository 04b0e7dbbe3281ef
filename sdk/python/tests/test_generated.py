"""The checked-in protocol modules are what the script makes."""

import filecmp
import importlib.util
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts/generate.py"


def test_the_protocol_modules_are_what_the_script_makes(tmp_path):
    spec = importlib.util.spec_from_file_location("generate", SCRIPT)
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    try:
        found = metadata.version("grpcio-tools")
    except metadata.PackageNotFoundError:
        found = None
    if found != generate.COMPILER:
        pytest.skip(f"grpcio-tools {generate.COMPILER} is not installed")
    subprocess.run([sys.executable, SCRIPT, tmp_path], check=True)
    made = sorted(one.relative_to(tmp_path) for one in tmp_path.rglob("*.py*") if one.parent != tmp_path)
    assert len(made) == 2 * len(generate.FILES) + 2
    for one in made:
        assert filecmp.cmp(tmp_path / one, generate.WIRE / one, shallow=False), f"{one}: run scripts/generate.py"
