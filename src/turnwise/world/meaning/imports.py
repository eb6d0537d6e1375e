"""The local modules that a Python agent imports, read from its text without running it.

What travels is part of an agent's code, so it must be the same wherever a world is read. The parser of the Python that
reads it is not asked, as it knows other syntax in each version; statements are found by their words, and what lies in
texts and comments is none. What is not found beside the agent (the standard library, the SDK) is left to the
interpreter. Imports by a computed name cannot be seen.
"""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from turnwise.world.files import Refused, is_file, is_folder
from turnwise.world.problems import quoted

SDK: Final = "turnwise_guest"
"""The agents' SDK is part of the interpreter; a copy beside an agent, there for an editor, never travels."""

_TOKEN: Final = re.compile(
    r"""
    (?P<skipped>
        \#[^\n]*
      | (?P<quotes> \"{3} | '{3} ) (?: \\.? | (?!(?P=quotes)) [^\\] )* (?: (?P=quotes) | \Z )
      | " (?: \\.? | [^"\\\n] )* (?: " | (?=\n) | \Z )
      | ' (?: \\.? | [^'\\\n] )* (?: ' | (?=\n) | \Z )
      | \\ \r? \n
    )
    | (?P<name> [A-Za-z_\x80-\U0010ffff] [0-9A-Za-z_\x80-\U0010ffff]* )
    | (?P<break> [\n\r;:] )
    | (?P<mark> [.,()] )
    """,
    re.DOTALL | re.VERBOSE,
)
"""Comments, texts and lines that go on; words; ends of statements; and what is written between names.

A text that has no end has one at the end of its line or of everything, so that reading takes as long as the text is.
"""

_FIXED: Final = unicodedata.ucd_3_2_0
"""Names are normalised, as Python does it, by one version of Unicode."""

Import = tuple[int, str, tuple[str, ...]]
"""`from ..a.b import c, d` is (2, "a.b", ("c", "d")); `import a.b` is (0, "a.b", ())."""


def local_modules(text: str, name: str, folder: Path) -> list[str]:
    """Files below `folder` that the module `name` imports, as relative names with `/`, in order of first mention."""
    package = tuple(name.split("/")[:-1])
    found: dict[str, None] = {}
    for dotted in _absolute(_imports(text), package):
        if dotted[0] != SDK:
            found.update(dict.fromkeys(_files(dotted, folder)))
    return list(found)


def _imports(text: str) -> Iterator[Import]:
    for words in _statements(text):
        if words[0] == "import":
            for part in _parts(words[1:]):
                yield 0, "".join(part[: part.index("as")] if "as" in part else part), ()
        elif "import" in words:
            where = words.index("import")
            module = "".join(words[1:where])
            names = tuple(part[0] for part in _parts(words[where + 1 :]))
            yield len(module) - len(module.lstrip(".")), module.lstrip("."), names


def _statements(text: str) -> Iterator[list[str]]:
    """Yield the words, dots and commas of what begins with `import` or `from` where a statement can begin."""
    words: list[str] | None = []  # None in a statement that is no import
    inside = False
    for token in _TOKEN.finditer(text):
        if token.lastgroup == "break":
            if inside and token[0] in "\n\r":
                continue
            if words:
                yield words
            words, inside = [], False
        elif words is None or (token.lastgroup != "name" and token.lastgroup != "mark"):
            continue
        elif not words and token[0] not in ("import", "from"):
            words = None
        elif token[0] in "()":
            inside = token[0] == "("
        else:
            words.append(_FIXED.normalize("NFKC", token[0]))
    if words:
        yield words


def _parts(words: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield what stands between commas, without what is empty."""
    start = 0
    for place, word in enumerate([*words, ","]):
        if word == ",":
            if start < place:
                yield words[start:place]
            start = place + 1


def _absolute(imports: Iterable[Import], package: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Dotted names, split, of all that may be modules, as they are imported by a module that lies in `package`."""
    for level, module, names in imports:
        up = level - 1
        if up > len(package):
            continue
        base = package[: len(package) - up] if level else ()
        whole = (*base, *filter(None, module.split(".")))
        if whole:
            yield whole
        for name in names:
            yield (*whole, name)


def _files(dotted: tuple[str, ...], folder: Path) -> Iterator[str]:
    """Yield the files that importing a dotted name loads: the packages on the way, then the module.

    Raises Refused where file names cannot hold the name: it would be passed over here and travel elsewhere.
    """
    try:
        os.fsencode("/".join(dotted))
    except UnicodeEncodeError:
        encoding = sys.getfilesystemencoding()
        raise Refused(
            f"the module {quoted('.'.join(dotted))} cannot be looked for: file names are {encoding} here",
            "Use a locale with UTF-8, or set PYTHONUTF8=1.",
        ) from None
    for length in range(1, len(dotted) + 1):
        name = "/".join(dotted[:length])
        if is_file(folder / name / "__init__.py"):
            yield f"{name}/__init__.py"
        elif is_file(folder / f"{name}.py"):
            yield f"{name}.py"
            return
        elif not is_folder(folder / name):
            return
