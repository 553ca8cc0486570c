"""The dashboard in a real browser, in front of a real agent with traffic."""

from __future__ import annotations

import json
import signal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from urllib.parse import quote

import pytest

from nodeagent.admin import dashboard
from nodeagent.telemetry.registry import EARNED
from tests.nodeagent.cli.processes import serving
from tests.nodeagent.dashboard.browser import Browser, Page, needs_chromium
from tests.nodeagent.dashboard.stage import HOSTILE, Staged, staged

pytestmark = [pytest.mark.e2e, needs_chromium]

NARROW = 400
VIEWS = ("", "requests", "playground", "names", "configuration", "more", "service/outgoing/%2Fsvc%2Fsplit")
USERS = "service/outgoing/%2Fsvc%2Fusers"


def at(page: Page, view: str) -> None:
    """Go to a view, and wait until it shows something."""
    page.value(f"location.hash = {json.dumps('#/' + view)}")
    page.wait("document.querySelector('main h1') && !document.querySelector('main').innerText.includes('Loading.')")


def cells(page: Page, row: str) -> dict[str, str]:
    """What a table shows in the row that begins with a text, by the titles of its columns."""
    script = """(start) => {
      const rows = [...document.querySelectorAll('main tbody tr')];
      const row = rows.find((each) => each.innerText.trim().startsWith(start));
      return row && Object.fromEntries([...row.cells].map((cell) => [cell.dataset.label, cell.innerText.trim()]));
    }"""
    found: dict[str, str] = page.wait(f"({script})({json.dumps(row)})", f"a row {row!r}")
    return found


def test_the_overview_shows_what_the_metrics_say(browser: Browser, agent: Staged) -> None:
    page = browser.open(agent.url)
    page.wait_text("/svc/broken", "main")
    page.wait("document.querySelector('#standing').innerText === 'Ready'")
    total = agent.metric("nodeagent_service_requests_total", service="/svc/flaky")
    retries = agent.metric("nodeagent_service_retries_total", service="/svc/flaky")
    assert (total, retries > 0) == (30, True)
    shown = cells(page, "/svc/flaky")
    assert shown["Success"] == "100 %"
    assert float(shown["Actual"].split()[-2]) == pytest.approx(100 * total / (total + retries), abs=0.06)
    p99 = agent.json("/admin/metrics.json")["rt/outgoing/service/svc/flaky/request_latency_ms.p99"]
    assert float(shown["p99"].split()[0]) == pytest.approx(p99, abs=0.06)
    assert cells(page, "/svc/users")["Endpoints"] == "2/2"
    assert cells(page, "/svc/broken")["Success"].startswith("▼ 0 %")
    page.wait_text("connection_refused")
    assert page.complaints == []


def test_a_rate_is_there_once_requests_come(browser: Browser, agent: Staged) -> None:
    page = browser.open(agent.url)
    page.wait_text("/svc/users", "main")
    for _ in range(20):
        agent.ask("users")
    page.wait("Number(document.querySelector('.tile .value').innerText.split('/')[0]) > 0")
    page.wait("document.querySelector('td.spark path') !== null")


def test_the_table_of_services_is_sorted_and_filtered(browser: Browser, agent: Staged) -> None:
    page = browser.open(agent.url)
    page.wait_text("/svc/users", "main")
    names = "[...document.querySelectorAll('main .services tbody a')].map((each) => each.innerText)"
    page.click(".services th button")
    assert page.value(names) == sorted(page.value(names))
    page.click(".services th button")
    assert page.value(names) == sorted(page.value(names), reverse=True)
    assert page.value("document.querySelector('.services th').ariaSort") == "descending"
    page.type("#filter", "fla")
    page.wait(f"{names}.join() === '/svc/flaky'")
    page.type("#filter", "no such")
    page.wait_text("No service has “no such” in its name.")


def test_a_service_shows_where_it_goes_and_how_its_endpoints_are(browser: Browser, agent: Staged) -> None:
    page = browser.open(agent.url)
    page.click("main .services a[href$='%2Fsvc%2Fsplit']")
    page.wait_text("gets 75.0 %", ".tree")
    page.wait_text("gets 25.0 %", ".tree")
    at(page, "service/outgoing/%2Fsvc%2Fspare")
    page.wait_text("left:\n/#/io.l5d.fs/nowhere", ".tree")
    at(page, USERS)
    [one, other] = agent.json("/client_state.json")["/#/io.l5d.fs/users"]["endpoints"]
    assert cells(page, one)["State"] == "● alive"
    assert {cells(page, each)["Weight"] for each in (one, other)} == {"1", "2"}
    page.wait("document.querySelector('.heat') !== null")
    at(page, "service/outgoing/%2Fsvc%2Fflaky")
    retries = agent.metric("nodeagent_service_retries_total", service="/svc/flaky")
    page.wait_text(f"{retries:.0f} since the start")
    at(page, "service/outgoing/%2Fsvc%2Fbroken")
    page.wait_text("✕ dead")
    assert page.complaints == []


def test_requests_are_those_of_the_agent_and_open_their_record(browser: Browser, agent: Staged) -> None:
    page = browser.open(agent.url)
    at(page, "requests")
    records = agent.json("/requests.json?limit=500")
    page.wait_text(f"{len(records)} of the last {len(records)} requests")
    links = "[...document.querySelectorAll('main tbody td:first-child a')].map((each) => each.hash)"
    shown = [each.split("/")[2].split("?")[0] for each in page.value(links)]
    assert shown == [each["id"] for each in records[:50]]

    page.click("input[type=checkbox]")
    page.wait_text("1 of the last")
    assert cells(page, "")["Status"] == "✕ 502"
    page.click("main tbody a")
    page.wait_text("connection_refused")
    page.wait_text("To blame: connect.")

    retried = next(each for each in records if each["name"] == "/svc/flaky" and len(each["attempts"]) == 2)
    at(page, f"request/{retried['id']}")
    page.wait_text("at attempt 2: its only endpoint.")
    assert page.value("document.querySelectorAll('.attempt').length") == 2
    assert page.value("document.querySelectorAll('.waterfall .part.fault').length") > 1
    page.wait_text(retried["trace"])
    assert page.complaints == []
    at(page, "request/0000000000000000")
    page.wait_text("no request 0000000000000000 is known")


def test_the_tail_can_be_paused(browser: Browser, agent: Staged) -> None:
    page = browser.open(agent.url)
    at(page, "requests")
    page.wait_text("/svc/users", "main")
    page.click("main .tools button")
    page.wait_text("paused")
    agent.ask("users", "/while-it-is-paused")
    page.type("#filter", "while-it-is-paused")
    page.wait_text("None of the last requests is like that.")
    page.click("main .tools button")
    page.wait_text("GET http://users/while-it-is-paused")


def test_the_playground_says_what_would_change_and_changes_nothing(browser: Browser, agent: Staged) -> None:
    before = agent.json("/routers.json")
    page = browser.open(agent.url)
    at(page, "playground")
    page.wait("document.querySelector('#play-dtab').value")
    page.type("#play-name", "http://users/path")
    page.wait_text("To /#/io.l5d.fs/users.")
    page.type("#play-dtab", "/svc => /#/io.l5d.fs ; /svc/users => 1 * /#/io.l5d.fs/users & 1 * /#/io.l5d.fs/flaky")
    page.wait_text("It would go elsewhere")
    shares = (
        "[...document.querySelectorAll('.shares tbody tr')].map((row) => [...row.cells].map((cell) => cell.innerText))"
    )
    assert page.value(shares) == [["/#/io.l5d.fs/users", "100 %", "50.0 %"], ["/#/io.l5d.fs/flaky", "none", "50.0 %"]]
    page.wait_text("+ /svc/users => 1 * /#/io.l5d.fs/users & 1 * /#/io.l5d.fs/flaky", ".changes")
    page.type("#play-dtab", "/svc => !")
    page.wait_text("To refused.")
    assert page.complaints == []
    page.type("#play-dtab", "/svc ==> /x")
    page.wait_text("✕ dtab: ", "#play-error")
    page.wait("document.querySelector('#play-error mark') !== null")
    assert agent.json("/routers.json") == before


def test_names_configuration_and_raw_pages_are_shown(browser: Browser, agent: Staged) -> None:
    page = browser.open(agent.url)
    at(page, "names")
    shown = cells(page, "/users")
    assert (shown["Source"], shown["State"], shown["Freshness"]) == ("/#/io.l5d.fs", "bound", "fresh")
    at(page, "configuration")
    assert cells(page, "routers[0].dtab")["Origin"] == "agent.yaml:8"
    page.click("input[type=checkbox]")
    assert cells(page, "routers[0].dstPrefix") == {"Key": "routers[0].dstPrefix", "Value": "/svc", "Origin": "default"}
    at(page, "more")
    for link in page.value("[...document.querySelectorAll('#pages a')].map((each) => each.getAttribute('href'))"):
        agent.page(f"/{link}")


def test_what_callers_and_operators_write_stays_text(browser: Browser, agent: Staged) -> None:
    page = browser.open(agent.url)
    page.wait_text(HOSTILE)
    at(page, "requests")
    page.wait_text("http://users/<script>document.title=1</script>")
    at(page, f"service/{quote(HOSTILE, safe='')}/{quote('/svc/' + HOSTILE, safe='')}")
    page.wait_text(f"/svc/{HOSTILE}", "h1")
    at(page, "playground?name=" + quote(HOSTILE))
    page.wait("document.querySelector('#play-error').innerText")
    assert page.value("document.querySelectorAll('main img, main script').length") == 0
    assert "nodeagent" in page.value("document.title")


def test_it_asks_nobody_but_the_agent_and_is_small(browser: Browser, agent: Staged) -> None:
    page = browser.open(agent.url)
    for view in VIEWS:
        at(page, view)
    assert {url for url in page.requested if not url.startswith(agent.url)} == set()
    assert not [each for each in page.complaints if "logging.json" not in each]
    files = {url for url in page.requested if url == agent.url or "/static/" in url}
    assert sum(len(agent.page(url.removeprefix(agent.url[:-1]))) for url in files) < 100_000


@pytest.mark.parametrize("view", VIEWS)
def test_it_fits_into_a_telephone(browser: Browser, agent: Staged, view: str) -> None:
    page = browser.open(agent.url, NARROW, 800)
    at(page, view)
    page.wait("document.querySelector('main').innerText.length > 20")
    assert page.value("document.documentElement.scrollWidth") == NARROW


def test_everything_can_be_reached_by_keyboard(browser: Browser, agent: Staged) -> None:
    page = browser.open(agent.url)
    page.wait_text("/svc/users", "main")
    focused = "document.activeElement.id || document.activeElement.innerText"
    page.press("Tab")
    assert page.value(focused) == "skip"
    seen = []
    while "/svc/users" not in seen:
        page.press("Tab")
        seen.append(page.value(focused))
        assert page.value("getComputedStyle(document.activeElement).outlineStyle") != "none", seen
    assert [each for each in seen if each in ("Requests", "Dtab", "Names", "Config", "More")] == [
        "Requests",
        "Dtab",
        "Names",
        "Config",
        "More",
    ]
    assert {"theme", "filter", "/svc/users"} <= set(seen)
    page.value("document.querySelector('main .services tbody a').focus()")
    page.press("Enter")
    page.wait_text("Where it goes")
    assert page.value("document.activeElement.id") == "main"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", [*VIEWS, "request"])
def test_a_screen_reader_finds_its_way(browser: Browser, agent: Staged, view: str, scheme: str) -> None:
    axe = resources.files("axe_core_python").joinpath("axe.min.js").read_text()
    page = browser.open(agent.url, scheme=scheme)
    at(page, f"request/{agent.json('/requests.json?limit=1')[0]['id']}" if view == "request" else view)
    page.value(f"{axe}; 0")
    found = page.value("axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'best-practice']})")
    assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found["violations"]] == []


def test_colours_follow_the_switch_and_are_kept(browser: Browser, agent: Staged) -> None:
    page = browser.open(agent.url)
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.value(ground)
    page.value("(e => { e.value = 'dark'; e.dispatchEvent(new Event('change')); })(document.querySelector('#theme'))")
    assert page.value(ground) != light
    page.ask("Page.reload")
    page.wait(f"document.body && {ground} !== {json.dumps(light)}")


class Guarded(BaseHTTPRequestHandler):
    """Serves the dashboard to all, and its pages to who has the token."""

    def do_GET(self) -> None:
        name = self.path.rpartition("/static/")[2] if "/static/" in self.path else "index.html"
        token = self.headers.get("Authorization")
        if self.path == "/" or "/static/" in self.path:
            file = dashboard.files()[name]
            self.answer(200, file.media_type, file.body)
        elif token == "Bearer sesame":
            self.answer(200, "application/json", b"[]" if "metrics" not in self.path else b"{}")
        else:
            self.answer(401, "application/json", b'{"error": "a token is needed"}')

    def answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


def test_a_token_is_asked_for_and_kept_for_the_tab(browser: Browser) -> None:
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Guarded)) as server:
        page = browser.open(f"http://127.0.0.1:{server.server_port}/")
        for wrong_or_right in ("wrong", "sesame"):
            page.wait("document.querySelector('dialog').open")
            page.type("#token-value", wrong_or_right)
            page.press("Enter")
            page.wait(f"sessionStorage.getItem('nodeagent-token') === {json.dumps(wrong_or_right)}")
        page.wait("!document.querySelector('dialog').open")
        page.wait_text("No requests yet.")
        page.ask("Page.reload")
        page.wait("document.body && document.body.innerText.includes('No requests yet.')")
        assert not page.value("document.querySelector('dialog').open")


def test_many_services_come_in_pages(browser: Browser, tmp_path: Path) -> None:
    with staged(tmp_path) as agent:
        page = browser.open(agent.url)
        page.wait_text("No requests yet.")
        page.wait_text("curl http://users/")
        endpoints = (tmp_path / "disco" / "users").read_text()
        for number in range(60):
            (tmp_path / "disco" / f"service-{number:02}").write_text(endpoints)
            for _ in range(EARNED + 1):
                assert agent.ask(f"service-{number:02}") == 200
        page.wait_text("1 to 50 of 63 rows")
        page.click(".services .pages button:last-child")
        page.wait_text("51 to 63 of 63 rows")


def test_it_says_that_the_agent_is_gone_and_goes_on_when_it_is_back(browser: Browser, tmp_path: Path) -> None:
    with staged(tmp_path) as agent:
        agent.ask("users")
        page = browser.open(agent.url)
        page.wait_text("/svc/users", "main")
        port = agent.admin
        agent.process.signal(signal.SIGKILL)
        page.wait_text("The agent does not answer.")
        assert page.value("document.querySelector('#standing').innerText") == "No answer"
    with staged(tmp_path, admin=port) as agent:
        page.wait("document.querySelector('#gone').hidden")
        page.wait("document.querySelector('#standing').innerText === 'Ready'")
        agent.ask("flaky")
        page.wait_text("/svc/flaky", "main")
