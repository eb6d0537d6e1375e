"""The interpreters of this installation."""

from __future__ import annotations

from pathlib import Path

from turnwise.sandbox.languages import InterpretedLanguage


def interpreter_path(language: InterpretedLanguage) -> Path:
    """Return the path of this installation's interpreter. Raises `EnvironmentFailure` where it has not been built."""
    if language == "python":
        from turnwise.sandbox import python

        return python.module_path()
    from turnwise.sandbox import javascript

    return javascript.module_path()


def interpreter_hash(language: InterpretedLanguage = "python") -> str:
    """SHA-256 (hex) of the interpreter of a language in this installation."""
    if language == "python":
        from turnwise.sandbox import python

        return python.module_info().sha256
    from turnwise.sandbox.javascript import module_info

    return module_info().sha256
