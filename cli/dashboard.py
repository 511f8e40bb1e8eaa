"""`aftershock dashboard` and `aftershock demo`: serve the charts on this machine."""

from __future__ import annotations

import os
import sys
import webbrowser
from typing import Annotated

import typer

from cli.console import Stop, say
from cli.demo import open_demo
from dashboard.serve import PortTaken, serve
from store.tables import Store

Port = Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")]
HOST = "127.0.0.1"


def dashboard(port: Port = 8501) -> None:
    """Serve the dashboard on what is in the store."""
    show(Store.open(), port)


def demo(port: Port = 8501) -> None:
    """Serve the dashboard on invented posts, apart from every real one."""
    show(open_demo()[0], port)


def show(store: Store, port: int) -> None:
    """Serve the dashboard on this store until Ctrl-C, and print where it is."""
    os.environ["AFTERSHOCK_STORE"] = store.location
    os.environ["AFTERSHOCK_DEMO"] = "1" if store.demo else "0"
    url = f"http://{HOST}:{port}"
    what = "the demo (invented posts)" if store.demo else store.location

    def ready() -> None:
        say(f"Dashboard of {what}: {url}")
        say("Ctrl-C ends it.")
        if sys.stdout.isatty() and os.environ.get("DISPLAY", sys.platform != "linux"):
            webbrowser.open(url)

    try:
        serve(HOST, port, on_ready=ready)
    except PortTaken as error:
        raise Stop(
            f"Port {port} is in use, perhaps by another dashboard. End it, or choose another: "
            f"--port {port + 1} (with make: PORT={port + 1})."
        ) from error
    say("Dashboard ended.")
