"""A server on loopback that speaks as much of the OpenAI chat protocol as servers of models share.

It labels posts by single words, in the form the codebook asks for. `faults` are what it does
instead, one for each request in turn; `says` replaces what the model says to a post.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Fault:
    """What goes wrong with one request: a status, odd bytes, no end, or a broken connection."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    drip: float = 0.0  # seconds between single bytes, until the client hangs up
    drop: bool = False


def label(post: dict[str, Any]) -> str:
    """As a model would answer: against where the post objects, off where there is no AI in it."""
    text = f"{post['thread']} {post['answers']} {post['post']}".lower()
    objects = "never agreed" in post["post"].lower()
    stance = "against" if objects else "neutral" if "ai" in text.split() else "off"
    reasons = ["consent"] if objects else []
    return json.dumps({"stance": stance, "reasons": reasons, "exit": False, "sure": 90})


@dataclass
class Bed:
    """The server: its address, what it was asked, and what it does next."""

    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    faults: list[Fault | None] = field(default_factory=list)
    says: Callable[[dict[str, Any]], str | None] = label
    takes: frozenset[str] = frozenset(
        {"model", "messages", "temperature", "max_tokens", "response_format"}
    )

    def posts(self) -> list[dict[str, Any]]:
        """The posts that were sent, as the model gets them, in order."""
        return [json.loads(one["messages"][1]["content"]) for one in self.requests]


@contextmanager
def serving() -> Iterator[Bed]:
    """Run the server until the context ends."""
    bed = Bed()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            bed.requests.append(body)
            bed.headers.append({name.lower(): value for name, value in self.headers.items()})
            fault = bed.faults.pop(0) if bed.faults else None
            if fault is not None:
                self._fail(fault)
            elif self.path != "/v1/chat/completions":
                self._send(404, b"{}")
            elif not set(body) <= bed.takes:
                self._send(400, b'{"error": {"message": "unsupported parameter"}}')
            else:
                said = bed.says(json.loads(body["messages"][1]["content"]))
                choice = {"index": 0, "message": {"role": "assistant", "content": said}}
                usage = {"prompt_tokens": 800, "completion_tokens": 30, "total_tokens": 830}
                answer = {"object": "chat.completion", "choices": [choice], "usage": usage}
                self._send(200, json.dumps(answer).encode())

        def _fail(self, fault: Fault) -> None:
            if fault.drop:
                self.close_connection = True
                self.connection.close()
            elif fault.drip:
                self.send_response(200)
                self.send_header("content-length", "1000")
                self.end_headers()
                try:
                    for _ in range(1000):
                        self.wfile.write(b" ")
                        self.wfile.flush()
                        time.sleep(fault.drip)
                except OSError:
                    self.close_connection = True
            else:
                self._send(fault.status, fault.body, fault.headers)

        def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    bed.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield bed
    finally:
        server.shutdown()
        server.server_close()
