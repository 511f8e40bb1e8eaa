"""The log scores of py3langid's model for many texts at once, as numpy arrays.

The package walks a text byte by byte in Python. Here all texts take each step together, the
features of all are counted in one sort, and their rows of the model are added up. Model and
automaton are the package's own; nothing is trained or copied. Which language wins:
`analysis.language`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from py3langid.langid import MODEL_FILE, LanguageIdentifier

Scores = NDArray[np.float64]
Bytes = NDArray[np.uint8]
Places = NDArray[np.intp]
AT_ONCE = 400_000  # bytes: some tens of MB of the model's rows for the features found


@cache
def model() -> LanguageIdentifier:
    """The package's model, of all languages it knows."""
    return LanguageIdentifier.from_model_file(MODEL_FILE)


@cache
def _automaton() -> tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.int64]]:
    """The next state by row and byte, where the row of each state begins, its feature or -1."""
    known = model()
    rows = np.array(known.tk_row, np.int64) << 8
    return np.frombuffer(known.tk_nextmove, np.uint32), rows, np.array(known.tk_output, np.int64)


def raw(texts: Sequence[str], languages: Sequence[str]) -> Scores:
    """A row for each text, a column for each language: the log score without any prior of ours.

    A text without a known feature has zeros (the package: the lowest float there is, in all).
    """
    read = [_encoded(text) for text in texts]
    parts = [_scored(part, languages) for part in _portions(read)]
    return np.concatenate([np.empty((0, len(languages))), *parts])


def _encoded(text: str) -> bytes:
    """As the package reads a text (LanguageIdentifier._encode)."""
    lowered = text.lower() if text.isupper() else text
    return unicodedata.normalize("NFC", lowered).encode("utf8", errors="surrogatepass")


def _portions(texts: list[bytes]) -> Iterator[list[bytes]]:
    """The texts in portions of about AT_ONCE bytes; a text is never cut."""
    if not texts:
        return
    until = np.cumsum([len(text) + 1 for text in texts])
    cuts = np.flatnonzero(np.diff(until // AT_ONCE)) + 1
    for begin, end in pairwise([0, *cuts.tolist(), len(texts)]):
        yield texts[begin:end]


def _walk(texts: list[bytes]) -> tuple[Places, NDArray[np.int64]]:
    """Every feature in every text: the text and the feature, as often as it occurs."""
    move, rows, output = _automaton()
    length = np.array([len(text) for text in texts])
    order = np.argsort(-length, kind="stable")  # who is still walking stands in front
    start = (np.cumsum(length) - length)[order]
    joined = np.frombuffer(b"".join(texts), np.uint8)
    walking = np.searchsorted(-length[order], -np.arange(length.max(initial=0)), "left")
    state = np.zeros(length.size, np.int64)
    found, whose = [], []
    for step, many in enumerate(walking.tolist()):
        now = move[rows[state[:many]] + joined[start[:many] + step]]
        state[:many] = now
        feature = output[now]
        which = np.flatnonzero(feature >= 0)
        found.append(feature[which])
        whose.append(order[which])
    none = np.empty(0, np.int64)
    return np.concatenate([none, *whose]), np.concatenate([none, *found])


def _scored(texts: list[bytes], languages: Sequence[str]) -> Scores:
    text, feature = _walk(texts)
    features = len(model().nb_ptc)
    key, count = np.unique(text * features + feature, return_counts=True)
    weight = np.log1p(count.astype(np.float32))
    owner = key // features
    begin = np.flatnonzero(np.diff(owner, prepend=-1))
    scores = np.zeros((len(texts), len(languages)))
    if begin.size:
        table, prior, first = _columns(tuple(languages))
        rows = table.take(key % features, axis=0)
        rows *= weight[:, None]
        summed = np.add.reduceat(rows, begin) + prior
        # A language may have a column for each of its scripts; the best one counts.
        scores[owner[begin]] = np.maximum.reduceat(summed, first, axis=1)
    return scores


@cache
def _columns(
    languages: tuple[str, ...],
) -> tuple[NDArray[np.float32], NDArray[np.float32], Places]:
    """The model's columns and class priors of these languages, and where each one's begin."""
    known = model()
    columns = [
        [place for place, code in enumerate(known.nb_classes) if code == language]
        for language in languages
    ]
    chosen = [place for places in columns for place in places]
    first = np.cumsum([0, *map(len, columns[:-1])])
    table = known.nb_ptc[:, chosen].astype(np.float32)
    return table, known.nb_pc[chosen].astype(np.float32), first
