"""The query language: what it takes, what it refuses, and that its two filters never disagree."""

from __future__ import annotations

import json
import re
import string
import unicodedata
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cases.folding import fold_text
from cases.prefilter import passing
from cases.query import Query, QueryError, fold, parse

quick = settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))


def frame(*texts: str | None, **columns: object) -> pl.DataFrame:
    given_columns = {"source": "reddit", "community": None, "langs": [[]] * len(texts), **columns}
    schema = {"source": pl.String, "community": pl.String, "langs": pl.List(pl.String)}
    return pl.DataFrame({"text": pl.Series(texts, dtype=pl.String)}).with_columns(
        pl.lit(v, dtype=schema[k]).alias(k)
        if not isinstance(v, list)
        else pl.Series(k, v, dtype=schema[k])
        for k, v in given_columns.items()
    )


def takes(query: str, text: str | None, **columns: object) -> bool:
    return bool(frame(text, **columns).select(parse(query).mask()).item())


# --- what a query means


@pytest.mark.parametrize(
    ("query", "text", "taken"),
    [
        ("soundcloud", "SoundCloud!", True),
        ("sound", "SoundCloud", False),
        ("IA", "à cause de l'IA.", True),
        ("IA", "à cause de l’IA.", True),
        ("IA", "à cause de lʼIA.", True),
        ("ia", "media", False),
        ("l'IA", "l’ia", True),
        ("l'IA", "l' une IA", False),
        ("don't", "I DON’T agree", True),
        ("ai-first", "we are AI first now", True),
        ("ai-first", "first, AI", False),
        ("entraîn*", "Entrainement", True),
        ("entrain*", "entraîner", True),
        ("entrain*", "rentrainer", False),
        ("ai-train*", "AI training", True),
        ("oeuvre", "mon œuvre", True),
        ("œuvre", "mon OEUVRE", True),
        ("créé", "cre\u0301e\u0301", True),
        ("soundcloud", "𝐒𝐨𝐮𝐧𝐝𝐂𝐥𝐨𝐮𝐝", True),
        ("σοφος", "ΣΟΦΟΣ", True),
        ("terms ai", "AI in the terms", True),
        ("terms ai", "AI", False),
        ("a OR b", "b", True),
        ("(a OR b) c", "a b", False),
        ("a AND NOT b", "a", True),
        ("a AND NOT b", "a b", False),
        ("a AND NOT (b OR c)", "a c", False),
        ('"open letter"', "an open, letter", True),
        ('"open letter"', "letter open", False),
        ('"open letter"', "open the letter", False),
        ('"entraîn* leur* IA"', "entraîner leurs IA", True),
        ('"entraîn* leur* IA"', "entraîner une IA", False),
        ('"train music"~3', "train it on music", True),
        ('"train music"~2', "train it on music", False),
        ('"train music"~3', "music to train on", True),
        ('"entraîn* musique"~4', "ma musique pour les entraîner", True),
        ('"ai ai"~3', "ai", False),
        ('"ai ai"~3', "ai and ai", True),
        ('"ai* ai"~3', "ai", False),
        ("text:(ai OR ia)", "l'ia", True),
        ('"or" AND gold', "gold or silver", True),
        ('"or" AND gold', "gold", False),
        ("opt AND TO", "opt to", True),
        ("café\u00a0noir", "un café noir", True),
    ],
)
def test_a_query_takes_whole_folded_words(query: str, text: str, taken: bool) -> None:
    assert takes(query, text) is taken


def test_fields_look_at_what_a_post_is_beside_its_text() -> None:
    posts = frame(
        *["ai"] * 4,
        source=["reddit", "reddit", "bluesky", "bluesky"],
        community=["Duolingo", "DuolingoFrench", None, None],
        langs=[[], None, ["fr-CA", "en"], ["EN_us"]],
    )

    def which(query: str) -> list[bool]:
        return posts.select(parse(query).mask()).to_series().to_list()

    assert which("source:Bluesky") == [False, False, True, True]
    assert which("community:duolingo") == [True, False, False, False]
    assert which("community:duolingo*") == [True, True, False, False]
    assert which("lang:fr") == [False, False, True, False]
    assert which("lang:(fr OR en)") == [False, False, True, True]
    assert which("lang:en-US") == [False, False, False, True]
    assert which("ai AND NOT community:duolingo") == [False, True, True, True]
    assert which("ai AND NOT lang:fr") == [True, True, False, True]


def test_a_post_without_text_matches_nothing_and_is_never_null() -> None:
    for query in ("a", "a OR b", '"a b"~3', "a AND NOT b"):
        mask = frame(None, "").select(parse(query).mask()).to_series()
        assert mask.to_list() == [False, False]


def test_texts_folded_before_give_the_same_mask() -> None:
    posts = frame("L’IA créée", "rien", None).with_columns(folded=fold(pl.col("text")))
    query = parse('creee OR "l ia"')
    masks = posts.select(once=query.mask(pl.col("folded")), anew=query.mask())
    assert masks.rows() == [(True, True), (False, False), (False, False)]


# --- what is refused


@pytest.mark.parametrize(
    ("query", "column", "advice"),
    [
        ("", 1, "empty"),
        ("  ", 1, "empty"),
        ("a OR b c", 1, "parentheses"),
        ("x AND a OR b", 1, "parentheses"),
        ("a OR b AND c", 6, "parentheses"),
        ("NOT a", 1, "AND NOT"),
        ("a AND (NOT b)", 8, "AND NOT"),
        ("a OR NOT b", 6, "AND NOT"),
        ("a NOT b", 3, "after AND"),
        ("NOT a AND b", 1, "after AND"),
        ("a AND NOT NOT b", 11, "AND NOT"),
        ("a or b", 3, '"or"'),
        ("a And b", 3, "AND in capitals"),
        ("not", 1, "NOT in capitals"),
        ("/ab+/", 1, "regular expressions"),
        ("a [b TO c]", 3, "ranges"),
        ("a^2", 2, "boosts"),
        ("ai~", 3, "fuzzy"),
        ('"a b" ~3', 7, "fuzzy"),
        ("+a", 1, "side by side"),
        ("a -b", 3, "AND NOT"),
        ("a?b", 2, "OR"),
        ("a && b", 3, "AND"),
        ("a || b", 3, "OR"),
        ("!a", 1, "AND NOT"),
        ("a,b", 2, "comma"),
        ("“open letter”", 1, "straight quotes"),
        ("« a »", 1, "straight quotes"),
        ("'open letter'", 1, "double quotes"),
        ("a\\*", 2, "backslash"),
        ('"a \\" b"', 4, "backslash"),
        ('"open', 1, "never closed"),
        ('a"b c"', 2, "blank before"),
        ('"a"b', 4, "blank after"),
        ("(a", 1, "never closed"),
        ("a)", 2, "closes none"),
        ("a ()", 4, "nothing stands"),
        ("a OR", 5, "too soon"),
        ("a AND AND b", 7, "cannot stand here"),
        ("*", 1, "2 letters"),
        ("*ia", 1, "end of a word"),
        ("a*b", 1, "end of a word"),
        ("i*", 1, "2 letters"),
        ("l'i*", 1, "2 letters"),
        ("ai-*", 1, "2 letters"),
        ('"*"', 1, "2 letters"),
        ("...", 1, "no letter"),
        ('a "!"', 3, "no word"),
        ('"a b c"~3', 1, "two words"),
        ('"a"~3', 1, "two words"),
        ('"a b"~', 6, "how many words"),
        ('"a b"~0', 6, "how many words"),
        ('"a b"~51', 6, "how many words"),
        ('"a b"~1.5', 6, "how many words"),
        ("title:a", 1, "text, source, community, lang"),
        ("https://a.b", 7, "regular"),
        ("12:30", 1, "field"),
        ("T12:30", 1, "colon"),
        ("source:twitter", 8, "bluesky, reddit"),
        ("community:r/duolingo", 11, "name alone"),
        ('community:"a b"', 11, "single words"),
        ("lang:french", 6, "code"),
        ("source:(community:ab)", 9, "no field"),
        ("a \U0001ccd6", 3, "too new"),
        ("(" * 41 + "a" + ")" * 41, 43, "deep"),
    ],
)
def test_what_is_refused_says_where_and_what_to_write(query: str, column: int, advice: str) -> None:
    with pytest.raises(QueryError, match=rf"(?s)^column {column}: .*{re.escape(advice)}"):
        parse(query)


def test_a_long_query_names_the_line_too() -> None:
    with pytest.raises(QueryError, match=r"^line 2, column 6: "):
        parse("(a OR\n  b) ~2")


marks = "abé*\"~()&|!:+-^/\\[]{}<>?.,;'’“ 123\nANDORNOTlangtext"


@quick
@given(st.text(st.sampled_from(marks), max_size=25))
def test_no_text_breaks_the_parser_otherwise_than_with_a_query_error(text: str) -> None:
    try:
        query = parse(text)
    except QueryError:
        return
    assert parse(query.canonical()).node == query.node


def test_every_query_of_the_guide_can_be_read() -> None:
    guide = (Path(__file__).parents[1] / "docs" / "cases.md").read_text(encoding="utf-8")
    table = guide.split("| written | takes |")[1].split("\n\n")[0]
    shown = [q for row in re.findall(r"^\| (`.*?) \|", table, re.M) for q in row.split("`")[1::2]]
    shown += re.findall(r"^ {4}(\(.*)$", guide, re.M)
    assert len(shown) > 15
    assert all(parse(query).canonical() for query in shown)


# --- one spelling


def test_a_query_has_one_canonical_spelling() -> None:
    spellings = ['(ai  OR IA)\nAND "Créé  là" AND NOT x', '"cree la" (ia OR ai OR ia) AND NOT X']
    assert {parse(s).canonical() for s in spellings} == {'("cree la" AND (ai OR ia) AND NOT x)'}
    assert parse('"b a"~3').canonical() == parse('"a b"~3').canonical()
    assert parse('"b a"').canonical() != parse('"a b"').canonical()


# --- folding


def test_both_foldings_agree_on_every_character_that_python_knows() -> None:
    known = [
        chr(i)
        for i in range(0x110000)
        if not 0xD800 <= i <= 0xDFFF and unicodedata.category(chr(i)) not in ("Cn", "Co")
    ]
    # Hangul and ideographs by the thousand behave alike: every 16th is enough of them.
    some = [c for n, c in enumerate(known) if n % 16 == 0 or unicodedata.category(c) != "Lo"]
    texts = [f"a{c}Σ {c}\u0301" for c in some]
    folded = frame(*texts).select(fold(pl.col("text"))).to_series()
    differing = [t for t, f in zip(texts, folded, strict=True) if f != fold_text(t)]
    assert differing == []


@quick
@given(st.text(max_size=30).filter(lambda t: all(unicodedata.category(c) != "Cn" for c in t)))
def test_folding_is_the_same_in_both_forms_and_stable(text: str) -> None:
    folded = frame(text).select(fold(pl.col("text"))).item()
    assert folded == fold_text(text)
    assert fold_text(folded) == folded
    assert folded.startswith(" ")
    assert folded.endswith(" ")


# --- the oracle: a query evaluated over a list of words, written apart from the code under test


@dataclass(frozen=True)
class Spelt:
    """A query as written, and what it means for a list of tokens."""

    text: str
    tree: tuple[object, ...]


WORDS = ["ai", "ia", "train", "training", "terms", "cree", "oeuvre", "music"]
WRITTEN = {"ia": "IA", "cree": "créé", "oeuvre": "Œuvre", "terms": "TERMS"}
VARIANTS = {
    "ai": ["AI", "\U0001d41a\U0001d422", "ai"],
    "ia": ["IA", "l’IA", "l'ia", "ｉａ"],
    "cree": ["créé", "cre\u0301e\u0301", "CRÉÉ"],
    "oeuvre": ["œuvre", "Œuvre", "oeuvre"],
    "train": ["train", "Train", "trai\u0301n"],
    "terms": ["terms", "ter\u212bs", "termſ"],
}


def expected(tree: tuple[object, ...], tokens: list[str]) -> bool:
    kind, *rest = tree

    def fits(pattern: str, token: str) -> bool:
        return token.startswith(pattern[:-1]) if pattern.endswith("*") else token == pattern

    if kind == "words":
        return any(
            all(fits(p, t) for p, t in zip(rest, tokens[i:], strict=False))
            for i in range(len(tokens) - len(rest) + 1)
        )
    if kind == "near":
        one, other, within = rest
        return any(
            i != j and abs(i - j) <= within and fits(one, tokens[i]) and fits(other, tokens[j])
            for i in range(len(tokens))
            for j in range(len(tokens))
        )
    if kind == "or":
        return any(expected(part, tokens) for part in rest)
    if kind == "and":
        return all(expected(part, tokens) for part in rest)
    take, drop = rest
    return expected(take, tokens) and not expected(drop, tokens)


def spelt(word: str) -> str:
    return WRITTEN.get(word.rstrip("*"), word.rstrip("*")) + "*" * word.endswith("*")


words = st.sampled_from([*WORDS, "train*", "te*", "mus*", "oe*"])
single = words.map(lambda w: Spelt(spelt(w), ("words", w)))
phrase = st.lists(words, min_size=2, max_size=3).map(
    lambda ws: Spelt(f'"{" ".join(map(spelt, ws))}"', ("words", *ws))
)
near = st.tuples(words, words, st.integers(1, 4)).map(
    lambda t: Spelt(f'"{spelt(t[0])} {spelt(t[1])}"~{t[2]}', ("near", *t))
)


def joined(parts: st.SearchStrategy[Spelt]) -> st.SearchStrategy[Spelt]:
    several = st.lists(parts, min_size=2, max_size=3)
    return st.one_of(
        several.map(
            lambda p: Spelt(f"({' OR '.join(s.text for s in p)})", ("or", *(s.tree for s in p)))
        ),
        several.map(
            lambda p: Spelt(f"({' AND '.join(s.text for s in p)})", ("and", *(s.tree for s in p)))
        ),
        several.map(
            lambda p: Spelt(f"({' '.join(s.text for s in p)})", ("and", *(s.tree for s in p)))
        ),
        st.tuples(parts, parts).map(
            lambda p: Spelt(f"({p[0].text} AND NOT {p[1].text})", ("not", p[0].tree, p[1].tree))
        ),
    )


queries = st.recursive(st.one_of(single, phrase, near), joined, max_leaves=6)
token_lists = st.lists(st.sampled_from([*WORDS, "the", "trainer", "reclame"]), max_size=9)
gaps = st.sampled_from([" ", ", ", "\n\n", " — ", "\u00a0", "... ", " 😀 ", "'", "’", "-"])


@st.composite
def written(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A text in odd letters and punctuation, and the tokens it should be read as."""
    text, tokens = "", []
    for token in draw(token_lists):
        word = draw(st.sampled_from(VARIANTS.get(token, [token, token.upper()])))
        # Several tokens where the variant holds an article (l’IA).
        tokens += fold_text(word).split()
        text += word + draw(gaps)
    return text, tokens


@quick
@given(queries, st.lists(written(), min_size=1, max_size=8))
def test_a_mask_says_what_an_evaluation_word_by_word_says(
    query: Spelt, texts: list[tuple[str, list[str]]]
) -> None:
    parsed = parse(query.text)
    mask = frame(*(text for text, _ in texts)).select(parsed.mask()).to_series()
    assert mask.to_list() == [expected(query.tree, tokens) for _, tokens in texts]
    assert parse(parsed.canonical()).node == parsed.node


# --- the prefilter


def escaped(text: str, every: bool) -> str:
    """A JSON string with \\u escapes for what is not ASCII, or for every character."""
    units = text.encode("utf-16-be", "surrogatepass")
    codes = [int.from_bytes(units[i : i + 2], "big") for i in range(0, len(units), 2)]
    if not every:
        return json.dumps(text)
    return '"' + "".join(f"\\u{code:04X}" for code in codes) + '"'


def raws(text: str) -> list[bytes]:
    return [
        json.dumps({"text": text}, ensure_ascii=False).encode(),
        json.dumps({"text": text}).encode(),
        f'{{"text":{escaped(text, every=True)}}}'.encode(),
        text.encode(),
    ]


@quick
@given(queries, written())
def test_the_prefilter_never_drops_what_the_query_takes(
    query: Spelt, text: tuple[str, list[str]]
) -> None:
    parsed = parse(query.text)
    if expected(query.tree, text[1]):
        assert all(parsed.passes(raw) for raw in raws(text[0]))


SOURCES_OF_ASCII = [
    chr(i)
    for i in range(0x80, 0x20000)
    if not 0xD800 <= i <= 0xDFFF
    and set(unicodedata.normalize("NFKD", chr(i)).lower()) & set(string.ascii_lowercase)
] + [*"œæßøŒÆẞØ\U0001ccd6\U0001ccf9\ua7f1"]


def test_the_prefilter_finds_every_letter_that_folds_to_ascii() -> None:
    texts = pl.DataFrame({"text": [f"x{c}\u0323y" for c in SOURCES_OF_ASCII]})
    tokens = texts.select(fold(pl.col("text"))).to_series()
    dropped = []
    for text, folded in zip(texts["text"], tokens, strict=True):
        for token in folded.split():
            if token.isascii() and not all(map(passing(frozenset({token})), raws(text))):
                dropped.append(text)
    assert dropped == []


@quick
@given(st.text(st.sampled_from('ab\\u0061é\u0301\n"/'), max_size=14))
def test_backslashes_in_a_text_are_no_escapes(text: str) -> None:
    for token in fold_text(text).split():
        query = parse(f'"{token}"')
        assert takes(f'"{token}"', text)
        assert all(query.passes(raw) for raw in raws(text))


@pytest.mark.parametrize(
    ("query", "fragments"),
    [
        ("soundcloud AND (ai OR ia)", {"soundcloud"}),
        ("ai AND (terms OR entraîn*)", {"terms", "entrain"}),
        ('"open letter" OR "l\'IA générative"', {"letter", "generative"}),
        ("soundcloud AND NOT remix", {"soundcloud"}),
        ("community:duolingo AND source:reddit", {"duolingo"}),
        ("реклама", None),
        ("ai OR реклама", None),
        ("ai AND реклама", {"ai"}),
        ("source:reddit", None),
        ("lang:fr OR ai", None),
    ],
)
def test_the_necessary_words_are_those_that_let_the_fewest_records_through(
    query: str, fragments: set[str] | None
) -> None:
    assert parse(query).necessary() == fragments


def test_the_prefilter_drops_what_it_can_tell_apart() -> None:
    query = parse("créé AND soundcloud")
    assert not query.passes('{"text":"a mix of last summer, très été 😀"}'.encode())
    assert not query.passes(rb'{"text":"sound\ncloud \u00e9t\u00e9"}')
    assert query.passes(b'{"text":"SOUNDCLOUD"}')
    assert Query(parse("реклама").node, "").passes(b"{}")
