"""Whose Bluesky account it is, and what a server's refusal of it means, in sentences.

Reads settings and answers; it sends nothing. No sentence holds a handle or a password.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from collectors.errors import CollectorError, TryLaterError, UnfitError
from collectors.settings import Settings

HANDLE = "AFTERSHOCK_BLUESKY_HANDLE"
PASSWORD = "AFTERSHOCK_BLUESKY_APP_PASSWORD"  # noqa: S105 - the name of the setting
SERVICE = "AFTERSHOCK_BLUESKY_SERVICE"
DEFAULT_SERVICE = "https://bsky.social"
SETUP = "run `aftershock setup`"
APP_PASSWORDS = "bsky.app, Settings, Privacy and security, App passwords"

# atproto.com/specs/handle, atproto.com/specs/did; createSession takes an e-mail address as well
_LABEL = r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_IDENTIFIER = re.compile(
    rf"({_LABEL}\.)+[a-zA-Z]([a-zA-Z0-9-]{{0,61}}[a-zA-Z0-9])?"
    r"|did:[a-z]+:[A-Za-z0-9._:%-]+|[^@\s]+@[^@\s]+\.[^@\s]+"
)
_LOCAL = {"localhost", "127.0.0.1", "::1"}
# Answers about the token, not about the account: a login with the password mends them.
STALE = {"ExpiredToken", "InvalidToken", "AuthMissing", "AuthenticationRequired"}


class RefusedError(CollectorError):
    """The server will not answer this query, however often it is asked.

    `error` is the server's name for it. What it says besides is for comparing only: it can hold the
    uri of somebody's post.
    """

    def __init__(self, status: int, error: str, detail: str = "") -> None:
        super().__init__(f"Bluesky refused the request ({status} {error}).")
        self.status, self.error, self.detail = status, error, detail


@dataclass(frozen=True)
class Account:
    """The credentials of one account and the server that knows it."""

    handle: str = field(repr=False)
    password: str = field(repr=False)
    service: str

    @classmethod
    def of(cls, settings: Settings) -> Account:
        """From the settings. UnfitError with one sentence when something is missing or wrong."""
        said = {name: (settings.credentials.get(name) or "").strip() for name in (HANDLE, SERVICE)}
        password = (settings.credentials.get(PASSWORD) or "").strip()
        handle = said[HANDLE].removeprefix("@")
        if not handle or not password:
            missing = "handle" if not handle else "app password"
            raise UnfitError(f"no {missing}; {SETUP} (an app password comes from {APP_PASSWORDS})")
        if not _IDENTIFIER.fullmatch(handle):
            raise UnfitError(
                f"{HANDLE} holds no handle: expected a name with a dot, such as name.bsky.social."
            )
        return cls(handle, password, _service(said[SERVICE] or DEFAULT_SERVICE))


def _service(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if parts.scheme not in ("http", "https") or not host or parts.username or parts.password:
        raise UnfitError(
            f"{SERVICE} holds no address of a server: expected one such as {DEFAULT_SERVICE}."
        )
    if parts.scheme == "http" and host not in _LOCAL:
        raise UnfitError(
            f"{SERVICE} begins with http://, which would send the password in the clear. "
            "Write https://."
        )
    return url.rstrip("/").removesuffix("/xrpc")


def said(content: Any) -> tuple[str, str]:
    """The name of an error and the words beside it, from the content of the SDK's response."""
    error, message = getattr(content, "error", None), getattr(content, "message", None)
    name = re.sub(r"[^A-Za-z]", "", error)[:40] if isinstance(error, str) else ""
    return name or "no reason given", message if isinstance(message, str) else ""


def login_refused(status: int, error: str, service: str) -> CollectorError:
    """What the answer of createSession means for the person who gave the credentials."""
    if error == "AccountTakedown":
        return UnfitError("Bluesky has taken this account down; use another account.")
    if error == "AuthFactorTokenRequired":
        return UnfitError(
            "Bluesky asks for a code by e-mail because this is the account's own password. "
            f"Make an app password ({APP_PASSWORDS}) and {SETUP}."
        )
    if status == 401:
        return UnfitError(
            "Bluesky does not know this handle with this password. Check the handle, make a new "
            f"app password ({APP_PASSWORDS}) and {SETUP}."
        )
    if status in (404, 405, 501):
        return not_bluesky(service)
    if status == 403:
        return TryLaterError("Bluesky refused the login from this address (403). Try again later.")
    return UnfitError(f"Bluesky refused the login ({status} {error}). Check both and {SETUP}.")


def not_bluesky(service: str) -> UnfitError:
    return UnfitError(
        f"There is no Bluesky server at {service}. Leave {SERVICE} out unless your account lives "
        "on a server of its own."
    )


def account_refused(error: str) -> UnfitError | None:
    """What a refused query says about the account, if it does."""
    words = {
        "AccountTakedown": "Bluesky has taken this account down; use another account.",
        "AccountDeactivated": "This Bluesky account is deactivated; sign in at bsky.app to bring it"
        " back, or use another account.",
        "AccountNotFound": f"This Bluesky account is gone; {SETUP} with another one.",
    }
    return UnfitError(words[error]) if error in words else None


def until(moment: datetime | None) -> str:
    """ " until 14:05 UTC", with the date when that is not today; nothing when nobody knows."""
    if moment is None:
        return ""
    moment = moment.astimezone(UTC)
    today = moment.date() == datetime.now(UTC).date()
    return f" until {moment:%H:%M} UTC" if today else f" until {moment:%Y-%m-%d %H:%M} UTC"
