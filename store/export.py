"""Writes what leaves the store: CSV and Parquet, with a manifest beside each file.

Shared by the command line and the dashboard. It measures nothing; frames come in finished, except
for the posts of a case, which are read and written a stretch of time after the other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from store.formats import Draft, content, csv_bytes, escape_formulas, sheet
from store.portions import Stretch
from store.recording import Recording
from store.schema import TEXT_OF_INPUT
from store.tables import Store, StoreBusy, StoreError

__all__ = ["DEMO_NOTE", "DUTY", "Written", "content", "csv_bytes", "escape_formulas"]
__all__ += ["permalink", "posts_frame", "posts_portions", "tone", "write", "write_posts"]

DEMO_NOTE = "Demo: invented posts"
DUTY = (
    "These are other people's posts. When one is deleted at its source, it has to be deleted from "
    "this file too, and whoever receives the file takes on the same duty."
)
SHARE_NOTE = "For passing on: no text, link or author; row numbers and hours in their place."
POSTS_AT_ONCE = 50_000  # of posts with their texts
ROOTS_AT_ONCE = 400_000  # of posts of which only keys and addresses are read

STANCE_COLUMNS = ("stance", "p_against", "p_on_topic", "reasons", "exit")
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
    "compound_raw",
    *STANCE_COLUMNS,
    "likes",
    "reposts",
    "replies",
    "post",
)
SHARE_COLUMNS = (
    *("row", "hour", "source", "kind", "via", "lang", "status"),
    *("tone", "compound", "compound_raw"),
    *STANCE_COLUMNS,
)


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


def posts_frame(store: Store, **chosen: Any) -> pl.DataFrame:
    """All of `posts_portions` in one frame: for few posts, or a store that is known to be small."""
    parts = list(posts_portions(store, **chosen))
    return pl.concat([part for part in parts if part.height] or parts[:1])


def posts_portions(
    store: Store,
    *,
    case: str,
    query_hash: str,
    scorer: str,
    raw: str | None = None,
    stance: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    sources: Sequence[str] | None = None,
    langs: Sequence[str] | None = None,
    share: bool = False,
    keep: Callable[[pl.Series], object] | None = None,
) -> Iterator[pl.DataFrame]:
    """The live posts of a case, oldest first: frames of POST_COLUMNS, or SHARE_COLUMNS with
    `share`; at least one, which may be empty.

    `since` is inclusive, `until` exclusive, both UTC. `raw` is the scorer of compound_raw and
    `stance` that of STANCE_COLUMNS (null without one), `scorer` that of all other numbers. A post
    that has no score for its present text (new, or edited since) has the status `waiting` and no
    numbers. Hidden and deleted posts are never in it. `keep` is given the keys of the posts of each
    frame before it.

    A Reddit comment's link needs the address of its submission, at whatever distance in time: the
    submissions that the comments hang on are looked up once, before the first frame, and held
    (about 130 bytes each). Rows of `share` are numbered through; an hour lies in one frame.
    """
    parts = store.stretches(POSTS_AT_ONCE, since, until)
    bare = share or store.demo or (sources is not None and "reddit" not in sources)
    roots = _no_roots() if bare else _roots(store, since, until)
    written = 0
    for part in parts or [Stretch(_now(), _now())]:
        read = partial(_posts, store, part, case, query_hash, scorer, raw, stance, sources, langs)
        rows = store.read(read)
        if keep is not None and rows.height:
            keep(rows["post"])
        if share:
            rows = _shared(rows, written)
        else:
            links = roots.join(rows.select("root").unique(), on="root", how="semi")
            rows = (
                rows.join(links, on="root", how="left", maintain_order="left")
                .with_columns(permalink=pl.lit(None, pl.String) if store.demo else permalink())
                .select(POST_COLUMNS)
            )
        written += rows.height
        yield rows.with_columns(note=pl.lit(DEMO_NOTE)) if store.demo else rows


def _posts(
    store: Store,
    part: Stretch,
    case: str,
    query_hash: str,
    scorer: str,
    raw: str | None,
    stance: str | None,
    sources: Sequence[str] | None,
    langs: Sequence[str] | None,
) -> pl.LazyFrame:
    """POST_COLUMNS but the link, with uri and root, sorted by time."""
    matches = (
        store.scan("matches")
        .filter(part.days(), pl.col("case") == case, pl.col("query_hash") == query_hash)
        .select("post", "day", "via")
    )
    posts = store.visible().filter(*part.holds())
    if sources is not None:
        posts = posts.filter(pl.col("source").is_in(list(sources)))
    every = store.scan("scores").filter(part.days(), pl.col("case").is_in(["", case]))
    scores = every.filter(pl.col("scorer") == scorer).select(
        *("post", "day", "lang", "status", "compound", "neg", "neu", "pos"), text_hash=TEXT_OF_INPUT
    )
    raws = every.filter(pl.col("scorer") == (raw or "")).select(
        "post", "day", compound_raw="compound", text_hash=TEXT_OF_INPUT
    )
    stances = every.filter(pl.col("scorer") == (stance or "")).select(
        "post", "day", *STANCE_COLUMNS, text_hash=TEXT_OF_INPUT
    )
    frame = (
        posts.join(matches, on=["post", "day"])
        .join(scores, on=["post", "day", "text_hash"], how="left")
        .join(raws, on=["post", "day", "text_hash"], how="left")
        .join(stances, on=["post", "day", "text_hash"], how="left")
        .with_columns(pl.col("status").fill_null("waiting"), tone=tone())
    )
    if langs is not None:
        frame = frame.filter(pl.col("lang").is_in(list(langs)))
    columns = [name for name in POST_COLUMNS if name != "permalink"]
    return frame.sort("at", "post").select(*columns, "uri", "root")


def _no_roots() -> pl.DataFrame:
    return pl.DataFrame(schema={"root": pl.String, "root_uri": pl.String})


def _roots(store: Store, since: datetime | None, until: datetime | None) -> pl.DataFrame:
    """The kept submissions that Reddit comments of the window hang on: root, root_uri."""

    def hanging(part: Stretch) -> pl.LazyFrame:
        comments = store.visible().filter(*part.holds(), pl.col("source") == "reddit")
        return comments.select(pl.col("root").unique()).drop_nulls()

    def named(part: Stretch) -> pl.LazyFrame:
        return (
            store.visible()
            .filter(*part.holds(), pl.col("source") == "reddit")
            .filter(pl.col("uri").str.starts_with("reddit:t3_"))
            .select(root="post", root_uri="uri")
            .join(wanted.lazy(), on="root", how="semi")
        )

    wanted = _no_roots().select("root")
    for part in store.stretches(ROOTS_AT_ONCE, since, until):
        wanted = pl.concat([wanted, store.read(partial(hanging, part))]).unique()
    if wanted.is_empty():
        return _no_roots()
    everywhere = store.stretches(ROOTS_AT_ONCE)
    return pl.concat([_no_roots(), *(store.read(partial(named, part)) for part in everywhere)])


def _shared(rows: pl.DataFrame, before: int) -> pl.DataFrame:
    """SHARE_COLUMNS of whole hours, numbered on from `before`."""
    return (
        rows.with_columns(hour=pl.col("at").dt.truncate("1h"))
        # Within an hour the order must not tell which post was which.
        .sort("hour", "source", "kind", "via", "lang", "status", "compound", "p_against")
        .with_row_index("row", offset=before + 1)
        .select(SHARE_COLUMNS)
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
    store.writable()  # before anything is written: what is not recorded, forget could not find
    with _refusals(path), Draft(path) as draft:
        draft.write(data)
        recording = store.begin_export(path)
        recording.keep(pl.Series(posts, dtype=pl.String))
        return _placed(store, draft, manifest, frame.height, recording)


def write_posts(
    store: Store, path: Path, manifest: dict[str, Any], **chosen: Any
) -> Written | None:
    """Write the posts that `posts_portions` gives for `chosen`, as `write` does, in bounded memory.

    None, and no file, when there are none. Which posts are in a file with texts is recorded with
    it, so that what is forgotten later can be found there.
    """
    store.writable()
    recording = store.begin_export(path)
    rows = 0
    keep = None if chosen.get("share") else recording.keep
    with _refusals(path), Draft(path) as draft:
        with sheet(draft, path.suffix.lower()) as file:
            for frame in posts_portions(store, **chosen, keep=keep):
                if frame.height:
                    file.add(frame)
                    rows += frame.height
        if not rows:
            return None
        return _placed(store, draft, manifest, rows, recording)


def _placed(
    store: Store, draft: Draft, manifest: dict[str, Any], rows: int, recording: Recording
) -> Written:
    """Write the manifest, record the export, then put both files in their places.

    Recorded first: a file that the store does not know of could never be cleaned.
    """
    path = draft.path
    beside = path.with_name(path.name + ".json")
    draft.done()
    full = manifest | {"rows": rows, "sha256": draft.sha256, "written_at": _now().isoformat()}
    if manifest["kind"] == "posts":
        full["note"] = SHARE_NOTE if manifest["share"] else DUTY
    if store.demo:
        full["demo"] = DEMO_NOTE
    row = {
        "written_at": _now(),
        "case": manifest["case"],
        "kind": manifest["kind"],
        "share": bool(manifest["share"]),
        "filters": json.dumps(manifest["filters"], default=str),
        "rows": rows,
        "sha256": draft.sha256,
    }
    with Draft(beside) as note:
        note.write(json.dumps(full, indent=2, ensure_ascii=False, default=str).encode())
        note.done()
        with _recorded(recording, row):
            draft.place()
            note.place()
    return Written(path, beside, rows, draft.sha256)


@contextmanager
def _recorded(recording: Recording, row: dict[str, Any]) -> Iterator[None]:
    """Put the file in its place only once it is on record."""
    try:
        with recording.placing(row):
            yield
    except StoreBusy:
        raise
    except StoreError as error:
        raise type(error)(
            f"{error} The export could not be recorded, so it was not written: nobody would find it"
            " when one of its posts has to be deleted."
        ) from error


@contextmanager
def _refusals(path: Path) -> Iterator[None]:
    """Turn what the disk says to a new file into a sentence."""
    try:
        yield
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


def _now() -> datetime:
    return datetime.now(UTC)
