"""The store as the rest of the program sees it: `Store.open`, then reading and writing posts.

What the tables look like is in `schema.py`; how rows get into them in `posts.py` and `cells.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from store import backup as backups
from store import cells, context, labels, lookup, maintain, posts, wordless
from store import forget as forgetting
from store import sightings as noted
from store import standing as standings
from store.backup import Backup, Expired
from store.cells import CellsMoved, Stale
from store.erasures import journal_of
from store.faults import StoreBusy, StoreMissing, StoreUnfit
from store.forget import Forgotten
from store.index import Index
from store.keys import DEMO_SALT, Keys, StoreError
from store.known import Known
from store.location import index_path, resolved, spool_path, store_location
from store.merge import Tables, holds
from store.opening import check_place, make_ready, salt_of
from store.portions import Stretch, stretches
from store.prepared import Prepared, Written, apply, log_runs, prepare
from store.recording import Recording
from store.schema import RAW_POST, RUNS, SCORES, TABLES, TONE_INPUT, Batch
from store.spool import Spool
from store.standing import Standing
from store.swap import clear_leftovers
from store.wordless import Voices

__all__ = [
    "CellsMoved",
    "Known",
    "Stale",
    "Store",
    "StoreBusy",
    "StoreError",
    "StoreMissing",
    "StoreUnfit",
    "Voices",
    "Written",
]

ROWS_AT_ONCE = 50_000
_WORK = ("post", "day", "source", "author", "text", "langs", "text_hash")


class Store:
    """One store: its tables, its keys, and the lock that keeps its writers apart.

    Safe to share between threads; every method may raise StoreError, writers also StoreBusy.
    """

    def __init__(self, tables: Tables, keys: Keys, *, demo: bool) -> None:
        self._tables = tables
        self._tables.index = Index(index_path(tables.location, keys.fingerprint))
        self._keys = keys
        self._spool = Spool(spool_path(tables.location, keys.fingerprint))
        self.demo = demo
        self.location = tables.location

    @classmethod
    def open(
        cls,
        location: str | None = None,
        *,
        create: bool = True,
        demo: bool = False,
        salt: bytes | None = None,
    ) -> Store:
        """Open the store at `location` (default: AFTERSHOCK_STORE), making it if it is not there.

        The salt is the file at `salt_path()`, made with the store; the demo has a fixed one.
        Raises StoreError when there is no store and `create` is false, when the salt is missing or
        not this store's, when a newer program made the store, or when demo and real would mix.
        """
        tables = Tables(resolved(location or store_location()))
        check_place(tables)
        existing = tables.existing()
        if not existing and not create:
            raise StoreMissing(
                f"There is no store at {tables.location} yet. Bring posts in with"
                " `aftershock import FILE`, or look around with `aftershock demo`."
            )
        keys = Keys(DEMO_SALT if demo else salt or salt_of(tables, existing))
        make_ready(tables, keys, demo=demo)
        if not demo:
            tables.journal = journal_of(
                tables.location, keys.fingerprint, tables.identity(), beside_store=salt is not None
            )
        return cls(tables, keys, demo=demo)

    # Keys

    def key(self, uri: str) -> str:
        return self._keys.key(uri)

    def author_key(self, source: str, author: str) -> str:
        return self._keys.author_key(source, author)

    def text_hash(self, text: str) -> str:
        return self._keys.text_hash(text)

    # Reading

    def version(self) -> str:
        """Changes whenever any table has changed: what caches of the store go by."""
        return ".".join(str(number) for number in self._tables.versions().values())

    def scan(self, table: str) -> pl.LazyFrame:
        """The rows of a table as it stands now, with the columns of `TABLES[table]`.

        Posts come in every state; what is shown or exported goes through `visible()`.
        """
        return self._tables.scan(table)

    def read(self, query: Callable[[], pl.LazyFrame]) -> pl.DataFrame:
        """Collect what `query` makes of this store's scans; made again when a purge has just
        cleared a file away. Every reader goes through here, so that none sees an error of the
        disk but as a StoreError."""
        return self._tables.read(query)

    def visible(self) -> pl.LazyFrame:
        """The posts that may be shown and exported: neither hidden nor gone."""
        return self.scan("posts").filter(pl.col("state") == "live")

    def writable(self) -> None:
        """Raise StoreUnfit when nothing can be written here: what has to be recorded can then not
        be done at all."""
        with self._tables.lock():
            pass

    def known(self) -> Known:
        return Known(self._tables, self._keys)

    def scored(
        self,
        *,
        case: str | None = None,
        query_hash: str | None = None,
        scorer: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        weeks: Sequence[date] | None = None,
    ) -> pl.LazyFrame:
        """One row for each match and score, columns of SCORED; rows without a score are not in it.

        `since` is inclusive, `until` exclusive (UTC); `weeks` are Mondays. A post that was edited
        after it was scored is not in it until it is scored again. Wiped posts are in it; their
        `author` is a random id (see `wipe`). A null `root` means that the post is its own.
        """
        return cells.scored(
            self._tables,
            case=case,
            query_hash=query_hash,
            scorer=scorer,
            since=since,
            until=until,
            weeks=weeks,
        )

    def scored_portions(
        self,
        *,
        case: str,
        query_hash: str,
        scorer: str,
        since: datetime | None = None,
        until: datetime | None = None,
        via: Sequence[str],
        sources: Sequence[str],
    ) -> Iterator[pl.DataFrame]:
        """`scored` of one case in portions of consecutive time that fit into memory, of these
        `via` and `sources` only. No post is in two of them."""
        return cells.scored_portions(
            self._tables,
            case=case,
            query_hash=query_hash,
            scorer=scorer,
            since=since,
            until=until,
            via=via,
            sources=sources,
        )

    def standing(self, now: datetime) -> Standing:
        """How the store stands, in numbers: posts, cases, last runs, what waits and what is due."""
        return standings.standing(self._tables, len(self._spool.waiting()), now)

    def sighted(
        self,
        *,
        source: str,
        case: str,
        query_hash: str,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> pl.LazyFrame:
        """The posts of a case (own matches) that were brought by collectors that watch one source
        side by side, and by which of them: post, author, at, collectors."""
        return noted.sighted(
            self._tables,
            source=source,
            case=case,
            query_hash=query_hash,
            since=since,
            until=until,
        )

    def stretches(
        self, rows: int, since: datetime | None = None, until: datetime | None = None
    ) -> list[Stretch]:
        """The time of [since, until) that holds posts, cut into stretches of about `rows` posts,
        at hours or days: for whoever has to read all of it in bounded memory."""
        return stretches(self._tables, rows, since, until)

    # Writing

    def write(self, batch: Batch, matches: pl.DataFrame) -> Written:
        """Store what a collector brought: posts that belong to a case, then their matches, then
        what is gone, hidden or back, then checks.

        `matches` are rows case, uri, query_hash, via, root_known. A post without one is not stored,
        unless it is a copy of a stored post: a post that belonged once stays in the case, with its
        newest words and its match as it was, even when those no longer match.
        Every step goes by key, so a batch that was cut off half-way is simply written again.

        What waits in the spool goes first. When other writers are in the way for too long, the
        batch is kept in the spool, for whoever writes next, and StoreBusy says so.
        """
        busy: StoreBusy | None = None
        try:
            self.drain()
        except StoreBusy as error:
            busy = error
        ready = prepare(batch, matches, self._keys, datetime.now(UTC), self._stored)
        if busy is None:
            try:
                return apply(self._tables, ready)
            except StoreBusy as error:
                busy = error
        self._spool.put(ready)
        raise StoreBusy(
            f"Other Aftershock processes kept {self.location} busy for too long. The last"
            f" {ready.posts.height:,} posts are kept in the spool; the next run stores them. Run"
            " the same command again to go on."
        ) from busy

    def write_wordless(
        self,
        batch: Batch,
        matches: pl.DataFrame,
        score: Callable[[pl.DataFrame, pl.DataFrame], pl.DataFrame],
        voices: Voices,
    ) -> Written:
        """Store what a file brought as numbers only: `score` makes rows of SCORES of its posts
        (post, day, source, author, text, langs, text_hash) and of their matches before anything is
        written, and no text, uri, community or author is stored, as if the posts had been deleted
        since (`wordless.py`).

        Posts that are stored already stay as they are; matches as in `write`. `voices` is one for
        the whole import, so that whoever wrote several posts stays one voice.
        """
        self.drain()
        nothing = partial(pl.DataFrame, schema=RAW_POST)
        ready = prepare(batch, matches, self._keys, datetime.now(UTC), lambda _: nothing())
        return wordless.write(self._tables, ready, voices, score, self.add_scores)

    def drain(self) -> int:
        """Store what waits in the spool and return how many batches that were.

        Every writing command begins with it, and every `write`. Two may drain at once, and a kill
        between storing a batch and removing it does no harm: it is then stored a second time.
        Raises StoreBusy when other writers are still in the way: what is left keeps waiting.
        """
        done = 0
        for path in self._spool.waiting():
            waiting = self._spool.read(path)
            if waiting is not None:
                apply(self._tables, waiting)
                self._spool.remove(path)
                done += 1
        return done

    def set_aside(self) -> list[str]:
        """A sentence for each batch of the spool that could not be read."""
        return [
            f"The waiting batch {path} cannot be read and is set aside; the others are stored."
            " What it held is read again from its source, unless that was a file: then import the"
            " file again. Delete it, or leave it: it goes by itself after a week."
            for path in self._spool.set_aside()
        ]

    def _stored(self, raw: pl.DataFrame) -> pl.DataFrame:
        """Those rows of RAW_POST that are copies of stored posts."""
        raw = raw.filter(pl.col("uri").is_not_null())
        if raw.is_empty():
            return raw
        keyed = raw.with_columns(self._keys.posts(raw["uri"]).alias("_post"))
        stored = posts.known(self._tables, keyed.select("at", post="_post"))
        return keyed.join(stored, left_on="_post", right_on="post", how="semi").drop("_post")

    def wipe(self, post_keys: Collection[str]) -> int:
        """Wipe what posts deleted at the source say, and by whom; returns how many there were.

        Their matches and scores stay and stay counted (the scores without the hash of the text).
        Text, uri and community become null. The pseudonym of each author gives way to a random id
        that leads back to nobody and that only the posts of this author wiped in this call share,
        so that they stay one cluster. Posts of one author wiped in several calls, or in part, are
        several voices from then on: intervals come out a little too narrow, but nothing can be
        linked. Posts without author stay without. `maintain` wipes hidden posts in the same way.

        Keys that are not stored are ignored. The old files go with `maintain`: an hour later, or at
        once with `purge`.
        """
        self.drain()
        return posts.wipe(self._tables, post_keys, datetime.now(UTC))

    def hide(self, author_keys: Collection[str]) -> int:
        """Hide the posts of inactive accounts: wiped after 30 days unless restored."""
        self.drain()
        return posts.hide(self._tables, author_keys, datetime.now(UTC))

    def restore(self, author_keys: Collection[str]) -> int:
        self.drain()
        return posts.restore(self._tables, author_keys, datetime.now(UTC))

    def forget(
        self, keys: Collection[str] = (), *, case: str | None = None, preview: bool = False
    ) -> Forgotten:
        """Delete every row of these posts, of these authors' posts or of a case, take them out of
        recorded exports and the spool, and never take them again; with `preview` say what there is
        and change nothing.

        The cells are stale afterwards, and old files are on the disk until `purge`.
        """
        now = datetime.now(UTC)
        if not preview:
            self._clear_leftovers()  # of a killed restore: they hold words too
        if preview:
            if case is not None:
                return forgetting.preview_case(self._tables, case, now)
            return forgetting.preview(self._tables, keys, now)
        if case is not None:
            return forgetting.forget_case(
                self._tables, case, now, key=self.key, beside=self._beside()
            )
        return forgetting.forget(self._tables, keys, now, key=self.key, beside=self._beside())

    def _beside(self) -> list[forgetting.Beside]:
        """What is kept beside the tables and has to forget as well."""
        return [self._spool.scrub]

    def log_run(self, *rows: Mapping[str, Any]) -> None:
        """Upsert rows of the ledger by run_id, in one commit; columns not in them stay as they are.

        All rows have the same columns. `started_at` has to be one and stay the same: it says in
        which month a row lies.
        """
        dated = [_dated(row) for row in rows]
        log_runs(self._tables, _framed("runs", dated), dated[0].keys())

    def log_run_later(self, *rows: Mapping[str, Any]) -> None:
        """Leave whole rows of the ledger in the spool: how a run ended that others kept waiting."""
        runs = _framed("runs", [_dated(row) for row in rows])
        self._spool.put(Prepared(at=datetime.now(UTC), runs=runs.select(RUNS.names())))

    def begin_export(self, path: Path | str) -> Recording:
        """Begin a file that leaves the store: say whose words it holds, then put it in place."""
        return Recording(self._tables, path)

    def record_export(self, row: Mapping[str, Any]) -> None:
        """Record a file in which nobody's posts can be found one by one: a row of EXPORTS."""
        with Recording(self._tables, row["path"]).placing(row):
            pass

    # Scores and cells

    def work(
        self,
        scorer: str,
        *,
        rescore: bool = False,
        told: Collection[str] = (),
        python: str = "",
    ) -> Iterator[pl.DataFrame]:
        """Live posts that this scorer has not seen as they are now, at most 50,000 at a time:
        post, day, source, author, text, langs, text_hash, input_hash, lang.

        Goes through the days once, so it ends whatever the caller does; `rescore` gives every live
        post. An empty text is given too: the scorer decides what that is. `input_hash` stands for
        text and declared languages, and goes into the scores. `lang` is what one of the scorers
        `told` has found for the same input on the same minor version of Python, and null where
        none has.
        """
        for days in lookup.portions(self._tables, "posts", ROWS_AT_ONCE):
            kept = holds(days)
            found = self.read(partial(self._todo, kept, scorer, told, python, rescore=rescore))
            yield from found.iter_slices(ROWS_AT_ONCE)

    def _todo(
        self, kept: pl.Expr, scorer: str, told: Collection[str], python: str, *, rescore: bool
    ) -> pl.LazyFrame:
        same = ["post", "day", "input_hash"]
        live = self.visible().filter(kept)
        scores = self.scan("scores").filter(kept, pl.col("case") == "")
        todo = live.select(*_WORK, input_hash=TONE_INPUT)
        if not rescore:
            seen = scores.filter(pl.col("scorer") == scorer)
            wait = live.select("post", "day", input_hash=TONE_INPUT).join(
                seen.select(same), on=same, how="anti"
            )
            # Which posts, before their texts are read: mostly there are none.
            keys = self.read(lambda: wait.select("post"))
            todo = todo.join(keys.lazy(), on="post", how="semi")
        known = (
            scores.filter(pl.col("scorer").is_in(list(told)), pl.col("python") == python)
            .sort("scored_at")
            .unique("post", keep="last")
            .select(*same, "lang")
        )
        return todo.join(known, on=same, how="left")

    def work_in_context(
        self,
        *,
        case: str,
        query_hash: str,
        scorer: str,
        tone: str,
        names: Sequence[str],
        rescore: bool = False,
    ) -> Iterator[pl.DataFrame]:
        """Live posts of a case that this scorer has not seen as they are now, in what they answer
        as it is now: post, day, author, text, langs, lang, title, parent, input_hash.

        `lang` is what the scorer `tone` took it for, null where it has not looked yet; `title` the
        first line of the thread's root, `parent` the text of what the post answers or else quotes;
        null where it is not kept, or may not be shown. `input_hash` changes with any of the texts
        and with `names`, so a parent that comes in later has its answers scored again. Goes through
        the days once; `rescore` gives every live post of the case.
        """
        return context.work(
            self._tables,
            case=case,
            query_hash=query_hash,
            scorer=scorer,
            tone=tone,
            names=names,
            rescore=rescore,
        )

    def labelled(self, tone: str) -> pl.DataFrame:
        """Which posts people have labelled: case, post, at, lang (what the scorer `tone` took it
        for)."""
        return labels.labelled(self._tables, tone)

    def waiting(self, case: str, query_hash: str, scorer: str) -> int:
        """How many live posts of the case (own or taken) have no score for their present text."""
        return cells.waiting(self._tables, case, query_hash, scorer)

    def add_scores(self, scores: pl.DataFrame) -> None:
        """Upsert rows of SCORES; the one scored last counts. Those of blocked posts are dropped,
        those of posts wiped meanwhile come in without the hash of their text."""
        scores = scores.sort("scored_at", maintain_order=True).unique(
            ["post", "case", "scorer"], keep="last", maintain_order=True
        )
        values = [name for name in SCORES if name not in {"post", "case", "scorer", "day"}]
        with self._tables.lock():  # a post may be forgotten or wiped while it is being scored
            seen = {name: self._tables.version(name) for name in ("blocked", "posts")}
            allowed = scores.join(
                posts.blocked(self._tables), left_on="post", right_on="key", how="anti"
            )
            gone = posts.gone_among(self._tables, allowed)
            wiped = pl.col("post").is_in(gone["post"].implode())
            allowed = allowed.with_columns(
                input_hash=pl.when(~wiped).then(pl.col("input_hash")),
            )
            self._tables.merge(
                "scores",
                allowed,
                updates={name: f's."{name}"' for name in values},
                when="s.scored_at > t.scored_at",
            )
            posts.erase_scored(self._tables, allowed, seen)

    def stale(self) -> Stale:
        """Which weeks' cells no longer reflect posts, matches and scores."""
        return cells.stale(self._tables)

    def replace_cells(
        self, frame: pl.DataFrame, weeks: Sequence[date], versions: Mapping[str, int]
    ) -> int:
        """Put `frame` (CELLS) in the place of all cells of `weeks`, in one commit.

        `versions` as `stale()` gave them. Raises CellsMoved when someone else was first: ask
        `stale()` again. Returns the new version of the cells. `rebuild` does all of this.
        """
        return cells.replace_cells(self._tables, frame, weeks, versions)

    def rebuild(
        self,
        make_cells: Callable[[pl.DataFrame], pl.DataFrame],
        progress: Callable[[int, int], None] | None = None,
        *,
        compact: Callable[[pl.DataFrame], pl.DataFrame] | None = None,
    ) -> int:
        """Bring all cells up to date with `make_cells` (SCORED in, CELLS out) and return how many
        weeks that took; `progress` is called with weeks done and weeks in all.

        With `compact`, rows go through it as they are read, a day or less at a time in a busy week,
        and `make_cells` gets what it made of them: whole weeks all the same, in less memory.
        """
        return cells.rebuild(self._tables, make_cells, progress, compact=compact)

    # Upkeep

    def maintain(self, purge: bool = False, *, now: datetime | None = None) -> dict[str, int]:
        """Store what waits in the spool, wipe what was hidden for 30 days, complete erasures that
        were cut off, compact, drop old files, checkpoint.

        Recorded exports that are still in place lose the words of what was deleted since. Returns
        rows_wiped, exports_rewritten, exports_left (with such words in them), files_before,
        files_after and, on a local disk, bytes_freed.
        """
        self.drain()
        now = now or datetime.now(UTC)
        self._clear_leftovers()
        figures = maintain.maintain(self._tables, now, key=self.key, purge=purge)
        if self._tables.journal:
            self._tables.journal.trim(now)
        return figures

    def _clear_leftovers(self) -> None:
        if self._tables.local:
            with self._tables.lock(), self._tables.sentences("cleared"):
                clear_leftovers(Path(self._tables.location))

    def incarnation(self) -> int:
        """Changes when a restored backup takes the place of a store on this machine."""
        with self._tables.sentences("read"):
            return Path(self.location).stat().st_ino if self._tables.local else 0

    def purge(self) -> int:
        """Delete every old file now, as `maintain(purge=True)` does, and nothing else; returns the
        bytes that were freed on a local disk."""
        return maintain.purge(self._tables)

    # Backups

    def backup(
        self,
        path: Path,
        *,
        keep_days: int = backups.KEEP_DAYS,
        force: bool = False,
        now: datetime | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Backup:
        """Write all tables as of now into one file; `restore.restore` brings it back.

        Erasures made later are made in it when it is restored. Not the salt, which is kept apart.
        """
        return backups.backup(
            self._tables, path, keep_days=keep_days, force=force, now=now, progress=progress
        )

    def expire_backups(self, *, now: datetime | None = None) -> Expired:
        """Delete recorded backups whose time is over; says which, and which it could not find."""
        return backups.expire(self._tables, now or datetime.now(UTC))


def _dated(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "month": row["started_at"].astimezone(UTC).date().replace(day=1)}


def _framed(name: str, rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Rows of a table from dictionaries that all have the same columns of it."""
    schema = TABLES[name][0]
    columns = rows[0].keys()
    if unknown := columns - schema.keys():
        raise ValueError(f"{name} has no column {', '.join(sorted(unknown))}")
    if any(row.keys() != columns for row in rows):
        raise ValueError(f"rows of {name} written together need the same columns")
    return pl.DataFrame([dict(row) for row in rows], schema=schema)
