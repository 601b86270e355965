"""A page in headless Chromium, as a person would see it: its text, and a picture of it."""

import base64
import json
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from urllib.request import urlopen

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--remote-debugging-port=0",
)  # fmt: skip


class Browser:
    """`with Browser(url) as page`: the page is open in a window of this size, without a network beyond this machine."""

    def __init__(self, url: str, size: tuple[int, int] = (1280, 800)):
        self.url, self.size, self.calls = url, size, 0

    def __enter__(self):
        from websockets.sync.client import connect

        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        command = [CHROMIUM, *OPTIONS, f"--user-data-dir={self.folder.name}", f"--window-size={self.size[0]},{self.size[1]}"]
        self.process = subprocess.Popen([*command, self.url], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        port = Path(self.folder.name) / "DevToolsActivePort"
        _wait(lambda: port.is_file() and port.read_text().count("\n"), 30, "Chromium does not start")
        with urlopen(f"http://127.0.0.1:{port.read_text().split()[0]}/json") as answer:
            page = next(target for target in json.load(answer) if target["type"] == "page")
        self.socket = connect(page["webSocketDebuggerUrl"], max_size=None)
        return self

    def __exit__(self, *_):
        self.socket.close()
        self.process.terminate()
        self.process.wait(60)
        self.folder.cleanup()

    def call(self, method: str, **parameters) -> dict:
        self.calls += 1
        self.socket.send(json.dumps({"id": self.calls, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self.socket.recv(60))
            if answer.get("id") == self.calls:
                return answer["result"]

    def evaluate(self, script: str):
        """The value of an expression in the page."""
        return self.call("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    @property
    def text(self) -> str:
        """What can be read on the page."""
        return self.evaluate("document.body ? document.body.innerText : ''")

    def wait_for(self, *words: str, seconds: float = 60.0) -> str:
        """The text of the page, once it has all these words."""
        self.wait_until(lambda: all(word in self.text for word in words), f"no {words}", seconds)
        return self.text

    def wait_until(self, condition, complaint: str, seconds: float = 60.0) -> None:
        _wait(condition, seconds, complaint, lambda: self.text)

    def picture(self, path: Path) -> None:
        """A PNG of what is in the window."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))


def _wait(condition, seconds: float, complaint: str, found=lambda: "") -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{complaint} within {seconds} s; found: {found()}"
        threading.Event().wait(0.1)
