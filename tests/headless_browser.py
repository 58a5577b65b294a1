"""A real browser without a window: Chromium, through the commands of chromedriver."""

import base64
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

needs_browser = pytest.mark.skipif(
    not (shutil.which("chromium") and shutil.which("chromedriver")),
    reason="needs chromium and chromedriver (Debian: apt-get install chromium chromium-driver)",
)
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--hide-scrollbars"),
]
PHONE, DESK = (360, 740), (1280, 900)


class Browser:
    """A page in the browser."""

    def __init__(self, address: str, profile: Path) -> None:
        self._address = address
        options = {"args": [*FLAGS, f"--user-data-dir={profile}"]}
        session = self._post("/session", {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}})
        self._session = f"/session/{session['sessionId']}"

    def open(self, url: str, size: tuple[int, int], scheme: str) -> None:
        width, height = size
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == PHONE}
        self.command("Emulation.setDeviceMetricsOverride", metrics)
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        self.command("Emulation.setEmulatedMedia", media)
        self._post(f"{self._session}/url", {"url": url})

    def command(self, name: str, parameters: dict[str, Any]) -> Any:
        return self._post(f"{self._session}/goog/cdp/execute", {"cmd": name, "params": parameters})

    def run(self, script: str) -> Any:
        return self._post(f"{self._session}/execute/sync", {"script": script, "args": []})

    def wait_for(self, script: str, seconds: float = 60) -> Any:
        """Run a script until it returns something true."""
        end = time.monotonic() + seconds
        while not (found := self.run(script)):
            assert time.monotonic() < end, (
                f"{script!r} stayed {found!r} on: {self.run('return document.body.innerText')}"
            )
            time.sleep(0.1)
        return found

    def type(self, selector: str, text: str) -> None:
        """Type into an element, key by key; "\\ue007" is Enter."""
        found = self._post(f"{self._session}/element", {"using": "css selector", "value": selector})
        (element,) = found.values()
        self._post(f"{self._session}/element/{element}/value", {"text": text})

    def photograph(self, path: Path) -> None:
        """Save the page as a picture, down to its end."""
        taken = self.command("Page.captureScreenshot", {"captureBeyondViewport": True})
        path.write_bytes(base64.b64decode(taken["data"]))

    def quit(self) -> None:
        request = urllib.request.Request(self._address + self._session, method="DELETE")
        urllib.request.urlopen(request, timeout=30).close()

    def _post(self, path: str, content: dict[str, Any]) -> Any:
        request = urllib.request.Request(self._address + path, json.dumps(content).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)["value"]


@contextmanager
def open_browser(folder: Path) -> Iterator[Browser]:
    """Start a browser that keeps its profile and log in a folder."""
    log = folder / "log.txt"
    with log.open("w") as output:
        driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=output, stderr=subprocess.STDOUT)
    try:
        browser = Browser(f"http://127.0.0.1:{_port(log)}", folder / "profile")
        yield browser
        browser.quit()
    finally:
        driver.terminate()
        driver.wait(timeout=30)


def _port(log: Path) -> int:
    for _ in range(200):
        for line in log.read_text().splitlines():
            if "started successfully on port" in line:
                return int(line.rstrip(".").split()[-1])
        time.sleep(0.1)
    raise TimeoutError(f"chromedriver did not start: {log.read_text()}")
