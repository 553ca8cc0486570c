"""The dashboard's files as they are served. What a browser makes of them: tests/nodeagent/dashboard."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from nodeagent.admin import dashboard
from tests.nodeagent.admin.fakes import FakeAgent, asking

ROOT = Path(__file__).parents[3]


async def test_the_page_may_do_nothing_but_ask_this_agent() -> None:
    async with asking(FakeAgent()) as client:
        answer = await client.get("/")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert answer.headers["content-security-policy"] == dashboard.POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert len(answer.headers.get_list("content-security-policy")) == 1


@pytest.mark.parametrize("name", sorted(dashboard.files()))
async def test_each_file_is_served_and_asked_for_again_only_when_it_is_another_one(name: str) -> None:
    async with asking(FakeAgent()) as client:
        answer = await client.get(f"/static/{name}")
        assert (answer.status_code, answer.content) == (200, dashboard.files()[name].body)
        assert answer.headers["content-type"] == dashboard.MEDIA_TYPES[Path(name).suffix]
        assert answer.headers["cache-control"] == "no-cache"
        assert answer.headers["content-encoding"] == "gzip"
        plain = await client.get(f"/static/{name}", headers={"accept-encoding": "identity"})
        assert (plain.content, "content-encoding" in plain.headers) == (answer.content, False)
        for known in (answer.headers["etag"], f'"other", {answer.headers["etag"]}'):
            again = await client.get(f"/static/{name}", headers={"if-none-match": known})
            assert (again.status_code, again.content) == (304, b"")


def test_a_script_is_served_without_what_is_for_who_reads_its_source() -> None:
    source = b"// What it is for.\n\n/** Twice. */\nfunction twice(x) {\n  return 2 * x; // as said\n}\n"
    assert dashboard.lean(source) == b"function twice(x) {\nreturn 2 * x; // as said\n}"
    for path in dashboard.STATIC.glob("*.js"):
        assert all(line.count("`") % 2 == 0 for line in path.read_text().splitlines()), "a text of several lines"


@pytest.mark.parametrize("name", ["", "nothing.js", "../app.py", "..%2fapp.py"])
async def test_nothing_else_is_served(name: str) -> None:
    async with asking(FakeAgent()) as client:
        assert (await client.get(f"/static/{name}")).status_code == 404


async def test_an_agent_without_a_ui_has_no_dashboard() -> None:
    async with asking(FakeAgent(security="{uiEnabled: false}")) as client:
        for path in ("/", "/static/main.js", "/routers.json"):
            assert (await client.get(path)).status_code == 404
        assert (await client.get("/metrics")).status_code == 200


async def test_without_scripts_it_links_what_there_is() -> None:
    async with asking(FakeAgent()) as client:
        page = (await client.get("/")).text
        assert "<noscript><p>The dashboard needs JavaScript." in page
        links = re.findall(r'<dt><a href="([^"]+)"', page)
        assert len(links) > 10
        for link in links:
            asked = link.replace("NAME", "web").replace("seconds=10", "seconds=1")
            assert (await client.get(f"/{asked}")).status_code == 200


def test_no_file_is_from_elsewhere_or_makes_markup_of_text() -> None:
    for name, file in dashboard.files().items():
        text = file.body.decode().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r'(src|href)="(https?:)?//|url\(|@import|from "https?:', text), name
        assert not re.search(
            r"innerHTML|outerHTML *=|insertAdjacentHTML|document\.write|\beval\(|new Function", text
        ), name


def test_the_files_are_in_the_wheel(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=60)
    [wheel] = tmp_path.glob("*.whl")
    packaged = {Path(name).name for name in zipfile.ZipFile(wheel).namelist() if "/admin/static/" in name}
    assert packaged == set(dashboard.files())
