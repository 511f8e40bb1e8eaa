"""How Bluesky is asked about posts that are kept: 25 at a time, and about the accounts behind them.

Without an account where that goes: who is logged in does not see the posts of people who block the
account, or are blocked by it (bsky 0.0.280, getPosts: viewerBlockExists), and would take them for
deleted. What absence means and when to ask is decided in `recheck.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from collectors import bluesky_client
from collectors.asking import Account, There
from collectors.bluesky_account import HANDLE, PASSWORD, RefusedError
from collectors.errors import TryLaterError
from collectors.normalise import bluesky_view
from collectors.settings import Settings
from collectors.values import BLUESKY_URI, BadRecord, count

APPVIEW = "AFTERSHOCK_BLUESKY_APPVIEW"
DEFAULT_APPVIEW = "https://public.api.bsky.app"
# getPosts: at most 25 uris (lexicon app.bsky.feed.getPosts). Deleted posts, those of inactive
# accounts and those under takedown are simply not in the answer.
AT_ONCE = 25
INACTIVE = ("AccountDeactivated", "AccountTakedown")  # the latter for suspended ones too
NO_PROFILE = "Profile not found"  # under the error InvalidRequest, which others have as well
BLOCKS = ("blockedBy", "blocking", "blockingByList")  # app.bsky.actor.defs#viewerState
FORBIDDEN = (401, 403)  # public addresses are closed to some networks at times


class Bluesky:
    """Bluesky as a `Source`: the public AppView or, where that refuses us, the account's server."""

    at_once = AT_ONCE

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        address = (settings.credentials.get(APPVIEW) or DEFAULT_APPVIEW).rstrip("/")
        self._client = bluesky_client.Bluesky(settings, public=address.removesuffix("/xrpc"))
        self._own = False  # asking as an account
        self._before = (0, 0)  # requests and bytes of the client that was refused

    @property
    def requests(self) -> int:
        return self._before[0] + self._client.requests

    @property
    def bytes(self) -> int:
        return self._before[1] + self._client.bytes

    def look(self, uris: Sequence[str]) -> dict[str, There | None]:
        """Each post that was answered for. A page that is refused is cut in two until it is known
        which uri the server takes for none."""
        asked = datetime.now(UTC)
        try:
            answer = self._ask("app.bsky.feed.getPosts", {"uris": list(uris)})
        except RefusedError as error:
            if error.status != 400:
                raise
            if len(uris) == 1:
                return {}
            half = len(uris) // 2
            return self.look(uris[:half]) | self.look(uris[half:])
        views = answer.get("posts")
        if not isinstance(views, list):
            raise TryLaterError(
                "Bluesky answered without the posts it was asked about. Nothing was wiped; try"
                " again later."
            )
        found = {
            view["uri"]: _there(view, asked)
            for view in views
            if isinstance(view, Mapping) and isinstance(view.get("uri"), str)
        }
        return {uri: found.get(uri) for uri in uris}

    def author(self, uri: str) -> str | None:
        found = BLUESKY_URI.fullmatch(uri)
        return found[1] if found else None

    def account(self, author: str) -> Account:
        """By app.bsky.actor.getProfile, whose refusal names the state (bsky 0.0.280): AppViews
        answer no com.atproto.sync.getRepoStatus, and a PDS does for its own accounts only."""
        try:
            profile = self._ask("app.bsky.actor.getProfile", {"actor": author}, others=True)
        except RefusedError as error:
            if error.error in INACTIVE:
                return Account.INACTIVE
            absent = error.status == 400 and error.detail == NO_PROFILE
            return Account.ABSENT if absent else Account.UNSEEN
        if profile.get("did") != author:
            return Account.UNSEEN
        viewer = profile.get("viewer")
        viewer = viewer if isinstance(viewer, Mapping) else {}
        return Account.UNSEEN if any(viewer.get(name) for name in BLOCKS) else Account.ACTIVE

    def _ask(
        self, method: str, params: dict[str, Any], *, others: bool = False
    ) -> Mapping[str, Any]:
        try:
            return self._client.ask(method, params, others=others)
        except RefusedError as error:
            if error.status not in FORBIDDEN:
                raise
            if self._own or not all(self._settings.credentials.get(n) for n in (HANDLE, PASSWORD)):
                raise TryLaterError(
                    f"Bluesky refuses requests from this address ({error.status}). Try again"
                    " later, or give it an account: aftershock setup"
                ) from error
        self._before = (self.requests, self.bytes)
        self._client, self._own = bluesky_client.Bluesky(self._settings), True
        return self._client.ask(method, params, others=others)


def _there(view: Mapping[str, Any], asked: datetime) -> There:
    likes, reposts, replies = (
        count(view.get(name)) for name in ("likeCount", "repostCount", "replyCount")
    )
    try:
        return There(bluesky_view(view, asked), likes, reposts, replies)
    except BadRecord as error:
        return There(None, likes, reposts, replies, bad=str(error))
