"""Files of a world: inside its folder, regular, bounded, and UTF-8 where they are text."""

from __future__ import annotations

import os
from pathlib import Path

from turnwise.world.problems import quoted


class Refused(Exception):
    """A file that cannot be used: what is wrong with it, and what to do. The caller knows the key."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def locate(name: str | os.PathLike[str], base: Path, root: Path | None) -> Path:
    """Return the absolute path of a file named relative to `base`, symbolic links resolved.

    With `root` (resolved already) the file must lie inside it, so that the folder is the whole world.
    """
    shown = quoted(os.fspath(name))
    try:
        path = (base / name).resolve(strict=True)
    except FileNotFoundError:
        raise Refused(f"there is no file {shown}", f"Create it in {base}, or correct the path.") from None
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: a loop of links, before Python 3.13
        raise Refused(f"the file {shown} cannot be found: {_reason(error)}", "Correct the path.") from None
    if root is not None and not path.is_relative_to(root):
        raise Refused(
            f"the file {shown} is outside the world's folder", f"Copy it into {root}: a world's folder holds all of it."
        )
    if not is_file(path):
        raise Refused(f"{shown} is not a file", "Name a regular file.")
    return path


def is_file(path: Path) -> bool:
    """Return True if there is a regular file. What cannot be looked at (a name too long, a closed folder) is none."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """Return whether there is a folder. What cannot be looked at is none."""
    try:
        return path.is_dir()
    except OSError:
        return False


def read_bytes(path: Path, bytes_max: int) -> bytes:
    """Return the content of a file that is no larger than `bytes_max`."""
    try:
        with path.open("rb") as file:
            data = file.read(bytes_max + 1)
    except OSError as error:
        raise Refused(f"the file {quoted(path.name)} cannot be read: {_reason(error)}", "Make it readable.") from None
    if len(data) > bytes_max:
        raise Refused(f"the file {quoted(path.name)} is too large", f"At most {bytes_max} bytes are allowed.")
    return data


def decode(data: bytes, name: str) -> str:
    """UTF-8 text without a byte order mark."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        bom = 3 if data.startswith(b"\xef\xbb\xbf") else 0
        offset = error.start + bom
        line = data.count(b"\n", 0, offset) + 1
        raise Refused(
            f"the file {quoted(name)} is not UTF-8: byte 0x{data[offset]:02x} at offset {offset} (line {line})",
            "Save it with the encoding UTF-8.",
        ) from None


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
