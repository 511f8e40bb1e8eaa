"""Serves the dashboard from this process, with the settings of .streamlit/config.toml."""

from __future__ import annotations

import errno
import socket
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import uvicorn
from streamlit import config
from streamlit.runtime.runtime_util import get_max_message_size_bytes
from streamlit.web import bootstrap

CONFIG = Path(__file__).resolve().parents[1] / ".streamlit" / "config.toml"


class PortTaken(OSError):  # noqa: N818 - named for what happened
    """Something else listens on the port."""


class _Server(uvicorn.Server):
    """uvicorn that says when it answers."""

    def __init__(self, settings: uvicorn.Config, on_ready: Callable[[], None] | None) -> None:
        super().__init__(settings)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started and self._on_ready is not None:
            self._on_ready()


def serve(host: str, port: int, on_ready: Callable[[], None] | None = None) -> None:
    """Serve the dashboard until Ctrl-C or SIGTERM; `on_ready` is called once it answers.

    Shows the store of AFTERSHOCK_STORE, as the demo if AFTERSHOCK_DEMO is 1. The page is warmed up
    before the first visitor. Raises PortTaken, and RuntimeError when it does not start.
    """
    listener = _listen(host, port)
    try:
        # Streamlit looks for its settings in the folder it is started from, which may be any: given
        # as flags they hold everywhere, telemetry and error details stay off.
        bootstrap.load_config_options(settings() | _hosts(host))
        from dashboard.asgi import app  # noqa: PLC0415 - reads the settings when imported

        server = _Server(
            uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,
                ws_max_size=get_max_message_size_bytes(),
                ws_per_message_deflate=config.get_option("server.enableWebsocketCompression"),
                timeout_graceful_shutdown=3,
            ),
            on_ready,
        )
        with suppress(KeyboardInterrupt):  # uvicorn raises it again after it has ended in order
            server.run(sockets=[listener])
        if not server.started:
            raise RuntimeError("The dashboard did not start; the lines above say why.")
    finally:
        listener.close()


def settings() -> dict[str, Any]:
    """The settings of .streamlit/config.toml by their dotted names."""
    return dict(_dotted(tomllib.loads(CONFIG.read_text())))


def _hosts(host: str) -> dict[str, Any]:
    """On loopback only its own names are answered: another site's page cannot reach the posts by
    pointing its name at this machine (DNS rebinding)."""
    own = {"127.0.0.1", "localhost", "::1"}
    return {"server.allowedHosts": sorted(own)} if host in own else {}


def _dotted(section: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in section.items():
        if isinstance(value, Mapping):
            yield from _dotted(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(f"Port {port} of {host} is in use. Choose another one.") from error
        raise
    return listener
