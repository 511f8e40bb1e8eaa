"""The simulated Reddit's answers over HTTP: who may ask, which path says what, and its faults."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

from testbeds.reddit.faults import Fault, Request, struck

if TYPE_CHECKING:
    from testbeds.reddit.sim import SimReddit

BLOCKED = "<!doctype html><html><body><h1>whoa there, pardner!</h1></body></html>"

NAMES = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found"}


class Handler(BaseHTTPRequestHandler):
    """One connection. `sim` is set by the server."""

    protocol_version = "HTTP/1.1"
    sim: ClassVar[SimReddit]

    def log_message(self, *_words: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def _serve(self, method: str) -> None:
        url = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        form = _flat(self.rfile.read(length).decode())
        path, query = unquote(url.path), _flat(url.query)
        self.limits: Mapping[str, str] = {}
        fault = self.sim.note(Request(method, path, query, form, dict(self.headers)))
        if fault is not None and self._failed(fault):
            return
        agent = self.headers.get("User-Agent", "")
        if self.sim.key == "blocked" or len(agent) < 7 or agent.startswith("python-"):
            self._page(403, BLOCKED)
        elif path == "/api/v1/access_token":
            self._send(*self.sim.token(self.headers.get("Authorization", ""), form))
        elif self.sim.key == "revoked" or self._token() not in self.sim.tokens:
            self._refuse(401, {"www-authenticate": 'Bearer realm="reddit", error="invalid_token"'})
        elif self.sim.key == "suspended":
            self._refuse(403)
        else:
            self.limits, over = self.sim.limits()
            if over:
                self._send(429, {"message": "Too Many Requests", "error": 429})
            else:
                self._answer([part for part in path.split("/") if part], query, form)

    def _token(self) -> str:
        return self.headers.get("Authorization", "").partition(" ")[2]

    def _failed(self, fault: Fault) -> bool:
        """Do what the fault says; False when the request is answered all the same (later)."""
        if fault.delay:
            threading.Event().wait(fault.delay)  # tests replace time.sleep
        if fault.drop or fault.kill:
            self.close_connection = True
            struck(self.connection, fault)
            return True
        if fault.truncate:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", "9999")
            self.end_headers()
            self.wfile.write(b'{"kind": "Listing"')
            self.close_connection = True
            return True
        if fault.status is None:
            return False
        if isinstance(fault.body, str):
            self._page(fault.status, fault.body, fault.headers)
        else:
            body = {"message": "fault", "error": fault.status} if fault.body is None else fault.body
            self._send(fault.status, body, fault.headers)
        return True

    def _answer(self, parts: list[str], query: dict[str, str], form: dict[str, str]) -> None:
        match parts:
            case ["api", "info"]:
                things = self.sim.things()
                names = query.get("id", "").split(",")[:100]
                if self.sim.stumbles & {*names}:
                    self._refuse(400)
                    return
                there = [things[name] for name in names if name in things]
                children = [{"kind": one["name"][:2], "data": dict(one)} for one in there]
                data = {"after": None, "before": None, "children": children}
                self._send(200, {"kind": "Listing", "data": data})
            case ["api", "morechildren"]:
                self._send(200, self.sim.more(form["link_id"], form["children"].split(",")))
            case ["comments", short, *rest]:
                focus = rest[1] if len(rest) > 1 else None
                found = self.sim.thread(short, focus, int(query.get("limit", 10**6)))
                self._refuse(404) if found is None else self._send(200, found)
            case ["r", name, *rest]:
                self._community(name.lower(), rest[0] if rest else "hot", query)
            case _:
                self._refuse(404)

    def _community(self, name: str, what: str, query: dict[str, str]) -> None:
        why = self.sim.communities.get(name)
        if why == "missing":
            self._send(302, None, {"location": f"{self.sim.url}/subreddits/search?q={name}"})
        elif why is not None:
            status = 404 if why == "banned" else 403
            self._send(status, {"message": NAMES[status], "error": status, "reason": why})
        elif what == "search":
            if len(query["q"]) > 512:
                self._refuse(400)
                return
            found = self.sim.search(query["q"])
            found = self.sim.ordered(found, query.get("sort", "relevance"), query.get("t", "all"))
            self._send(200, self.sim.listing(found, query))
        elif what in ("new", "hot", "top"):
            pool = [one for one in self.sim.posts if name in ("all", one["subreddit"].lower())]
            found = self.sim.ordered(pool, what, query.get("t", "all"))
            self._send(200, self.sim.listing(found, query))
        else:
            self._refuse(404)

    def _refuse(self, status: int, headers: Mapping[str, str] | None = None) -> None:
        self._send(status, {"message": NAMES[status], "error": status}, headers)

    def _page(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        self._write(status, text.encode(), {"Content-Type": "text/html", **(headers or {})})

    def _send(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        self._write(status, data, {"Content-Type": "application/json", **(headers or {})})

    def _write(self, status: int, data: bytes, headers: Mapping[str, str]) -> None:
        headers = {**self.limits, "Content-Length": str(len(data)), **headers}
        if self.close_connection:  # as prawcore asks for a token; else its next request is lost
            headers["Connection"] = "close"
        try:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # whoever asked gave up: expected


def _flat(text: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(text).items()}
