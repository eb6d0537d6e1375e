"""Facts about this machine and this installation, section by section, for `turnwise doctor`."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import platform
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from turnwise.errors import TurnwiseError
from turnwise.system.cores import cores
from turnwise.system.huge_pages import huge_pages_refusal
from turnwise.system.memory import group_limit_bytes, machine_memory_bytes
from turnwise.system.user_folders import cache_folder

if TYPE_CHECKING:
    from turnwise.confine import Measure
    from turnwise.inference.onnx.providers import ProviderReport

PACKAGES = (
    "wasmtime",
    "onnxruntime",
    "onnxruntime-gpu",
    "numpy",
    "tokenizers",
    "jinja2",
    "llguidance",
    "msgspec",
    "typer",
    "rich",
)
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Fact:
    """Line about one fact."""

    name: str
    """Name of the fact."""
    value: str | int | None
    """Value as shown; None where something is missing."""
    note: str = ""
    """Reason why it is missing, or what follows from the value."""
    good: bool = True
    """False marks what a person should look at."""


@dataclass(frozen=True, slots=True)
class Section:
    """Facts that belong together."""

    name: str
    """Title."""
    facts: tuple[Fact, ...]
    """The facts, in order."""
    error: str | None = None
    """Reason why they could not be found out, or None."""


def examine() -> list[Section]:
    """Return every section that this machine has something for.

    One that fails says so, and the others are there all the same.
    """
    found = [_section(name, find) for name, find in SECTIONS.items()]
    return [section for section in found if section.facts or section.error]


def _section(name: str, find: Callable[[], list[Fact]]) -> Section:
    try:
        return Section(name, tuple(find()))
    except TurnwiseError as error:
        return Section(name, (), str(error))
    except Exception as error:  # whatever is broken here is what the doctor is asked for
        return Section(name, (), f"{type(error).__name__}: {error}")


def versions() -> list[Fact]:
    from turnwise._version import __version__

    facts = [
        Fact("turnwise", __version__),
        Fact("python", f"{platform.python_version()} ({platform.python_implementation()})", sys.executable),
        Fact("system", platform.platform()),
        Fact("sqlite", sqlite3.sqlite_version),
    ]
    for package in PACKAGES:
        try:
            facts.append(Fact(package, importlib.metadata.version(package)))
        except importlib.metadata.PackageNotFoundError:
            if package != "onnxruntime-gpu":
                facts.append(Fact(package, None, "not installed", good=False))
    return facts


def interpreter() -> list[Fact]:
    from turnwise.sandbox.python import module_info, module_path

    info = module_info()
    return [
        Fact("cpython", info.engine, f"built by componentize-py {info.builder}"),
        Fact("sdk", info.sdk, f"{len(info.modules)} standard modules can be imported"),
        Fact("sha256", info.sha256),
        Fact("file", str(module_path()), size(info.bytes)),
    ]


def javascript_interpreter() -> list[Fact]:
    from turnwise.sandbox.javascript import module_info, module_path

    info = module_info()
    return [
        Fact("quickjs-ng", info.engine, f"built by Zig {info.builder}"),
        Fact("sdk", info.sdk),
        Fact("sha256", info.sha256),
        Fact("file", str(module_path()), size(info.bytes)),
    ]


@cache
def _provider_report() -> ProviderReport:
    from turnwise.inference.onnx.providers import provider_report

    return provider_report()


def providers() -> list[Fact]:
    report = _provider_report()
    facts = [Fact("auto", _short(report.auto), 'runs models with provider = "auto", if it can load them')]
    for state in report.providers:
        devices = "; ".join(state.devices) or "no device named"
        facts.append(
            Fact(_short(state.name), "usable" if state.usable else "not usable", state.reason or devices, state.usable)
        )
    return facts


def _short(provider: str) -> str:
    """Return the name that a world file uses."""
    return provider.removesuffix("ExecutionProvider").lower()


def transport() -> list[Fact]:
    from turnwise.sharedmem.transport import resolve

    chosen = resolve("auto")
    note = "sealed memory without a name" if chosen == "memfd" else "a pipe: this system has no such memory"
    return [Fact("auto", chosen, note)]


def hardening() -> list[Fact]:
    """Start a sandbox worker, and return what it says that it has given up."""
    from turnwise.sandbox.pool.pool import measures_here

    return _measured(asyncio.run(measures_here()))


def inference_hardening() -> list[Fact]:
    """Start an inference process, and return what it says that it has given up."""
    from turnwise.inference.host.measures import measures_here

    return _measured(asyncio.run(measures_here()))


def device_hardening() -> list[Fact]:
    """Return the same of an inference process whose models run on a device; nothing where there is none."""
    from turnwise.inference.host.measures import measures_here
    from turnwise.inference.onnx.provider_names import CPU

    devices = tuple(state.name for state in _provider_report().providers if state.usable and state.name != CPU)
    return _measured(asyncio.run(measures_here(devices))) if devices else []


def _measured(measures: Sequence[Measure]) -> list[Fact]:
    return [Fact(one.name, "holds" if one.holds else "does not hold", one.detail, one.holds) for one in measures]


def caches() -> list[Fact]:
    from turnwise.sandbox.build.cache import CACHE_BYTES_MAX

    root = cache_folder()
    facts = [Fact("folder", str(root), "TURNWISE_CACHE names another; it may be deleted at any time")]
    code = [path.stat().st_size for path in root.rglob("*.bin")]
    note = f"{len(code)} artefacts, at most {size(CACHE_BYTES_MAX)} are kept"
    facts.append(Fact("compiled code", size(sum(code)), note))
    hashes = root / "model-hashes.json"
    facts.append(Fact("hashes of models", size(hashes.stat().st_size) if hashes.is_file() else "none", str(hashes)))
    return facts


def limits() -> list[Fact]:
    facts = [
        Fact(
            "cores",
            cores(),
            f"of {os.cpu_count()}: the number of sandbox workers, if neither --workers nor TURNWISE_WORKERS says",
        )
    ]
    facts += _memory()
    facts += _open_files()
    for name, folder in (("disk here", Path.cwd()), ("disk for temporary files", Path(tempfile.gettempdir()))):
        facts.append(Fact(name, f"{size(shutil.disk_usage(folder).free)} free", str(folder)))
    return facts


def _memory() -> list[Fact]:
    facts = [Fact("memory", size(machine_memory_bytes()))]
    limit = group_limit_bytes()
    if limit is not None:
        facts.append(Fact("memory of this group", size(limit), "a limit set from outside (cgroup)"))
    refused = huge_pages_refusal()
    given = "given" if refused is None else "not given"
    facts.append(Fact("huge pages", given, refused or "weights of models lie on them: steps read these faster"))
    return facts


def _open_files() -> list[Fact]:
    try:
        import resource
    except ImportError:  # not on Windows
        return []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return [Fact("open files", soft, f"at most {hard}" if hard != resource.RLIM_INFINITY else "without a bound")]


def size(bytes_: int) -> str:
    """`20.0 MiB`"""
    if bytes_ < MIB // 10:
        return f"{bytes_ / 1024:,.1f} KiB"
    return f"{bytes_ / 1024 / MIB:,.1f} GiB" if bytes_ >= 1024 * MIB else f"{bytes_ / MIB:,.1f} MiB"


SECTIONS: dict[str, Callable[[], list[Fact]]] = {
    "versions": versions,
    "interpreter of Python agents": interpreter,
    "interpreter of JavaScript agents": javascript_interpreter,
    "inference": providers,
    "transport": transport,
    "hardening of sandbox workers": hardening,
    "hardening of inference (CPU)": inference_hardening,
    "hardening of inference (devices)": device_hardening,
    "caches": caches,
    "limits": limits,
}
