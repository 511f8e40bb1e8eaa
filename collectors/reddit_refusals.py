"""Why Reddit did not answer: one kind for each thing a person, or the next run, can do about it.

Turns what PRAW, prawcore and requests raise into a kind and a sentence. Asks nothing.
"""

from __future__ import annotations

import math
from typing import Any

import praw.exceptions
import prawcore
import requests

from collectors.errors import CollectorError, TryLaterError, UnfitError

# prawcore 4.0.0 and PRAW 8.0.3 also let through ValueError (headers, HTML for JSON), KeyError
# (headers, a token without its fields), AssertionError and TypeError (odd answers).
CAUGHT = (
    prawcore.PrawcoreException,
    praw.exceptions.PRAWException,
    requests.RequestException,
    ValueError,
    KeyError,
    AssertionError,
    TypeError,
)

BROKEN = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
)

# Only a person can change these; those of a community concern nothing but it.
OF_THE_KEY = ("credentials", "revoked", "blocked", "suspended")
OF_A_COMMUNITY = ("private", "banned", "quarantined", "missing", "forbidden", "legal")
PASSING = ("limited", "network", "down", "garbled")
FAILURES = 3  # in a row: it is Reddit itself that fails

TOKEN_PATH = "/api/v1/access_token"  # noqa: S105 - prawcore.const.ACCESS_TOKEN_PATH
TOKEN_WAIT = 2.0  # prawcore does not try again for a token
LIMIT_WAIT = 10.0  # when a 429 does not say how long
_REASONS = {
    "private": "is private",
    "banned": "is banned by Reddit",
    "quarantined": "is quarantined, and is shown to nobody who has not agreed to see it",
    "gold_only": "is for paying members only",
}


class RefusedError(Exception):
    """Reddit gave no usable answer. `wait`: after how many seconds asking again may help."""

    def __init__(self, kind: str, sentence: str, wait: float | None = None) -> None:
        super().__init__(sentence)
        self.kind = kind
        self.wait = wait

    def stop(self) -> CollectorError:
        """The error with which the collector ends, for cron."""
        if self.kind in OF_THE_KEY:
            return UnfitError(str(self))
        return (TryLaterError if self.kind in PASSING else CollectorError)(str(self))


def refused(  # noqa: PLR0911 - a line a case
    error: BaseException, *, worked: str | None = None
) -> RefusedError:
    """What an error of PRAW, prawcore or requests means. `worked`: when this key last did."""
    response = getattr(error, "response", None)
    if isinstance(error, prawcore.OAuthException):
        return _wrong_key(None)
    if isinstance(response, requests.Response):
        return _answered(error, response, worked)
    original = getattr(error, "original_exception", error)
    if isinstance(original, BROKEN):
        return _network(original)
    if isinstance(error, praw.exceptions.RedditAPIException):
        return RefusedError("asked", "Reddit does not take this question (400 Bad Request).")
    if isinstance(original, requests.RequestException) and isinstance(original, ValueError):
        if isinstance(original, requests.JSONDecodeError):
            return _garbled()
        return RefusedError(
            "credentials",
            "The address, the key or the user agent for Reddit holds characters that cannot be"
            " sent. Check the AFTERSHOCK_REDDIT_... settings.",
        )
    if isinstance(original, UnicodeError):
        return RefusedError(
            "credentials",
            "The key or the user agent for Reddit holds characters that cannot be sent. Check the"
            " AFTERSHOCK_REDDIT_... settings.",
        )
    return _garbled()


def _answered(  # noqa: PLR0911 - a line a case
    error: BaseException, response: requests.Response, worked: str | None
) -> RefusedError:
    status = response.status_code
    token = TOKEN_PATH in (response.url or "")
    if status == 429:
        return _limited(response)
    if status >= 500 or status == 408:
        return RefusedError(
            "down",
            f"Reddit is down: it answers {status}. Run the same command again later.",
            TOKEN_WAIT if token else None,  # elsewhere prawcore has tried three times
        )
    if status == 403 and _is_page(response):
        return RefusedError(
            "blocked",
            "Reddit answers with a page that says this computer or program is blocked (403). Check"
            " AFTERSHOCK_REDDIT_USER_AGENT (it must be your own and true), do not use a VPN or a"
            " shared address, and write to Reddit if it stays (docs/reddit.md).",
        )
    if token:
        if status == 401:
            return _wrong_key(worked)
        return _garbled() if status < 400 else _wrong_key(None, status)
    if status == 401:
        return _revoked(worked)
    if isinstance(error, prawcore.InsufficientScope):
        return suspended()
    if isinstance(error, prawcore.BadJSON):
        return _garbled()
    return _of_a_place(status, response)


def _of_a_place(status: int, response: requests.Response) -> RefusedError:
    reason = _reason(response)
    if reason in _REASONS:
        kind = reason if reason in OF_A_COMMUNITY else "forbidden"
        return RefusedError(kind, f"{_REASONS[reason]} ({status})")
    if status == 403:
        return RefusedError("forbidden", "is refused to this key (403), without a reason")
    if status == 404 or 300 <= status < 400:
        return RefusedError("missing", f"does not exist, or no longer ({status})")
    if status == 451:
        return RefusedError("legal", "is withheld for legal reasons (451)")
    return RefusedError("asked", f"Reddit does not take this question ({status}).")


def _reason(response: requests.Response) -> str:
    try:
        body: Any = response.json()
    except ValueError:
        return ""
    reason = body.get("reason") if isinstance(body, dict) else None
    return reason if isinstance(reason, str) else ""


def _is_page(response: requests.Response) -> bool:
    kind = response.headers.get("content-type", "").lower()
    return "html" in kind or response.text.lstrip()[:1] == "<"


def _limited(response: requests.Response) -> RefusedError:
    waits = [response.headers.get(name) for name in ("retry-after", "x-ratelimit-reset")]
    wait = next((float(text) for text in waits if text), LIMIT_WAIT)
    return RefusedError(
        "limited",
        "Reddit says that this key asks too much (429). Run the same command again in"
        f" {math.ceil(max(wait, 1))} seconds or later; if that stays, lower --budget.",
        wait,
    )


def _network(original: BaseException) -> RefusedError:
    if isinstance(original, requests.exceptions.ProxyError):
        said = "the proxy does not answer"
    elif isinstance(original, requests.exceptions.SSLError):
        said = "the connection is not trusted (certificate)"
    elif isinstance(original, requests.Timeout):
        said = "it does not answer in time"
    else:
        said = "no connection"
    return RefusedError(
        "network",
        f"Reddit cannot be reached: {said}. Check the network, then run the same command again.",
    )


def _garbled() -> RefusedError:
    return RefusedError(
        "garbled",
        "Reddit answers, but not with what was asked for. Run the same command again later.",
        TOKEN_WAIT,
    )


def _wrong_key(worked: str | None, status: int = 401) -> RefusedError:
    if worked is not None:
        return _revoked(worked)
    return RefusedError(
        "credentials",
        f"Reddit does not know this key ({status}): AFTERSHOCK_REDDIT_CLIENT_ID and"
        " AFTERSHOCK_REDDIT_CLIENT_SECRET have to be those of an app of type script. Copy them"
        " again from reddit.com/prefs/apps; if the app is gone from there, Reddit has revoked it"
        " (docs/reddit.md).",
    )


def _revoked(worked: str | None) -> RefusedError:
    known = f" It last worked on {worked}." if worked and worked[:1].isdigit() else ""
    return RefusedError(
        "revoked",
        f"Reddit no longer takes this key: it was revoked, or its secret was changed.{known} Look"
        " whether the app still stands on reddit.com/prefs/apps, and ask Reddit for access anew;"
        " docs/reddit.md says how, and how to work without a key until then.",
    )


def suspended() -> RefusedError:
    """What it means that this key may not even read what everybody may."""
    return RefusedError(
        "suspended",
        "Reddit knows this key and lets it read nothing (403): the account that owns the app is"
        " suspended, or the app was limited. Sign in on reddit.com with that account; what to do"
        " stands there. Do not make another account for it: Reddit's rules forbid that.",
    )
