"""One function a shape of record: from a source's raw record to a row of RAW_POST.

Lenient where a value is decoration, strict where it is identity or time. Each gives a row, or
`Gone` when the source says that the post was deleted or removed, or that the account of its author
is, or raises `BadRecord`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from collectors.values import (
    BLUESKY_URI,
    DAY,
    HANDLE_URI,
    REDDIT_URI,
    BadRecord,
    count,
    described,
    flag,
    fullname,
    is_marker,
    languages,
    moment,
    posted,
    reference,
    tid_moment,
    words,
)
from store.schema import RAW_POST

Raw = Mapping[str, Any]
Row = dict[str, Any]  # the columns of RAW_POST, times as datetime in UTC

SOURCES = ("bluesky", "reddit")
KINDS = {
    **dict.fromkeys(("post", "t3", "submission", "link", "thread"), "post"),
    **dict.fromkeys(("comment", "t1", "reply"), "comment"),
}
POST_URI = "at://did:.../app.bsky.feed.post/..."
NOTHING = ("", "none", "nan", "null", "false")  # what CSV writers make of an empty value


@dataclass(frozen=True, slots=True)
class Gone:
    """A post that its source no longer shows, or whose author's account is gone: whatever is kept
    of it has to go."""

    uri: str
    source: str
    kind: str
    at: datetime | None = None


def reddit_submission(
    raw: Raw, asked: datetime, now: datetime | None = None, *, entities: bool = False
) -> Row | Gone:
    """A Reddit submission: from the API (raw_json=1) or, with `entities`, from a dump (RS).

    `asked` is when the source was asked, for records that do not carry that themselves; `now`
    bounds what is in the future (default: `asked`). Fields: facts of the Reddit API and of
    github.com/ArthurHeitmann/arctic_shift, file_content_explanations.md.
    """
    now = now or asked
    uri = f"reddit:{fullname(raw.get('id') or raw.get('name'), 't3')}"
    at = posted(raw.get("created_utc"), now)
    title = words(raw.get("title"), entities=entities)
    body = words(raw.get("selftext"), entities=entities)
    if _removed(raw, title, body) or _nobodys(raw):
        return Gone(uri, "reddit", "post", at)
    if body and raw.get("selftext") == _crossposted(raw):
        body = None  # somebody else's words, which stand under the post it quotes
    row = _reddit(raw, uri, "post", _joined(title, body), at, _retrieved(raw, asked, now))
    row["quoted"] = reference(raw.get("crosspost_parent"), "t3")
    if flag(raw.get("hide_score")):
        row["likes"] = None  # shown as 1 or as noise while it is hidden
    row["replies"] = count(raw.get("num_comments"))
    return row


def reddit_comment(
    raw: Raw, asked: datetime, now: datetime | None = None, *, entities: bool = False
) -> Row | Gone:
    """A Reddit comment: from the API (raw_json=1) or, with `entities`, from a dump (RC)."""
    now = now or asked
    uri = f"reddit:{fullname(raw.get('id') or raw.get('name'), 't1')}"
    at = posted(raw.get("created_utc"), now)
    body = words(raw.get("body"), entities=entities)
    if _removed(raw, body) or _nobodys(raw) or raw.get("collapsed_reason_code") == "DELETED":
        return Gone(uri, "reddit", "comment", at)
    if body is None:
        raise BadRecord("no text")
    row = _reddit(raw, uri, "comment", body, at, _retrieved(raw, asked, now))
    row["parent"], row["root"] = _thread(raw)
    if flag(raw.get("score_hidden")):
        row["likes"] = None
    return row


def reddit_flat(raw: Raw, asked: datetime, now: datetime | None = None) -> Row | Gone:
    """Posts and comments in one flat shape: kind (t1, t3), id, created_utc, title, text, score...

    The form in which researchers pass on what they took from the API.
    """
    now = now or asked
    if raw.get("kind") == "t1":
        return reddit_comment({**raw, "body": raw.get("text")}, asked, now, entities=True)
    return reddit_submission({**raw, "selftext": raw.get("text")}, asked, now, entities=True)


def bluesky_view(view: Raw, asked: datetime, now: datetime | None = None) -> Row:
    """An app.bsky.feed.defs#postView as a plain dict, as search and getPosts give it."""
    did, rkey = _at_uri(view.get("uri"))
    row = bluesky_record(did, rkey, view.get("record"), asked, now)
    row["likes"] = count(view.get("likeCount"))
    row["reposts"] = count(view.get("repostCount"))
    row["replies"] = count(view.get("replyCount"))
    return row


def bluesky_record(
    did: str, rkey: str, record: Any, asked: datetime, now: datetime | None = None
) -> Row:
    """An app.bsky.feed.post record as a plain dict, with the repository and key it stands under.

    The network carries records that break its own rules (no or absurd createdAt, four languages,
    embeds nobody knows), so only the identity and the text have to be right.
    """
    uri = f"at://{did}/app.bsky.feed.post/{rkey}"
    _at_uri(uri)
    if not isinstance(record, Mapping):
        raise BadRecord("no record in the post")
    text = words(record.get("text"))
    if text is None:
        raise BadRecord("no text")
    reply = record.get("reply")
    parent, root = (_strong(reply, "parent"), _strong(reply, "root"))
    return {
        "uri": uri,
        "source": "bluesky",
        "kind": "comment" if isinstance(reply, Mapping) else "post",
        "author": did,
        "community": None,
        "text": text,
        "langs": languages(record.get("langs")),
        "at": tid_moment(rkey, min(asked, now or asked)),
        "created_at": moment(record.get("createdAt")),
        "collected_at": asked,
        "parent": parent,
        "root": root,
        "quoted": _quoted(record.get("embed")),
        "likes": None,
        "reposts": None,
        "replies": None,
    }


def own(raw: Raw, asked: datetime, now: datetime | None = None) -> Row | Gone:
    """A record with exactly the columns of RAW_POST, times in ISO 8601."""
    now = now or asked
    row = _flat(raw, raw.get("collected_at") or asked, now, entities=False)
    if isinstance(row, Gone):
        return row
    if raw.get("at") is not None:
        row["at"] = posted(raw["at"], now)
    declared = moment(raw.get("created_at"))
    row["created_at"] = declared or (row["at"] if row["source"] == "reddit" else None)
    return row


def mapped(raw: Raw, asked: datetime, now: datetime | None = None) -> Row | Gone:
    """A record under the names of `--map`: our columns, and id, title; `at` is the declared time.

    On Bluesky the declared time is only that: `at` comes from the record key, as everywhere.
    """
    return _flat(raw, asked, now or asked, entities=True)


def frame(rows: Sequence[Row]) -> pl.DataFrame:
    """The rows as a frame with the columns of RAW_POST."""
    columns: list[pl.Series] = []
    for name, dtype in RAW_POST.items():
        if name == "langs" and not any(row["langs"] for row in rows):
            # Reddit declares none, and polars takes 5 µs a row to find that out by itself.
            empty = pl.Series(name, [[]], dtype=dtype)
            columns.append(empty.new_from_index(0, len(rows)))
        elif dtype == pl.Datetime:
            micros = [
                None if (at := row[name]) is None else (at - _EPOCH) // _MICRO for row in rows
            ]
            columns.append(pl.Series(name, micros, dtype=pl.Int64).cast(dtype))
        else:
            columns.append(pl.Series(name, [row[name] for row in rows], dtype=dtype))
    return pl.DataFrame(columns)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICRO = timedelta(microseconds=1)


def _reddit(raw: Raw, uri: str, kind: str, text: str, at: datetime, collected_at: datetime) -> Row:
    return {
        "uri": uri,
        "source": "reddit",
        "kind": kind,
        "author": _name(raw.get("author")),
        "community": words(raw.get("subreddit")) or None,
        "text": text,
        "langs": [],
        "at": at,
        "created_at": at,
        "collected_at": collected_at,
        "parent": None,
        "root": None,
        "quoted": None,
        "likes": count(raw.get("score")),
        "reposts": None,
        "replies": None,
    }


def _removed(raw: Raw, *texts: str | None) -> bool:
    meta = raw.get("_meta")
    meta = meta if isinstance(meta, Mapping) else {}
    for text in texts:
        if text is not None and is_marker(text):
            return True
    if flag(meta.get("was_deleted_later")) or is_marker(words(meta.get("edited_title")) or ""):
        return True
    category = raw.get("removed_by_category")
    if not isinstance(category, str) or category.lower() in NOTHING:
        return False
    # Gone at the first look and back 36 hours later: the dump restores the text but leaves the
    # category of the first look standing.
    return not flag(meta.get("was_initially_deleted"))


def _nobodys(raw: Raw) -> bool:
    """Whether the account of the author is gone: Reddit shows "[deleted]" in its place, also where
    the text still stands. What an account leaves behind goes with it here, whichever way it came
    in, since the author can no longer take it back."""
    author = raw.get("author")
    return isinstance(author, str) and is_marker(author)


def _retrieved(raw: Raw, asked: datetime, now: datetime) -> datetime:
    """When the record was read at the source, by its own account (the later of two readings)."""
    meta = raw.get("_meta")
    second = meta.get("retrieved_2nd_on") if isinstance(meta, Mapping) else None
    latest = None
    for value in (raw.get("retrieved_on"), raw.get("retrieved_utc"), second):
        time = None if value is None else moment(value)
        if time is not None and time <= now + DAY and (latest is None or time > latest):
            latest = time
    return asked if latest is None else min(latest, now)


def _crossposted(raw: Raw) -> Any:
    """The body of the post that this one crossposts, which some records repeat."""
    parents = raw.get("crosspost_parent_list")
    first = parents[0] if isinstance(parents, Sequence) and parents else None
    return first.get("selftext") if isinstance(first, Mapping) else None


def _joined(title: str | None, body: str | None) -> str:
    if not title and not body:
        raise BadRecord("no title and no text")
    if not title or not body or not body.strip():
        return title or body or ""
    return f"{title}\n\n{body}"


def _thread(raw: Raw) -> tuple[str | None, str | None]:
    """Uris of the parent and of the submission that a comment stands under."""
    parent = reference(raw.get("parent_id"))
    root = reference(raw.get("link_id"), "t3")
    if root is None and parent is not None and parent.startswith("reddit:t3_"):
        root = parent
    return parent, root


def _name(value: Any) -> str | None:
    name = words(value)
    return None if not name or is_marker(name) else name


def _at_uri(value: Any) -> tuple[str, str]:
    found = BLUESKY_URI.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        if isinstance(value, str) and HANDLE_URI.match(value):
            raise BadRecord(f"a uri with a handle in the place of the did (expected {POST_URI})")
        raise BadRecord(
            f"the uri of a Bluesky post expected ({POST_URI}), found {described(value)}"
        )
    return found[1], found[2]


def _post_uri(value: Any) -> str | None:
    return value if isinstance(value, str) and BLUESKY_URI.fullmatch(value) else None


def _strong(holder: Any, name: str) -> str | None:
    """The uri in a strongRef, if it is that of a post: lists and feeds can be quoted as well."""
    ref = holder.get(name) if isinstance(holder, Mapping) else None
    return _post_uri(ref.get("uri")) if isinstance(ref, Mapping) else None


def _quoted(embed: Any) -> str | None:
    if not isinstance(embed, Mapping):
        return None
    if embed.get("$type") == "app.bsky.embed.recordWithMedia":
        embed = embed.get("record")  # an app.bsky.embed.record beside the media
    return _strong(embed, "record")


def _flat(raw: Raw, asked: Any, now: datetime, *, entities: bool) -> Row | Gone:
    collected_at = moment(asked)
    if collected_at is None:
        raise BadRecord(f"collected_at: a time expected, found {described(asked)}")
    source = _source(raw)
    build = _flat_reddit if source == "reddit" else _flat_bluesky
    row = build(raw, min(collected_at, now), now)
    # A title that is only a marker says the same as a body that is one.
    entities = entities and source == "reddit"
    title = words(raw.get("title"), entities=entities)
    body = words(raw.get("text"), entities=entities)
    marked = any(text is not None and is_marker(text) for text in (title, body))
    if marked or (source == "reddit" and _nobodys(raw)):
        return Gone(row["uri"], source, row["kind"], row["at"])
    if body is None and not title:
        raise BadRecord("no text")
    row["text"] = _joined(title, body) if title else body
    row["langs"] = languages(raw.get("langs"))
    for name in ("likes", "reposts", "replies"):
        row[name] = count(raw.get(name))
    return row


def _source(raw: Raw) -> str:
    source = raw.get("source")
    if isinstance(source, str) and source.strip().lower() in SOURCES:
        return source.strip().lower()
    if source is not None:
        raise BadRecord(f"the source is neither bluesky nor reddit, but {described(source)}")
    name = raw.get("uri") or raw.get("id")
    name = name if isinstance(name, str) else ""
    if name.startswith("at://"):
        return "bluesky"
    if name.startswith(("reddit:", "t1_", "t3_")):
        return "reddit"
    raise BadRecord("no source: neither a source (bluesky, reddit) nor an id that tells it")


def _kind(raw: Raw, fallback: str) -> str:
    kind = raw.get("kind")
    if kind is None:
        return fallback
    known = KINDS.get(kind.strip().lower()) if isinstance(kind, str) else None
    if known is None:
        raise BadRecord(f"the kind is neither post nor comment, but {described(kind)}")
    return known


def _flat_reddit(raw: Raw, collected_at: datetime, now: datetime) -> Row:
    name = raw.get("uri") or raw.get("id")
    name = name.removeprefix("reddit:") if isinstance(name, str) else name
    under = raw.get("parent") is not None or raw.get("root") is not None
    prefix = name[:3] if isinstance(name, str) else ""
    fallback = {"t1_": "comment", "t3_": "post"}.get(prefix, "comment" if under else "post")
    kind = _kind(raw, fallback)
    uri = f"reddit:{fullname(name, 't1' if kind == 'comment' else 't3')}"
    row = _reddit(raw, uri, kind, "", posted(raw.get("at"), now), collected_at)
    community = words(raw.get("community"))
    row["community"] = community.removeprefix("/").removeprefix("r/") or None if community else None
    row["root"] = _reddit_reference(raw.get("root"), "t3")
    # A bare id tells a comment from a post only by being that of the thread or not.
    parent = _reddit_reference(raw.get("parent"), "t3")
    if parent and parent != row["root"] and "t3_" not in str(raw.get("parent")):
        parent = _reddit_reference(raw.get("parent"), "t1" if row["root"] else None)
    row["parent"] = parent
    if row["root"] is None and parent and REDDIT_URI.fullmatch(parent)[1] == "t3":  # type: ignore[index]
        row["root"] = parent
    row["quoted"] = _reddit_reference(raw.get("quoted"), "t3")
    return row


def _reddit_reference(value: Any, kind: str | None) -> str | None:
    return reference(value.removeprefix("reddit:") if isinstance(value, str) else value, kind)


def _flat_bluesky(raw: Raw, collected_at: datetime, now: datetime) -> Row:
    uri = raw.get("uri") or raw.get("id")
    if isinstance(uri, str) and not uri.startswith("at://"):
        author = raw.get("author")
        if not isinstance(author, str):
            raise BadRecord("a record key without the did of its author")
        uri = f"at://{author}/app.bsky.feed.post/{uri}"
    if uri is None:
        raise BadRecord("no uri, and no did and record key to make it of")
    did, rkey = _at_uri(uri)
    declared = raw.get("at")
    reply = raw.get("parent") is not None or raw.get("root") is not None
    return {
        **dict.fromkeys(RAW_POST),
        "uri": uri,
        "source": "bluesky",
        "kind": _kind(raw, "comment" if reply else "post"),
        "author": did,  # never the column: it may be a handle
        "at": tid_moment(rkey, min(collected_at, now)),
        "created_at": moment(declared),
        "collected_at": collected_at,
        "parent": _post_uri(raw.get("parent")),
        "root": _post_uri(raw.get("root")),
        "quoted": _post_uri(raw.get("quoted")),
    }
