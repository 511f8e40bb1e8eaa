"""Case files: what loads, what is refused and how it says so, and what the shipped ones take."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

import cases.case as case_files
from cases.case import Case, CaseError, feeling_words, get, load, load_all, plan, template
from cases.query import parse

GOOD = '''
title = "Tootle: the AI clause"
platform = "Tootle"
aliases = ["Tootel"]
summary = "An invented platform amends its terms."
since = 2024-03-01
languages = ["en", "fr"]
query = """
tootle
AND (ai OR IA)"""

[bluesky]
search = ["Tootle AI", "Tootle IA"]

[reddit]
subreddits = ["tootle", "Music_Makers"]
search = ["Tootle AI"]

[[event]]
date = 2024-03-07
precision = "day"
kind = "policy_change"
title = "Terms amended"
source = "The invented Gazette"
url = "https://example.org/terms"

[[event]]
date = "2024-03"
precision = "month"
kind = "reversal"
title = "Terms amended again"
source = "The invented Gazette"

[[event]]
date = 2024-03-09T10:00:00+02:00
precision = "hour"
kind = "discovery"
title = "Noticed"
source = "The invented Gazette"
'''


def case(tmp_path: Path, text: str = GOOD, name: str = "tootle") -> Case:
    path = tmp_path / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return load(path)


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new, 1)


# --- loading


def test_a_case_file_becomes_a_case(tmp_path: Path) -> None:
    loaded = case(tmp_path)
    assert (loaded.name, loaded.platform, loaded.aliases) == ("tootle", "Tootle", ("Tootel",))
    assert (loaded.since, loaded.languages, loaded.demo) == (date(2024, 3, 1), ("en", "fr"), False)
    assert loaded.query.canonical() == "((ai OR ia) AND tootle)"
    assert loaded.bluesky_search == ("Tootle AI", "Tootle IA")
    assert loaded.reddit_subreddits == ("tootle", "Music_Makers")
    assert [(e.date, e.precision, e.kind) for e in loaded.events] == [
        (datetime(2024, 3, 7, tzinfo=UTC), "day", "policy_change"),
        (datetime(2024, 3, 9, 8, tzinfo=UTC), "hour", "discovery"),
        (datetime(2024, 3, 1, tzinfo=UTC), "month", "reversal"),
    ]
    assert [e.url for e in loaded.events] == ["https://example.org/terms", None, None]


@pytest.mark.parametrize(
    ("old", "new", "key", "expected"),
    [
        ('title = "Tootle: the AI clause"', "", "title", "not empty, found nothing"),
        ('platform = "Tootle"', 'platform = ""', "platform", "not empty, found ''"),
        ('platform = "Tootle"', "platform = 3", "platform", "not empty, found 3"),
        ('aliases = ["Tootel"]', 'aliases = "Tootel"', "aliases", "list of texts"),
        ("since = 2024-03-01", 'since = "2024-03-01"', "since", "date such as 2025-05-14"),
        ("since = 2024-03-01", "since = 2024-03-01T00:00:00Z", "since", "date such as"),
        ('["en", "fr"]', '["english"]', "languages", "codes such as en"),
        ('["en", "fr"]', "[]", "languages", "at least one"),
        ('["en", "fr"]', '["en", "en"]', "languages", "each entry once"),
        ("AND (ai OR IA)", "AND (ai OR IA", "query", "line 2, column 5: this parenthesis"),
        ("[bluesky]", "[blusky]", "blusky", "no such key; expected one of title"),
        ("[bluesky]\nsearch", "[bluesky]\nphrases", "bluesky.phrases", "no such key"),
        ("[bluesky]\nsearch = [", "bluesky = [", "bluesky", "written as [bluesky]"),
        ('"Tootle AI", "Tootle IA"', '"a OR b"', "bluesky.search", "one phrase an entry"),
        ('"Tootle AI", "Tootle IA"', '"*"', "bluesky.search", "letter or digit"),
        ('"Tootle AI", "Tootle IA"', f'"{"a" * 513}"', "bluesky.search", "at most 512"),
        ('"tootle", "Mu', '"r/tootle", "Mu', "reddit.subreddits", "without r/"),
        ('"tootle", "Mu', '"tootle", "Tootle", "Mu', "reddit.subreddits", "each entry once"),
        ('precision = "day"', 'precision = "exact"', "event 1, precision", "hour, day, by, approx"),
        ('kind = "policy_change"', 'kind = "x"', "event 1, kind", "policy_change, discovery"),
        ("date = 2024-03-07", "date = 2024-02-29", "event 1, date", "not before since"),
        ("date = 2024-03-07", 'date = "2024-03-07"', "event 1, date", "a date such as"),
        ("date = 2024-03-07", "date = 2024-03-07T10:00:00Z", "event 1, date", "precision day"),
        ('date = "2024-03"', 'date = "2024-13"', "event 2, date", 'such as "2025-05"'),
        ('date = "2024-03"', 'date = "2024-02"', "event 2, date", "not before since"),
        ("T10:00:00+02:00", "T10:00:00", "event 3, date", "time and zone"),
        ("https://example.org/terms", "http://example.org", "event 1, url", "https://"),
        ("https://example.org/terms", "https://", "event 1, url", "https://"),
        ('title = "Terms amended"\n', 'title = "T"\nby = "x"\n', "event 1, by", "no such key"),
        ('title = "Terms amended"\nsource', "source", "event 1, title", "not empty"),
    ],
)
def test_what_is_wrong_is_named_by_file_key_and_what_was_expected(
    tmp_path: Path, old: str, new: str, key: str, expected: str
) -> None:
    with pytest.raises(CaseError) as caught:
        case(tmp_path, changed(old, new))
    error = caught.value
    assert (error.file, error.key) == ("tootle.toml", key)
    assert expected in error.expected
    assert f"tootle.toml: {key}: " in str(error)


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("2024-03-01", "2024").replace('"policy_change"', '"oops"')
    with pytest.raises(CaseError) as caught:
        case(tmp_path, text.replace("tootle\nAND", "tootle\nAND AND"))
    assert [p.key for p in caught.value.problems] == ["since", "query", "event 1, kind"]
    assert len(str(caught.value).splitlines()) == 3


def test_the_same_event_twice_is_refused(tmp_path: Path) -> None:
    event = GOOD[GOOD.index("[[event]]") : GOOD.index("[[event]]", GOOD.index("[[event]]") + 1)]
    with pytest.raises(CaseError, match="event 4, title: expected each event once"):
        case(tmp_path, GOOD + event)


def test_a_month_that_ends_after_since_is_not_before_it(tmp_path: Path) -> None:
    text = changed("since = 2024-03-01", "since = 2024-03-05")
    assert case(tmp_path, text).events[-1].date == datetime(2024, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize("content", [b"title = ", "title = 'é'".encode("latin-1")])
def test_a_file_that_is_no_toml_says_so(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    with pytest.raises(CaseError, match=r"broken\.toml: file: expected TOML in UTF-8"):
        load(path)


def test_a_file_needs_a_name_that_can_be_typed(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match=r"My Case\.toml: file name: expected lower-case"):
        case(tmp_path, name="My Case")


# --- which cases there are

SHIPPED = {"soundcloud", "duolingo", "zoom", "deviantart", "slack", "ai_policy"}


def test_ones_own_cases_come_beside_the_shipped_ones_and_win(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AFTERSHOCK_CASES", str(tmp_path))
    case(tmp_path)
    case(tmp_path, name="duolingo")
    known = load_all()
    assert set(known) == SHIPPED | {"tootle"}
    assert known["duolingo"].platform == "Tootle"
    assert get("duolingo") == known["duolingo"]
    assert case_files.folder() == tmp_path


def test_an_unknown_name_is_answered_with_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AFTERSHOCK_CASES", raising=False)
    assert set(load_all()) == SHIPPED
    with pytest.raises(CaseError, match=r"'sundcloud'.*duolingo.*soundcloud"):
        get("sundcloud")


def test_a_broken_case_stops_the_list_but_not_its_neighbours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AFTERSHOCK_CASES", str(tmp_path))
    (tmp_path / "broken.toml").write_text("since = 1")
    (tmp_path / "worse.toml").write_text("=")
    assert get("soundcloud").platform == "SoundCloud"
    with pytest.raises(CaseError, match=r"(?s)broken\.toml: since.*worse\.toml: file"):
        load_all()


def test_a_folder_of_cases_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFTERSHOCK_CASES", "/nowhere/cases")
    with pytest.raises(CaseError, match="AFTERSHOCK_CASES names /nowhere/cases"):
        load_all()


# --- the query hash


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Tootle: the AI clause", "Another title"),
        ("An invented platform", "A made-up platform"),
        ("Terms amended again", "Terms rewritten"),
        ("since = 2024-03-01", "since = 2024-02-01"),
        ("tootle\nAND (ai OR IA)", "( ia OR  AI ) TOOTLE"),
        ('"Tootle AI", "Tootle IA"', '"Tootle  IA","Tootle AI"'),
        ('"tootle", "Music_Makers"', '"music_makers", "tootle"'),
    ],
)
def test_words_about_a_case_and_white_space_leave_the_query_hash(
    tmp_path: Path, old: str, new: str
) -> None:
    before = case(tmp_path).query_hash
    assert re.fullmatch(r"[0-9a-f]{16}", before)
    assert case(tmp_path, changed(old, new)).query_hash == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("(ai OR IA)", "(ai OR IA OR llm)"),
        ("(ai OR IA)", '"ai ia"'),
        ('"Tootle AI", "Tootle IA"', '"Tootle AI"'),
        ('"tootle", "Music_Makers"', '"tootle"'),
        ('search = ["Tootle AI"]', 'search = ["Tootle IA"]'),
    ],
)
def test_what_decides_which_posts_are_in_changes_the_query_hash(
    tmp_path: Path, old: str, new: str
) -> None:
    before = case(tmp_path).query_hash
    assert case(tmp_path, changed(old, new)).query_hash != before


# --- for the person who writes a case


def test_a_template_loads_as_it_is_and_holds_no_words_of_feeling(tmp_path: Path) -> None:
    loaded = case(tmp_path, template("my_case", date(2026, 1, 5)), name="my_case")
    assert loaded.since == date(2026, 1, 5)
    assert feeling_words(loaded.query) == []
    assert loaded.query.necessary() is not None
    with pytest.raises(CaseError, match="file name"):
        template("../my_case")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("tootle AND (boycott OR stealing)", ["boycott", "stealing"]),
        ("tootle AND (vol OR Trahison OR honteux)", ["honteux", "trahison", "vol"]),
        ("tootle AND boyc*", ["boyc*"]),
        ('tootle AND "AI theft"~4', ["theft"]),
        ("tootle AND NOT love", ["love"]),
        ("tootle AND (consent* OR train* OR entraîn* OR droits OR volume OR pillow)", []),
    ],
)
def test_words_of_feeling_are_found_in_both_languages(query: str, found: list[str]) -> None:
    assert sorted(feeling_words(parse(query))) == found


def test_the_plan_says_what_each_source_would_be_asked(tmp_path: Path) -> None:
    lines = plan(case(tmp_path))
    assert [line.split(",")[0] for line in lines] == [
        "bluesky: searchPosts 'Tootle AI' since 2024-03-01",
        "bluesky: searchPosts 'Tootle IA' since 2024-03-01",
        "reddit: /r/tootle/new",
        "reddit: /r/Music_Makers/new",
        "reddit: /r/all/search 'Tootle AI'",
    ]
    assert lines[-1].endswith("= 30 listings")
    silent = replace(case(tmp_path), bluesky_search=(), reddit_subreddits=(), reddit_search=())
    assert "imports only" in plan(silent)[0]


# --- the shipped cases, against posts invented for them

TAKEN = {
    "soundcloud": [
        "SoundCloud quietly changed its terms so they can train AI on our uploads",
        "so sound cloud's A.I. clause... did anyone consent to this?",
        "Is there an opt-out for the AI stuff on SoundCloud?",
        "SoundCloud says it never used artist content for training AI models",
        "SoundCloud change ses conditions d’utilisation : vos sons peuvent entraîner une IA",
        "J'ai lu les CGU de SoundCloud, l’IA y est bien. Je n'ai jamais donné mon accord.",
        "J'ai vu que SoundCloud veut entraîner une AI avec nos morceaux",
        "L'intelligence artificielle et SoundCloud : aucun consentement demandé",
    ],
    "duolingo": [
        "Duolingo is going AI-first and replacing contractors",
        "@duolingo why the AI memo",
        "Duolingo remplace ses traducteurs par l'IA",
        "J'ai supprimé Duolingo, l'intelligence artificielle partout",
    ],
    "zoom": [
        "Zoom's terms of service now let it train AI on your calls",
        "zoom says no customer content will be used for its AI",
        "Zoom modifie ses conditions d'utilisation pour nourrir son IA",
        "Zoom : entraîner une IA avec nos visios ? sans consentement ?",
    ],
    "deviantart": [
        "DeviantArt opted everyone in to AI datasets by default",
        "DreamUp on Deviant Art: where is the opt out",
        "DeviantArt : toutes les œuvres dans un jeu de données d'IA, par défaut",
    ],
    "slack": [
        "Slack trains its AI on your messages, opt out by e-mail only",
        "Slack's privacy principles and machine learning, a thread",
        "Slack entraîne son IA sur vos messages privés par défaut",
    ],
    "ai_policy": [
        "Chirpnest's new terms of service let them train AI on your posts, opt out hidden",
        "another app uses our data for AI training by default",
        "Chirpnest : l'IA sera entraînée sur vos publications, nouvelles conditions d’utilisation",
        "Comment s'opposer à ce que mes données servent à l'intelligence artificielle ? CGU floues",
    ],
}

NEAR_MISSES = {
    "soundcloud": [
        "New mix on SoundCloud, link in bio",
        "Nouveau mix en ligne sur SoundCloud, j'ai bossé dessus tout l'été",
        "J'ai mis mes morceaux sur SoundCloud, données et droits bien au clair",
        "Je suis en train d'uploader sur SoundCloud, j'ai enfin fini",
        "My SoundCloud feed is full of AI remixes",
        "This AI cover on SoundCloud is 3 minutes long",
        "The media about SoundCloud's terms said nothing new",
        "Bandcamp changed its terms about AI training",
        "SoundCloud's new terms raise the upload limit",
    ],
    "duolingo": [
        "500 day streak on Duolingo!",
        "J'ai fini ma leçon Duolingo, je n'ai plus de cœurs",
        "I said again that Duolingo is fun",
        "Babbel is going AI-first",
    ],
    "zoom": [
        "Zoom in on the AI-generated hands",
        "Zoom sur l'IA : notre dossier du mois",
        "J'ai raté ma réunion Zoom, je lis les conditions d'utilisation à la place",
        "Zoom's terms of service are long",
    ],
    "deviantart": [
        "My new drawing is on DeviantArt",
        "J'ai posté un dessin sur DeviantArt, par défaut en privé",
        "An AI picture on DeviantArt got 3 comments",
    ],
    "slack": [
        "Cut the AI people some slack",
        "J'ai vos messages sur Slack, je réponds demain",
        "Slack is down, opt out of the meeting",
    ],
    "ai_policy": [
        "I asked an AI for a recipe",
        "J'ai accepté les conditions d'utilisation, je garde mes photos",
        "The terms of service changed, your data is safe",
        "L'IA progresse vite cette année",
    ],
}


def _rows(texts: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [(name, text) for name, posts in texts.items() for text in posts]


def _takes(name: str, text: str, community: str | None = None) -> bool:
    posts = pl.DataFrame(
        {"text": [text], "source": ["reddit"], "community": [community], "langs": [[]]},
        schema_overrides={"community": pl.String, "langs": pl.List(pl.String)},
    )
    query = get(name).query
    taken = bool(posts.select(query.mask()).item())
    assert query.passes(f"{text} {community}".encode()) or not taken
    return taken


@pytest.mark.parametrize(("name", "text"), _rows(TAKEN))
def test_a_shipped_case_takes_what_it_is_about(name: str, text: str) -> None:
    assert _takes(name, text)


@pytest.mark.parametrize(("name", "text"), _rows(NEAR_MISSES))
def test_a_shipped_case_leaves_what_only_looks_alike(name: str, text: str) -> None:
    assert not _takes(name, text)


def test_a_post_in_the_platforms_own_subreddit_need_not_name_it() -> None:
    assert _takes("duolingo", "so it is AI-first now", community="duolingo")
    assert not _takes("duolingo", "so it is AI-first now", community="languagelearning")


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_a_shipped_case_is_neutral_bilingual_and_can_be_prefiltered(name: str) -> None:
    shipped = get(name)
    assert feeling_words(shipped.query) == []
    assert shipped.languages == ("en", "fr")
    assert shipped.query.necessary()
    assert shipped.bluesky_search
    assert shipped.reddit_subreddits
    assert all(event.source for event in shipped.events)


def test_the_founding_case_states_its_dates_as_precisely_as_they_are_known() -> None:
    events = [(f"{e.date:%Y-%m-%d}", e.precision, e.kind) for e in get("soundcloud").events]
    assert sorted(events) == [
        ("2024-02-07", "day", "policy_change"),
        ("2024-02-12", "day", "policy_change"),
        ("2025-05-01", "month", "reversal"),
        ("2025-05-09", "day", "discovery"),
        ("2025-05-12", "day", "company_response"),
        ("2025-05-14", "day", "company_response"),
    ]


def test_an_event_of_a_month_comes_after_the_days_it_may_follow() -> None:
    events = get("soundcloud").events
    kinds = [event.kind for event in events]
    assert kinds.index("discovery") < kinds.index("reversal")
    reversal = events[kinds.index("reversal")]
    assert (reversal.when, reversal.last) == ("May 2025 (day not known)", date(2025, 5, 31))
    assert events[0].when == "7 Feb 2024"
