"""The example of the page on embedding runs as it stands there."""

from __future__ import annotations

from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "embedding.md"


def test_the_example_runs() -> None:
    section = PAGE.read_text(encoding="utf-8").split("## Simulate", 1)[1]
    code = section.split("```python\n", 1)[1].split("```", 1)[0]
    names: dict[str, object] = {}
    exec(compile(code, str(PAGE), "exec"), names)
    assert names["found"].lives > 1  # type: ignore[attr-defined]
