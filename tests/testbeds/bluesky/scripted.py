"""A real HTTP server on loopback that answers as it is told, and as servers break: for what the
reference servers never do. It speaks XRPC as far as a client needs to log in and ask."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

LOGIN, REFRESH = "com.atproto.server.createSession", "com.atproto.server.refreshSession"
SEARCH, SEARCH_V2 = "app.bsky.feed.searchPosts", "app.bsky.feed.searchPostsV2"


@dataclass(frozen=True)
class Answer:
    """What goes back: a status, a body and headers; `cut` bytes of it are promised and not sent,
    and with `drop` the connection ends without a word."""

    status: int = 200
    body: Any = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int = 0
    drop: bool = False


Params = Mapping[str, list[str]]
Plan = Answer | Callable[[Params], Answer]


@dataclass
class Scripted:
    """`plans` has answers by method, in turn, the last one for ever; `asked` is what came."""

    url: str
    plans: dict[str, list[Plan]] = field(default_factory=dict)
    asked: list[tuple[str, Params]] = field(default_factory=list)

    def plan(self, method: str, *answers: Plan) -> None:
        self.plans[method] = list(answers)

    def times(self, method: str) -> int:
        return sum(name == method for name, _ in self.asked)

    def answer(self, method: str, params: Params) -> Answer:
        self.asked.append((method, params))
        plans = self.plans.get(method) or [error(501, "MethodNotImplemented")]
        plan = plans.pop(0) if len(plans) > 1 else plans[0]
        return plan(params) if callable(plan) else plan


def error(status: int, name: str, message: str = "", **headers: str) -> Answer:
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return Answer(status, {"error": name, "message": message}, named)


def token(*, seconds: float = 7200, scope: str = "com.atproto.appPass", number: int = 0) -> str:
    """A token as a client reads it; nobody here checks its signature."""
    parts = (
        {"typ": "at+jwt", "alg": "HS256"},
        {"scope": scope, "sub": "did:plc:x", "exp": int(time.time() + seconds), "jti": str(number)},
    )
    coded = [base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=").decode() for p in parts]
    return ".".join([*coded, "c2ln"])


def session(**values: Any) -> Answer:
    """What createSession and refreshSession give."""
    return Answer(
        body={
            "accessJwt": token(**values),
            "refreshJwt": token(**{**values, "seconds": 1e6}),
            "handle": "someone.test",
            "did": "did:plc:x",
        }
    )


@contextmanager
def scripted() -> Iterator[Scripted]:
    """A server that lets everyone log in, has search v2 switched off, and knows nothing else."""
    bed = Scripted("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("content-length") or 0)
            if length:
                self.rfile.read(length)
            answer = bed.answer(parts.path.removeprefix("/xrpc/"), parse_qs(parts.query))
            if answer.drop:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            text = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
            kind = "text/html" if text.startswith("<") else "application/json"
            body = text.encode()
            self.send_response(answer.status)
            for name, value in {"content-type": kind, **answer.headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) - answer.cut])
            if answer.cut:
                self.close_connection = True
                self.wfile.flush()
                self.connection.shutdown(socket.SHUT_RDWR)

        do_POST = do_GET  # noqa: N815 - the names that the library looks for

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    bed.url = f"http://127.0.0.1:{server.server_port}"
    bed.plan(LOGIN, session())
    bed.plan(SEARCH_V2, error(400, "InvalidRequest", "Search v2 is not enabled"))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield bed
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
