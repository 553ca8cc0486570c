"""The pictures of the dashboard in docs/img, of `nodeagent demo`: `make pictures`."""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.nodeagent.cli.processes import fetch, started
from tests.nodeagent.dashboard.browser import Browser, Page, chromium

SECONDS = 45
"""How long the charts are of."""

EDITED = """\
/ph => /$/io.buoyant.rinet ;
/svc => /#/io.l5d.fs ;
/svc/users => 3 * /#/io.l5d.fs/users & 1 * /#/io.l5d.fs/orders
"""


def main(directory: Path) -> None:
    """Play the demonstration for a while, and take the pictures."""
    directory.mkdir(parents=True, exist_ok=True)
    with (
        TemporaryDirectory() as profile,
        started("demo", "--port", "0", "--admin-port", "0", patience=300) as demo,
        chromium(Path(profile)) as browser,
    ):
        while not (line := demo.read_line()).startswith("The agent listens on "):
            assert line, demo.end()
        proxy, admin = (int(port) for port in re.findall(r":(\d+)", line))
        fetch(proxy, "nobody")  # so that there is an error to show
        take(browser, f"http://127.0.0.1:{admin}/", admin, directory)


def take(browser: Browser, url: str, admin: int, directory: Path) -> None:
    """Take all pictures of a running agent into `directory`."""
    wide = browser.open(url, 1280, 620)
    dark = browser.open(url, 1280, 620, scheme="dark")
    narrow = browser.open(url, 400, 800)
    time.sleep(SECONDS)
    wide.picture(directory / "dashboard.png")
    dark.picture(directory / "dashboard-dark.png")
    narrow.picture(directory / "dashboard-narrow.png")
    at(wide, "service/outgoing/%2Fsvc%2Forders", ".heat")
    time.sleep(3)
    wide.resize(1280, 760)
    wide.picture(directory / "dashboard-service.png")
    at(wide, f"request/{retried(admin)}", ".waterfall")
    wide.picture(directory / "dashboard-request.png")
    at(wide, "playground?name=/svc/users", "#play-dtab")
    wide.wait("document.querySelector('#play-dtab').value")
    wide.type("#play-dtab", EDITED)
    wide.wait_text("It would go elsewhere")
    wide.value("document.activeElement.blur()")
    wide.picture(directory / "dashboard-playground.png")


def at(page: Page, view: str, selector: str) -> None:
    """Go to a view, and wait until it has what fits a selector."""
    page.value(f"location.hash = {json.dumps('#/' + view)}")
    page.wait(f"document.querySelector({json.dumps(selector)}) !== null")


def retried(admin: int) -> str:
    """The id of a request that took more than one attempt, or of the last."""
    records = json.loads(fetch(admin, f"127.0.0.1:{admin}", "/requests.json?limit=1000")[1])
    found: str = next((each["id"] for each in records if len(each["attempts"]) > 1), records[0]["id"])
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]))
