"""A real headless Chromium, by its DevTools protocol over a pipe: as much of it as a test of a page needs.

https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pytest

Json: TypeAlias = dict[str, Any]

PATIENCE = 20.0
"""Seconds for an answer of the browser, or for what a test waits for."""

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium")

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--remote-debugging-pipe",
)

KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32}


class Browser:
    """A running browser. Everything happens in the caller's thread: events are read while an answer is waited for."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands = commands
        self._answers = answers
        self._unread = b""
        self._last = 0
        self.pages: dict[str, Page] = {}

    def ask(self, method: str, session: str | None = None, **params: Any) -> Json:
        """Have the browser do something, and return what it says. Raises AssertionError when it does not."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._last:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: Json = answer["result"]
                return result

    def _read(self) -> Json:
        deadline = time.monotonic() + PATIENCE
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self._answers], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "chromium does not answer"
            received = os.read(self._answers, 1 << 20)
            assert received, "chromium has ended"
            self._unread += received
        raw, _, self._unread = self._unread.partition(b"\0")
        message: Json = json.loads(raw)
        page = self.pages.get(message.get("sessionId", ""))
        if page is not None and "method" in message:
            page.hear(message["method"], message["params"])
        return message

    def open(self, url: str, width: int = 1600, height: int = 1000, *, scheme: str = "light") -> Page:
        """Open a page in a window of its own, of a size in CSS pixels; `scheme` is light or dark."""
        context = self.ask("Target.createBrowserContext")["browserContextId"]
        target = self.ask("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = self.pages[session] = Page(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.ask(f"{domain}.enable")
        page.resize(width, height)
        page.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        page.ask("Page.navigate", url=url)
        page.wait("document.readyState === 'complete'")
        return page


class Page:
    """One page, and what it has said and asked for."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session
        self.complaints: list[str] = []
        """What it wrote to the console, or would not do, such as by its policy."""
        self.requested: list[str] = []
        """The URLs that it asked for."""

    def hear(self, method: str, params: Json) -> None:
        """Take note of an event."""
        match method:
            case "Network.requestWillBeSent":
                self.requested.append(params["request"]["url"])
            case "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(params["exceptionDetails"]))
            case "Runtime.consoleAPICalled":
                self.complaints.append(json.dumps(params["args"]))
            case "Log.entryAdded":
                self.complaints.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")

    def ask(self, method: str, **params: Any) -> Json:
        """Have it do something."""
        return self._browser.ask(method, self._session, **params)

    def value(self, script: str) -> Any:
        """What an expression is in the page. Raises AssertionError when it throws."""
        answer = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, f"{script}: {answer['exceptionDetails']}"
        return answer["result"].get("value")

    def wait(self, script: str, what: str = "") -> Any:
        """Wait until an expression is true in the page, and return it."""
        deadline = time.monotonic() + PATIENCE
        while not (value := self.value(script)):
            shown = self.value("document.body?.innerText")
            assert time.monotonic() < deadline, f"{what or script} has not come; the page shows:\n{shown}"
            time.sleep(0.05)
        return value

    def wait_text(self, text: str, within: str = "body") -> None:
        """Wait until a text is shown."""
        self.wait(f"document.querySelector({json.dumps(within)})?.innerText.includes({json.dumps(text)})", repr(text))

    def click(self, selector: str) -> None:
        """Click in the middle of an element, as a mouse does."""
        where = f"document.querySelector({json.dumps(selector)})"
        self.wait(f"{where} !== null")
        self.value(f"{where}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
        x, y = self.value(f"(r => [r.x + r.width / 2, r.y + r.height / 2])({where}.getBoundingClientRect())")
        for kind in ("mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def type(self, selector: str, text: str) -> None:
        """Put a text into a field in the place of what is there."""
        self.value(f"(e => {{ e.focus(); e.select(); }})(document.querySelector({json.dumps(selector)}))")
        self.ask("Input.insertText", text=text)

    def press(self, key: str, *, shift: bool = False) -> None:
        """Press a key."""
        code = KEYS[key]
        more = {"text": "\r"} if key == "Enter" else {}
        common = {"key": key, "code": key, "windowsVirtualKeyCode": code, "modifiers": 8 if shift else 0}
        self.ask("Input.dispatchKeyEvent", type="keyDown", **common, **more)
        self.ask("Input.dispatchKeyEvent", type="keyUp", **common)

    def resize(self, width: int, height: int) -> None:
        """Give it another size."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """Write what it looks like, as PNG."""
        shot = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole, **self._clip(whole))
        path.write_bytes(base64.b64decode(shot["data"]))

    def _clip(self, whole: bool) -> Json:
        if not whole:
            return {}
        size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
        return {"clip": {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}}


@contextmanager
def chromium(directory: Path) -> Iterator[Browser]:
    """A browser with a profile of its own in `directory`, ended with the block."""
    assert CHROMIUM is not None
    command_reader, commands = os.pipe()
    answers, answer_writer = os.pipe()
    # It reads commands from descriptor 3, and writes answers to 4.
    shell = f'exec "$@" 3<&{command_reader} 4>&{answer_writer}'
    program = ("bash", "-c", shell, "chromium", CHROMIUM, *FLAGS, f"--user-data-dir={directory}", "about:blank")
    quiet = subprocess.DEVNULL
    with subprocess.Popen(
        program, stdin=quiet, stdout=quiet, stderr=quiet, pass_fds=(command_reader, answer_writer)
    ) as process:
        os.close(command_reader)
        os.close(answer_writer)
        browser = Browser(commands, answers)
        try:
            yield browser
        finally:
            os.close(commands)  # at which it ends
            os.close(answers)
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
