"""Makes one file of an agent and its packages, after their modules have been imported in a sandbox."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

from turnwise.errors import UsageError
from turnwise.orchestrator.loop_thread import run_alone
from turnwise.sandbox.python import module_info
from turnwise.sources.packages import Package, fetch, installed, package_of
from turnwise.sources.requirements import needed, read_requirements, sandbox_markers
from turnwise.sources.trial import imported
from turnwise.world.files import Refused
from turnwise.world.limits import PYTHON_SOURCE_BYTES_MAX, PYTHON_SOURCE_FILES_MAX
from turnwise.world.meaning.source_archive import SUFFIX, write_archive
from turnwise.world.meaning.sources import SourceFiles, from_file


@dataclass(frozen=True, slots=True)
class BuiltPackage:
    """A package that travels with an agent."""

    name: str
    """Name of the distribution."""
    version: str
    """Its version."""
    modules: tuple[str, ...]
    """Modules by which it is imported."""
    notes: tuple[str, ...]
    """Lines for people on parts that stay behind, or work in no sandbox."""


@dataclass(frozen=True, slots=True)
class BuiltSource:
    """An agent and its packages as one file."""

    path: Path
    """The file, which a `source` of a world can name."""
    sha256: str
    """SHA-256 (hex) of the file."""
    size: int
    """Bytes of the file."""
    files: int
    """Files in it."""
    packages: tuple[BuiltPackage, ...]
    """Packages in it, in order of name."""


def build_source(agent: Path, requirements: Path | None, out: Path | None = None, *, get: bool = False) -> BuiltSource:
    """Write an agent with its local modules and the packages that a requirements file asks for as one file.

    Packages are taken from this environment, or with `get` from where pip gets them. Raises UsageError for what cannot
    be in a sandbox, with the reason, and `CodeError` for what does not compile.
    """
    path = agent.with_suffix(SUFFIX) if out is None else out
    if path.suffix != SUFFIX:
        raise UsageError(
            f"its name must end with {SUFFIX}", where=str(path), hint=f"Write -o {path.with_suffix(SUFFIX).name}."
        )
    own = _own(agent)
    packages = [] if requirements is None else _packages(requirements, get)
    files = _together(own, packages, agent)
    modules = sorted({module for package in packages for module in package.modules})
    failed = {name: why for name, why in run_alone(imported(files, modules)).items() if why is not None}
    _refuse_broken(packages, failed, agent if requirements is None else requirements)
    content = write_archive(own.entry, files)
    path.write_bytes(content)
    built = tuple([BuiltPackage(one.name, one.version, one.modules, tuple(_notes(one, failed))) for one in packages])
    return BuiltSource(path, hashlib.sha256(content).hexdigest(), len(content), len(files), built)


def _own(agent: Path) -> SourceFiles:
    if agent.suffix != ".py":
        raise UsageError("it is no Python agent", where=str(agent), hint="Name the agent's .py file.")
    try:
        return from_file(agent.name, agent.absolute().parent, None)
    except Refused as error:
        raise UsageError(error.message, where=str(agent), hint=error.hint) from None


def _packages(requirements: Path, get: bool) -> list[Package]:
    asked = read_requirements(requirements)
    with tempfile.TemporaryDirectory(prefix="turnwise-packages-") as folder:
        if get:
            fetch(requirements, Path(folder))
        there = installed(Path(folder) if get else None)
        markers = sandbox_markers(module_info().engine)
        return [package_of(one) for one in needed(asked, there, markers, str(requirements))]


def _together(own: SourceFiles, packages: list[Package], agent: Path) -> dict[str, bytes]:
    """Return all files. Raises UsageError if two are in each other's way, or they are too many."""
    files, owners = dict(own.files), dict.fromkeys([name for name, _ in own.files], "the agent")
    for package in packages:
        for name, content in package.files.items():
            if files.get(name, content) != content:
                raise UsageError(
                    f"{package.name} has the file {name}, and so has {owners[name]}",
                    where=str(agent),
                    hint="Rename the agent's own file, or ask for one of the packages.",
                )
            files[name], owners[name] = content, package.name
    size = sum(map(len, files.values()))
    if len(files) > PYTHON_SOURCE_FILES_MAX or size > PYTHON_SOURCE_BYTES_MAX:
        raise UsageError(
            f"together these are {len(files):,} files of {size:,} bytes",
            where=str(agent),
            expected=f"at most {PYTHON_SOURCE_FILES_MAX:,} files and {PYTHON_SOURCE_BYTES_MAX:,} bytes",
            hint="Ask for fewer packages.",
        )
    return files


def _refuse_broken(packages: list[Package], failed: dict[str, str], where: Path) -> None:
    """Raise UsageError for packages of which no module can be imported in a sandbox."""
    broken = []
    for package in packages:
        public = [name for name in package.modules if not name.startswith("_")] or list(package.modules)
        if public and all(name in failed for name in public):
            why = _first_line(failed[public[0]])
            native = f"it has native extensions ({', '.join(package.native[:1])}), which no sandbox can load; "
            cause = native if package.native else ""
            broken.append(f"{package.name} {package.version}: {cause}importing {public[0]} fails: {why}")
        elif not public and package.native:
            broken.append(f"{package.name} {package.version}: it has native extensions only ({package.native[0]})")
    if broken:
        raise UsageError(
            "these packages cannot work in a sandbox: " + "; ".join(broken),
            where=str(where),
            hint="Agents have pure Python: no native extensions, sockets, processes or threads. Use other packages, or "
            "have a model or another agent do it.",
        )


def _first_line(text: str) -> str:
    """Return the first line of an error that says something: some begin with their type alone."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    kind = lines[0] if lines else ""
    return f"{kind} {lines[1]}" if kind.endswith(":") and len(lines) > 1 else kind


def _notes(package: Package, failed: dict[str, str]) -> list[str]:
    notes = [f"{name} cannot be imported: {_first_line(failed[name])}" for name in package.modules if name in failed]
    if package.native:
        notes.append(f"native extensions stay behind, and it works without: {', '.join(package.native)}")
    if package.data:
        notes.append(f"{len(package.data)} files that are no modules stay behind, {package.data[0]} first")
    if package.cannot:
        more = f" and {len(package.cannot) - 1} more" if len(package.cannot) > 1 else ""
        notes.append(f"what uses {package.cannot[0]}{more} fails: there are no threads, processes or sockets")
    return notes
