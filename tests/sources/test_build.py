"""An agent and its packages as one file: real packages work in the sandbox, and others are refused with the reason."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path

import pytest

import turnwise
from turnwise import Agent, UsageError, World
from turnwise.sandbox.build.code import CodeError

AGENT = """
import importlib.metadata
import attrs, jinja2, tabulate
import helper

@attrs.define
class Row:
    name: str
    value: int = attrs.field(validator=attrs.validators.instance_of(int))

def turn(t):
    rows = [Row("a", 1), Row("b", 2)]
    table = tabulate.tabulate([attrs.astuple(row) for row in rows], headers=["name", "value"])
    text = jinja2.Template("{% for r in rows %}{{ r.name|upper }}={{ r.value }};{% endfor %}").render(rows=rows)
    names = ("attrs", "Jinja2", "tabulate", "markupsafe")
    t.state = {
        "table": table.splitlines()[-1].split(),
        "text": text,
        "versions": [importlib.metadata.version(name) for name in names],
        "found": sorted(one.name.lower() for one in importlib.metadata.distributions()),
        "helper": helper.NAME,
    }
"""


def write(folder: Path, agent: str, requirements: str) -> tuple[Path, Path]:
    (folder / "helper.py").write_text('NAME = "local"\n')
    (folder / "agent.py").write_text(agent)
    (folder / "requirements.txt").write_text(requirements)
    return folder / "agent.py", folder / "requirements.txt"


def package(folder: Path, name: str, files: dict[str, str], metadata: str = "") -> None:
    """Install a package made of texts into a folder."""
    described = f"{name}-1.0.dist-info"
    files = files | {f"{described}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{metadata}"}
    for file, text in files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text)
    (folder / described / "RECORD").write_text("".join(f"{file},,\n" for file in files))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose packages are installed here."""
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


def test_packages_that_are_pure_python_work_with_their_metadata(tmp_path: Path) -> None:
    agent, requirements = write(tmp_path, AGENT, "attrs\n# templates\njinja2>=3.1  # and those\n\ntabulate\n")
    built = turnwise.build(agent, requirements=requirements)
    assert built.path == tmp_path / "agent.agent"
    assert [one.name.lower() for one in built.packages] == ["attrs", "jinja2", "markupsafe", "tabulate"]
    assert "attrs" in built.packages[0].modules
    world = World(name="w", folder=tmp_path, agents={"a": Agent("agent.agent", start=True, fuel=10_000_000_000)})
    assert turnwise.check(world) == []
    run = turnwise.run(world, journal=tmp_path / "run.journal")
    versions = {one.name.lower(): one.version for one in built.packages}
    assert json.loads(run.state("a")) == {
        "table": ["b", "2"],
        "text": "A=1;B=2;",
        "versions": [versions[name] for name in ("attrs", "jinja2", "tabulate", "markupsafe")],
        "found": ["attrs", "jinja2", "markupsafe", "tabulate"],
        "helper": "local",
    }
    assert turnwise.verify(tmp_path / "run.journal").difference is None


def test_the_same_files_give_the_same_bytes_and_any_change_another_hash(tmp_path: Path) -> None:
    agent, requirements = write(tmp_path, "import attrs\ndef turn(t): ...\n", "attrs\n")
    one = turnwise.build(agent, requirements=requirements, out=tmp_path / "one.agent")
    two = turnwise.build(agent, requirements=requirements, out=tmp_path / "two.agent")
    assert one.path.read_bytes() == two.path.read_bytes()
    codes = []
    for name in ("one", "changed"):
        if name == "changed":
            agent.write_text("import attrs\ndef turn(t): t.state = 1\n")
            turnwise.build(agent, requirements=requirements, out=tmp_path / "changed.agent")
        world = World(name="w", folder=tmp_path, agents={"a": Agent(f"{name}.agent", start=True)})
        codes.append(turnwise.run(world, journal=tmp_path / f"{name}.journal").plan.kinds[0].code)
    assert codes[0] != codes[1]


def test_without_requirements_it_is_the_agent_and_its_local_modules(tmp_path: Path) -> None:
    agent, _ = write(tmp_path, "import helper\ndef turn(t): t.state = helper.NAME\n", "")
    built = turnwise.build(agent)
    assert sorted(zipfile.ZipFile(built.path).namelist()) == ["agent.py", "helper.py", "turnwise-agent.json"]


def test_native_packages_are_refused_with_the_reason(tmp_path: Path) -> None:
    agent, requirements = write(tmp_path, "def turn(t): ...\n", "numpy\n")
    with pytest.raises(UsageError, match=r"numpy .*native extensions \(numpy/.*\), which no sandbox can load"):
        turnwise.build(agent, requirements=requirements)
    assert not (tmp_path / "agent.agent").exists()


@pytest.mark.parametrize("module", ["socket", "ssl", "subprocess", "multiprocessing"])
def test_packages_that_need_what_a_sandbox_has_not_are_refused(tmp_path: Path, place: Path, module: str) -> None:
    package(place, "needy", {"needy.py": f"import {module}\n"})
    agent, requirements = write(tmp_path, "def turn(t): ...\n", "needy\n")
    with pytest.raises(UsageError, match="importing needy fails"):
        turnwise.build(agent, requirements=requirements)


def test_what_stays_behind_or_cannot_work_is_said(tmp_path: Path, place: Path) -> None:
    files = {
        "odd/__init__.py": "import threading\ndef f(): threading.Thread(target=f).start()\n",
        "odd/fast.so": "",
        "odd/data.txt": "x",
        "odd/broken.py": "import socket\n",
        "_odd_native/__init__.py": "import nowhere\n",
    }
    package(place, "odd", files)
    agent, requirements = write(tmp_path, "def turn(t): ...\n", "odd\n")
    (odd,) = turnwise.build(agent, requirements=requirements).packages
    notes = "\n".join(odd.notes)
    assert "_odd_native cannot be imported: ModuleNotFoundError" in notes
    assert "native extensions stay behind, and it works without: odd/fast.so" in notes
    assert "odd/data.txt" in notes
    assert "threads" in notes


def test_what_packages_need_comes_along_as_the_sandbox_needs_it(tmp_path: Path, place: Path) -> None:
    needs = "Requires-Dist: below\n"
    needs += 'Requires-Dist: absent; sys_platform == "win32"\nRequires-Dist: extra-one; extra == "more"\n'
    package(place, "above", {"above.py": "import below\n"}, needs)
    package(place, "below", {"below.py": ""})
    package(place, "extra_one", {"extra_one.py": ""})
    agent, requirements = write(tmp_path, "def turn(t): ...\n", "above\n")
    assert [one.name for one in turnwise.build(agent, requirements=requirements).packages] == ["above", "below"]
    requirements.write_text("above[more]\n")
    names = [one.name for one in turnwise.build(agent, requirements=requirements).packages]
    assert names == ["above", "below", "extra_one"]


@pytest.mark.parametrize(
    ("requirements", "message"),
    [
        ("no-such-package-anywhere\n", "is not installed here"),
        ("attrs==0.0.1\n", "is not what is installed here"),
        ("-r other.txt\n", "no requirement"),
        ("attrs jinja2\n", "no requirement"),
    ],
)
def test_requirements_that_cannot_be_met_name_their_line(tmp_path: Path, requirements: str, message: str) -> None:
    agent, file = write(tmp_path, "def turn(t): ...\n", requirements)
    with pytest.raises(UsageError, match=message) as wrong:
        turnwise.build(agent, requirements=file)
    assert str(file) in str(wrong.value.where)


def test_two_things_of_one_name_are_refused(tmp_path: Path, place: Path) -> None:
    package(place, "below", {"helper.py": "OTHER = 1\n"})
    agent, requirements = write(tmp_path, "import helper\ndef turn(t): ...\n", "below\n")
    with pytest.raises(UsageError, match=r"below has the file helper.py, and so has the agent"):
        turnwise.build(agent, requirements=requirements)


def test_an_agent_that_does_not_compile_is_not_built(tmp_path: Path) -> None:
    agent, _ = write(tmp_path, "def turn(t:\n", "")
    with pytest.raises(CodeError):
        turnwise.build(agent)


def test_wrong_names_say_what_to_do(tmp_path: Path) -> None:
    agent, _ = write(tmp_path, "def turn(t): ...\n", "")
    with pytest.raises(UsageError, match=r"must end with \.agent"):
        turnwise.build(agent, out=tmp_path / "agent.zip")
    with pytest.raises(UsageError, match="no Python agent"):
        turnwise.build(tmp_path / "agent.wat")


def test_pip_gets_packages_and_says_why_it_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wheel in a folder stands for an index: nothing is fetched from elsewhere."""
    wheel = tmp_path / "wheels" / "fetched-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("fetched.py", "NAME = 'fetched'\n")
        archive.writestr("fetched-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: fetched\nVersion: 1.0\n")
        archive.writestr(
            "fetched-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(
            "fetched-1.0.dist-info/RECORD",
            "fetched.py,,\nfetched-1.0.dist-info/METADATA,,\nfetched-1.0.dist-info/WHEEL,,\n"
            "fetched-1.0.dist-info/RECORD,,\n",
        )
    for name, value in (("PIP_NO_INDEX", "1"), ("PIP_FIND_LINKS", str(wheel.parent)), ("PIP_CONFIG_FILE", "/dev/null")):
        monkeypatch.setenv(name, value)
    agent, requirements = write(tmp_path, "import fetched\ndef turn(t): t.state = fetched.NAME\n", "fetched\n")
    (package_,) = turnwise.build(agent, requirements=requirements, fetch=True).packages
    assert (package_.name, package_.version) == ("fetched", "1.0")
    assert "fetched" not in sys.modules
    requirements.write_text("no-such-package-anywhere\n")
    with pytest.raises(UsageError, match="pip could not get the packages"):
        turnwise.build(agent, requirements=requirements, fetch=True)
