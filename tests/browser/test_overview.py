"""The Overview in chromium, served for real: network, addresses, downloads, hostile posts."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
import showing

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]

WAIT = 60_000
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
SERVE = """
import sys
from dashboard.serve import serve
serve("127.0.0.1", int(sys.argv[1]), on_ready=lambda: print("ready", flush=True))
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The dashboard on the store of showing.py, in a process of its own."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "cases").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AFTERSHOCK_SALT", str(folder / "salt"))
        showing.build(folder / "store", folder / "cases")
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    environment = os.environ | {
        "AFTERSHOCK_STORE": str(folder / "store"),
        "AFTERSHOCK_SALT": str(folder / "salt"),
        "AFTERSHOCK_CASES": str(folder / "cases"),
    }
    with subprocess.Popen(
        [sys.executable, "-c", SERVE, str(port)],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        yield f"http://127.0.0.1:{port}"
        server.terminate()
        server.wait(20)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@dataclass
class Visit:
    """A page that has been drawn, what it asked other hosts for, and what its console says."""

    page: Any
    outside: list[str] = field(default_factory=list)
    console: list[str] = field(default_factory=list)


@contextmanager
def visiting(chromium: Any, url: str, **context: Any) -> Iterator[Visit]:
    size = context.pop("viewport", {"width": 1400, "height": 1900})
    opened = chromium.new_context(viewport=size, timezone_id="America/New_York", **context)
    seen = Visit(opened.new_page())

    def route(request: Any) -> None:
        if request.request.url.startswith(("http://127.0.0.1", "data:", "blob:")):
            request.continue_()
        else:
            seen.outside.append(request.request.url)
            request.abort()

    opened.route("**/*", route)
    seen.page.on(
        "console",
        lambda said: seen.console.append(said.text) if said.type in ("error", "warning") else None,
    )
    seen.page.on("pageerror", lambda error: seen.console.append(str(error)))
    seen.page.goto(url, wait_until="commit")
    seen.page.wait_for_selector("[data-testid=stDataFrame] canvas", timeout=WAIT)
    settle(seen.page)
    yield seen
    opened.close()


def settle(page: Any) -> None:
    """Wait until the script has run and the charts are drawn."""
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]", timeout=WAIT)
    page.wait_for_selector("[data-testid=stVegaLiteChart] svg", timeout=WAIT)
    page.wait_for_timeout(1000)


@pytest.mark.parametrize(
    "context",
    [
        {"color_scheme": "light"},
        {"color_scheme": "dark"},
        {"viewport": {"width": 390, "height": 3000}},
    ],
    ids=["light", "dark", "phone"],
)
def test_the_page_is_drawn_without_other_hosts_and_without_complaints(
    address: str, chromium: Any, context: dict[str, Any]
) -> None:
    with visiting(chromium, address, **context) as seen:
        assert seen.page.locator("[data-testid=stVegaLiteChart] svg").count() == 4
        width = seen.page.evaluate("document.documentElement.scrollWidth")
        assert width == seen.page.viewport_size["width"]
        assert "Murmur: the invented clause" in seen.page.title()
        assert seen.outside == []
        assert seen.console == []


def test_the_address_carries_what_was_chosen(address: str, chromium: Any) -> None:
    with visiting(chromium, address) as seen:
        assert "case=murmur" in seen.page.url
        seen.page.get_by_role("radio", name="6 hours").or_(
            seen.page.get_by_role("button", name="6 hours")
        ).first.click()
        seen.page.get_by_role("button", name="Reddit").first.click()
        settle(seen.page)
        shared = seen.page.url
    assert "bucket=6+hours" in shared
    assert "platform=Bluesky" in shared
    with visiting(chromium, shared) as again:
        assert again.page.locator("[data-testid=stVegaLiteChart] svg").count() == 3
        assert again.page.url == shared


def test_dates_in_charts_are_utc_for_a_reader_in_new_york(address: str, chromium: Any) -> None:
    with visiting(chromium, f"{address}/?dates=2026-05-08&dates=2026-05-09") as seen:
        box = seen.page.locator("[data-testid=stVegaLiteChart] svg").nth(1).bounding_box()
        seen.page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.55)
        tooltip = seen.page.locator("#vg-tooltip-element")
        tooltip.wait_for(state="visible", timeout=10_000)
        assert "Fri 08 May 2026 00:00" in tooltip.inner_text()


def test_dragging_across_the_volume_filters_the_posts(address: str, chromium: Any) -> None:
    with visiting(chromium, address) as seen:
        chart = seen.page.locator("[data-testid=stVegaLiteChart] svg").nth(1)
        chart.scroll_into_view_if_needed()
        box = chart.bounding_box()
        level = box["y"] + box["height"] * 0.6
        seen.page.mouse.move(box["x"] + box["width"] * 0.3, level)
        seen.page.mouse.down()
        seen.page.mouse.move(box["x"] + box["width"] * 0.6, level, steps=8)
        seen.page.mouse.up()
        seen.page.get_by_text("Only posts of").wait_for(timeout=WAIT)


def test_the_files_hold_the_posts_and_the_series(address: str, chromium: Any) -> None:
    with visiting(chromium, address, accept_downloads=True) as seen:
        with seen.page.expect_download(timeout=WAIT) as posts:
            seen.page.get_by_role("button", name="Posts CSV").click()
        with seen.page.expect_download(timeout=WAIT) as series:
            seen.page.get_by_role("button", name="Series CSV").click()
        text = Path(posts.value.path()).read_text(encoding="utf-8-sig")
        assert posts.value.suggested_filename == "murmur-2026-05-04-2026-05-15-posts.csv"
        assert text.count("I hate this, it is awful.") >= 200
        assert Path(posts.value.path()).read_bytes().startswith(b"\xef\xbb\xbf")
        table = Path(series.value.path()).read_text(encoding="utf-8-sig")
        assert '"standardised"' in table
        assert '"all"' in table


def test_a_hostile_post_is_shown_as_plain_text_and_asks_nobody(address: str, chromium: Any) -> None:
    with visiting(chromium, address) as seen:
        dialogs: list[str] = []
        seen.page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        table = seen.page.locator("[data-testid=stDataFrame]").first
        table.scroll_into_view_if_needed()
        box = table.bounding_box()
        seen.page.mouse.click(box["x"] + 16, box["y"] + 54)  # the box of the first row
        shown = seen.page.locator("[data-testid=stText]", has_text="evil.example")
        shown.wait_for(timeout=WAIT)
        assert shown.inner_text() == showing.HOSTILE
        assert seen.page.locator("[data-testid=stMain] img").count() == 0
        assert seen.page.locator("a[href*='evil.example']").count() == 0
        assert dialogs == []
        assert seen.outside == []


def test_every_answer_carries_the_security_headers(address: str) -> None:
    with urlopen(address) as answer:  # noqa: S310 - loopback
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"


def test_ctrl_c_ends_the_server_in_order(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    with subprocess.Popen(
        [sys.executable, "-c", SERVE + "print('ended')", str(port)],
        cwd=tmp_path,
        env=os.environ | {"AFTERSHOCK_STORE": str(tmp_path / "none")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        server.send_signal(2)
        out, err = server.communicate(timeout=30)
    assert (server.returncode, out) == (0, "ended\n")
    assert "Traceback" not in err
