"""The current project as an archive: `dist/<name>.tar.gz`.

**Invariant:** the same files give the same bytes, whenever and wherever they are packed; so the hash of the archive names
the code, and code that has changed has another name.
"""

from __future__ import annotations

import fnmatch
import gzip
import hashlib
import io
import logging
import os
import re
import stat
import tarfile
import uuid
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, Optional, Sequence, Tuple

from ..core.errors import FlameError, FlameErrorCode

logger = logging.getLogger("flamepy.runner")

DEFAULT_EXCLUDES = [
    ".venv",
    "venv",
    "__pycache__",
    ".pytest_cache",
    ".ruff_cache",
    ".mypy_cache",
    "*.egg-info",
    ".git",
    ".tox",
    "node_modules",
    "*.pyc",
    "*.pyo",
    ".DS_Store",
]
"""What is no code of the project. `package.excludes` of the configuration comes on top."""

FOLDER = "dist"
"""Where the archive goes, and what never goes into it."""

PROJECT_FILES = ("pyproject.toml", "setup.py", "setup.cfg")

# In names of uploaded packages: so many digits of the hash.
DIGITS = 16

# Of every file in the archive: the earliest that tools which make wheels of it can write.
_TIME = 315_532_800

_COPY_BYTES = 1 << 20


@dataclass(frozen=True)
class Package:
    """An archive that was made."""

    path: Path
    sha256: str
    filename: str
    """What it is called where it is uploaded: other content has another name."""

    def checked(self, url: str) -> str:
        """The URL for workers, which install nothing but this content, and need not ask for what they have installed."""
        return f"{url}#sha256={self.sha256}"

    def remove(self) -> None:
        """Takes the archive away, and its folder if nothing else is in it."""
        self.path.unlink(missing_ok=True)
        try:
            self.path.parent.rmdir()
        except OSError:
            return  # something else is in it


def build(root: Path, name: str, excludes: Sequence[str] = (), dependencies: Optional[Sequence[str]] = None) -> Package:
    """Packs the project in `root`. One without project files gets a pyproject.toml that names the dependencies."""
    patterns = [*DEFAULT_EXCLUDES, *excludes]
    more = _generated(root, name, dependencies)
    target = root / FOLDER / f"{name}.tar.gz"
    try:
        target.parent.mkdir(exist_ok=True)
        part = target.with_name(f".{name}.{uuid.uuid4().hex}.part")
        try:
            with open(part, "xb") as file:
                _write(file, root, patterns, more)
            digest = sha256_of(part)
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise FlameError(
            FlameErrorCode.INVALID_STATE,
            f"Failed to package {root} into {target}: {error}",
            remedy="Runner packs the current directory: start it where the project is, or exclude what cannot be read "
            "(package.excludes in ~/.flame/flame.yaml)",
        ) from error
    return Package(target, digest, f"{name}-{digest[:DIGITS]}.tar.gz")


def is_package_of(name: str, url: Optional[str]) -> bool:
    """Whether this is the URL of a package that some Runner of this name has uploaded."""
    last = (url or "").partition("#")[0].rpartition("/")[2]
    return re.fullmatch(rf"{re.escape(name)}(-[0-9a-f]{{{DIGITS}}})?\.tar\.gz", last) is not None


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for data in iter(lambda: file.read(_COPY_BYTES), b""):
            digest.update(data)
    return digest.hexdigest()


def _write(file: Any, root: Path, patterns: Sequence[str], more: Optional[bytes]) -> None:
    packed = gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0)
    with packed, tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, told in _files(root, patterns):
            info = tarfile.TarInfo(path)
            info.mtime = _TIME
            info.mode = 0o755 if told.st_mode & 0o111 or stat.S_ISDIR(told.st_mode) else 0o644
            if stat.S_ISDIR(told.st_mode):
                info.type = tarfile.DIRTYPE
                archive.addfile(info)
                continue
            with open(root / path, "rb") as content:
                # As large as it is now: one that grows meanwhile is cut there, and the next package has another name.
                info.size = os.fstat(content.fileno()).st_size
                archive.addfile(info, content)
        if more is not None:
            info = tarfile.TarInfo("pyproject.toml")
            info.mtime, info.mode, info.size = _TIME, 0o644, len(more)
            archive.addfile(info, io.BytesIO(more))


def _files(root: Path, patterns: Sequence[str]) -> Iterator[Tuple[str, os.stat_result]]:
    """Files and folders by their paths from the root, in order. A link to a file is the file."""

    def walk(folder: Path, prefix: str) -> Iterator[Tuple[str, os.stat_result]]:
        for name in sorted(os.listdir(folder)):
            path = f"{prefix}{name}"
            full = folder / name
            is_folder = full.is_dir()
            if path == FOLDER or is_excluded(path, is_folder, patterns):
                continue
            if is_folder and full.is_symlink():
                logger.warning("%s is a link to a folder: it is left out of the package", full)
                continue
            try:
                told = full.stat()
            except FileNotFoundError:
                logger.warning("%s leads nowhere: it is left out of the package", full)
                continue
            if is_folder:
                yield path, told
                yield from walk(full, f"{path}/")
            elif stat.S_ISREG(told.st_mode):
                yield path, told

    return walk(root, "")


def is_excluded(path: str, is_folder: bool, patterns: Sequence[str]) -> bool:
    """Whether a pattern means this path, or its last part. One that ends with `/` means folders only."""
    name = path.rpartition("/")[2]
    for pattern in patterns:
        plain = pattern[:-1] if pattern.endswith("/") else pattern
        if plain is not pattern and not is_folder:
            continue
        plain = plain[2:] if plain.startswith("./") else plain
        if fnmatch.fnmatchcase(name, plain) or fnmatch.fnmatchcase(path, plain):
            return True
    return False


def _generated(root: Path, name: str, dependencies: Optional[Sequence[str]]) -> Optional[bytes]:
    """A pyproject.toml for a folder that has none; None for one that is a project."""
    if isinstance(dependencies, str):
        raise FlameError(
            FlameErrorCode.INVALID_ARGUMENT, f"dependencies must be a list of texts, not the text {dependencies!r}"
        )
    found = next((one for one in PROJECT_FILES if (root / one).is_file()), None)
    if found is not None:
        if dependencies:
            warnings.warn(
                f"the dependencies given to Runner have no effect: {root / found} says what the project needs",
                stacklevel=5,
            )
        return None
    lines = [
        "[build-system]",
        'requires = ["setuptools>=61"]',
        'build-backend = "setuptools.build_meta"',
        "",
        "[project]",
        f"name = {_text(_project_name(name))}",
        'version = "0.1.0"',
        'requires-python = ">=3.9"',
        f"dependencies = [{', '.join(map(_text, dependencies or []))}]",
        "",
        "[tool.setuptools]",
        "py-modules = []",
        "",
    ]
    return "\n".join(lines).encode()


def _project_name(name: str) -> str:
    """Names of projects begin and end with a letter or digit."""
    return re.sub(r"^[^A-Za-z0-9]+|[^A-Za-z0-9]+$", "", name) or "project"


def _text(value: str) -> str:
    """A text of TOML."""
    if not isinstance(value, str) or any(ord(one) < 32 for one in value):
        raise FlameError(FlameErrorCode.INVALID_ARGUMENT, f"a dependency is a text of one line, not {value!r}")
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
