"""The packages that a requirements file asks for, and those that they ask for, as the sandbox needs them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import Distribution
from pathlib import Path
from typing import Final

from packaging.markers import default_environment
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from turnwise.errors import UsageError

REQUIREMENTS_BYTES_MAX: Final = 1024 * 1024
PACKAGES_MAX: Final = 200


def read_requirements(file: Path) -> list[Requirement]:
    """Return the requirements of a file, one a line. Raises UsageError for options of pip and other lines."""
    try:
        with file.open(encoding="utf-8") as opened:
            text = opened.read(REQUIREMENTS_BYTES_MAX + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"it cannot be read: {error}", where=str(file), hint="Name a requirements file.") from None
    if len(text) > REQUIREMENTS_BYTES_MAX:
        raise UsageError(f"it is larger than {REQUIREMENTS_BYTES_MAX} bytes", where=str(file), hint="Name fewer.")
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        asked = line.partition(" #")[0].strip()
        if not asked or asked.startswith("#"):
            continue
        try:
            found.append(Requirement(asked))
        except InvalidRequirement as error:
            raise UsageError(
                f"this is no requirement: {str(error).splitlines()[0]}",
                where=f"{file}:{number}",
                actual=asked,
                hint="Write a package a line: attrs, jinja2>=3.1. Options of pip are not read.",
            ) from None
    return found


def sandbox_markers(python: str) -> dict[str, str]:
    """Return what markers (`; sys_platform == "win32"`) are compared with. `python` is the interpreter's version."""
    return {
        **default_environment(),  # type: ignore[dict-item]  # all its values are texts
        "implementation_name": "cpython",
        "implementation_version": python,
        "os_name": "posix",
        "platform_machine": "wasm32",
        "platform_release": "",
        "platform_system": "WASI",
        "platform_version": "",
        "python_full_version": python,
        "python_version": ".".join(python.split(".")[:2]),
        "sys_platform": "wasi",
        "extra": "",
    }


def needed(
    asked: Sequence[Requirement], installed: Mapping[str, Distribution], markers: Mapping[str, str], where: str
) -> list[Distribution]:
    """Return the distributions that requirements come to, in order of name. `installed` are those that there are.

    Raises UsageError for one that is not there, or is another version.
    """
    found: dict[str, Distribution] = {}
    waiting = [(requirement, "") for requirement in asked]
    seen: set[tuple[str, str]] = set()
    while waiting:
        requirement, of = waiting.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({**markers}):
            continue
        name = canonicalize_name(requirement.name)
        distribution = installed.get(name)
        what = f"{requirement.name}{requirement.specifier}" + (f", which {of} needs," if of else "")
        if distribution is None:
            raise UsageError(
                f"{what} is not installed here",
                where=where,
                hint="Install it (pip install), or give --fetch to have pip get it.",
            )
        if requirement.specifier and not requirement.specifier.contains(distribution.version, prereleases=True):
            raise UsageError(
                f"{what} is not what is installed here",
                where=where,
                expected=str(requirement.specifier),
                actual=distribution.version,
                hint="Install the right version, or give --fetch to have pip get it.",
            )
        found[name] = distribution
        if len(found) > PACKAGES_MAX:
            raise UsageError(f"these are more than {PACKAGES_MAX} packages", where=where, hint="Ask for fewer.")
        for extra in ("", *sorted(requirement.extras)):
            if (name, extra) not in seen:
                seen.add((name, extra))
                waiting += [(one, requirement.name) for one in _of(distribution, {**markers, "extra": extra}, extra)]
    return [found[name] for name in sorted(found)]


def _of(distribution: Distribution, markers: Mapping[str, str], extra: str) -> Iterator[Requirement]:
    """Yield what a distribution needs, with an extra if one was asked for."""
    for text in distribution.requires or ():
        requirement = Requirement(text)
        if requirement.marker is None:
            if not extra:
                yield requirement
        elif requirement.marker.evaluate({**markers}):
            requirement.marker = None
            yield requirement
