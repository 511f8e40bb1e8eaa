"""The prefilter of whole blocks: it never drops what a query takes, and drops nearly all else."""

from __future__ import annotations

import json
import random
from functools import cache
from html.entities import html5
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_query import SOURCES_OF_ASCII, Spelt, expected, queries, raws, written

from cases.blocks import Sieve
from cases.case import load_all
from cases.folding import fold, fold_text
from cases.glance import READY, Glance
from cases.query import Query, parse

pytestmark = pytest.mark.skipif(not READY, reason="no Hyperscan on this machine")
quick = settings(deadline=None, max_examples=80)


def passing(query: str | Query, *lines: bytes) -> list[bool]:
    sieve = _sieve(parse(query) if isinstance(query, str) else query)
    return sieve.passes(b"".join(line + b"\n" for line in lines)).tolist()


@cache
def _sieve(query: Query) -> Sieve:
    return Sieve([query])


def line(text: str, **others: Any) -> bytes:
    return json.dumps({"body": text, **others}, ensure_ascii=False).encode()


@quick
@given(queries, st.lists(written(), min_size=1, max_size=6))
def test_no_line_of_a_block_is_dropped_that_the_query_takes(
    query: Spelt, texts: list[tuple[str, list[str]]]
) -> None:
    parsed = parse(query.text)
    lines, taken = [], []
    for text, tokens in texts:
        forms = [raw for raw in raws(text)[:3] if b"\n" not in raw]
        lines += forms
        taken += [expected(query.tree, tokens)] * len(forms)
    kept = passing(parsed, *lines)
    assert [raw for raw, take, keep in zip(lines, taken, kept, strict=True) if take > keep] == []


@quick
@given(queries, written(), written(), st.sampled_from(["", " ", "!", " &amp; ", "é", "❤️", "\t"]))
def test_a_phrase_may_begin_in_the_title_and_go_on_in_the_body(
    query: Spelt, title: tuple[str, list[str]], body: tuple[str, list[str]], end: str
) -> None:
    text = f"{title[0]}{end}\n\n{body[0]}"
    tokens = fold_text(text).split()
    for record in (
        {"selftext": body[0], "title": title[0] + end},
        {"title": title[0] + end, "url": "x", "selftext": body[0]},
    ):
        for ascii_only in (True, False):
            raw = json.dumps(record, ensure_ascii=ascii_only).encode()
            kept = passing(query.text, raw)
            assert kept >= [expected(query.tree, tokens)] or "&" in end


LETTERS = [
    *"aiAI",
    "ａ",
    "ｉ",
    "𝐚",
    "í",
    "Á",
    "ª",
    "\u0301",
    "\ufe0f",
    "я",
    "’",
    "🙂",
    "\u200d",
    "中",
]
BETWEEN = [" ", ".", "_", "-", "\n", '"', "\\", "/", "&amp;", "&lt;", "1", "\\n", "\\u0041"]


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.sampled_from([*LETTERS, *BETWEEN]), max_size=9).map("".join),
    st.booleans(),
    st.booleans(),
)
def test_short_words_and_pairs_are_found_in_any_spelling(
    text: str, escaped: bool, spaced: bool
) -> None:
    raw = json.dumps(
        {"x": 1, "body": text}, ensure_ascii=escaped, separators=None if spaced else (",", ":")
    ).encode()
    frame = pl.DataFrame({"text": [text.replace("&amp;", "&").replace("&lt;", "<")]})
    for query in ("ai", "a.i.", "i*", '"a ai"', "ia*", "a"):
        if "*" in query and len(query) < 3:
            continue
        takes = frame.select(parse(query).mask()).item()
        assert passing(query, raw)[0] >= takes, query


def test_every_letter_that_folds_to_ascii_is_seen_in_a_block() -> None:
    texts = pl.DataFrame({"text": [f"x{c}\u0323y" for c in SOURCES_OF_ASCII]})
    folded = texts.select(fold(pl.col("text"))).to_series()
    for text, tokens in zip(texts["text"], folded, strict=True):
        for token in tokens.split():
            if token.isascii() and token.isalnum():
                assert all(passing(f'"{token}"', *raws(text)[:3])), (text, token)


@pytest.mark.parametrize(
    ("entity", "word"),
    [
        ("cr&eacute;&eacute;", "créé"),
        ("sound&#99;loud", "soundcloud"),
        ("sound&#x43;loud", "soundcloud"),
        ("sou&#110dcloud", "soundcloud"),
        ("A&amp;I", "a.i."),
        ("ai&gt;", "ai"),
        ("&lt;ai", "ai"),
        (r"cr\u0026eacute;\u0026#233;", "créé"),
        ("cr&eacute&eacute", "créé"),
        ("sou&notnd", "nd"),
        ("&ampai", "ai"),
    ],
)
def test_entities_hide_no_word(entity: str, word: str) -> None:
    raw = f'{{"body":"{entity}"}}'.encode()
    assert passing(word, raw) == [True]


def test_every_entity_of_html_is_looked_at_and_no_parameter_of_an_address() -> None:
    names = [name for name in html5 if name.lower().rstrip(";") not in ("amp", "lt", "gt")]
    glance = Glance([], {})
    for name in names:
        assert len(glance.places(memoryview(f"x&{name} y\n".encode()))["coded"]), name
    address = b"https://pictures.invalid/a.jpeg?width=640&crop=smart&auto=webp&format=pjpg&s=1f\n"
    assert not len(glance.places(memoryview(address))["coded"])


def test_lines_keep_their_places_among_others() -> None:
    rng = random.Random(3)  # noqa: S311
    hits = [
        line("the Ａ.I. thing"),
        rb'{"body":"\u0061i"}',
        line("ＡＩ"),
        line("so\nAI"),
        line("ai é"),
    ]
    others = [
        line("said again"),
        line("été"),
        rb'{"body":"\\\\said \u2026"}',
        line("中文 ’"),
        b"{}",
        b"",
    ]
    for _ in range(50):
        chosen = [rng.choice(hits + others) for _ in range(40)]
        assert passing("ai OR a.i.", *chosen) == [raw in hits for raw in chosen]


def test_keys_addresses_and_names_that_hold_a_word_do_not_count_as_it() -> None:
    record = line("nothing", author_patreon_flair=False, domain="self.x")
    assert passing("patreon AND self", record) == [False]
    assert passing("patreon AND nothing", line("nothing", author_patreon_flair=False)) == [False]
    assert passing("patreon OR community:patreon", line("x", subreddit="Patreon")) == [True]


def test_a_query_about_anything_passes_everything() -> None:
    for query in ("реклама", "source:reddit", "ai OR реклама"):
        assert Sieve([parse(query)]).open
        assert passing(query, b"{}", b"") == [True, True]


def test_each_shipped_case_passes_little_of_what_is_about_something_else() -> None:
    plain = (
        "I think your post about the music data of a user is what we all want to work on, said she."
    )
    lines = [
        line(f"{plain} {n} 🙂 “quoted” it’s", author_flair_text=None, title="Trained on a run")
        for n in range(50)
    ]
    for case in load_all().values():
        assert passing(case.query, *lines) == [False] * 50, case.name
