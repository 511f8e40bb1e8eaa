"""Posts on their way in, and what happens when they are deleted: upsert, wipe, hide, forget.

Works on keys; who turns uris and names into keys is `keys.py`.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial

import polars as pl

from store import erasures, lookup
from store.faults import StoreBusy
from store.keys import Keys
from store.merge import ROWS_A_MERGE, TRIES, Tables, chunks, holds, moment, shaped
from store.schema import CHECKS, MATCHES, POSTS, RAW_POST, TABLES, WORDS

# What a newer copy of a post changes. Its key, time, day, first sight and the engagement at first
# sight stay. A reply's root that was known once is not unlearnt from a copy without it.
UPDATES = {
    column: f"s.{column}"
    for column in (
        "text",
        "text_hash",
        "langs",
        "created_at",
        "community",
        "author",
        "collected_at",
        "collector",
    )
} | {column: f"coalesce(s.{column}, t.{column})" for column in ("parent", "root", "quoted")}
# Strictly newer, so that reading the same file again makes no commit at all. A hidden post comes
# back with its account only, a gone one never.
NEWER = "s.collected_at > t.collected_at AND t.state = 'live'"

# What a copy may say differently from what is stored; `text_hash` stands for the text. Which
# collector brought it is no news: `collector` is the one that brought the words that stand.
_WORDS = ("text_hash", "langs", "created_at", "community", "author")
_THREAD = ("parent", "root", "quoted")

# What goes when a post is deleted at its source. The community too: `u_name` names its author.
WIPED = dict.fromkeys(("uri", "text", "text_hash", "community"), "NULL") | {"author": "s.author"}
HIDDEN_DAYS = 30
HANGING = ("scores", "matches", "checks", "sightings", "labels", "times")  # go with their post
ROWS_AT_ONCE = 1_000_000  # of a few columns, where the whole store is gone through

_RANK = "CASE {0}.via WHEN 'own' THEN 3 WHEN 'taken' THEN 2 ELSE 1 END"
_BETTER = f"{_RANK.format('s')} > {_RANK.format('t')}"


def shape(posts: pl.DataFrame, collector: str, keys: Keys) -> pl.DataFrame:
    """RAW_POST to the columns of POSTS but `day`, one row a post; `at` may still be null."""
    raw = shaped(posts, RAW_POST)
    if raw["uri"].null_count() or raw["collected_at"].null_count():
        raise ValueError("every post needs a uri and the time at which it was collected")
    text = raw["text"].fill_null("")  # so that every live post has a text_hash to be scored by
    rows = raw.with_columns(
        keys.posts(raw["uri"]).alias("post"),
        keys.posts(raw["parent"]),
        keys.posts(raw["root"]),
        keys.posts(raw["quoted"]),
        keys.authors(raw["source"], raw["author"]),
        text,
        keys.texts(text).alias("text_hash"),
        pl.col("langs").fill_null(pl.lit([], WORDS)),
        pl.col("collected_at").alias("first_seen_at"),
        collector=pl.lit(collector),
        state=pl.lit("live"),
        state_at=pl.lit(None, POSTS["state_at"]),
    )
    return _one_each(rows.select(name for name in POSTS if name != "day"))


def _one_each(rows: pl.DataFrame) -> pl.DataFrame:
    """Copies of one post become what storing them one after the other would have made of them."""
    twice = rows["post"].is_duplicated()
    if not twice.any():
        return rows
    first = ("first_seen_at", "likes", "reposts", "replies")
    known = ("at", "parent", "root", "quoted")
    merged = (
        rows.filter(twice)
        .sort("collected_at", maintain_order=True)
        .group_by("post", maintain_order=True)
        .agg(
            pl.exclude(*first, *known).last(),
            pl.col(first).first(),
            pl.col("at").drop_nulls().first(),
            pl.col("parent", "root", "quoted").drop_nulls().last(),
        )
    )
    return pl.concat([rows.filter(~twice), merged.select(rows.columns)])


def blocked(tables: Tables) -> pl.DataFrame:
    return tables.read(lambda: tables.scan("blocked").select("key"))


def _fixed(tables: Tables, keys: pl.Series) -> pl.DataFrame:
    """Those of these posts whose time was fixed at first sight: post, fixed.

    The stored post has that time too, and is found by its day; the table of times, which lies by no
    day, is read only for a post that was fixed and is not stored (a kill came in between).
    """
    found = lookup.places(tables, "times", keys)
    if found is not None:
        if found.is_empty():
            return pl.DataFrame(schema={"post": pl.String, "fixed": POSTS["at"]})
        keys = found["post"].unique()
        days = found["day"].unique().to_list()
        at = _at(tables, keys, holds(days))
        if at.height == len(keys) and not at["post"].is_duplicated().any():
            return at
    return tables.read(
        lambda: (
            tables.scan("times")
            .select("post", fixed="at")
            .join(pl.LazyFrame({"post": keys}).unique(), on="post", how="semi")
        )
    )


def _at(tables: Tables, keys: pl.Series, where: pl.Expr) -> pl.DataFrame:
    """When stored posts were written: post, fixed."""
    wanted = pl.LazyFrame({"post": keys})
    return tables.read(
        lambda: (
            tables.scan("posts")
            .filter(where)
            .select("post", fixed="at")
            .join(wanted, on="post", how="semi")
        )
    )


def known(tables: Tables, rows: pl.DataFrame) -> pl.DataFrame:
    """Which of these rows (post, at) are copies of live posts that are stored: their keys.

    Looks at the days of the rows only; those without a time are looked for by their keys.
    """
    maybe = lookup.places(tables, "posts", rows["post"])
    if maybe is not None:
        rows = rows.join(maybe, on="post", how="semi")
    if rows.is_empty():
        return pl.DataFrame(schema={"post": pl.String})
    fixed = _fixed(tables, rows["post"])
    placed = rows.join(fixed, on="post", how="left").select(
        "post", day=pl.coalesce("fixed", "at").dt.date()
    )
    days = placed["day"].drop_nulls().unique().to_list()
    untimed = placed.filter(pl.col("day").is_null())
    anywhere = pl.lit(value=True)
    if maybe is not None:
        anywhere = holds(maybe.join(untimed, on="post", how="semi")["day"].unique().to_list())
    found = [pl.DataFrame(schema={"post": pl.String})]
    for wanted, where in ((placed, holds(days)), (untimed, anywhere)):
        if wanted.height:
            found.append(tables.read(partial(_live, tables, wanted, where)))
    return pl.concat(found).unique()


def _live(tables: Tables, wanted: pl.DataFrame, where: pl.Expr) -> pl.LazyFrame:
    live = tables.scan("posts").filter(pl.col("state") == "live", where)
    return live.select("post").join(wanted.lazy(), on="post", how="semi")


def store(tables: Tables, rows: pl.DataFrame) -> tuple[pl.DataFrame, int, int]:
    """Upsert shaped rows. Returns where they are (post, day), how many were new, how many blocked.

    Posts without a time go by themselves: placing them costs a look through all keys.
    """
    untimed = rows["at"].is_null()
    parts = list(chunks(rows.filter(~untimed).with_columns(day=pl.col("at").dt.date()), "day"))
    parts += list(rows.filter(untimed).iter_slices(ROWS_A_MERGE))
    placed = [pl.DataFrame(schema={"post": pl.String, "day": pl.Date})]
    new = refused = 0
    for part in parts:
        with tables.lock():
            stop = blocked(tables)
            allowed = part.join(stop, left_on="post", right_on="key", how="anti").join(
                stop, left_on="author", right_on="key", how="anti"
            )
            refused += part.height - allowed.height
            allowed = place(tables, allowed)
            told, same = _news(tables, allowed)
            new += lookup.merge(tables, "posts", told, updates=UPDATES, when=NEWER)
            _note(tables, same)
        placed.append(allowed.select("post", "day"))
    return pl.concat(placed), new, refused


def _news(tables: Tables, rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Of these rows of POSTS, those that may change the table, and those that say just what is
    stored (post, day, same_at) and are newer than every copy before.

    A merge writes each day anew that holds a changed post, its texts included, so what only says
    the same again is kept out of it; so is what is older than what is known. Whoever is not kept
    apart from other writers by the lock leaves both to the merge: between this look and that
    commit somebody else's words might come in.
    """
    same = pl.DataFrame(schema={"post": pl.String, "day": POSTS["day"], "same_at": POSTS["at"]})
    if not tables.alone or rows.is_empty():
        return rows, same
    at = holds(rows["day"].unique().to_list()) & pl.col("post").is_in(rows["post"].implode())
    compared = ["state", "collected_at", *_WORDS, *_THREAD]
    stored = tables.read(
        lambda: tables.scan("posts").filter(at).select("post", *compared, _there=True)
    ).unique("post", keep="none")
    noted = tables.read(lambda: tables.scan("checks").filter(at).select("post", _same="same_at"))
    both = rows.join(stored, on="post", how="left", suffix="_stored").join(
        noted.unique("post"), on="post", how="left"
    )
    there = pl.col("_there").fill_null(value=False)
    newer = (pl.col("state_stored") == "live") & (
        pl.col("collected_at") > pl.max_horizontal("collected_at_stored", "_same")
    )
    alike = pl.all_horizontal(
        *(pl.col(name).eq_missing(pl.col(f"{name}_stored")) for name in _WORDS),
        # A copy without it does not unlearn a thread that was known.
        *(
            pl.col(name).is_null() | pl.col(name).eq_missing(pl.col(f"{name}_stored"))
            for name in _THREAD
        ),
    )
    told = both.filter(~there | (newer & ~alike)).select(rows.columns)
    return told, both.filter(there & newer & alike).select("post", "day", same_at="collected_at")


def _note(tables: Tables, same: pl.DataFrame) -> None:
    """Note in the checks when copies were collected that said just what is stored."""
    if same.is_empty():
        return
    absent = [
        pl.lit(0 if name == "misses" else None, kind).alias(name)
        for name, kind in CHECKS.items()
        if name not in same.columns
    ]
    tables.merge(
        "checks",
        same.with_columns(absent),
        updates={"same_at": "s.same_at"},
        when="t.same_at IS NULL OR s.same_at > t.same_at",
    )


def place(tables: Tables, rows: pl.DataFrame) -> pl.DataFrame:
    """Give every row its `at` and `day`; the same post always gets the same ones.

    A post that first came without a time keeps the moment of first sight, even when a later copy
    has a time (a Bluesky post whose id was dated in the future has one as soon as that day comes).
    """
    if rows["at"].null_count():
        stored = find(tables, rows.filter(pl.col("at").is_null()), "at")
        rows = rows.join(stored.rename({"at": "stored"}), on="post", how="left").with_columns(
            at=pl.coalesce("at", "stored")
        )
        unseen = rows.filter(pl.col("at").is_null())
        lookup.merge(tables, "times", unseen.select("post", at="first_seen_at"))
    # After that merge: where two writers fix the same post, both go by what the table says.
    fixed = _fixed(tables, rows["post"])
    return (
        rows.join(fixed, on="post", how="left")
        .with_columns(at=pl.coalesce("fixed", "at"))
        .with_columns(day=pl.col("at").dt.date())
        .select(POSTS.names())
    )


def add_matches(tables: Tables, matches: pl.DataFrame) -> None:
    """Upsert MATCHES rows; a post's own match outranks `taken`, and that one its thread's."""
    rank = pl.col("via").replace_strict({"own": 3, "taken": 2, "thread": 1})
    best = (
        matches.sort(rank, maintain_order=True)
        .group_by("case", "post", "query_hash", maintain_order=True)
        .agg(pl.col("day", "via").last(), pl.col("root_known").any())
    )
    tables.merge(
        "matches",
        _better(tables, best.select(MATCHES.names())),
        updates={
            "via": f"CASE WHEN {_BETTER} THEN s.via ELSE t.via END",
            "root_known": "s.root_known OR t.root_known",
        },
        when=f"{_BETTER} OR (s.root_known AND NOT t.root_known)",
    )


def _better(tables: Tables, matches: pl.DataFrame) -> pl.DataFrame:
    """Without the matches that are stored as good as these: merging them would read their days."""
    key = ["case", "post", "query_hash"]
    at = holds(matches["day"].unique().to_list()) & pl.col("post").is_in(matches["post"].implode())
    there = tables.read(
        lambda: tables.scan("matches").filter(at).select(*key, _via="via", _known="root_known")
    ).unique(key)
    both = matches.join(there, on=key, how="left")
    ranks = {"own": 3, "taken": 2, "thread": 1}
    better = pl.col("via").replace_strict(ranks) > pl.col("_via").replace_strict(ranks)
    learnt = pl.col("root_known") & ~pl.col("_known")
    return both.filter(pl.col("_via").is_null() | better | learnt).select(matches.columns)


def add_checks(tables: Tables, checks: pl.DataFrame) -> None:
    """Upsert CHECKS rows without their day; those of posts that are not stored are dropped."""
    checks = checks.sort("checked_at", maintain_order=True).unique("post", keep="last")
    with tables.lock():
        seen = tables.version("blocked")
        rows = checks.join(find(tables, checks, "day"), on="post").with_columns(
            same_at=pl.lit(None, CHECKS["same_at"])
        )
        values = [name for name in CHECKS if name not in {"post", "day", "same_at"}]
        tables.merge(
            "checks",
            rows,
            updates={name: f"s.{name}" for name in values},
            when="t.checked_at IS NULL OR s.checked_at > t.checked_at",
        )
        if tables.version("blocked") != seen:
            late = rows.join(blocked(tables), left_on="post", right_on="key", how="semi")
            tables.delete("checks", late.select("post", "day"))


def find(tables: Tables, keys: pl.DataFrame, *columns: str) -> pl.DataFrame:
    """Stored posts by their key alone."""
    wanted = keys.lazy().select("post").unique()
    where = lookup.somewhere(tables, keys["post"])
    return tables.read(
        lambda: tables.scan("posts").filter(where).select("post", *columns).join(wanted, on="post")
    )


def wipe(tables: Tables, keys: Collection[str], now: datetime) -> int:
    """Wipe text, uri and author of these posts for good; returns how many still had them."""
    if not keys:
        return 0
    wanted = pl.DataFrame({"post": sorted(set(keys))}, schema={"post": pl.String})
    with tables.lock():
        there = lookup.somewhere(tables, wanted["post"]) & (pl.col("state") != "gone")
        return _wipe(tables, there, now, wanted.lazy())


def wipe_authors(tables: Tables, authors: Collection[str], now: datetime) -> int:
    """Wipe all posts of these authors, whose accounts are gone for good; returns how many.

    Found first and then wiped by their own keys, which alone come into the log and the journal.
    """
    if not authors:
        return 0
    wanted = pl.LazyFrame({"author": sorted(set(authors))}, schema={"author": pl.String})
    return _wipe(tables, pl.col("state") != "gone", now, wanted, on="author")


def hide(tables: Tables, authors: Collection[str], now: datetime) -> int:
    return _turn(tables, "live", "hidden", now, authors)


def restore(tables: Tables, authors: Collection[str], now: datetime) -> int:
    return _turn(tables, "hidden", "live", now, authors)


def wipe_hidden(tables: Tables, now: datetime) -> int:
    """Wipe what has been hidden for more than 30 days."""
    limit = now - timedelta(days=HIDDEN_DAYS)
    overdue = (pl.col("state") == "hidden") & (pl.col("state_at") < limit)
    # Said again to the merge: the account may come back after the look and before the commit.
    return _wipe(tables, overdue, now, when=f"t.state = 'hidden' AND t.state_at < {moment(limit)}")


def _wipe(
    tables: Tables,
    which: pl.Expr,
    now: datetime,
    wanted: pl.LazyFrame | None = None,
    *,
    on: str = "post",
    when: str = "t.state <> 'gone'",
) -> int:
    """Wipe posts, and the hashes of their texts from their scores.

    Every author gets one random id in this call, so that the posts wiped together stay one voice:
    as posts without author each would count as a voice of its own, and the intervals shrink. The
    old and the new id stand side by side nowhere but here.

    Scores go first: a wipe that was killed after them finds its posts again. And once more last:
    a scorer who saw the post before it was gone may have come in between (`erase_scored`).
    """
    with tables.lock():

        def posts() -> pl.LazyFrame:
            rows = tables.scan("posts").filter(which)
            if wanted is not None:
                rows = rows.join(wanted, on=on, how="semi")
            return rows.select("post", "day", "author")

        found = tables.read(posts)
        if found.is_empty():
            return 0
        tables.on_record(erasures.WIPED, found["post"], now)
        seen = _unhash(tables, found)
        voices = found.select("author").drop_nulls().unique()
        fresh = pl.Series("fresh", [secrets.token_hex(16) for _ in voices["author"]], pl.String)
        rows = found.join(voices.with_columns(fresh), on="author", how="left")
        wiped = tables.change(
            "posts",
            rows.select("post", "day", author="fresh"),
            WIPED | {"state": "'gone'", "state_at": moment(now.astimezone(UTC))},
            when,
        )
        if tables.version("scores") != seen:
            _unhash(tables, gone_among(tables, found))
        return wiped


def _unhash(tables: Tables, found: pl.DataFrame) -> int:
    """Take the hashes of their texts from the scores of these posts (post, day); returns the
    version of the scores that holds none."""
    for _ in range(TRIES):
        seen = tables.version("scores")
        hashed = tables.read(
            lambda: (
                tables.scan("scores")
                .filter(holds(found["day"].unique().to_list()), pl.col("input_hash").is_not_null())
                .select("post", "day")
                .join(found.lazy(), on="post", how="semi")
            )
        )
        if hashed.is_empty():
            return seen
        tables.update("scores", hashed, {"input_hash": "NULL"})
    raise StoreBusy(
        f"Scores of deleted posts kept coming into {tables.location}. Run the same command again."
    )


def gone_among(tables: Tables, rows: pl.DataFrame) -> pl.DataFrame:
    """Which of these rows (post, day) are of posts that are gone: post, day."""
    days = rows["day"].unique().to_list()
    keys = rows.lazy().select("post").unique()
    return tables.read(
        lambda: (
            tables.scan("posts")
            .filter(holds(days), pl.col("state") == "gone")
            .select("post", "day")
            .join(keys, on="post", how="semi")
        )
    )


def _turn(tables: Tables, old: str, new: str, now: datetime, authors: Collection[str]) -> int:
    """Give authors' posts another state, unless they got their present one later than `now`.

    Found first and then updated by day and key, since the predicate of an update stays in the log:
    an author in it would be on record for ever. The old state is in the predicate: a post that was
    wiped after it was found stays gone.
    """
    if not authors:
        return 0
    at = now.astimezone(UTC)
    updates = {"state": f"'{new}'", "state_at": moment(at)}
    wanted = pl.LazyFrame({"author": sorted(set(authors))}, schema={"author": pl.String})
    with tables.lock():
        found = tables.read(
            lambda: (
                tables.scan("posts")
                .filter(
                    pl.col("state") == old,
                    pl.col("state_at").is_null() | (pl.col("state_at") <= at),
                )
                .join(wanted, on="author", how="semi")
                .select("post", "day", "author")
            )
        )
        kind = erasures.HIDDEN if new == "hidden" else erasures.BACK
        tables.on_record(kind, found["author"], now)
        return tables.update("posts", found, updates, when=f"\"state\" = '{old}'")


def forget(tables: Tables, keys: Collection[str], now: datetime) -> int:
    """Delete every row of these posts, or of these authors' posts, and block their keys.

    Blocked before anybody looks which posts there are: a writer who read the list before that has
    committed by then and is found here, or finds the block after its commit (`erase_blocked`). The
    posts go last, so that a forget that was killed finds them again. What an earlier one that was
    killed has left goes too.
    """
    with tables.lock():
        block(tables, pl.Series("key", sorted(set(keys)), dtype=pl.String), now)
        stop = blocked(tables)["key"]
        done = 0
        for days in lookup.portions(tables, "posts", ROWS_AT_ONCE):
            found = of(tables, stop, days)
            if found.is_empty():
                continue
            block(tables, found["post"], now)
            done += _delete(tables, found)
        lookup.drop(tables, stop.to_list())
        return done


def _delete(tables: Tables, found: pl.DataFrame) -> int:
    """Delete every row of these posts (post, day), last those of the posts themselves."""
    for name in HANGING:
        tables.delete(name, found)
    deleted = tables.delete("posts", found)
    lookup.drop(tables, found["post"].to_list())
    return deleted


def block(tables: Tables, keys: pl.Series, now: datetime) -> None:
    """Never take these posts, or posts of these authors, again."""
    stop = pl.DataFrame({"key": keys.unique()}, schema={"key": pl.String})
    new = stop.join(blocked(tables), on="key", how="anti")
    if new.is_empty():
        return
    tables.on_record(erasures.BLOCKED, new["key"], now)
    tables.merge("blocked", new.with_columns(blocked_at=pl.lit(now, POSTS["at"])))


def of(tables: Tables, keys: pl.Series, days: Sequence[date]) -> pl.DataFrame:
    """These posts, and the posts of these authors, on these days: post, day."""
    wanted = keys.implode()
    return tables.read(
        lambda: (
            tables.scan("posts")
            .filter(holds(days), pl.col("post").is_in(wanted) | pl.col("author").is_in(wanted))
            .select("post", "day")
        )
    )


def _places(tables: Tables, name: str, where: pl.Expr) -> pl.LazyFrame:
    return tables.scan(name).filter(where).select("post", "day")


def _rows_of(tables: Tables, name: str, keys: pl.Series) -> pl.DataFrame:
    """Rows of any table by their post, wherever they lie: post and, where there is one, day."""
    theirs = pl.col("post").is_in(keys.implode())
    if not TABLES[name][1]:
        return tables.read(lambda: tables.scan(name).filter(theirs).select("post"))
    found = [pl.DataFrame(schema={"post": pl.String, "day": POSTS["day"]})]
    for days in lookup.portions(tables, name, ROWS_AT_ONCE):
        found.append(tables.read(partial(_places, tables, name, holds(days) & theirs)))
    return pl.concat(found)


# What was erased while somebody was writing. A writer looks at the blocks before its commits, a
# forget may come between; the lock keeps that apart on one machine and within one step only. So
# whoever writes looks again afterwards, and whoever erases sets its mark before it looks: one of
# the two sees the other. A kill in between is made good by `maintain` (`finish_erasures`).


def erase_blocked(tables: Tables, rows: pl.DataFrame, seen: int) -> pl.Series:
    """Take out again those of these posts (post, day, author), just stored, that were blocked after
    version `seen` of the blocks; returns their keys."""
    if tables.version("blocked") == seen:
        return pl.Series("post", [], pl.String)
    stop = blocked(tables)["key"].implode()
    late = rows.filter(pl.col("post").is_in(stop) | pl.col("author").is_in(stop))
    if late.height:
        # By where they were put: whoever forgot them may have deleted the post, and our match of it
        # came in afterwards. Blocked by their own keys too, for scorers, who know no author.
        block(tables, late["post"], datetime.now(UTC))
        _delete(tables, late.select("post", "day"))
    return late["post"]


def erase_scored(tables: Tables, rows: pl.DataFrame, seen: Mapping[str, int]) -> None:
    """Take back from these scores (post, day), just stored, what was erased since `seen`: those of
    blocked posts, and the hash of the text of those that are gone."""
    if tables.version("blocked") != seen["blocked"]:
        late = rows.join(blocked(tables), left_on="post", right_on="key", how="semi")
        tables.delete("scores", late.select("post", "day"))
    if tables.version("posts") != seen["posts"]:
        found = gone_among(tables, rows)
        if found.height:
            _unhash(tables, found)


def finish_erasures(tables: Tables, now: datetime) -> None:
    """Complete what a kill cut off between the mark and the deed: rows of blocked posts and of
    blocked authors' posts go, and so do the hashes of wiped texts."""
    stop = blocked(tables)["key"]
    if len(stop):
        forget(tables, (), now)
        for name in HANGING:
            tables.delete(name, _rows_of(tables, name, stop))
    for days in lookup.portions(tables, "posts", ROWS_AT_ONCE):
        where = holds(days) & (pl.col("state") == "gone")
        gone = tables.read(partial(_places, tables, "posts", where))
        if gone.height:
            _unhash(tables, gone)
