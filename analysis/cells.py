"""Cells: counts and sums of scored posts by hour, 6 hours, day and week; all that charts read.

Tone and stance have cells of their own, by their scorers. Both come down to one sign a post:
negative or positive, against or for.
Cells add up across sources, languages and via, never across widths: an author who posts on Monday
and on Tuesday is two clusters of two days and one of the week. Shares are made in `series`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import polars as pl

from analysis.tone import NEGATIVE, POSITIVE

TIME = pl.Datetime("us", "UTC")
WIDTHS = {"hour": "1h", "6h": "6h", "day": "1d", "week": "1w"}  # weeks start on Monday
CLUSTERS = {"author": ("author",), "thread": ("thread",), "both": ("author", "thread")}
MEASURES = ("balance", "neg", "pos", "compound")
IDENTITY = ("case", "query_hash", "scorer", "source", "via", "lang")
COUNTS = ("n", "n_neg", "n_neu", "n_pos", "n_language", "n_too_long", "n_marker", "n_displaced")
DISPLACED = timedelta(hours=24)
CLUSTERS_AT_ONCE = 300_000  # posts whose clusters are grouped together

ON_TOPIC = ("against", "for", "neutral")
REASONS = ("consent", "theft", "sneaky", "privacy", "jobs", "quality", "trust")
STANCE = ("n_looked", "n_off", "n_exit", *(f"r_{reason}" for reason in REASONS))
# What a post on topic says besides its side, a bit each: one byte a post in place of a list.
MARKS = {f"r_{reason}": 1 << place for place, reason in enumerate(REASONS)} | {"n_exit": 1 << 7}

SUMS: dict[str, pl.DataType] = {
    "sum_compound": pl.Float64(),
    "sum_compound2": pl.Float64(),
    **{
        name: pl.Float64() if "compound" in name else pl.Int64()
        for kind in CLUSTERS
        for name in (
            f"{kind}_nn",
            *(f"{kind}_{s}_{m}" for m in MEASURES for s in ("ny", "yy")),
        )
    },
}
SCHEMA = pl.Schema(
    {
        **dict.fromkeys(IDENTITY, pl.String()),
        "width": pl.String(),
        "start": TIME,
        "week": pl.Date(),
        "month": pl.Date(),
        **dict.fromkeys(COUNTS, pl.Int64()),
        **SUMS,
        **dict.fromkeys(STANCE, pl.Int64()),
    }
)


def cells(scored: pl.DataFrame) -> pl.DataFrame:
    """The cells of these posts, of every width, sorted by their key.

    In: case, query_hash, scorer, source, via, post, at, created_at (UTC), author, root, lang,
    status, compound, stance, reasons, exit; one row for each match and score. Out: SCHEMA. `start`
    is the bucket's start (UTC), `week` its Monday, `month` the first day of its month. n_neg,
    n_neu, n_pos: compound <= -0.05, between, >= 0.05. A row with a stance counts by that: n_neg
    against, n_neu neutral, n_pos for, n all three, n_off what is off topic, n_looked n and n_off,
    n_exit and r_... posts on topic that say they left, or why they are against (one may give
    several reasons). Posts whose declared time is more than 24 hours off `at` are only in
    n_displaced. For cluster kind k and measure m, over clusters c of scored posts:
    k_nn = sum n_c^2, k_ny_m = sum n_c*y_c, k_yy_m = sum y_c^2, y_c the cluster's sum of m.
    """
    return cells_of(compact(scored))


def compact(scored: pl.DataFrame) -> pl.DataFrame:
    """What the cells need of posts, in a quarter of their memory: IDENTITY and `measured`.

    In: what `cells` takes. Out: one row each, words as categories, ids as 64-bit hashes. Rows of
    many calls may be concatenated: a busy week fits into memory so, and not as it is stored.
    """
    words = pl.Categorical()
    return scored.select(pl.col(IDENTITY).cast(words)).hstack(
        measured(scored).with_columns(pl.col("status").cast(words))
    )


def cells_of(posts: pl.DataFrame) -> pl.DataFrame:
    """`cells` of posts that are `compact` already."""
    if posts.is_empty():
        return pl.DataFrame(schema=SCHEMA)
    # One small integer for the six words of the key: every grouping below is on integers.
    identities = posts.select(IDENTITY).unique().with_row_index("identity")
    posts = posts.join(
        identities, on=IDENTITY, how="left", nulls_equal=True, maintain_order="left"
    ).drop(IDENTITY)
    found = []
    for width, every in WIDTHS.items():
        bucketed = posts.with_columns(start=pl.col("at").dt.truncate(every))
        found.append(sums(bucketed, ["identity", "start"]).with_columns(width=pl.lit(width)))
    return (
        pl.concat(found)
        .join(identities, on="identity")
        .with_columns(
            week=pl.col("start").dt.truncate("1w").dt.date(),
            month=pl.col("start").dt.truncate("1mo").dt.date(),
        )
        .select(pl.col(name).cast(dtype) for name, dtype in SCHEMA.items())
        .sort(*IDENTITY, "width", "start")
    )


def measured(scored: pl.DataFrame) -> pl.DataFrame:
    """What the sums need of each post: at, status, displaced, neg, pos, balance, compound, marks
    (null where it has no stance), author and thread as 64-bit hashes. A post without an author is
    its own author, likewise its thread.
    """
    done = pl.col("status") == "scored"
    scored_only = pl.when(done).then("compound")
    side = pl.when(done, pl.col("stance").is_in(ON_TOPIC)).then("stance")
    marks = pl.sum_horizontal(
        bit * (pl.col("exit") if name == "n_exit" else _gives(name)).fill_null(value=False)
        for name, bit in MARKS.items()
    )
    return scored.select(
        "at",
        "status",
        displaced=((pl.col("created_at") - pl.col("at")).abs() > DISPLACED).fill_null(value=False),
        # Two of a million ids share a hash with a probability below 1e-7, of ten million 1e-5.
        author=pl.coalesce("author", "post").hash(),
        thread=pl.coalesce("root", "post").hash(),
        compound=scored_only,
        neg=pl.coalesce(side == "against", scored_only <= NEGATIVE).cast(pl.Int8),
        pos=pl.coalesce(side == "for", scored_only >= POSITIVE).cast(pl.Int8),
        marks=pl.when(side.is_not_null())
        .then(marks)
        .when(done, pl.col("stance").is_not_null())
        .then(0)
        .cast(pl.UInt8),
    ).with_columns(balance=pl.col("neg") - pl.col("pos"))


def _gives(name: str) -> pl.Expr:
    against = pl.col("stance") == "against"
    return against & pl.col("reasons").list.contains(name.removeprefix("r_"))


def sums(posts: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """Counts and cluster sums of `measured` posts for each group of the columns `by`.

    Out: `by`, COUNTS, SUMS and STANCE. Groups that hold only posts not scored have zeros.
    """
    groups = counts(posts, by)
    counted = posts.filter(COUNTED).select(*by, "author", "thread", *MEASURES)
    for kind in CLUSTERS:
        groups = groups.join(clusters(counted, by, kind), on=list(by), how="left")
    return groups.select(
        *by,
        *COUNTS,
        *(pl.col(name).fill_null(0).cast(dtype) for name, dtype in SUMS.items()),
        *STANCE,
    )


# What is in a series: scored (and on topic), and its place in time can be trusted.
COUNTED = ~pl.col("displaced") & pl.col("neg").is_not_null()


def counts(posts: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """Counts of `measured` posts for each group: `by`, COUNTS, sum_compound, sum_compound2,
    STANCE."""
    placed = ~pl.col("displaced")
    return (
        posts.group_by(by)
        .agg(
            n=COUNTED.sum(),
            n_neg=pl.col("neg").filter(COUNTED).sum(),
            n_pos=pl.col("pos").filter(COUNTED).sum(),
            n_language=(placed & (pl.col("status") == "language")).sum(),
            n_too_long=(placed & (pl.col("status") == "too_long")).sum(),
            n_marker=(placed & (pl.col("status") == "marker")).sum(),
            n_displaced=pl.col("displaced").sum(),
            sum_compound=pl.col("compound").filter(COUNTED).sum(),
            sum_compound2=(pl.col("compound") ** 2).filter(COUNTED).sum(),
            n_looked=(placed & pl.col("marks").is_not_null()).sum(),
            n_off=(placed & pl.col("marks").is_not_null() & pl.col("neg").is_null()).sum(),
            **{
                name: (COUNTED & ((pl.col("marks") & bit) != 0)).sum()
                for name, bit in MARKS.items()
            },
        )
        .with_columns(n_neu=pl.col("n").cast(pl.Int64) - pl.col("n_neg") - pl.col("n_pos"))
        .select(
            *by,
            *(pl.col(name).cast(pl.Int64) for name in COUNTS),
            *(pl.col(name).cast(SUMS[name]) for name in ("sum_compound", "sum_compound2")),
            *(pl.col(name).cast(pl.Int64) for name in STANCE),
        )
    )


def _marked(bit: int) -> pl.Expr:
    return COUNTED & ((pl.col("marks") & bit) != 0)


def clusters(
    posts: pl.DataFrame, by: Sequence[str], kind: str, measures: Sequence[str] = MEASURES
) -> pl.DataFrame:
    """The cluster sums of one kind for each group: `by`, k_nn, k_ny_m, k_yy_m. In: counted posts.

    Sums over disjoint sets of clusters add up to the sums over all of them, so many posts are
    grouped a share of the clusters at a time: grouping takes ten times the memory of the posts.
    """
    shares = max(1, -(-posts.height // CLUSTERS_AT_ONCE))
    first = pl.col(CLUSTERS[kind][0])
    parts = [
        _clusters(
            posts.filter(first % shares == share) if shares > 1 else posts, by, kind, measures
        )
        for share in range(shares)
    ]
    return pl.concat(parts).group_by(by).sum() if shares > 1 else parts[0]


def _clusters(
    posts: pl.DataFrame, by: Sequence[str], kind: str, measures: Sequence[str]
) -> pl.DataFrame:
    size = pl.col("size")
    return (
        posts.group_by(*by, *CLUSTERS[kind])
        .agg(pl.len().cast(pl.Int64).alias("size"), pl.col(measures).sum())
        .group_by(by)
        .agg(
            (size * size).sum().alias(f"{kind}_nn"),
            *((size * pl.col(m)).sum().alias(f"{kind}_ny_{m}") for m in measures),
            *((pl.col(m) * pl.col(m)).sum().alias(f"{kind}_yy_{m}") for m in measures),
        )
    )
