"""Real browsers, each with the few things that the tests of pages ask of one."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

import pytest

T = TypeVar("T")
SECONDS_MAX = 120.0
"""Time that a page has to come to what is waited for."""


class Browser(Protocol):
    """A browser that has opened the monitor's first address, and so has its cookie."""

    def open(self, address: str) -> None:
        """Open an address, and wait until the page is loaded."""

    def script(self, expression: str) -> Any:
        """The value of an expression on the page that was opened."""

    def console(self) -> list[str]:
        """Errors, warnings and what the page wrote, since it was asked last."""

    def picture(self, path: Path) -> None:
        """Write what is seen as a PNG file."""

    def close(self) -> None:
        """End the browser."""


def waited(ask: Callable[[], T], wanted: Callable[[T], object]) -> T:
    """Ask again until it is what is wanted, and return that."""
    end = time.monotonic() + SECONDS_MAX
    while True:
        found = ask()
        if wanted(found):
            return found
        assert time.monotonic() < end, found
        time.sleep(0.1)


def needed(*names: str) -> str:
    """The path of a program; the test is skipped where there is none of these."""
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip(f"there is no {names[0]}")
    return found


class Chromium:
    """Chromium by its driver."""

    def __init__(self, address: str) -> None:
        webdriver = pytest.importorskip("selenium.webdriver")
        options = webdriver.ChromeOptions()
        options.binary_location = needed("chromium", "google-chrome")
        for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1280,800"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self._driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(needed("chromedriver")))
        self._driver.get(address)

    def open(self, address: str) -> None:
        self._driver.get(address)

    def script(self, expression: str) -> Any:
        return self._driver.execute_script(f"return {expression}")

    def console(self) -> list[str]:
        return [entry["message"] for entry in self._driver.get_log("browser")]

    def picture(self, path: Path) -> None:
        self._driver.save_screenshot(str(path))

    def close(self) -> None:
        self._driver.quit()


class Firefox:
    """Firefox by WebDriver BiDi, which it speaks without a driver."""

    def __init__(self, address: str) -> None:
        client = pytest.importorskip("websockets.sync.client")
        program = needed("firefox-esr", "firefox")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._open = ExitStack()
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        arguments = ["-headless", "--width=1280", "--height=800", "--profile", self._folder.name]
        self._process = subprocess.Popen(
            [program, *arguments, f"--remote-debugging-port={port}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._number = 0
        self._said: list[str] = []

        def connected() -> Any:
            try:
                return self._open.enter_context(client.connect(f"ws://127.0.0.1:{port}/session", max_size=None))
            except OSError:
                return None

        self._socket = waited(connected, lambda found: found is not None)
        self._ask("session.new", capabilities={})
        self._ask("session.subscribe", events=["log.entryAdded"])
        self._context = self._ask("browsingContext.getTree")["contexts"][0]["context"]
        self._ask("browsingContext.setViewport", context=self._context, viewport={"width": 1280, "height": 800})
        self.open(address)

    def _ask(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            found = json.loads(self._socket.recv(timeout=SECONDS_MAX))
            if found.get("method") == "log.entryAdded":
                self._said.append(str(found["params"]["text"]))
            elif found.get("id") == self._number:
                assert found["type"] == "success", found
                return found["result"]

    def open(self, address: str) -> None:
        self._ask("browsingContext.navigate", context=self._context, url=address, wait="complete")

    def script(self, expression: str) -> Any:
        target = {"context": self._context}
        found = self._ask("script.evaluate", expression=expression, target=target, awaitPromise=False)
        assert found["type"] == "success", found
        return found["result"].get("value")

    def console(self) -> list[str]:
        said, self._said = self._said, []
        return said

    def picture(self, path: Path) -> None:
        found = self._ask("browsingContext.captureScreenshot", context=self._context)
        path.write_bytes(base64.b64decode(found["data"]))

    def close(self) -> None:
        self._open.close()
        self._process.terminate()
        self._process.wait(60)
        self._folder.cleanup()


SERVO_HOST = "machine.test"
SERVO = """
import json, os, sys
import servo_fetch
first, address, script, picture = sys.argv[1:]
session = servo_fetch.Session()
session.fetch(first, settle=1.0)
if picture:
    page = session.fetch(address, settle=4.0, screenshot=True)
    open(picture, "wb").write(page.screenshot)
else:
    page = session.fetch(address, settle=4.0, javascript=script)
    said = [str(getattr(line, "message", line)) for line in page.console]
    print(json.dumps({"value": page.js_result, "console": said}), flush=True)
os._exit(0)
"""
"""One question to Servo: each opens the page anew in a process of its own, which ends without ending the session,
since the engine may crash then."""


class Servo:
    """Servo by servo-fetch, which opens the page anew for each question."""

    def __init__(self, address: str) -> None:
        try:
            assert socket.gethostbyname(SERVO_HOST) == "127.0.0.1"
        except (OSError, AssertionError):
            pytest.skip(f"/etc/hosts has no line `127.0.0.1 {SERVO_HOST}`")
        self._folder = tempfile.TemporaryDirectory()
        self._first = self._named(address)
        self._address = self._first
        self._said: list[str] = []

    def _named(self, address: str) -> str:
        parts = urlsplit(address)
        return parts._replace(netloc=f"{SERVO_HOST}:{parts.port}").geturl()

    def _ask(self, script: str, picture: str) -> str:
        around = {"GLIBC_TUNABLES": "glibc.rtld.optional_static_tls=16384", "XDG_RUNTIME_DIR": self._folder.name}
        arguments = [sys.executable, "-c", SERVO, self._first, self._address, script, picture]
        found = subprocess.run(arguments, capture_output=True, text=True, env={**os.environ, **around}, check=False)
        if "No module named" in found.stderr:
            pytest.skip("there is no servo-fetch")
        assert found.returncode == 0, found.stderr
        return found.stdout

    def open(self, address: str) -> None:
        self._address = self._named(address)
        if "token=" in address:  # another server, or its page anew
            self._first = self._address

    def script(self, expression: str) -> Any:
        found = json.loads(self._ask(f"JSON.stringify({expression})", "").splitlines()[-1])
        self._said += found["console"]
        value = found["value"]
        value = json.loads(value) if isinstance(value, str) else value
        return json.loads(value) if isinstance(value, str) and value[:1] in ("[", '"') else value

    def console(self) -> list[str]:
        said, self._said = self._said, []
        return said

    def picture(self, path: Path) -> None:
        self._ask("", str(path))

    def close(self) -> None:
        self._folder.cleanup()
