"""One question at a time to a language model of the user's own, over an OpenAI-compatible URL.

Ollama, vLLM, llama.cpp and most providers speak it (POST .../chat/completions). Lies in cli/
because it sends other people's words away: analysis/ measures and reaches for nothing, collectors/
only bring in. What it is asked has passed cases.terms in its one caller. No sentence, log or error
here holds the key, what was asked or what was answered.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

import httpx

from cli.console import CONFIGURATION, TRY_LATER, Stop

TRIES = 5  # of one request
DELAY, MOST_DELAY = 1.0, 30.0  # seconds: the first wait is up to DELAY, each further one to twice
MOST_RETRY_AFTER = 120.0  # seconds that a server may ask for; longer is for another run
MOST_BYTES = 1_000_000  # of an answer; ours have a few hundred
ANSWER_TOKENS = 2_000  # room for a model that thinks aloud first
_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_OPTIONAL = ("temperature", "max_tokens", "response_format")  # what some servers do not take
_LOCAL = ("localhost", ".localhost")
_NEAR = (".local", ".lan", ".home.arpa", ".internal")


@dataclass(frozen=True)
class Settings:
    """Which model is asked, how often and how much at most in one run.

    `per_minute` requests are begun at most; `requests` and `tokens` (as the server counts them, in
    and out) end the run, None: no limit. `timeout`: seconds for one answer. Raises Stop (78) for a
    URL or key that cannot be used.
    """

    url: str
    model: str
    key: str = field(default="", repr=False)
    requests: int = 1_000
    tokens: int | None = None
    per_minute: float = 60
    timeout: float = 120

    def __post_init__(self) -> None:
        try:
            url = httpx.URL(self.url.strip())
        except (httpx.InvalidURL, UnicodeError):
            url = httpx.URL("")
        if url.scheme not in ("http", "https") or not url.host:
            raise Stop(
                "AFTERSHOCK_STANCE_URL is no address of a server. It looks like"
                " http://localhost:11434/v1 (Ollama) or https://HOST/v1.",
                CONFIGURATION,
            )
        if url.userinfo:
            raise Stop(
                "AFTERSHOCK_STANCE_URL holds a user or password; addresses end up in logs. Put the"
                " key into AFTERSHOCK_STANCE_KEY and take it out of the address.",
                CONFIGURATION,
            )
        if url.scheme == "http" and not (self.local or near(url.host)):
            raise Stop(
                f"AFTERSHOCK_STANCE_URL would send posts and key to {url.host} unencrypted. Use"
                " https.",
                CONFIGURATION,
            )
        if not (self.key.isascii() and self.key.isprintable()) or self.key != self.key.strip():
            raise Stop(
                "AFTERSHOCK_STANCE_KEY holds characters that no key has (a line break, a space"
                " at its end?). Copy it again.",
                CONFIGURATION,
            )

    @property
    def host(self) -> str:
        return httpx.URL(self.url.strip()).host

    @property
    def local(self) -> bool:
        """Whether the address is one of this machine."""
        if self.host in _LOCAL or self.host.endswith(_LOCAL[1]):
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def address(self) -> httpx.URL:
        """Where questions go."""
        url = httpx.URL(self.url.strip())
        path = url.path.rstrip("/")
        ends = path.endswith("/chat/completions")
        return url.copy_with(path=path if ends else f"{path}/chat/completions")


def near(host: str) -> bool:
    """Whether a host is in a private network, where unencrypted is what there often is."""
    try:
        return ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith(_NEAR)


class RefusedError(Exception):
    """The server does not take this question (400, 413, 422), while it takes others."""


class BudgetSpent(Exception):  # noqa: N818 - as it should be
    """The run has asked as much as it may; `what` says of what."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


class Chat:
    """A connection for one run. `requests` and `tokens` count what was spent, retries too."""

    def __init__(
        self, settings: Settings, *, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        self.settings = settings
        self.requests = 0
        self.tokens = 0
        self._answered = False
        self._plain = False  # the server takes none of _OPTIONAL
        self._sleep = sleep
        self._next = 0.0
        headers = {"authorization": f"Bearer {settings.key}"} if settings.key else {}
        self._client = httpx.Client(
            headers=headers,
            timeout=httpx.Timeout(settings.timeout, connect=min(10, settings.timeout)),
            # A proxy of the environment is right for the world and wrong for this machine.
            trust_env=not settings.local,
        )

    def __enter__(self) -> Chat:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def ask(self, messages: Sequence[Mapping[str, str]]) -> str:
        """What the model says to these messages; "" when the server answers without saying
        anything, as filters do.

        Raises RefusedError for this question alone, BudgetSpent, and Stop: 75 when the server does
        not answer for now, 78 when a person has to change something.
        """
        failure = ""
        for attempt in range(TRIES):
            try:
                status, wait, data = self._once(messages)
            except httpx.HTTPError as error:
                failure, wait = _named(error), None
            else:
                if status == 200:
                    found = self._said(data)
                    if found is not None:
                        self._answered = True
                        return found
                    failure = "answers that are none of a chat"
                elif status in _AGAIN:
                    failure = f"status {status}"
                elif status in (400, 422) and not self._plain and not self._answered:
                    self._plain = True
                    continue
                else:
                    raise self._refusal(status)
            if attempt < TRIES - 1:
                self._pause(attempt, wait)
        raise Stop(
            f"The language model at {self.settings.host} does not answer ({failure}, {TRIES}"
            " times in a row). What was answered so far is kept; run it again later.",
            TRY_LATER,
        )

    def _once(self, messages: Sequence[Mapping[str, str]]) -> tuple[int, float | None, bytes]:
        """Send once: status, seconds that the server asks to wait, and the body."""
        self._spend()
        body: dict[str, Any] = {"model": self.settings.model, "messages": list(messages)}
        if not self._plain:
            body |= {"temperature": 0, "max_tokens": ANSWER_TOKENS}
            body |= {"response_format": {"type": "json_object"}}
        ends = time.monotonic() + self.settings.timeout
        with self._client.stream("POST", self.settings.address, json=body) as answer:
            data = bytearray()
            for part in answer.iter_bytes():
                data += part
                # httpx's limit is for each piece: a server that drips would hold us for ever.
                if time.monotonic() > ends:
                    raise httpx.ReadTimeout("slow")
                if len(data) > MOST_BYTES:
                    raise httpx.DecodingError("too long")
            return answer.status_code, _seconds(answer.headers.get("retry-after")), bytes(data)

    def _spend(self) -> None:
        most = self.settings
        if self.requests >= most.requests:
            raise BudgetSpent(f"{most.requests:,} requests")
        if most.tokens is not None and self.tokens >= most.tokens:
            raise BudgetSpent(f"{most.tokens:,} tokens")
        now = time.monotonic()
        if now < self._next:
            self._sleep(self._next - now)
        self._next = max(now, self._next) + 60 / most.per_minute
        self.requests += 1

    def _said(self, data: bytes) -> str | None:
        """The text of a chat's answer, None when it is none."""
        try:
            found = json.loads(data)
            content = found["choices"][0]["message"].get("content")
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return None
        usage = found.get("usage")
        total = usage.get("total_tokens") if isinstance(usage, dict) else None
        self.tokens += total if isinstance(total, int) and total > 0 else ANSWER_TOKENS
        return content if isinstance(content, str) else ""

    def _refusal(self, status: int) -> Exception:
        host, model = self.settings.host, self.settings.model
        if status in (401, 403):
            return Stop(
                f"{host} does not take the key in AFTERSHOCK_STANCE_KEY (status {status}). Set one"
                " that is valid for it.",
                CONFIGURATION,
            )
        if status == 402:
            return Stop(f"{host} asks to be paid first (status 402).", CONFIGURATION)
        if status == 404:
            return Stop(
                f"{host} knows no model {model}, or no chat at this address (status 404). Check"
                " AFTERSHOCK_STANCE_MODEL and AFTERSHOCK_STANCE_URL.",
                CONFIGURATION,
            )
        if status in (400, 413, 422) and self._answered:
            return RefusedError()
        return Stop(
            f"{host} does not take what Aftershock asks (status {status}). Check that"
            " AFTERSHOCK_STANCE_URL is an OpenAI-compatible address such as https://HOST/v1, and"
            " AFTERSHOCK_STANCE_MODEL a chat model.",
            CONFIGURATION,
        )

    def _pause(self, attempt: int, asked: float | None) -> None:
        if asked is not None and asked > MOST_RETRY_AFTER:
            raise Stop(
                f"{self.settings.host} takes no more requests for {asked:,.0f} seconds. What was"
                " answered so far is kept; run it again then.",
                TRY_LATER,
            )
        most = min(MOST_DELAY, DELAY * 2**attempt)
        drawn = most * (0.5 + random.random() / 2)  # noqa: S311 - so that clients spread out
        self._sleep(drawn if asked is None else max(asked, drawn))


def _seconds(text: str | None) -> float | None:
    """Retry-After in seconds; dates, which it may hold as well, are left to the backoff."""
    try:
        found = float(text or "")
    except ValueError:
        return None
    return found if 0 <= found < 1e9 else None


def _named(error: httpx.HTTPError) -> str:
    """What went wrong, in words that hold nothing of the request."""
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return "it cannot be reached"
    if isinstance(error, httpx.TimeoutException):
        return "it takes too long"
    return "the connection broke"
