"""Texts of a form of calls: where a call begins, what of it readers are shown, and as expressions of a grammar."""

from __future__ import annotations

from typing import Final

from turnwise.inference.plans.tool_form import ToolForm

OWN_FORM: Final = ToolForm(
    head='<tool_call>\n{"name": "',
    middle='", "arguments": ',
    joint='}\n</tool_call>\n<tool_call>\n{"name": "',
    tail="}\n</tool_call>",
)
"""Form of calls for models whose template has none: that of Hermes and Qwen."""


def begin_mark(form: ToolForm) -> tuple[str, bool]:
    """Return what no text may hold, since a call begins with it, and whether it is a special token."""
    for name in form.specials:
        if form.head.startswith(name):
            return name, True
    line = form.head.partition("\n")[0].partition("{")[0].rstrip()
    return line or form.head, False


def shown_head(form: ToolForm) -> str:
    """Return the beginning of a call as readers are shown it."""
    return without_specials(form.head, form)


def without_specials(text: str, form: ToolForm) -> str:
    """Return a form's text without the names of special tokens."""
    for name in sorted(form.specials, key=len, reverse=True):
        text = text.replace(name, "")
    return text


def escaped(text: str) -> str:
    """Return a regular expression that matches this text and nothing else."""
    found = "".join(f"\\{letter}" if letter in "\\.+*?()|[]{}^$/&~#-" else letter for letter in text)
    return found.replace("\n", "\\n")
