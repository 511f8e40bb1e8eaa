"""A Reddit of our own on loopback, for the real PRAW: it pages, limits, and fails on order.

    with SimReddit([post(1), post(2)]) as sim:
        praw.Reddit(..., oauth_url=sim.url, reddit_url=sim.url, check_for_updates=False)

A fault is planted with `fault`; leaving the `with` fails when one was never hit. The state may be
changed at any time between requests. All posts are invented.
"""

from __future__ import annotations

import base64
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from typing import Any, Self

from testbeds.reddit.faults import Fault, Request
from testbeds.reddit.forest import forest, more_children
from testbeds.reddit.serving import Handler

CAP, PAGE, DEFAULT_PAGE = 1000, 100, 25
DAY = 86_400
WINDOWS = {
    "hour": 3600,
    "day": DAY,
    "week": 7 * DAY,
    "month": 30 * DAY,
    "year": 365 * DAY,
    "all": 1e12,
}
START = float(int(time.time())) - 10 * DAY  # posts are written from here on, by their number
APART = 120.0  # seconds between two of them
KEY, SECRET = "invented-key", "invented-secret-7f3a"
AGENT = "linux:invented-app:v1 (by /u/invented)"

Thing = dict[str, Any]


def post(n: int, *, community: str = "inventedmusic", **changes: Any) -> Thing:
    """A submission; a later number is a newer post."""
    short = base36(10**9 + n)
    at = float(int(changes.pop("created", START + APART * n)))
    return {
        "id": short,
        "name": f"t3_{short}",
        "subreddit": community,
        "title": f"SoundCloud terms and AI, number {n}",
        "selftext": f"Body of number {n}.",
        "author": f"writer{n % 7}",
        "author_fullname": f"t2_{n % 7}",
        "created_utc": at,
        "edited": False,
        "score": n % 11,
        "ups": n % 11,
        "downs": 0,
        "upvote_ratio": 1.0,
        "num_comments": 0,
        "permalink": f"/r/{community}/comments/{short}/x/",
        "removed_by_category": None,
        "hide_score": False,
        **changes,
    }


def comment(n: int, link: Thing, parent: Thing | None = None, **changes: Any) -> Thing:
    """A comment under a submission, or under another comment."""
    short = base36(10**9 + n)
    return {
        "id": short,
        "name": f"t1_{short}",
        "link_id": link["name"],
        "parent_id": (parent or link)["name"],
        "body": f"Comment {n}: cancelled mine.",
        "author": f"answerer{n % 5}",
        "author_fullname": f"t2_9{n % 5}",
        "subreddit": link["subreddit"],
        "created_utc": float(int(changes.pop("created", link["created_utc"] + 60 + n % 1000))),
        "edited": False,
        "score": 1,
        "controversiality": 0,
        "score_hidden": False,
        "collapsed_reason_code": None,
        "permalink": f"{link['permalink']}{short}/",
        **changes,
    }


def base36(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
    return digits or "0"


@dataclass
class SimReddit:
    """Posts, comments, communities, one key, and what goes wrong. `log` holds every request.

    `communities`: name in lower case -> private, banned, quarantined or missing. `key`: good,
    revoked, suspended or blocked. `quota` requests in `window` seconds; the window is half over at
    the start, since prawcore spreads its requests over a fresh one. `stumbles`: fullnames that
    info() refuses to be asked about, with all that are asked about along with them.
    """

    posts: list[Thing] = field(default_factory=list)
    comments: list[Thing] = field(default_factory=list)
    communities: dict[str, str] = field(default_factory=dict)
    stumbles: set[str] = field(default_factory=set)
    key: str = "good"
    quota: int = 1000
    window: float = 600.0
    forest_limit: int = 200  # comments of a thread in one answer
    more_limit: int = 100
    log: list[Request] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    used: int = 0
    url: str = ""

    def __post_init__(self) -> None:
        self.began = time.monotonic() - self.window / 2
        self.lock = threading.Lock()

    def fault(self, match: str = ".", times: int = 1, **what: Any) -> None:
        """Plant a fault for requests whose method and path match."""
        self.faults.append(Fault(match, times, **what))

    def asked(self, part: str) -> int:
        """How many requests had this in their path."""
        return sum(part in request.path for request in self.log)

    def things(self) -> dict[str, Thing]:
        return {thing["name"]: thing for thing in (*self.posts, *self.comments)}

    def delete(self, thing: Thing, how: str = "deleted") -> None:
        """By its author (deleted), a moderator or reddit; `account`: only the author is gone."""
        thing["author"] = "[deleted]"
        thing.pop("author_fullname", None)
        if how == "account":
            return
        marker = "[deleted]" if how == "deleted" else "[removed]"
        if thing["name"].startswith("t3_"):
            thing |= {"selftext": marker, "removed_by_category": how}
            if how == "deleted":
                thing["title"] = "[deleted by user]"
        else:
            thing |= {"body": marker, "collapsed_reason_code": "DELETED"}

    def purge(self, *things: Thing) -> None:
        """Take things out for good: no answer names them any more."""
        names = {thing["name"] for thing in things}
        self.posts = [one for one in self.posts if one["name"] not in names]
        self.comments = [one for one in self.comments if one["name"] not in names]

    def __enter__(self) -> Self:
        handler = type("Bound", (Handler,), {"sim": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self.server.shutdown()
        self.server.server_close()
        missed = [fault for fault in self.faults if fault.times > 0]
        if error is None and missed:
            raise AssertionError(f"planted and never hit: {missed}")

    # What the handler asks

    def note(self, request: Request) -> Fault | None:
        """Log a request, and the fault that it meets."""
        with self.lock:
            self.log.append(request)
            said = f"{request.method} {request.path}"
            for fault in self.faults:
                if fault.times > 0 and re.search(fault.match, said):
                    if fault.skip:
                        fault.skip -= 1
                        continue
                    fault.times -= 1
                    return fault
        return None

    def limits(self) -> tuple[dict[str, str], bool]:
        """The headers of the quota as Reddit writes them, and whether it is used up."""
        with self.lock:
            gone = time.monotonic() - self.began
            if gone >= self.window:
                self.used, self.began, gone = 0, time.monotonic(), 0.0
            self.used += 1
            left = self.quota - self.used
        return {
            "x-ratelimit-used": str(self.used),
            "x-ratelimit-remaining": f"{max(left, 0)}.0",
            "x-ratelimit-reset": str(int(self.window - gone)),
        }, left < 0

    def token(self, authorization: str, form: Mapping[str, str]) -> tuple[int, Any]:
        try:
            given = base64.b64decode(authorization[6:]).decode()
        except ValueError:
            given = ""
        if given != f"{KEY}:{SECRET}" or self.key == "revoked":
            return 401, {"message": "Unauthorized", "error": 401}
        if form.get("grant_type") == "password":
            return 200, {"error": "invalid_grant"}  # Reddit says so with 200
        token = f"token{len(self.tokens)}-{os.urandom(4).hex()}"
        self.tokens.add(token)
        return 200, {
            "access_token": token,
            "token_type": "bearer",
            "expires_in": DAY,
            "scope": "*",
        }

    def listing(self, things: Iterable[Thing], query: Mapping[str, str]) -> Thing:
        """A page: at most 1,000 of all and 100 at once, 25 without a limit. What was removed is
        taken out after paging, so pages can be short, or empty, and still go on."""
        items = list(things)[:CAP]
        limit = max(1, min(int(query.get("limit", DEFAULT_PAGE)), PAGE))
        names = [thing["name"] for thing in items]
        if after := query.get("after"):
            # A post that is gone for good is no place to go on from: the answer is empty.
            items = items[names.index(after) + 1 :] if after in names else []
        page = items[:limit]
        shown = [thing for thing in page if not thing.get("removed_by_category")]
        return {
            "kind": "Listing",
            "data": {
                "after": page[-1]["name"] if len(items) > limit else None,
                "before": None,
                "children": [wrapped(thing) for thing in shown],
            },
        }

    def ordered(self, things: Iterable[Thing], sort: str, span: str) -> list[Thing]:
        now = time.time()
        keys: dict[str, Callable[[Thing], Any]] = {
            "new": lambda thing: (thing["created_utc"], thing["id"]),
            "top": lambda thing: (thing["score"], thing["id"]),
            "comments": lambda thing: (thing["num_comments"], thing["id"]),
        }
        within = [one for one in things if now - one["created_utc"] <= WINDOWS[span]]
        return sorted(within, key=keys.get(sort, keys["top"]), reverse=True)

    def search(self, phrase: str) -> list[Thing]:
        words = re.findall(r"\w+", phrase.lower())
        return [
            one
            for one in self.posts
            if all(word in f"{one['title']} {one['selftext']}".lower() for word in words)
        ]

    def thread(self, short: str, focus: str | None, limit: int) -> Any:
        link = next((one for one in self.posts if one["id"] == short), None)
        if link is None:
            return None
        under = [one for one in self.comments if one["link_id"] == link["name"]]
        tree = forest(under, link["name"], focus, min(limit, self.forest_limit))
        head = {"after": None, "before": None, "children": [wrapped(link)]}
        return [{"kind": "Listing", "data": head}, tree]

    def more(self, link: str, ids: list[str]) -> Any:
        under = [one for one in self.comments if one["link_id"] == link]
        return more_children(under, ids, self.more_limit)


def wrapped(thing: Thing) -> Thing:
    return {"kind": thing["name"][:2], "data": dict(thing)}
