"""Replies to a matched post and posts that quote it, since both are part of the story.

Only what the thread rule takes: replies under a post that begins its thread, and quotes of any
matched post; replies to those quotes are not followed. Which posts matched, the caller says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from collectors.bluesky_account import RefusedError
from collectors.bluesky_client import Bluesky
from collectors.bluesky_page import Page, View, is_reply, number_of, read

DEPTH = 1000  # the most the lexicon takes; production stops at 10 (bluesky-social/atproto#3147)
MOST = 50  # requests for one post: replies of one level are not paged (bluesky-social/atproto#2149)


class Threads:
    """Follows posts, each at most once a run. `may_ask` says whether one more request is left."""

    def __init__(self, client: Bluesky, may_ask: Callable[[], bool]) -> None:
        self._client = client
        self._may_ask = may_ask
        self._followed: set[str] = set()
        self.asked = 0
        self.left_out = 0  # posts with more replies or quotes than MOST requests bring

    def wants(self, view: View) -> bool:
        """Whether there is anything to follow, as far as the view's own counts say."""
        return view["uri"] not in self._followed and (
            number_of(view, "quoteCount") > 0
            or (number_of(view, "replyCount") > 0 and not is_reply(view))
        )

    def follow(self, view: View) -> Iterator[Page | None]:
        """Pages of replies and quotes; a None at the end says that the budget ended first."""
        uri = view["uri"]
        asked = 0
        todo: list[tuple[str, str, str | None]] = []
        if number_of(view, "replyCount") > 0 and not is_reply(view):
            todo.append(("replies", uri, None))
        if number_of(view, "quoteCount") > 0:
            todo.append(("quotes", uri, None))
        seen: set[tuple[str, str, str | None]] = set()
        while todo:
            step = todo.pop(0)
            if step in seen:
                continue
            seen.add(step)
            if not self._may_ask():
                yield None
                return
            if asked == MOST:
                self.left_out += 1
                break
            asked += 1
            kind, of, cursor = step
            page, further = self._quotes(of, cursor) if kind == "quotes" else self._replies(of)
            todo += [(kind, *each) for each in further]
            yield page
        self._followed.add(uri)

    def _quotes(self, uri: str, cursor: str | None) -> tuple[Page, list[tuple[str, str | None]]]:
        params: dict[str, Any] = {"uri": uri, "limit": 100}
        if cursor:
            params["cursor"] = cursor
        answer, asked_at = self._ask("app.bsky.feed.getQuotes", params)
        page = read(answer.get("posts", []), asked_at, f"request {self.asked}")
        following = answer.get("cursor")
        return page, [(uri, following)] if isinstance(following, str) and following else []

    def _replies(self, uri: str) -> tuple[Page, list[tuple[str, str | None]]]:
        """The thread under a post, and the posts at its lower edge that have further replies."""
        answer, asked_at = self._ask(
            "app.bsky.feed.getPostThread", {"uri": uri, "depth": DEPTH, "parentHeight": 0}
        )
        level = [answer.get("thread")]
        views: list[Any] = []
        edge: list[Mapping[str, Any]] = []
        while level:
            # Deleted posts and those of blocked or taken down accounts are nodes without a post.
            nodes = [n for n in level if isinstance(n, Mapping) and "post" in n]
            views += [node["post"] for node in nodes]
            edge = nodes or edge
            below = [node.get("replies") for node in nodes]
            level = [reply for replies in below if isinstance(replies, list) for reply in replies]
        page = read(views, asked_at, f"request {self.asked}")
        lower = [node["post"].get("uri") for node in edge if _goes_on(node)]
        return page, [(each, None) for each in lower if each in page.views and each != uri]

    def _ask(self, method: str, params: Mapping[str, Any]) -> tuple[Mapping[str, Any], datetime]:
        self.asked += 1
        at = datetime.now(UTC)
        try:
            return self._client.ask(method, params), at
        except RefusedError:
            return {}, at  # deleted since it was found: NotFound, which is normal


def _goes_on(node: Mapping[str, Any]) -> bool:
    post = node["post"]
    return (
        isinstance(post, Mapping) and number_of(post, "replyCount") > 0 and not node.get("replies")
    )
