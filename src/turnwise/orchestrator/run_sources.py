"""Sources of what a run executes: of a world, as a journal keeps them, and as the sandbox takes them."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from turnwise.core.plan import Plan
from turnwise.core.run_python import RUNNER
from turnwise.errors import JournalError
from turnwise.journal import CodeSource, Journal
from turnwise.journal.file.errors import damaged
from turnwise.sandbox.build.code import Code, Language, Source
from turnwise.sandbox.build.installed import interpreter_hash
from turnwise.sandbox.languages import TITLES, InterpretedLanguage, interpreted
from turnwise.world import Resolved, SourceFiles
from turnwise.world.meaning.sources import JAVASCRIPT_ENDINGS


def sources_of(resolved: Resolved) -> dict[str, Source]:
    """Return the sources of each kind, as the sandbox takes them."""
    return {kind: source(resolved.where("agents", kind, "source"), files) for kind, files in resolved.sources.items()}


def source(label: str, files: SourceFiles) -> Source:
    """Return files as the sandbox takes them; `label` names them in errors."""
    return Source(label, files.language, dict(files.files), files.entry)


def code_sources(resolved: Resolved, codes: Mapping[str, Code]) -> dict[str, CodeSource]:
    """Return the sources of a world as a journal keeps them, by the hash of their code."""
    return {codes[kind].hash: code_source(files, codes[kind]) for kind, files in resolved.sources.items()}


def code_source(files: SourceFiles, code: Code) -> CodeSource:
    """Return a source as a journal keeps it."""
    language = interpreted(files.language)
    interpreter = None if language is None else interpreter_hash(language)
    return CodeSource(carrier=code.carrier, entry=files.entry, files=files.files, interpreter=interpreter)


def stored_sources(
    file: Journal, plan: Plan, interpreters: Mapping[InterpretedLanguage, Path] | None = None
) -> dict[str, Source]:
    """Read the sources of each kind from the journal. Raises `JournalError` if this installation cannot execute it.

    `interpreters` are those of a language, if they are not this installation's.
    """
    stored = file.header.codes
    given = {name: sha256(path.read_bytes()).hexdigest() for name, path in (interpreters or {}).items()}
    sources = {}
    for name, code_hash in codes_of(plan).items():
        code = stored.get(code_hash)
        if code is None or code.entry not in dict(code.files):
            raise JournalError(
                f"the code of {name} is missing",
                where=str(file.path),
                expected=code_hash,
                hint="The journal has been damaged or changed after it was written.",
            )
        language = _language(code)
        if (interpreter := interpreted(language)) is not None:
            mine = given.get(interpreter) or interpreter_hash(interpreter)
            if code.interpreter != mine:
                raise JournalError(
                    f"its {TITLES[interpreter]} agents ran on another build of their interpreter",
                    where=str(file.path),
                    expected=code.interpreter,
                    actual=mine,
                    hint="Use the installation of Turnwise that made the journal: "
                    "the same wheel has the same interpreter.",
                )
        sources[name] = Source(f"agents.{name}.source", language, dict(code.files), code.entry)
    return sources


def codes_of(plan: Plan) -> dict[str, str]:
    """Return the hash of what each kind executes, and of what executes code for agents, by name."""
    codes = {kind.name: kind.code for kind in plan.kinds}
    return codes if plan.run_python is None else codes | {RUNNER: plan.run_python}


def check_codes(file: Journal, plan: Plan, codes: Mapping[str, Code]) -> None:
    """Compare what was compiled with what the plan and the journal name."""
    stored = {code: source.carrier for code, source in file.header.codes.items()}
    for name, code_hash in codes_of(plan).items():
        expected = code_hash, stored.get(code_hash)
        actual = codes[name].hash, codes[name].carrier
        if expected != actual:
            raise JournalError(
                f"the stored code of {name} is not what the run executed",
                where=str(file.path),
                expected=expected,
                actual=actual,
                hint="The journal has been damaged or changed after it was written.",
            )
    if strangers := stored.keys() - {code for _, of in file.header.plans() for code in codes_of(of).values()}:
        raise damaged(file.path, "it holds code that no agent executes", actual=sorted(strangers))


def _language(code: CodeSource) -> Language:
    if code.interpreter is not None:
        return "javascript" if code.entry.endswith(JAVASCRIPT_ENDINGS) else "python"
    return "wat" if code.entry.endswith(".wat") else "wasm"
