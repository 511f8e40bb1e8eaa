"""How often the language of a real post is told right, and how fast.

Reads labelled posts beside the checkout, which are not in the repository, and skips by name what is
not there. Posts from Bluesky carry what another detector found, where that was sure of itself: what
is printed is agreement between two detectors, not accuracy. Prints no text.
"""

from __future__ import annotations

import time
from pathlib import Path

import polars as pl

SHARED = Path(__file__).parents[2] / "shared" / "data"
SURE = 0.8  # confidence of the other detector
WEIGHTS = (0.0, 1.0, 2.0, 3.0, 5.0)
RIGHT = 0.72  # share of declarations that are right, on Bluesky of those that say French
SHORT = 5  # words


def main() -> None:
    """Print agreement by length, agreement by weight of a declaration, and posts per CPU second."""
    from analysis import language  # noqa: PLC0415 - benchmarks import what they measure

    agreement(SHARED / "bluesky_20k.parquet")
    print("\nrightly told, first five words, with 72 % right declarations of some weight")
    kept = language.DECLARED
    for code, other in (("en", "fr"), ("fr", "en")):
        file = SHARED / f"tweets_{code}.parquet"
        if not file.exists():
            print(f"  skipped: {file.name} is not here")
            continue
        texts = shortened(pl.read_parquet(file)["text"])
        declared = pl.Series(
            [[code if place % 100 < 100 * RIGHT else other] for place in range(len(texts))]
        )
        for weight in WEIGHTS:
            language.DECLARED = weight
            right = (language.detect(texts, declared) == code).mean()
            print(f"  {code}  weight {weight:.0f}  {right:6.1%}")
        language.DECLARED = kept


def agreement(file: Path) -> None:
    """Against the labels of another detector, for all texts and for those of few words."""
    from analysis import language  # noqa: PLC0415

    if not file.exists():
        print(f"\nlanguage: skipped, {file.name} is not here")
        return
    posts = pl.read_parquet(file).filter(pl.col("lang_conf") >= SURE)
    none = pl.Series([None] * posts.height, dtype=pl.List(pl.String))
    began = time.process_time()
    found = language.detect(posts["text"], none)
    seconds = time.process_time() - began
    told = posts.with_columns(found=found, words=pl.col("text").str.split(" ").list.len())
    print(f"\nlanguage of {told.height:,} posts, {told.height / seconds:,.0f} a CPU second")
    for name, part in (("all", told), ("at most 5 words", told.filter(pl.col("words") <= SHORT))):
        for code in ("en", "fr", None):
            some = part if code is None else part.filter(pl.col("lang_detected") == code)
            if not some.height:
                continue
            same = (some["found"] == some["lang_detected"]).mean()
            und = (some["found"] == language.UNDETERMINED).mean()
            label = f"  {name:16} {code or 'any':4}"
            print(f"{label} {some.height:6,}  same {same:6.1%}  und {und:5.1%}")


def shortened(texts: pl.Series) -> pl.Series:
    """The first five words, without links and handles."""
    return (
        texts.str.replace_all(r"@\S+|http\S*", " ")
        .str.split(" ")
        .list.eval(pl.element().filter(pl.element() != ""))
        .list.head(SHORT)
        .list.join(" ")
    )


if __name__ == "__main__":
    main()
