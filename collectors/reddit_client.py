"""How Reddit is asked: PRAW 8 for login, pacing and retries, raw JSON out, refusals in words.

Counts every request against the budget of the run. Knows nothing of listings, threads or cases.
PRAW's own errors can hold the key and the query (`request_kwargs` of prawcore's RequestException),
so none of them leaves this module: what does is a sentence.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import time
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import praw
import prawcore
import requests
from requests.utils import get_environ_proxies

from collectors.errors import CollectorError, UnfitError
from collectors.reddit_refusals import CAUGHT, RefusedError, refused
from collectors.settings import Settings

NAMES = (
    "AFTERSHOCK_REDDIT_CLIENT_ID",
    "AFTERSHOCK_REDDIT_CLIENT_SECRET",
    "AFTERSHOCK_REDDIT_USER_AGENT",
)
URL = "AFTERSHOCK_REDDIT_URL"  # another address for both of Reddit's hosts: a test bed
OAUTH_URL, REDDIT_URL = "https://oauth.reddit.com", "https://www.reddit.com"
BUDGET = 600  # requests of a run; Reddit allows 1,000 in ten minutes (headers of 2025 and 2026)
TIMEOUT = 30.0  # seconds of silence
SHORTEST_AGENT = 7  # prawcore asks for as much, but counts what PRAW adds
PATIENCE = 60.0  # seconds: who is told to wait longer ends, and cron comes again
TRIES = 3
_LIMITS = ("x-ratelimit-used", "x-ratelimit-remaining", "x-ratelimit-reset")

# "Retrying due to ..." is prawcore's business; without a handler Python prints it to stderr.
logging.getLogger("prawcore").addHandler(logging.NullHandler())


class BudgetSpentError(Exception):
    """The requests that this run may make are made."""


def missing(credentials: Mapping[str, str]) -> list[str]:
    """Names of the settings without which Reddit cannot be asked."""
    return [name for name in NAMES if not credentials.get(name, "").strip()]


class Client:
    """Reddit, for one run. `sent` requests so far, tokens and retries among them; `bytes` read."""

    def __init__(self, settings: Settings, budget: int | None = None) -> None:
        """Asks nothing yet. Raises UnfitError when there is no usable key."""
        absent = missing(settings.credentials)
        if absent:
            raise UnfitError(
                f"Reddit cannot be asked: {', '.join(absent)} not set. docs/reddit.md says how to"
                " ask Reddit for a key, and how to work without one."
            )
        self.budget = budget if budget is not None else settings.budget or BUDGET
        self._cache = settings.cache / "reddit-key.json"
        key, secret, agent = (settings.credentials[name].strip() for name in NAMES)
        if len(agent) < SHORTEST_AGENT:
            raise UnfitError(
                "AFTERSHOCK_REDDIT_USER_AGENT says too little. Reddit asks for"
                " <platform>:<app>:<version> (by /u/<your name>); docs/reddit.md has an example."
            )
        # Only to tell a key that was taken away from one that never worked.
        self._fingerprint = hashlib.sha256(f"{key}:{secret}".encode()).hexdigest()[:16]
        self._secret = secret
        self._answered = False
        try:
            self._reddit = _praw(key, secret, agent, settings.credentials.get(URL, ""))
        except CAUGHT as error:
            raise refused(error).stop() from None
        core: Any = self._reddit._core
        self._requestor: Requestor = core.requestor
        self._limiter: prawcore.rate_limit.RateLimiter = core.rate_limiter

    @property
    def sent(self) -> int:
        return self._requestor.sent

    @property
    def bytes(self) -> int:
        return self._requestor.bytes

    @property
    def remaining(self) -> int | None:
        """Requests that Reddit still allows in this window, as it said last."""
        return self._limiter.remaining

    def now(self) -> datetime:
        """The time by which everything in this run is dated and due, UTC."""
        return datetime.now(UTC)

    def get(self, path: str, **params: str | int) -> Any:
        """What Reddit says under this path. Raises RefusedError or BudgetSpentError."""
        return self._ask("GET", path, params, None)

    def post(self, path: str, **form: str | int) -> Any:
        """The same for the one question that Reddit takes as a form: api/morechildren."""
        return self._ask("POST", path, {}, dict(form))

    def mask(self, number: int) -> int:
        """A number that only this key can read, and its own undoing: the place of a sweep is the
        id of a post, which may be deleted tomorrow and may not stay in the ledger then."""
        pad = hashlib.blake2b(self._secret.encode()[:64], digest_size=8, person=b"place").digest()
        return number ^ int.from_bytes(pad, "big")

    def _ask(
        self, method: str, path: str, params: dict[str, str | int], form: dict[str, Any] | None
    ) -> Any:
        for attempt in range(1, TRIES + 1):
            self._may()
            try:
                answer = self._reddit.request(method=method, path=path, params=params, data=form)
                self._note()
                return answer
            except CAUGHT as error:
                problem = refused(error, worked=self._worked())
            wait = problem.wait
            if wait is None or wait > PATIENCE or attempt == TRIES:
                break
            pause(wait)
        raise problem

    def _may(self) -> None:
        if self.sent >= self.budget:
            raise BudgetSpentError
        # With nothing left prawcore sleeps until the window ends, up to ten minutes, in silence.
        due = self._limiter.next_request_timestamp_ns
        wait = 0.0 if due is None else (due - time.monotonic_ns()) / 1e9
        if wait > PATIENCE:
            raise RefusedError(
                "limited",
                "Reddit's quota for this key is used up; something else may be using the key too."
                f" It is back in {math.ceil(wait)} seconds: run the same command again then.",
                wait,
            )

    def _worked(self) -> str | None:
        """The day on which this very key last worked, if it ever did."""
        if self._answered:
            return "a moment ago"
        try:
            note = json.loads(self._cache.read_text())
            return str(note["worked"]) if note["key"] == self._fingerprint else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _note(self) -> None:
        today = f"{datetime.now(UTC):%Y-%m-%d}"
        if self._answered or self._worked() == today:
            self._answered = True
            return
        self._answered = True
        with suppress(OSError):  # it only makes a later message better
            self._cache.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            note = json.dumps({"key": self._fingerprint, "worked": today})
            os.close(os.open(self._cache, os.O_WRONLY | os.O_CREAT, 0o600))
            self._cache.write_text(note)


def pause(seconds: float) -> None:
    time.sleep(seconds)


class Requestor(prawcore.Requestor):
    """prawcore's, with a timeout that applies and headers that prawcore can read.

    PRAW 8.0.3 never hands its own `timeout` on (`Reddit._prepare_prawcore`).
    """

    def __init__(self, **settings: Any) -> None:
        self.sent = 0
        self.bytes = 0
        super().__init__(**settings)

    def request(self, *args: Any, timeout: float | None = None, **kwargs: Any) -> requests.Response:
        self.sent += 1
        response = super().request(*args, timeout=TIMEOUT, **kwargs)
        self.bytes += len(response.content)
        mend(response.status_code, response.headers)
        return response


def mend(status: int, headers: MutableMapping[str, str]) -> None:
    """Put right, or take out, what prawcore 4.0.0 would stumble over.

    It reads `retry-after` as a number (servers may send a date: RFC 9110), `x-ratelimit-used` and
    `-reset` as whole numbers (Reddit writes floats in `-remaining`), and a 401 or 403 by a
    `www-authenticate` that proxies leave out.
    """
    if "retry-after" in headers:
        seconds = _seconds(headers["retry-after"])
        del headers["retry-after"]
        if seconds is not None:
            headers["retry-after"] = f"{seconds:.0f}"
    found = [_number(headers.get(name)) for name in _LIMITS]
    for name, value in zip(_LIMITS, found, strict=True):
        headers.pop(name, None)
        if value is not None and None not in found:
            headers[name] = str(int(value))
    if status in (401, 403):
        says = headers.pop("www-authenticate", "").lower()
        if "insufficient_scope" in says:
            headers["www-authenticate"] = 'Bearer error="insufficient_scope"'
        elif status == 401:
            headers["www-authenticate"] = 'Bearer error="invalid_token"'


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _seconds(value: str) -> float | None:
    number = _number(value)
    if number is None:
        try:
            date = parsedate_to_datetime(value)
        except (ValueError, IndexError):
            return None
        date = date if date.tzinfo else date.replace(tzinfo=UTC)
        number = (date - datetime.now(UTC)).total_seconds()
    return max(number, 0.0)


def _certificates() -> str | bool:
    """The bundle that the environment names for requests, which it would not read itself here; else
    True. Raises UnfitError where requests would raise a bare OSError at the first question."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        bundle = os.environ.get(name)
        if not bundle:
            continue
        place = Path(bundle)
        try:
            pem = place.is_dir() or b"-----BEGIN " in place.read_bytes()
            said = "" if pem else "no certificate in it"
        except OSError as error:
            said = error.strerror or type(error).__name__
        if said:
            raise UnfitError(
                f"{name} names no file of certificates that can be read ({bundle}: {said})."
                f" Give the path of a PEM file, or unset {name}."
            )
        return bundle
    return True


def _praw(key: str, secret: str, agent: str, url: str) -> praw.Reddit:
    url = url.strip().rstrip("/")
    if url and not url.startswith(("http://", "https://")):
        raise CollectorError(f"{URL} is no address: it has to begin with https://.")
    session = requests.Session()
    # An entry for the host in ~/.netrc would take the place of the token; so nothing is read from
    # the surroundings but proxies and certificates.
    session.trust_env = False
    session.proxies = dict(get_environ_proxies(url or OAUTH_URL))
    session.verify = _certificates()
    # What is not given here PRAW takes from a praw.ini in whatever folder it is run in.
    return praw.Reddit(
        "DEFAULT",
        client_id=key,
        client_secret=secret,
        user_agent=agent,
        username=None,
        password=None,
        refresh_token=None,
        redirect_uri=None,
        oauth_url=url or OAUTH_URL,
        reddit_url=url or REDDIT_URL,
        window_size=600,
        timeout=16,
        ratelimit_seconds=5,
        check_for_updates=False,  # else it asks PyPI
        check_for_async=False,
        requestor_class=Requestor,
        requestor_kwargs={"session": session},
    )
