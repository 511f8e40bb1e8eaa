"""Scorers of stance by the names that `--scorer` takes; each says what it needs when it is used."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import polars as pl

from analysis import stance
from analysis.stance import embeddings
from cli import stance_remote
from cli.console import CONFIGURATION, Stop
from store.location import cache_folder

Name = Literal["default", "embeddings", "remote"]
Predict = Callable[[pl.DataFrame], pl.DataFrame]


def scorer(name: Name, cache: Path | None = None) -> tuple[str, Predict]:
    """A scorer's id and its `predict`, with columns in and out as `analysis.stance.predict`.

    `cache`: the folder in which the optional ones keep what they computed; None: this user's cache
    folder. Raises Stop (78) when what it needs is not installed or not set; so may `predict`.
    """
    folder = cache or cache_folder()
    if name == "remote":
        settings = stance_remote.configured(folder / "stance-remote.sqlite")
        return settings.scorer, partial(stance_remote.predict, settings=settings)
    if name == "embeddings":
        return embeddings.SCORER, partial(_by_vectors, cache=folder / "stance-vectors.sqlite")
    return stance.SCORER, stance.predict


def _by_vectors(posts: pl.DataFrame, cache: Path) -> pl.DataFrame:
    try:
        return embeddings.predict(posts, cache=cache)
    except embeddings.NotInstalled as error:
        raise Stop(str(error), CONFIGURATION) from error
    except sqlite3.Error as error:
        raise Stop(
            f"The file of vectors {cache} cannot be used ({error}). Delete it if it is damaged;"
            " they are computed anew.",
            CONFIGURATION,
        ) from error
