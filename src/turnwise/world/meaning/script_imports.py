"""The files that a JavaScript agent imports, read from its text without running it.

What travels is part of an agent's code, so it must be the same wherever a world is read. Names are looked for wherever
`import` or `from` stands before a text, in comments and texts as well: what is not meant to be imported is a file more
that travels, and changes nothing. What is not found beside the agent is left to the interpreter, which names it.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Final

from turnwise.world.files import is_file

_IMPORT: Final = re.compile(r"""\b(?:import|from)\s*\(?\s*(["'])(\.\.?/[^"'\\\n]*)\1""")
"""`from "./a.js"`, `import "./a.js"`, `import("./a.js")`. The only other module that there is has no path."""


def imported_files(text: str, name: str, folder: Path) -> list[str]:
    """Files below `folder` that the module `name` imports, as relative names with `/`, in order of first mention."""
    found: dict[str, None] = {}
    for match in _IMPORT.finditer(text):
        path = posixpath.normpath(posixpath.join(posixpath.dirname(name), match[2]))
        if not path.startswith("../") and is_file(folder / path):
            found[path] = None
    return list(found)
