"""The standard modules that agents can import.

The interpreter module is started once, when it is built, and its memory stored: what was imported then is there in
every turn at no cost, and nothing else can ever be, since there is no file system to import from. So the list is
generous. `ADVERTISED` are the modules that we promise; they bring others with them.
"""

from __future__ import annotations

from collections.abc import Iterable

ADVERTISED: tuple[str, ...] = (
    "abc",
    "argparse",
    "array",
    "ast",
    "base64",
    "binascii",
    "bisect",
    "builtins",
    "calendar",
    "cmath",
    "codecs",
    "collections",
    "collections.abc",
    "colorsys",
    "configparser",
    "contextlib",
    "contextvars",
    "copy",
    "csv",
    "dataclasses",
    "datetime",
    "decimal",
    "difflib",
    "enum",
    "errno",
    "fnmatch",
    "fractions",
    "functools",
    "gc",
    "graphlib",
    "hashlib",
    "heapq",
    "hmac",
    "html",
    "html.parser",
    "importlib",
    "importlib.metadata",
    "importlib.resources",
    "importlib.util",
    "inspect",
    "io",
    "ipaddress",
    "itertools",
    "json",
    "keyword",
    "linecache",
    "locale",
    "logging",
    "math",
    "numbers",
    "operator",
    "os",
    "os.path",
    "pathlib",
    "pickle",
    "platform",
    "pprint",
    "queue",
    "random",
    "re",
    "reprlib",
    "sched",
    "secrets",
    "shlex",
    "stat",
    "statistics",
    "string",
    "string.templatelib",
    "stringprep",
    "struct",
    "sys",
    "tempfile",
    "textwrap",
    "threading",
    "time",
    "timeit",
    "tomllib",
    "traceback",
    "types",
    "typing",
    "unicodedata",
    "urllib.parse",
    "uuid",
    "warnings",
    "weakref",
    "xml.etree.ElementTree",
    "zipimport",
    "zlib",
)

BROUGHT: tuple[str, ...] = (
    "_ast_unparse",
    "_strptime",
    "_suggestions",
    "email.base64mime",
    "email.charset",
    "email.encoders",
    "email.generator",
    "email.header",
    "email.message",
    "email.parser",
    "email.policy",
    "email.quoprimime",
    "importlib.metadata._adapters",
    "importlib.resources._adapters",
    "importlib.resources.readers",
    "tokenize",
    "tracemalloc",
)
"""Modules that the advertised ones import only when they are needed, when it would be too late."""

ENCODINGS_LEFT_OUT = frozenset({"bz2_codec", "mbcs", "oem"})
"""Modules of the package `encodings` that need what WebAssembly does not have: bzip2, Windows."""


def encodings_of(folder: Iterable[str]) -> list[str]:
    """Return the modules of the package `encodings`, given the names of the files in its folder.

    Codecs are imported by name when a text in that encoding is met: a letter in Shift JIS, a table in code page 437.
    """
    stems = {name.partition(".")[0] for name in folder if name.endswith((".py", ".pyc"))}
    return [f"encodings.{stem}" for stem in sorted(stems - ENCODINGS_LEFT_OUT - {"__init__"})]
