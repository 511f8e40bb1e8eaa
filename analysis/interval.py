"""The 95 % interval of shares and of the balance, from counts and cluster sums.

It holds sampling noise only. What the scorer gets wrong is not in it: see INTERVAL_NOTE.
"""

from __future__ import annotations

import polars as pl

# The name of every such interval, on charts, in exports and guides; never plainly "95 % CI".
INTERVAL_NOTE = "sampling noise only, scorer error not included"
Z = 1.959963984540054  # two-sided 95 % of the normal distribution

TOTALS = {
    "balance": pl.col("n_neg") - pl.col("n_pos"),
    "neg": pl.col("n_neg"),
    "pos": pl.col("n_pos"),
}


def intervals(sums: pl.DataFrame) -> pl.DataFrame:
    """Adds balance_se, balance_lo, balance_hi (points), neg_lo, neg_hi, pos_lo, pos_hi (0..1).

    In: the counts and cluster sums of cells, one row for each figure; n of 0 gives no number.
    Bounds are clipped to what is possible. Every band has a width, even where all posts agree: see
    `_share_bounds` and `_agreement`.
    """
    frame = _with_variances(sums)
    error = 100 * pl.max_horizontal("_v_balance", _agreement()).sqrt()
    frame = frame.with_columns(error.alias("balance_se"))
    balance, error = 100 * pl.col("_r_balance"), Z * pl.col("balance_se")
    frame = frame.with_columns(
        balance_lo=(balance - error).clip(-100, 100), balance_hi=(balance + error).clip(-100, 100)
    )
    for measure in ("neg", "pos"):
        frame = _share_bounds(frame, measure)
    return frame.drop(name for name in frame.columns if name.startswith("_"))


def _with_variances(sums: pl.DataFrame) -> pl.DataFrame:
    """Adds _size (effective n) and, for each measure m, the ratio _r_m and its variance _v_m.

    Sandwich for one kind of cluster: sum over clusters of (y_c - R n_c)^2 over n^2, the linearised
    ratio estimator (Cochran 1977, "Sampling Techniques"). Two kinds: author + thread - both
    (Cameron, Gelbach and Miller 2011, "Robust inference with multiway clustering"). That may fall
    below its parts, and any sandwich shrinks to nothing when one account wrote nearly all posts,
    since its cluster then is the ratio: hence the maximum with either part and with the variance of
    `_size` independent posts. `_size` = n^2 over the sum of squared author counts, as if each
    author were one voice repeated (Kish 1965, "Survey Sampling").

    Made in steps, each a column: as one expression it takes 40 ms to plan, and this runs on every
    change of a filter.
    """
    frame = sums.with_columns(
        (pl.col("n") ** 2 / pl.col("author_nn")).alias("_size"),
        *((total / pl.col("n")).alias(f"_r_{m}") for m, total in TOTALS.items()),
    )
    frame = frame.with_columns(
        (
            (
                pl.col(f"{kind}_yy_{m}")
                - 2 * pl.col(f"_r_{m}") * pl.col(f"{kind}_ny_{m}")
                + pl.col(f"_r_{m}") ** 2 * pl.col(f"{kind}_nn")
            )
            / pl.col("n") ** 2
        ).alias(f"_{kind}_{m}")
        for kind in ("author", "thread", "both")
        for m in TOTALS
    )
    neg, pos, balance = pl.col("_r_neg"), pl.col("_r_pos"), pl.col("_r_balance")
    floors = {"neg": neg * (1 - neg), "pos": pos * (1 - pos), "balance": neg + pos - balance**2}
    return frame.with_columns(
        pl.max_horizontal(
            pl.col(f"_author_{m}") + pl.col(f"_thread_{m}") - pl.col(f"_both_{m}"),
            f"_author_{m}",
            f"_thread_{m}",
            floor / pl.col("_size"),
        ).alias(f"_v_{m}")
        for m, floor in floors.items()
    )


def _agreement() -> pl.Expr:
    """A variance of the balance that is not zero when all posts agree.

    As if one post had been added to either side (Bonett and Price 2012, "Adjusted Wald confidence
    interval for a difference of binomial proportions based on paired data"), for `_size` posts.
    """
    size = pl.col("_size") + 2
    neg, pos = ((pl.col(f"_r_{m}") * pl.col("_size") + 1) / size for m in ("neg", "pos"))
    return (neg + pos - (neg - pos) ** 2) / size


def _share_bounds(frame: pl.DataFrame, m: str) -> pl.DataFrame:
    """Wilson's score interval (1927) of a share p for p(1-p)/variance independent posts.

    The effective sample size in the place of n follows Korn and Graubard (1998); Dean and Pagano
    (2015) compare such intervals for clustered surveys. At a share of 0 or 1 every variance is 0
    and says nothing: the size then is `_size`, so that 30 times "no" never reads "certainly none".
    """
    p, variance = pl.col(f"_r_{m}"), pl.col(f"_v_{m}")
    inside = (p > 0) & (p < 1)
    size = pl.when(inside).then(p * (1 - p) / variance).otherwise("_size")
    frame = frame.with_columns(_z2=Z**2 / size)
    frame = frame.with_columns(
        _centre=(p + pl.col("_z2") / 2) / (1 + pl.col("_z2")),
        _half=(p * (1 - p) * pl.col("_z2") + pl.col("_z2") ** 2 / 4).sqrt() / (1 + pl.col("_z2")),
    )
    # Bounded by p too: rounding may leave a bound a hair on the wrong side of a share of 0 or 1.
    return frame.with_columns(
        pl.min_horizontal(pl.col("_centre") - pl.col("_half"), p).clip(0, 1).alias(f"{m}_lo"),
        pl.max_horizontal(pl.col("_centre") + pl.col("_half"), p).clip(0, 1).alias(f"{m}_hi"),
    )
