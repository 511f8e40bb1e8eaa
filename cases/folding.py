"""The folding that query and text share: lower-case, without accents, tokens parted by one blank.

`fold` does it for a column, `fold_text` for one string in plain Python. They agree on every
character that Python's Unicode tables know; nothing is stemmed and no spelling corrected.
"""

from __future__ import annotations

import unicodedata

import polars as pl

# Letters that Unicode does not decompose although people write them both ways (cœur, coeur), the
# final sigma, which lower-casing makes of Σ by its place in the word, and two apostrophes that
# Unicode counts as letters.
LETTERS = {"œ": "oe", "æ": "ae", "ß": "ss", "ø": "o", "ς": "σ", "ʼ": " ", "ʻ": " "}

# Whatever is no letter, digit or underscore parts tokens. A lone blank is left alone: replacing
# only what is not a lone blank already takes a quarter of the time of replacing every run.
_GAP = r"[^\p{L}\p{N}_ ][^\p{L}\p{N}_]*| [^\p{L}\p{N}_]+"

# A character outside ASCII and outside the plain symbols and emoji has to be decomposed.
_DECOMPOSES = r"[^\x00-\x7F\u2600-\u27BF\U0001F300-\U0001FAFF]"


def _spaced(text: str) -> str:
    lower = unicodedata.normalize("NFKD", text).lower()
    kept = "".join(LETTERS.get(c, c) for c in lower if unicodedata.category(c)[0] != "M")
    return "".join(c if c == "_" or unicodedata.category(c)[0] in "LN" else " " for c in kept)


# What Latin text outside ASCII is nearly always made of: accented letters, typographic quotes and
# dashes, the emoji selector. Replacing these first spares most French text the decomposition,
# which is two thirds of the cost of folding.
_COMMON = {
    c: _spaced(c)
    for c in map(chr, [*range(0x80, 0x180), *range(0x2010, 0x2030), 0xFE0F])
    if _spaced(c).isascii()
}


def fold_text(text: str) -> str:
    """Fold one string: `L’IA créée` gives ` l ia creee `; a blank stands at both ends."""
    return f" {' '.join(token for token in _spaced(text).split(' ') if token)} "


def fold(expr: pl.Expr) -> pl.Expr:
    """Fold a column of strings: lower-case, accents dropped, one blank between tokens and at ends.

    Apostrophes part tokens like every other punctuation, so `l'IA` and `l’IA` are both ` l ia `.
    Null stays null. The decomposition is NFKD, so fullwidth and mathematical letters count as the
    letters they show; marks are dropped; `LETTERS` are spelled out.
    """
    latin = (
        pl.when(expr.str.len_bytes() != expr.str.len_chars())
        .then(expr)
        .str.replace_many(list(_COMMON), list(_COMMON.values()))
    )
    # NFKD before lower-casing: it brings out capitals (ℌ, ™) that lower-casing alone cannot see.
    decomposed = (
        pl.when(latin.str.contains(_DECOMPOSES))
        .then(latin)
        .str.normalize("NFKD")
        .str.to_lowercase()
        .str.replace_all(r"\p{M}+", "")
        .str.replace_many(list(LETTERS), list(LETTERS.values()))
    )
    lower = pl.coalesce(decomposed, pl.coalesce(latin, expr).str.to_lowercase())
    return pl.format(" {} ", lower.str.replace_all(_GAP, " ").str.strip_chars(" "))
