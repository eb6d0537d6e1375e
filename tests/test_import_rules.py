"""The rules of imports in pyproject.toml hold, and each of them finds what it is there for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "src"

pytestmark = pytest.mark.skipif(not (ROOT / "pyproject.toml").is_file(), reason="the rules lie in the source tree")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources and of the rules, to be changed and put back."""
    folder = tmp_path_factory.mktemp("rules")
    shutil.copy(ROOT / "pyproject.toml", folder)
    for path in SOURCES.rglob("*.py"):
        copy = folder / "src" / path.relative_to(SOURCES)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    return folder


def broken(tree: Path) -> set[str]:
    """Names of the rules that do not hold, on one line each."""
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as main; main()", "--no-cache"],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(tree / "src"), "COLUMNS": "1000", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    rules = {line.removesuffix(" BROKEN") for line in done.stdout.splitlines() if line.endswith(" BROKEN")}
    assert done.returncode == (1 if rules else 0), done.stdout + done.stderr
    return rules


CORE = "core decides and imports nothing that acts"
LAYERS = "components know what is below them only"
ROOMS = "inference: each room knows the rooms below it only"
BORDER = "inference: what runs in the orchestrator knows nothing of what runs in the inference process"
HEAVY = "the orchestrator's process does without numpy, ONNX Runtime and tokenizers"
CYCLES = "what lies in one folder, modules and folders, has no cycles"


def test_the_rules_hold(tree: Path) -> None:
    assert broken(tree) == set()


@pytest.mark.parametrize(
    ("module", "line", "rules"),
    [
        ("core/head.py", "import msgspec", {CORE}),
        ("core/head.py", "import turnwise.journal.run", {LAYERS}),
        ("journal/run.py", "import turnwise.orchestrator.live", {LAYERS}),
        ("new_component.py", "", {LAYERS}),
        ("orchestrator/waves.py", "import numpy", {HEAVY}),
        ("inference/requests/refusal.py", "import numpy", {BORDER}),
        ("inference/plans/wave.py", "import turnwise.inference.engine.scheduler", {BORDER, ROOMS}),
        ("inference/host/host.py", "import turnwise.inference.server.server", {BORDER, ROOMS}),
        ("inference/server/server.py", "import turnwise.inference.host.host", {ROOMS}),
        ("inference/text/vocabulary.py", "import turnwise.inference.sampling.top_k", {ROOMS}),
        ("inference/new_room/__init__.py", "", {ROOMS}),
        ("inference/plans/batching.py", "import turnwise.inference.plans.batch_plan", {CYCLES}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_breaks_a_rule_is_found(tree: Path, module: str, line: str, rules: set[str]) -> None:
    path = tree / "src" / "turnwise" / module
    before = path.read_text(encoding="utf-8") if path.exists() else None
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{before or ''}\n{line}\n", encoding="utf-8")
    try:
        assert rules <= broken(tree)
    finally:
        if before is not None:
            path.write_text(before, encoding="utf-8")
        elif path.name == "__init__.py":
            shutil.rmtree(path.parent)
        else:
            path.unlink()
