"""A small model in each layout that the story models come in, for a clone that does not have those.

Its weights are random and its tokens are bytes: it says nothing, but each operator of the layout is there.
"""

from __future__ import annotations

from pathlib import Path

from tests.inference.forms_toy import Form, write_form

FORMS = {
    "genai-fp32": Form("grouped", positions=False),
    "genai-int4": Form("grouped", "int4", block=16, accuracy=4, positions=False),
    "genai-int4-acc1": Form("grouped", "int4", block=16, accuracy=1, positions=False),
    "genai-mha-fp32": Form("multihead"),
    "hf-fp32": Form("decomposed"),
}


def story_layout(layout: str, stories: Path | None, folder: Path) -> Path:
    """Return the story model in `layout`, or where there are none a small model of the same form, written to `folder`.

    `stories` is the folder of the story models.
    """
    if stories is not None:
        return stories / f"stories260k-{layout}"
    return write_form(folder, FORMS[layout])
