"""Takes people's words back out of the files that were handed out and are still where they were.

A forgotten post's row goes from every recorded export; of a post deleted at its source the words go
and the numbers stay, as in the store. Only a file that is exactly what was written (by its SHA-256)
is touched; others are named, for whoever has to see to them. Share exports and series hold nobody's
words. Why a post goes is not decided here: who blocks or wipes it does that first.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from store import recording
from store.handed import Damaged, digest, rewrite
from store.merge import Tables

NOTE = "Posts were taken out of this file after it was written: they were deleted since."
WRITING = timedelta(days=1)  # longer than it takes
DRAFT_LIFE = timedelta(hours=1)  # no export leaves its draft untouched for longer
CHANGED = "it was changed since it was written"
MISSING = "it is not there any more, on this machine at least"


@dataclass(frozen=True)
class Left:
    """A file that had to be left as it is: how many posts in it should not be, and why."""

    path: str
    posts: int
    why: str

    @property
    def there(self) -> bool:
        """Whether the file is known to be there, with the words in it."""
        return self.why != MISSING


@dataclass(frozen=True)
class Scrubbed:
    """What became of the recorded exports that held posts which should not be in them."""

    rewritten: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()  # whole files
    rows_removed: int = 0
    rows_emptied: int = 0
    left: tuple[Left, ...] = ()


def affected(tables: Tables, keys: pl.Series) -> pl.DataFrame:
    """Recorded exports that hold the words of any of these posts: columns of EXPORTS and `posts`,
    how many of them."""
    held = tables.read(
        lambda: (
            tables.scan("exported")
            .filter(pl.col("post").is_in(keys.implode()))
            .group_by("export")
            .agg(posts=pl.col("post").n_unique())
        )
    )
    exports = tables.read(lambda: tables.scan("exports"))
    return exports.join(held, on="export").sort("path")


def scrub_exports(tables: Tables, key: Callable[[str], str], now: datetime) -> Scrubbed:
    """Rewrite the recorded exports that still hold posts which are blocked or gone, or links that
    lead through one: a Reddit comment's address names the submission. `key` gives a uri's key.

    Goes by what the tables say and not by what was just deleted, so a call that was killed is
    simply made again. A post stays on the list of an export until the file is rewritten: one that
    could not be is named again each time, and rewritten should it come back.
    """
    if not tables.snapshot("exported").file_uris():
        return Scrubbed()
    rewritten: list[str] = []
    left: list[Left] = []
    removed = emptied = 0
    with tables.lock():
        blocked = tables.read(lambda: tables.scan("blocked").select("key", at="blocked_at"))
        gone = tables.read(
            lambda: (
                tables.scan("posts")
                .filter(pl.col("state") == "gone")
                .select(key="post", at="state_at")
            )
        )
        out = pl.concat([blocked, gone])
        keys = frozenset(out["key"])

        def leads_through(submission: str) -> bool:
            return key(f"reddit:t3_{submission}") in keys

        _clear_drafts(tables, now)
        concerned = pl.concat([affected(tables, out["key"]), _leading_through(tables, out)])
        concerned = concerned.sort("posts").unique("export", keep="last").sort("path")
        for row in concerned.iter_rows(named=True):
            remove, empty = (
                _held(tables, row["export"], those["key"]) for those in (blocked, gone)
            )
            try:
                counts = _rewrite(tables, row, remove, empty, leads_through, now)
            except (Damaged, OSError) as error:
                left.append(Left(row["path"], row["posts"], _why(error)))
                continue
            done = pl.DataFrame({"post": pl.concat([remove, empty]).unique()})
            tables.delete("exported", done.with_columns(export=pl.lit(row["export"])))
            if counts is not None:
                rewritten.append(row["path"])
                removed += counts[0]
                emptied += counts[1]
        recording.drop(tables, recording.abandoned(tables, now))
    return Scrubbed(tuple(rewritten), (), removed, emptied, tuple(left))


def remove_exports(tables: Tables, case: str) -> Scrubbed:
    """Delete the recorded exports of a case, manifests and all, of whatever kind."""
    removed: list[str] = []
    left: list[Left] = []
    with tables.lock():
        for row in exports_of(tables, case).iter_rows(named=True):
            path = Path(row["path"])
            try:
                _settled(tables, row)
                path.unlink()
                _beside(path).unlink(missing_ok=True)
                removed.append(row["path"])
            except (Damaged, OSError) as error:
                left.append(Left(row["path"], row["posts"], _why(error)))
                if row["posts"] or left[-1].there:
                    continue  # stays on record, to be named again: it may come back
            recording.remove(tables, row["export"])
    return Scrubbed(removed=tuple(removed), left=tuple(left))


def exports_of(tables: Tables, case: str) -> pl.DataFrame:
    """The recorded exports of a case: columns of EXPORTS and `posts`, those with words in it."""
    held = tables.read(
        lambda: tables.scan("exported").group_by("export").agg(posts=pl.len().cast(pl.Int64))
    )
    exports = tables.read(
        lambda: tables.scan("exports").filter(pl.col("case") == case, pl.col("kind") != "backup")
    )
    return exports.join(held, on="export", how="left").with_columns(pl.col("posts").fill_null(0))


def _held(tables: Tables, export: str, keys: pl.Series) -> pl.Series:
    """Which of these posts the export holds."""
    return tables.read(
        lambda: (
            tables.scan("exported")
            .filter(pl.col("export") == export, pl.col("post").is_in(keys.implode()))
            .select(pl.col("post").unique())
        )
    )["post"]


def _leading_through(tables: Tables, out: pl.DataFrame) -> pl.DataFrame:
    """Recorded exports that were written before a post went and hold replies in its thread, in the
    columns of `affected`. Once rewritten, or looked through in vain, they count as written anew."""
    replies = tables.read(
        lambda: (
            tables.scan("posts")
            .filter(pl.col("root").is_in(out["key"].implode()), pl.col("root") != pl.col("post"))
            .select("post", key="root")
            .join(out.lazy(), on="key")
            .select("post", "at")
        )
    )
    held = tables.read(
        lambda: (
            tables.scan("exported")
            .filter(pl.col("post").is_in(replies["post"].implode()))
            .join(replies.lazy(), on="post")
            .group_by("export")
            .agg(pl.col("at").max(), posts=pl.col("post").n_unique())
        )
    )
    exports = tables.read(lambda: tables.scan("exports"))
    # The moment of writing is that of the file's last row; its first may be much older.
    late = pl.col("written_at").is_null() | (pl.col("at") > pl.col("written_at") - WRITING)
    return exports.join(held, on="export").filter(late).drop("at")


def _rewrite(
    tables: Tables,
    row: Mapping[str, Any],
    remove: pl.Series,
    empty: pl.Series,
    leads_through: Callable[[str], bool],
    now: datetime,
) -> tuple[int, int] | None:
    """Take posts out of one file; returns how many rows were removed and how many emptied, None
    when there was nothing to do.

    The manifest goes first and says which file it comes from: when a kill leaves the new file
    without its record, that tells the new file from one that somebody changed.
    """
    path = Path(row["path"])
    draft, beside = _draft(path), _beside(path)
    sha256 = _settled(tables, row)
    try:
        rows, removed, emptied, links = rewrite(path, draft, remove, empty, leads_through)
        if not (removed or emptied or links):
            recording.upsert(tables, {"path": row["path"], "written_at": now})
            return None
        new = digest(draft)
        manifest = _manifest(path)
        manifest |= {
            "rows": rows,
            "sha256": new,
            "rewritten": {"from": sha256, "at": now.isoformat(), "note": NOTE},
        }
        draft_beside = _draft(beside)
        text = json.dumps(manifest, indent=2, ensure_ascii=False, default=str)
        draft_beside.write_text(text, encoding="utf-8")
        draft_beside.replace(beside)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
        _draft(beside).unlink(missing_ok=True)
    recording.upsert(tables, {"path": row["path"], "rows": rows, "sha256": new, "written_at": now})
    return removed, emptied


def _settled(tables: Tables, row: Mapping[str, Any]) -> str:
    """The SHA-256 of a file that is as it was written, by the export or by a rewriting since."""
    path = Path(row["path"])
    if not path.is_file():
        raise Damaged(MISSING)
    found = digest(path)
    if found != row["sha256"]:
        manifest = _manifest(path)
        rewritten = manifest.get("rewritten")
        origin = rewritten.get("from") if isinstance(rewritten, dict) else None
        if origin != row["sha256"] or manifest.get("sha256") != found:
            raise Damaged(CHANGED)
        recording.upsert(
            tables, {"path": row["path"], "rows": manifest.get("rows"), "sha256": found}
        )
    return found


def _manifest(path: Path) -> dict[str, Any]:
    """The manifest beside a file; empty when there is none that can be read."""
    with suppress(OSError, ValueError):
        found = json.loads(_beside(path).read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return found
    return {}


def _beside(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _draft(path: Path) -> Path:
    # One name, so that what a kill leaves is found by the next call; the lock keeps others off.
    return path.with_name(f".{path.name}.scrub")


def _clear_drafts(tables: Tables, now: datetime) -> None:
    """Delete what a killed export or rewriting left beside the files on record."""
    before = now.timestamp() - DRAFT_LIFE.total_seconds()
    for name in tables.read(lambda: tables.scan("exports").select("path"))["path"]:
        path = Path(name)
        with suppress(OSError):
            for found in (_draft(path), _draft(_beside(path))):
                found.unlink(missing_ok=True)
            for found in path.parent.iterdir():
                # As `tempfile.mkstemp` names them.
                ours = found.name.startswith(f".{path.name}.") and len(found.suffix) == 9
                if ours and found.stat().st_mtime < before:
                    found.unlink()


def _why(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"it cannot be rewritten ({error.strerror or error})"
    return str(error)
