"""What people call posts and authors, as the store knows them: links, uris, ids, account names.

Looks nothing up. A name that cannot be understood without asking the platform is refused with a
sentence that says what is needed; the sentence never repeats what it was given.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

_DID = r"did:[a-z]+:[A-Za-z0-9._:%-]+"
_RKEY = r"[A-Za-z0-9._~:-]+"
_ID = r"[A-Za-z0-9]{1,13}"
_AT_POST = re.compile(rf"at://({_DID})/app\.bsky\.feed\.post/({_RKEY})")
_AT_AUTHOR = re.compile(rf"(?:at://)?({_DID})/?")
_BSKY_POST = re.compile(rf"/profile/({_DID})/post/({_RKEY})(?:/.*)?")
_BSKY_AUTHOR = re.compile(rf"/profile/({_DID})/?")
_THING = re.compile(rf"(?:reddit:)?(t[13])_({_ID})", re.IGNORECASE)
_COMMENTS = re.compile(rf"(?:/(?:r|u|user)/[^/]+)?/comments/({_ID})(?:/[^/]*(?:/({_ID}))?)?/?")
_SHORT = re.compile(rf"/({_ID})/?")
_USER = re.compile(r"/?(?:u|user)/([A-Za-z0-9_-]{1,40})(?:/[a-z]*)?/?", re.IGNORECASE)

WHAT = (
    "Give a post as its link, at://did:.../app.bsky.feed.post/... or reddit:t3_..., an author as"
    " u/name (Reddit) or did:... (Bluesky)."
)
NEEDS_DID = (
    "names a Bluesky account by its handle, which can change hands and is not kept here. Give its"
    " DID: the post's or the profile's address with did:plc:... in the place of the handle (any DID"
    " look-up tells it, and so does the account's own settings page)."
)


class Unknown(ValueError):  # noqa: N818 - becomes the sentence of a command
    """Something that is not understood. The message goes on from "What was given"."""


@dataclass(frozen=True)
class Named:
    """A post by its uri, or an author by source and name."""

    uri: str | None = None
    source: str = ""
    author: str = ""


def named(text: str) -> Named:
    """The post or the author that `text` means. Raises Unknown when it means neither."""
    text = text.strip()
    if match := _AT_POST.fullmatch(text):
        return Named(uri=f"at://{match[1]}/app.bsky.feed.post/{match[2]}")
    if match := _AT_AUTHOR.fullmatch(text):
        return Named(source="bluesky", author=match[1])
    if text.startswith("at://") and not text.startswith("at://did:"):
        raise Unknown(NEEDS_DID)
    if match := _THING.fullmatch(text):
        return Named(uri=f"reddit:{match[1].lower()}_{match[2].lower()}")
    if match := _USER.fullmatch(text):
        return Named(source="reddit", author=match[1])
    return _linked(text)


def _linked(text: str) -> Named:
    host, path = _address(text)
    if host == "bsky.app":
        return _bluesky(path)
    if host == "redd.it" and (match := _SHORT.fullmatch(path)):
        return Named(uri=f"reddit:t3_{match[1].lower()}")
    if host == "reddit.com":
        return _reddit(path)
    if text.startswith("@") or re.fullmatch(r"[\w-]+(\.[\w-]+)+", text):
        raise Unknown(NEEDS_DID)
    raise Unknown(f"is neither a post nor an author. {WHAT}")


def _address(text: str) -> tuple[str, str]:
    """Site and path of a web address, with or without https://; empty for anything else."""
    if not re.match(r"(?:https?:)?//", text, re.IGNORECASE):
        text = f"//{text}"
    try:
        parts = urlsplit(text)
        host = (parts.hostname or "").lower()
    except ValueError:
        return "", ""
    for site in ("reddit.com", "redd.it", "bsky.app"):
        if host == site or host.endswith(f".{site}"):
            return site, unquote(parts.path)
    return "", ""


def _bluesky(path: str) -> Named:
    if match := _BSKY_POST.fullmatch(path):
        return Named(uri=f"at://{match[1]}/app.bsky.feed.post/{match[2]}")
    if match := _BSKY_AUTHOR.fullmatch(path):
        return Named(source="bluesky", author=match[1])
    if re.fullmatch(r"/profile/[^/]+(?:/post/[^/]+.*)?/?", path):
        raise Unknown(NEEDS_DID)
    raise Unknown(f"is an address on bsky.app, but of no post and no account. {WHAT}")


def _reddit(path: str) -> Named:
    if match := _COMMENTS.fullmatch(path):
        kind, name = ("t1", match[2]) if match[2] else ("t3", match[1])
        return Named(uri=f"reddit:{kind}_{name.lower()}")
    if match := _USER.fullmatch(path):
        return Named(source="reddit", author=match[1])
    if re.fullmatch(r"/(?:r|u|user)/[^/]+/s/[^/]+/?", path):
        raise Unknown(
            "is a share link of Reddit, which says nothing without asking Reddit. Open it, and give"
            " the address that the browser shows then (with /comments/ in it)."
        )
    raise Unknown(f"is an address on Reddit, but of no post and no account. {WHAT}")
