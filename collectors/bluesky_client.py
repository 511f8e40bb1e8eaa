"""One logged-in client of Bluesky for a run: sessions, limits, retries. `ask` gives raw answers.

Wraps the atproto SDK, which retries nothing, leaks errors of its HTTP library, and refuses a whole
page for one malformed post (0.0.73); it knows no search and parses no post. All requests go to the
account's own server, which passes them on: the public address answers search with 403 at times.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from atproto import Client, Request, Session, SessionEvent
from atproto.exceptions import (
    AtProtocolError,
    BadRequestError,
    NetworkError,
    RateLimitExceededError,
    RequestException,
    UnauthorizedError,
)
from atproto_client.models.dot_dict import DotDict

from collectors.bluesky_account import (
    APP_PASSWORDS,
    SETUP,
    STALE,
    Account,
    RefusedError,
    account_refused,
    login_refused,
    not_bluesky,
    said,
    until,
)
from collectors.bluesky_session import Sessions
from collectors.errors import CollectorError, TryLaterError, UnfitError
from collectors.settings import Settings

TIMEOUT = httpx.Timeout(30, connect=10)
TRIES = 5
DELAY = 1.0  # seconds: the first wait is up to this, each further one up to twice as long
MOST_DELAY = 30.0
MOST_WAIT = 330.0  # seconds of a run for limits: one window of five minutes
RESERVE = 100  # of 3,000 requests in five minutes; the same address may serve others


@dataclass
class Limit:
    """What the last answer said of the server's limit (ratelimit-* headers)."""

    remaining: int
    most: int
    reset: datetime

    @property
    def near(self) -> bool:
        return self.remaining <= min(RESERVE, self.most // 10) and self.reset > datetime.now(UTC)


class Bluesky:
    """A client that logs in when it must, once, and keeps the session for the next run.

    `requests` counts everything sent, retries and logins too; `bytes` what came back.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        most_wait: float = MOST_WAIT,
        public: str | None = None,
    ) -> None:
        """`public` is a server to be asked without an account, for what needs none."""
        self._public = public is not None
        self.account = Account("", "", public) if public is not None else Account.of(settings)
        self.requests = 0
        self.bytes = 0
        self._sessions = Sessions(settings.cache, self.account.service, self.account.handle)
        self._wait = most_wait
        self._client: Client | None = None
        self._used: str | None = None  # a session string that is of no more use, or in use
        self._limit: Limit | None = None

    def ask(
        self, method: str, params: Mapping[str, Any], *, others: bool = False
    ) -> Mapping[str, Any]:
        """The answer to one query as it came, a JSON object. `others`: it is about somebody else's
        account, whose state a refusal tells.

        Raises RefusedError for a query that will not be answered, UnfitError when it is for the
        account, TryLaterError when a limit or the network is in the way.
        """
        renewals = 0
        for attempt in range(TRIES):
            self._keep_below_limit()
            try:
                if self._client is None:
                    self._client = self._logged_in()
                answer = self._client.invoke_query(method, DotDict(dict(params)))
                if isinstance(answer.content, dict):
                    return answer.content
                failure = "an answer that is no JSON"
            except RateLimitExceededError as error:
                self._wait_for(_resets(error), "Bluesky takes no more requests")
                failure = "its limit"
            except (BadRequestError, UnauthorizedError) as error:
                refused = _refused(error)
                about = None if others or self._public else account_refused(refused.error)
                if about is not None:
                    raise about from error
                if refused.error not in STALE or self._public:
                    if refused.status == 403 and not self._public:
                        raise TryLaterError(
                            "Bluesky refuses requests from this address at the moment (403). "
                            "Try again later."
                        ) from error
                    raise refused from error
                if renewals == 2:  # another process's newer session, then the password
                    raise UnfitError(
                        "Bluesky does not accept its own new session. Check the credentials and "
                        f"{SETUP}."
                    ) from error
                renewals, failure = renewals + 1, "a session that has ended"
                self._forget_session()
                continue
            except CollectorError:
                raise
            except Exception as error:
                failure = _transient(error)
                if failure == _NO_SESSION and renewals < 2:
                    renewals += 1
                    self._forget_session()
                    continue
            self._pause(attempt)
        raise TryLaterError(
            f"Bluesky did not answer {TRIES} times in a row (last: {failure}). Try again later."
        )

    def log_in(self) -> str:
        """Log in with the password whatever is kept, and keep the session. What kind of password it
        is: the account's own, or an app password."""
        for attempt in range(TRIES):
            try:
                with self._sessions.held():
                    self._client = self._with_password()
                break
            except CollectorError:
                raise
            except Exception as error:
                failure = _transient(error)
            self._pause(attempt)
        else:
            raise TryLaterError(_no_answer(self.account.service, failure))
        session = self._client._session
        scope = session.access_jwt_payload.scope if session else None
        # com.atproto.access; com.atproto.appPass and appPassPrivileged (packages/pds auth-scope.ts)
        return "own" if scope == "com.atproto.access" else "app"

    def _logged_in(self) -> Client:
        if self._public:
            return self._new()
        with self._sessions.held():
            kept = self._sessions.read()
            if kept is not None and kept != self._used:
                self._used = kept
                try:
                    client = self._new()
                    client.login(session_string=kept, fetch_bsky_profile=False)
                    client._should_refresh_session()  # raises when the tokens are no tokens
                    return client
                except (ValueError, TypeError, AtProtocolError):
                    pass  # not even a session string: the password makes a new one
            return self._with_password()

    def _with_password(self) -> Client:
        # Always a new client: one with an old session would try to refresh that first
        # (MarshalX/atproto#580).
        client = self._new()
        try:
            client.login(self.account.handle, self.account.password, fetch_bsky_profile=False)
        except RateLimitExceededError as error:
            self._wait_for(
                _resets(error),
                "Bluesky allows 30 logins in five minutes and 300 a day and takes none",
            )
            raise
        except (BadRequestError, UnauthorizedError) as error:
            refused = _refused(error)
            raise login_refused(refused.status, refused.error, self.account.service) from error
        except RequestException as error:
            status = error.response.status_code if error.response else 0
            if 0 < status < 500 or status == 501:
                raise login_refused(status, "", self.account.service) from error
            raise
        except (AtProtocolError, ValueError) as error:
            if isinstance(error, NetworkError):
                raise
            raise not_bluesky(self.account.service) from error  # an answer that is no session
        self._used = None
        return client

    def _new(self) -> Client:
        request = Request(timeout=TIMEOUT, event_hooks={"response": [self._note]})
        client = Client(self.account.service, request)

        def keep(event: SessionEvent, session: Session) -> None:
            if event is not SessionEvent.IMPORT:
                self._sessions.keep(session.export())

        client.on_session_change(keep)
        return client

    def _forget_session(self) -> None:
        """The next request logs in anew: by a session that another process kept since, or else by
        the password."""
        if self._client is not None and self._client._session is not None:
            self._used = self._client.export_session_string()
        self._client = None

    def _note(self, response: httpx.Response) -> None:
        self.requests += 1
        response.read()
        self.bytes += response.num_bytes_downloaded
        if "/com.atproto.server." in response.request.url.path:
            return  # logins have limits of their own
        headers = response.headers
        try:
            self._limit = Limit(
                int(headers["ratelimit-remaining"]),
                int(headers["ratelimit-limit"]),
                datetime.fromtimestamp(int(headers["ratelimit-reset"]), UTC),
            )
        except (KeyError, ValueError, OverflowError, OSError):
            return

    def _keep_below_limit(self) -> None:
        if self._limit is not None and self._limit.near:
            self._wait_for(self._limit.reset, "Bluesky's limit of requests is nearly reached")
            self._limit = None

    def _wait_for(self, moment: datetime | None, what: str) -> None:
        """Wait until then, if what is left of the run's waiting allows; else TryLaterError."""
        now = datetime.now(UTC)
        moment = moment or now + timedelta(seconds=60)
        seconds = max(0.0, (moment - now).total_seconds()) + random.uniform(0, DELAY)  # noqa: S311
        if seconds > self._wait:
            raise TryLaterError(f"{what}{until(moment)}. Try again then.")
        self._wait -= seconds
        time.sleep(seconds)

    def _pause(self, attempt: int) -> None:
        """Full jitter: anywhere between nothing and the growing bound."""
        if attempt + 1 < TRIES:
            time.sleep(random.uniform(0, min(MOST_DELAY, DELAY * 2**attempt)))  # noqa: S311


_NO_SESSION = "a session that cannot be read"


def _refused(error: BadRequestError | UnauthorizedError) -> RefusedError:
    response = error.response
    return RefusedError(
        response.status_code if response else 0, *said(response.content if response else None)
    )


def _resets(error: RateLimitExceededError) -> datetime | None:
    if error.retry_after is not None:
        return datetime.now(UTC) + timedelta(seconds=min(error.retry_after, 7 * 86_400))
    reset: datetime | None = error.reset_at
    return reset


def _transient(error: Exception) -> str:
    """What went wrong, in a few words, if asking again may help; else the error goes on."""
    if isinstance(error, NetworkError | RequestException):
        response = error.response
        if response is None:
            return "no connection"
        if isinstance(error, NetworkError) or response.status_code >= 500:
            if response.status_code == 501:
                raise RefusedError(501, said(response.content)[0]) from error
            return f"status {response.status_code}"
        raise RefusedError(response.status_code, *said(response.content)) from error
    if isinstance(error, httpx.HTTPError | httpx.StreamError):
        return "a connection that broke"  # RemoteProtocolError and others come through the SDK
    if isinstance(error, ValueError):
        return "an answer that is no JSON"
    if isinstance(error, AtProtocolError):
        return _NO_SESSION  # LoginRequiredError, a token that is none, a refresh answered in HTML
    raise error


def _no_answer(service: str, failure: str) -> str:
    return (
        f"No proper answer from {service} ({failure}). Check the network and that address, and try "
        "again later."
    )


def check(settings: Settings) -> str:
    """Try the credentials for `aftershock setup`, one login and one search; says what works.

    Raises UnfitError when a person has to change something, TryLaterError when not; each with one
    sentence. The session it makes is kept for the collectors.
    """
    client = Bluesky(settings, most_wait=0)
    kind = client.log_in()
    try:
        client.ask("app.bsky.feed.searchPosts", {"q": "aftershock", "limit": 1, "sort": "latest"})
    except RefusedError as error:
        raise UnfitError(
            f"The login works, but this server answers no search ({error.status} {error.error})."
        ) from error
    if kind == "own":
        return (
            "The login and the search work. This is the account's own password; an app password "
            f"({APP_PASSWORDS}) can do less harm and be withdrawn."
        )
    return "The login with the app password and the search work."
