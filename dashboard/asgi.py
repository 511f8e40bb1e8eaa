"""The dashboard as an ASGI application: Streamlit behind security headers and compression.

For `dashboard.serve`, `streamlit run dashboard/asgi.py` and any ASGI server.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboard.warm import warm_up

# 'unsafe-eval': Vega compiles its expressions; 'unsafe-inline': Streamlit's own styles and start
# script. Images, fonts and connections of another host stay out, whatever gets into a page.
POLICY = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' data: blob:",
        "style-src 'self' 'unsafe-inline'",
        "script-src 'self' 'unsafe-eval' 'wasm-unsafe-eval' 'unsafe-inline'",
        "font-src 'self' data:",
        "connect-src 'self' ws: wss:",
        "worker-src 'self' blob:",
        "frame-ancestors 'none'",
        "object-src 'none'",
        "base-uri 'self'",
    )
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)


class SecurityHeaders:
    """ASGI middleware that adds HEADERS to every HTTP response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *HEADERS]
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)


@asynccontextmanager
async def _warm(_app: st.App) -> AsyncIterator[None]:
    await asyncio.to_thread(warm_up)
    yield


def _say_so(error: Exception) -> bool:
    """Log an error of a page and show a sentence; Streamlit's own speaks of its cloud."""
    logging.getLogger(__name__).error("A page of the dashboard failed.", exc_info=error)
    st.error("This page failed. The terminal in which Aftershock runs says why.")
    return True


app = st.App(
    Path(__file__).with_name("app.py"),
    on_script_error=_say_so,
    lifespan=_warm,
    # Streamlit compresses no static files itself; its Vega bundle is a third of the size packed.
    middleware=[Middleware(SecurityHeaders), Middleware(GZipMiddleware, minimum_size=1024)],
)
