"""Installed packages as texts: their modules and what they say of themselves. What is no text stays behind."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path, PurePosixPath
from typing import Final

from packaging.utils import canonicalize_name

from turnwise.errors import UsageError

_NATIVE: Final = (".so", ".pyd", ".dylib", ".dll", ".a", ".o")
_IGNORED: Final = (".pyc", ".pyi", ".typed", ".pth")
_SAID: Final = ("METADATA", "entry_points.txt", "top_level.txt")
_CANNOT: Final = re.compile(
    r"^\s*(?:import|from)\s+(socket|ssl|select|selectors|subprocess|multiprocessing|asyncio|ctypes|signal)\b"
    r"|\b(threading\.Thread|ThreadPoolExecutor|ProcessPoolExecutor)\(",
    re.MULTILINE,
)
"""Uses of sockets, processes, threads and native code, which the sandbox does not have."""


@dataclass(frozen=True, slots=True)
class Package:
    """A package, as it travels with an agent."""

    name: str
    """Name of the distribution."""
    version: str
    """Its version."""
    files: dict[str, bytes]
    """Texts by name: modules, and its description in `….dist-info/`."""
    modules: tuple[str, ...]
    """Modules and packages at the top, by which it is imported."""
    native: tuple[str, ...]
    """Native extensions, which cannot travel."""
    data: tuple[str, ...]
    """Other files, which do not travel either."""
    cannot: tuple[str, ...]
    """Things in its modules that work in no sandbox, with their place: what uses them fails."""


def installed(folder: Path | None = None) -> dict[str, Distribution]:
    """Return the distributions of this environment, or of a folder, by their canonical name."""
    found = distributions() if folder is None else distributions(path=[str(folder)])
    by_name: dict[str, Distribution] = {}
    for distribution in found:
        if distribution.name:
            by_name.setdefault(canonicalize_name(distribution.name), distribution)
    return by_name


def fetch(requirements: Path, folder: Path) -> None:
    """Let pip install what a file asks for into a folder. Raises UsageError with what pip says."""
    arguments = ["install", "--quiet", "--disable-pip-version-check", "--no-compile", "--target", str(folder)]
    command = [sys.executable, "-m", "pip", *arguments, "--requirement", str(requirements)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["it says nothing"]
        raise UsageError(
            f"pip could not get the packages: {said[-1]}",
            where=str(requirements),
            hint="Install them in this environment, and leave out --fetch.",
        )


def package_of(distribution: Distribution) -> Package:
    """Return an installed package as texts. Raises UsageError where it does not say which files it has."""
    files: dict[str, bytes] = {}
    native: list[str] = []
    data: list[str] = []
    cannot: list[str] = []
    name, version = distribution.name, distribution.version
    described = f"{re.sub(r'[-.]+', '_', name)}-{version}.dist-info"
    for path, content in _files(distribution):
        if path.suffix in _NATIVE:
            native.append(str(path))
        elif path.parts[0].endswith((".dist-info", ".egg-info")):
            if path.name in _SAID and len(path.parts) == 2:
                files[f"{described}/{path.name}"] = _said(path.name, content)
        elif path.suffix == ".py":
            files[str(path)] = content
            cannot += _places(path, content)
        elif path.suffix not in _IGNORED:
            data.append(str(path))
    if f"{described}/METADATA" not in files:
        said = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        files[f"{described}/METADATA"] = said.encode()
    files[f"{described}/RECORD"] = "".join([f"{file},,\n" for file in sorted(files)]).encode()
    modules = sorted({file.partition("/")[0].removesuffix(".py") for file in files if file.endswith(".py")})
    native.sort(key=lambda file: (".libs/" in file, file))
    return Package(name, version, files, tuple(modules), tuple(native), tuple(data), tuple(cannot))


def _files(distribution: Distribution) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Yield the files that lie in the folder of packages, without scripts beside it, in order of name."""
    listed: Sequence[PurePosixPath] | None = distribution.files
    if listed is None:
        raise UsageError(
            f"{distribution.name} does not say which files it has",
            where=distribution.name,
            hint="Install it from a wheel: pip install --force-reinstall.",
        )
    for path in sorted(set(listed), key=str):
        place = Path(str(distribution.locate_file(path)))
        if ".." in path.parts or "__pycache__" in path.parts or not place.is_file():
            continue
        yield PurePosixPath(path), b"" if path.suffix in _NATIVE else place.read_bytes()


def _said(name: str, content: bytes) -> bytes:
    """Return a package's description, without the page for people that follows its headers."""
    text = content.decode("utf-8", "replace").replace("\r\n", "\n")
    return (text.partition("\n\n")[0] + "\n" if name == "METADATA" else text).encode()


def _places(path: PurePosixPath, content: bytes) -> Iterator[str]:
    text = content.decode("utf-8", "replace")
    for match in _CANNOT.finditer(text):
        yield f"{match[1] or match[2]} ({path}:{text.count(chr(10), 0, match.start()) + 1})"
