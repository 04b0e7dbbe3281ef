#!/usr/bin/env python3
"""Writes the protobuf modules of `flamepy._wire` from the .proto files of this repository.

Needs the pinned grpcio-tools of the `dev` extra. `generate.py FOLDER` writes somewhere else; a test compares that with
what is checked in.
"""

import re
import sys
import tempfile
from importlib import metadata
from pathlib import Path

COMPILER = "1.66.2"

# Under proto/flame; where each one goes below flamepy/_wire. Only what clients and services speak.
FILES = [
    "v1/types.proto",
    "v1/frontend.proto",
    "v1/shim.proto",
    "ha/v1/session.proto",
    "ha/v1/cluster.proto",
    "ha/v1/service.proto",
    "ha/v1/objects.proto",
    "ha/v1/worker.proto",
    "ha/v1/cache.proto",
]

REPOSITORY = Path(__file__).resolve().parents[3]
WIRE = Path(__file__).resolve().parents[1] / "src/flamepy/_wire"

# `from flame.v1 import types_pb2`: the package lives below flamepy, so that it disturbs nobody.
IMPORT = re.compile(r"^from flame\.(ha\.)?v1 import", re.MULTILINE)

SELF = re.compile(r"(def __init__\(self,.*?)(?<=, )self: [^=]*= \.\.\., ")


def generate(target: Path) -> None:
    found = metadata.version("grpcio-tools")
    if found != COMPILER:
        sys.exit(f"grpcio-tools {COMPILER} is needed, found {found}")
    from grpc_tools import protoc

    with tempfile.TemporaryDirectory() as folder:
        arguments = [
            "protoc",
            f"--proto_path={REPOSITORY / 'proto'}",
            f"--python_out={folder}",
            f"--pyi_out={folder}",
            *(f"flame/{name}" for name in FILES),
        ]
        if protoc.main(arguments) != 0:
            sys.exit("the compiler refused")
        for name in FILES:
            made = Path(folder) / "flame" / name
            place = target / ("ha" if name.startswith("ha/") else "v1")
            place.mkdir(parents=True, exist_ok=True)
            (place / "__init__.py").write_text('"""Written by scripts/generate.py."""\n')
            for suffix in ["_pb2.py", "_pb2.pyi"]:
                text = made.with_name(made.stem + suffix).read_text()
                text = IMPORT.sub(lambda m: f"from flamepy._wire.{'ha' if m[1] else 'v1'} import", text)
                # A field named self is in no constructor that can be called.
                text = SELF.sub(r"\1", text)
                (place / (made.stem + suffix)).write_text(text)


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else WIRE)
