"""A Python agent and the packages that it needs, as one file: a ZIP archive of texts that a `source` names.

`turnwise build` writes it, and every ZIP program reads it. Its bytes follow from what is in it: members in order of
name, stored as they are, all of the same date.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Final

from turnwise.world.files import Refused
from turnwise.world.limits import PYTHON_SOURCE_BYTES_MAX, PYTHON_SOURCE_FILES_MAX
from turnwise.world.problems import quoted

SUFFIX: Final = ".agent"
MANIFEST: Final = "turnwise-agent.json"
VERSION: Final = 1
ARCHIVE_BYTES_MAX: Final = 2 * PYTHON_SOURCE_BYTES_MAX

_DATE: Final = (1980, 1, 1, 0, 0, 0)
_HINT: Final = "Make it with turnwise build."


def write_archive(entry: str, files: Mapping[str, bytes]) -> bytes:
    """Return the archive of an agent's files, of which `entry` is executed."""
    manifest = json.dumps({"entry": entry, "version": VERSION}, sort_keys=True, separators=(",", ":")) + "\n"
    members = {MANIFEST: manifest.encode(), **files}
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(members):
            member = zipfile.ZipInfo(name, _DATE)
            member.create_system = 3
            archive.writestr(member, members[name])
    return made.getvalue()


def read_archive(data: bytes, name: str) -> tuple[str, dict[str, bytes]]:
    """Return an archive's entry and its files. Raises Refused for what is none."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            _check(members, name)
            files = {member.filename: archive.read(member) for member in members}
    except (zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError, EOFError) as error:
        raise Refused(f"{quoted(name)} is no agent: {error}", _HINT) from None
    try:
        manifest = json.loads(files.pop(MANIFEST))
        entry, version = manifest["entry"], manifest["version"]
    except (KeyError, ValueError, TypeError):
        raise Refused(f"{quoted(name)} does not say which of its files is the agent", _HINT) from None
    if version != VERSION:
        raise Refused(f"{quoted(name)} has version {version!r}, and this reads {VERSION}", _HINT)
    if not isinstance(entry, str) or not entry.endswith(".py") or entry not in files:
        raise Refused(f"{quoted(name)} lacks the file that is the agent", _HINT)
    for member, content in files.items():
        try:
            content.decode()
        except UnicodeDecodeError:
            raise Refused(f"{quoted(member)} in {quoted(name)} is no text", _HINT) from None
    return entry, files


def _check(members: list[zipfile.ZipInfo], name: str) -> None:
    """Refuse what is too much, packed, or not the name of a file below."""
    if len(members) > PYTHON_SOURCE_FILES_MAX + 1:
        raise Refused(f"{quoted(name)} has more than {PYTHON_SOURCE_FILES_MAX} files", "Build it with fewer packages.")
    if sum(member.file_size for member in members) > PYTHON_SOURCE_BYTES_MAX:
        hint = f"At most {PYTHON_SOURCE_BYTES_MAX} bytes of Python are allowed for one kind."
        raise Refused(f"{quoted(name)} is too large", hint)
    if len({member.filename for member in members}) != len(members):
        raise Refused(f"{quoted(name)} has a file twice", _HINT)
    for member in members:
        path = PurePosixPath(member.filename)
        plain = not path.is_absolute() and ".." not in path.parts and str(path) == member.filename
        if not plain or "\\" in member.filename or member.compress_type != zipfile.ZIP_STORED:
            raise Refused(f"{quoted(member.filename)} in {quoted(name)} is no plain file", _HINT)
