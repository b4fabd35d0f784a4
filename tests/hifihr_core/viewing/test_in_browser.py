"""The viewer in a headless Chromium: no error in its console, the hand on the screen, and a slider that changes it."""

import base64
import io
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hifihr_core.viewing.app import HandViewer
from hifihr_core.viewing.stored_photos import StoredPhotos

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed"), pytest.mark.slow]


class Browser:
    """A page of a headless Chromium, driven over its debugging socket."""

    def __init__(self, profile: Path) -> None:
        from websockets.sync.client import connect

        words = (
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--use-angle=swiftshader",
            "--enable-unsafe-swiftshader",
        )
        sizes = ("--window-size=900,600", "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank")
        self.process = subprocess.Popen([CHROMIUM, *words, *sizes], stderr=subprocess.PIPE, text=True)
        address = next(line for line in self.process.stderr if "DevTools listening on" in line).split()[-1]
        with urllib.request.urlopen(f"http://{address.split('/')[2]}/json") as answer:
            pages = [page for page in json.load(answer) if page["type"] == "page"]
        self.socket = connect(pages[0]["webSocketDebuggerUrl"], max_size=None)
        self.errors: list[str] = []
        self.number = 0
        self.call("Runtime.enable")
        self.call("Page.enable")

    def call(self, method: str, **parameters: object) -> dict:
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self.socket.recv(timeout=600))
            if answer.get("id") == self.number:
                return answer.get("result", {})
            if answer["method"] == "Runtime.exceptionThrown" or answer.get("params", {}).get("type") == "error":
                self.errors.append(json.dumps(answer)[:500])

    def picture(self) -> np.ndarray:
        """Return the left two thirds of the page, where the scene is."""
        data = self.call("Page.captureScreenshot").get("data")
        if data is None:  # the page is being replaced
            return np.zeros((1, 1, 3), dtype=int)
        shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")).astype(int)
        return shown[150:, : shown.shape[1] * 2 // 3]  # viser warns of slow graphics above

    def close(self) -> None:
        self.socket.close()
        self.process.terminate()
        self.process.wait(timeout=600)
        self.process.stderr.close()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    pytest.importorskip("viser", reason="viser is not installed: pip install 'hifihr[view]'")
    one = Browser(tmp_path / "profile")
    yield one
    one.close()


def wait_for(found: Callable[[], bool], *, at_most_s: float = 400.0) -> None:
    end = time.monotonic() + at_most_s
    while not found():
        assert time.monotonic() < end, "the browser did not get there"
        time.sleep(0.5)


def test_the_hand_is_on_the_screen_and_a_slider_moves_it(folder: Path, browser: Browser) -> None:
    viewer = HandViewer(StoredPhotos(folder), port=18081)
    try:
        browser.call("Page.navigate", url=f"http://127.0.0.1:{viewer.port}")
        # The photo is a flat green: it is there once green pixels are, and hands are where it is not seen.
        wait_for(lambda: _green(browser.picture()).mean() > 0.02)
        time.sleep(2)
        before = _green(browser.picture())
        for slider in viewer.sliders.values():
            slider.value = 80
        viewer.draw()
        wait_for(lambda: (_green(browser.picture()) != before).mean() > 0.002)
        assert browser.errors == []
    finally:
        viewer.stop()


def _green(picture: np.ndarray) -> np.ndarray:
    return (picture[..., 1] > picture[..., 0] + 10) & (picture[..., 1] > picture[..., 2] + 20)
