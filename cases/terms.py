"""What a source's terms forbid to do with its posts, and the one place that decides it.

Whatever trains a model on posts, or sends their text to anyone else's service, takes its posts
through `permitted`, with what `cli.settings.permissions` found for `environment`. Nothing in
Aftershock does either without a person asking for it. Scoring on this machine with a fixed lexicon
is neither.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import polars as pl

# Reddit's Responsible Builder Policy (2026-06-05) and Data API Terms (2026-07-20): no training of
# models on its content, and no passing it on, without a written permission. The variable holds
# where that permission stands, such as "letter of 3 October 2026", so that it can be looked up.
PERMISSIONS = {"reddit": "AFTERSHOCK_REDDIT_PERMISSION"}
_NOTHING = ("", "0", "no", "none", "false")


def permission(source: str, environment: Mapping[str, str] | None = None) -> str | None:
    """What permits training on posts of this source, and sending their text away: words from the
    configuration, or "not needed"; None when it is not permitted. Without an `environment` only
    the process's own is asked, which can hold less than the files of the configuration."""
    name = PERMISSIONS.get(source)
    if name is None:
        return "not needed"
    words = (os.environ if environment is None else environment).get(name, "").strip()
    return None if words.lower() in _NOTHING else words


def permitted(
    posts: pl.DataFrame, environment: Mapping[str, str] | None = None
) -> tuple[pl.DataFrame, str | None]:
    """The posts (with a column `source`) that may be trained on or sent away, and a sentence on
    those left out, None when there are none. A source that is null is nobody's permission."""
    sources = posts["source"].unique().to_list()
    may = [one for one in sources if one is not None and permission(one, environment) is not None]
    kept = posts.filter(pl.col("source").is_in(may).fill_null(value=False))
    left = posts.height - kept.height
    if not left:
        return kept, None
    return kept, (
        f"{left:,} posts of {posts.height:,} were left out: Reddit's terms forbid to train on them"
        " or to send them away. If Reddit has permitted it in writing, say where that stands in"
        f" {PERMISSIONS['reddit']} (docs/reddit.md)."
    )
