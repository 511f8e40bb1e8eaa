"""Stance of what is kept, case by case: the second step of `aftershock score`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import polars as pl

from analysis import sides, tone
from cases.case import Case
from store.tables import Store

PREFIX = "stance_"  # before a status, in the counts of `score_store`


ANY = "any platform"  # what an umbrella case says; nobody is called that


def names(case: Case) -> tuple[str, ...]:
    """What the platform of a case is called; nothing where it is about none in particular."""
    return case.aliases if case.platform == ANY else (case.platform, *case.aliases)


def score_cases(
    store: Store,
    cases: Iterable[Case],
    markers: set[str],
    *,
    rescore: bool = False,
    done: Callable[[pl.DataFrame], None],
) -> None:
    """Give every live post of these cases (by their present queries) that waits for it a stance;
    `done` gets the rows of each portion."""
    for case in cases:
        for posts in store.work_in_context(
            case=case.name,
            query_hash=case.query_hash,
            scorer=sides.SCORER,
            tone=tone.SCORER,
            names=names(case),
            rescore=rescore,
        ):
            rows = sides.score(posts, case=case.name, names=names(case), markers=markers)
            store.add_scores(rows)
            done(rows)


def wordless(
    posts: pl.DataFrame, matches: pl.DataFrame, *, cases: Sequence[Case], markers: set[str]
) -> pl.DataFrame:
    """Tone and stance of posts whose words are not kept: each is judged without its thread.

    In: post, day, source, author, text, langs, text_hash; matches of them (post, case).
    """
    found = [tone.score(posts, markers=markers)]
    langs = found[0].filter(pl.col("scorer") == tone.SCORER).select("post", "lang")
    nothing = pl.lit(None, pl.String)
    for case in cases:
        mine = matches.filter(pl.col("case") == case.name).select("post").unique()
        looked = (
            posts.join(mine, on="post", how="semi")
            .join(langs, on="post", how="left")
            .with_columns(title=nothing, parent=nothing, input_hash=nothing)
        )
        if looked.height:
            found.append(sides.score(looked, case=case.name, names=names(case), markers=markers))
    return pl.concat(found)


def summary(counts: dict[str, int], words: dict[str, str]) -> list[str]:
    """What was done, a line a status; nothing where nothing waited. `words` as of tone."""
    looked_at = sum(counts.get(PREFIX + name, 0) for name in words)
    if not looked_at:
        return []
    return [
        f"{looked_at:,} posts of cases looked at by {sides.SCORER} for their stance:",
        *(
            f"  {counts[PREFIX + name]:,} {said}"
            for name, said in words.items()
            if counts.get(PREFIX + name)
        ),
    ]
