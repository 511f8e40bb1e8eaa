"""What a newcomer sees: `aftershock run` with an empty store shows the demo in chromium."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]

FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
PICTURES = Path(__file__).parents[2] / ".artifacts"


def test_run_on_an_empty_store_shows_the_demo_and_ctrl_c_ends_it(home) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    command = Path(sys.executable).with_name("aftershock")
    with subprocess.Popen(
        [command, "run", "--port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as process:
        try:
            assert process.stdout
            said = [process.stdout.readline()]
            while said[-1] and "Ctrl-C" not in said[-1]:
                said.append(process.stdout.readline())
            assert f"http://127.0.0.1:{port}" in "".join(said)
            look(f"http://127.0.0.1:{port}")
        finally:
            process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
        assert process.returncode == 0, rest
        assert "Traceback" not in rest


def look(address: str) -> None:
    PICTURES.mkdir(exist_ok=True)
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for scheme, width in (("light", 1400), ("dark", 1400), ("light", 390)):
            context = browser.new_context(
                viewport={"width": width, "height": 1750}, color_scheme=scheme
            )
            page = context.new_page()
            foreign: list[str] = []
            page.on(
                "request",
                lambda request, foreign=foreign: (
                    foreign.append(request.url)
                    if not request.url.startswith((address, "ws://127.0.0.1", "data:", "blob:"))
                    else None
                ),
            )
            page.goto(address, wait_until="commit")
            page.wait_for_selector("[data-testid=stVegaLiteChart] svg", timeout=120_000)
            page.wait_for_selector("[data-testid=stDataFrame] canvas", timeout=120_000)
            page.wait_for_timeout(2_000)
            assert page.get_by_text("Demo: invented posts").first.is_visible()
            assert "invented" in page.title()
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert foreign == []
            page.screenshot(path=PICTURES / f"overview_{scheme}_{width}.png")
            context.close()
        browser.close()
