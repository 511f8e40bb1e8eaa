"""Writes what leaves the store: CSV and Parquet, with a manifest beside each file.

Shared by the command line and the dashboard. It measures nothing; frames come in finished, except
for `posts_frame`, which reads the posts of a case.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from store.tables import Store, StoreError

DEMO_NOTE = "Demo: invented posts"
DUTY = (
    "These are other people's posts. When one is deleted at its source, it has to be deleted from "
    "this file too, and whoever receives the file takes on the same duty."
)
SHARE_NOTE = "For passing on: no text, link or author; row numbers and hours in their place."
# A spreadsheet runs a cell that begins with one of these (OWASP, "CSV Injection"), full-width
# forms included.
FORMULA = r"^[=+\-@\t\r\n＝＋－＠]"

POST_COLUMNS = (
    "at",
    "source",
    "kind",
    "community",
    "via",
    "text",
    "permalink",
    "author",
    "lang",
    "status",
    "tone",
    "compound",
    "neg",
    "neu",
    "pos",
    "likes",
    "reposts",
    "replies",
    "post",
)
SHARE_COLUMNS = ("row", "hour", "source", "kind", "via", "lang", "status", "tone", "compound")


@dataclass(frozen=True)
class Written:
    """A file that was written, with its manifest beside it."""

    path: Path
    manifest: Path
    rows: int
    sha256: str


def permalink(uri: str = "uri", root_uri: str = "root_uri") -> pl.Expr:
    """Web address of a post from its uri; null where none can be made.

    A Reddit comment's address needs the id of its submission, so it is null where the submission is
    not kept (reddit.com/comments/<submission>/_/<comment>/). Only addresses on bsky.app and
    www.reddit.com can come out, whatever the uri holds.
    """
    at = pl.col(uri).str.extract_groups(
        r"^at://(?<did>did:[a-z]+:[A-Za-z0-9._:%-]+)/app\.bsky\.feed\.post/(?<rkey>[A-Za-z0-9._~:-]+)$"
    )
    submission = pl.col(uri).str.extract(r"^reddit:t3_([a-z0-9]+)$")
    comment = pl.col(uri).str.extract(r"^reddit:t1_([a-z0-9]+)$")
    root = pl.col(root_uri).str.extract(r"^reddit:t3_([a-z0-9]+)$")
    return pl.coalesce(
        pl.format(
            "https://bsky.app/profile/{}/post/{}", at.struct.field("did"), at.struct.field("rkey")
        ),
        pl.format("https://www.reddit.com/comments/{}/", submission),
        pl.format("https://www.reddit.com/comments/{}/_/{}/", root, comment),
    )


def tone(compound: str = "compound") -> pl.Expr:
    """negative (<= -0.05), positive (>= 0.05) or neutral; null without a score."""
    value = pl.col(compound)
    return (
        pl.when(value <= -0.05)
        .then(pl.lit("negative"))
        .when(value >= 0.05)
        .then(pl.lit("positive"))
        .when(value.is_not_null())
        .then(pl.lit("neutral"))
    )


def posts_frame(
    store: Store,
    *,
    case: str,
    query_hash: str,
    scorer: str,
    since: datetime | None = None,
    until: datetime | None = None,
    sources: Sequence[str] | None = None,
    langs: Sequence[str] | None = None,
    share: bool = False,
) -> pl.DataFrame:
    """The live posts of a case, oldest first: POST_COLUMNS, or SHARE_COLUMNS with `share`.

    `since` is inclusive, `until` exclusive, both UTC. A post that has no score for its present
    text (new, or edited since) has the status `waiting` and no numbers. Hidden and
    deleted posts are never in it.
    """
    matches = (
        store.scan("matches")
        .filter(pl.col("case") == case, pl.col("query_hash") == query_hash)
        .select("post", "day", "via")
    )
    posts = store.visible()
    if since is not None:
        matches = matches.filter(pl.col("day") >= since.date())
        posts = posts.filter(pl.col("day") >= since.date(), pl.col("at") >= since)
    if until is not None:
        matches = matches.filter(pl.col("day") <= until.date())
        posts = posts.filter(pl.col("day") <= until.date(), pl.col("at") < until)
    if sources is not None:
        posts = posts.filter(pl.col("source").is_in(list(sources)))
    scores = (
        store.scan("scores")
        .filter(pl.col("scorer") == scorer, pl.col("case").is_in(["", case]))
        .select(
            "post",
            "day",
            "lang",
            "status",
            "compound",
            "neg",
            "neu",
            "pos",
            text_hash="input_hash",
        )
    )
    roots = store.visible().select(root=pl.col("post"), root_uri=pl.col("uri"))
    frame = (
        posts.join(matches, on=["post", "day"])
        .join(scores, on=["post", "day", "text_hash"], how="left")
        .join(roots, on="root", how="left")
        .with_columns(
            pl.col("status").fill_null("waiting"),
            permalink=pl.lit(None, pl.String) if store.demo else permalink(),
            tone=tone(),
        )
    )
    if langs is not None:
        frame = frame.filter(pl.col("lang").is_in(list(langs)))
    result = frame.sort("at", "post").select(POST_COLUMNS).collect()
    if share:
        result = (
            result.with_columns(hour=pl.col("at").dt.truncate("1h"))
            # Within an hour the order must not tell which post was which.
            .sort("hour", "source", "kind", "via", "lang", "status", "compound")
            .with_row_index("row", offset=1)
            .select(SHARE_COLUMNS)
        )
    if store.demo:
        result = result.with_columns(note=pl.lit(DEMO_NOTE))
    return result


def escape_formulas(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with an apostrophe before every text cell that a spreadsheet would run."""
    return frame.with_columns(
        pl.when(pl.col(name).str.contains(FORMULA))
        .then(pl.lit("'") + pl.col(name))
        .otherwise(pl.col(name))
        .alias(name)
        for name, dtype in frame.schema.items()
        if dtype == pl.String
    )


def csv_bytes(frame: pl.DataFrame) -> bytes:
    """The frame as CSV: UTF-8 with BOM, ISO times with Z, text quoted, formulas escaped.

    Lists are joined by blanks. Null is an empty field without quotes.
    """
    flat = frame.with_columns(
        pl.col(name).list.join(" ").alias(name)
        for name, dtype in frame.schema.items()
        if dtype == pl.List(pl.String)
    )
    buffer = io.BytesIO()
    escape_formulas(flat).write_csv(
        buffer,
        include_bom=True,
        quote_style="non_numeric",
        datetime_format="%Y-%m-%dT%H:%M:%SZ",
    )
    return buffer.getvalue()


def content(frame: pl.DataFrame, suffix: str) -> bytes:
    """The frame as the bytes of a .csv or .parquet file. ValueError for another suffix."""
    if suffix == ".csv":
        return csv_bytes(frame)
    if suffix == ".parquet":
        buffer = io.BytesIO()
        frame.write_parquet(buffer)
        return buffer.getvalue()
    raise ValueError(
        f"{suffix or 'a name without an ending'} is no format for an export: "
        "end the file's name in .csv or .parquet."
    )


def write(
    store: Store,
    frame: pl.DataFrame,
    path: Path,
    manifest: dict[str, Any],
    *,
    posts: Sequence[str] = (),
) -> Written:
    """Write the frame to `path` and its manifest to `path`.json, and record it in `exports`.

    `manifest` holds at least case, kind, share and filters; row count, SHA-256, time, the demo mark
    and, for posts with text, the duty that binds the recipient are added. Both files appear whole
    or not at all. Raises StoreError when the folder cannot be written to.
    """
    data = content(frame, path.suffix.lower())
    digest = hashlib.sha256(data).hexdigest()
    full = manifest | {"rows": frame.height, "sha256": digest, "written_at": _now().isoformat()}
    if manifest["kind"] == "posts":
        full["note"] = SHARE_NOTE if manifest["share"] else DUTY
    if store.demo:
        full["demo"] = DEMO_NOTE
    beside = path.with_name(path.name + ".json")
    store.writable()  # before anything is written: what is not recorded, forget could not find
    try:
        _replace(path, data)
        _replace(beside, json.dumps(full, indent=2, ensure_ascii=False, default=str).encode())
    except FileNotFoundError as error:
        raise StoreError(
            f"Cannot write {path}: there is no folder {path.parent}. Nothing was exported; make "
            "the folder, or choose another with -o."
        ) from error
    except OSError as error:
        raise StoreError(
            f"Cannot write {path}: {error.strerror or error}. Nothing was exported; free some "
            "space or choose another folder with -o and run the same command again."
        ) from error
    try:
        store.record_export(
            {
                "path": str(path.resolve()),
                "written_at": _now(),
                "case": manifest["case"],
                "kind": manifest["kind"],
                "share": bool(manifest["share"]),
                "filters": json.dumps(manifest["filters"], default=str),
                "rows": frame.height,
                "sha256": digest,
                "posts": list(posts),
            }
        )
    except StoreError as error:
        for written in (path, beside):
            written.unlink(missing_ok=True)
        raise type(error)(
            f"{error} The export could not be recorded, so it was not kept: nobody would find it"
            " when one of its posts has to be deleted."
        ) from error
    return Written(path, beside, frame.height, digest)


def _now() -> datetime:
    return datetime.now(UTC)


def _replace(path: Path, data: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
