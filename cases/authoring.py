"""For the person who writes a case: a file to start from, what it asks for, what it presumes.

Nothing here asks a source anything.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from cases.checks import NAME, CaseError, Problem
from cases.query import Query

if TYPE_CHECKING:
    from cases.case import Case

# Reddit has no date range in its search: a phrase is asked for in every order and every period,
# and what comes back is united by id. A listing ends near 1,000 posts.
REDDIT_SORTS = ("relevance", "hot", "top", "new", "comments")
REDDIT_PERIODS = ("hour", "day", "week", "month", "year", "all")

# Folded; with *, every word that begins so. Words that state a feeling, a verdict or a parting.
# Words of the subject itself (consent, training, opt out, rights) are not among them.
_FEELING = """
boycott* theft* thief thieve* steal* stole stolen rob robbed robbing robbery plunder* loot*
betray* greed* evil shame* disgust* outrag* angry anger furious fury rage hate hated hates hating
hateful awful terrible horrible horrif* scam* scummy shady sneaky creepy gross garbage trash
enshittif* slop exploit* parasite* predatory dystopia* scandal* ruin ruined ruining ruins worst
sucks sick tired fuck* shit* bullshit* wtf love loved loves loving great amazing awesome excited
thrilled uninstall* quitting cancelled canceled cancelling canceling
vol vols vole voler voles volent volee volees voleur* voleuse* pille piller pillage* pillard*
trahi* traitre* honte* degueul* degout* ecoeur* furieu* colere* rageant haine hais deteste*
arnaque* escroc* cupid* avid avide avidite exploiteur* merde* merdique* nul nulle pourri* affreu*
ignoble* inadmissible* inacceptable* revoltant* indign* adore adorer genial geniale super
desinstall* desabonn* resili*
"""
FEELING = frozenset(_FEELING.split())


def feeling_words(query: Query) -> list[str]:
    """The words of feeling that a query names, in its order, each once.

    A query with words of feeling in it selects its own outcome: it finds the posts that feel so
    and then measures that they do. Words after NOT count too; they remove that outcome.
    """
    found = [str(t) for t in query.tokens() if _of_feeling(t.text, prefix=t.prefix)]
    return list(dict.fromkeys(found))


def _of_feeling(word: str, *, prefix: bool) -> bool:
    for listed in FEELING:
        stem = listed.removesuffix("*")
        if word == stem or (listed != stem and word.startswith(stem)):
            return True
        # boyco* asks for boycott; a shorter beginning asks for too much else to say so.
        if prefix and len(word) >= 4 and stem.startswith(word):
            return True
    return False


def plan(case: Case) -> list[str]:
    """What each source would be asked for this case, one line a request or listing."""
    lines = [
        f"bluesky: searchPosts {phrase!r} since {case.since}, page by page, in slices of time"
        for phrase in case.bluesky_search
    ]
    lines += [
        f"reddit: /r/{name}/new, at most about 1,000 posts back" for name in case.reddit_subreddits
    ]
    grid = len(REDDIT_SORTS) * len(REDDIT_PERIODS)
    lines += [
        f"reddit: /r/all/search {phrase!r}, {len(REDDIT_SORTS)} orders ({', '.join(REDDIT_SORTS)}) "
        f"x {len(REDDIT_PERIODS)} periods ({', '.join(REDDIT_PERIODS)}) = {grid} listings"
        for phrase in case.reddit_search
    ]
    return lines or ["nothing: no search phrases and no subreddits; posts come from imports only"]


def template(name: str, since: date | None = None) -> str:
    """The text of a case file to start from. It loads as it is; `since` is today by default.

    Raises CaseError when the name cannot be that of a case.
    """
    if not NAME.fullmatch(name):
        expected = "expected lower-case letters, digits and _, beginning with a letter"
        raise CaseError.of([Problem(f"{name}.toml", "file name", expected)])
    word = " ".join(name.split("_")).strip()
    shown = word.title()
    return f'''\
# A case: one controversy that is watched. docs/cases.md explains every key.
title = "{shown}: the AI clause"
platform = "{shown}"
aliases = []  # other names people use for the platform
summary = "What changed, when, and what people object to."
since = {since or datetime.now(UTC).date()}  # the first day to collect
languages = ["en", "fr"]

# Decides which posts belong to the case, whatever the source. No words of feeling: a query with
# boycott or theft in it finds the posts that feel so and then measures that they do.
query = """
"{word}"
AND (ia OR "intelligence artificielle" OR "artificial intelligence"
     OR (ai AND NOT (je OR "j'ai")))
AND (terms OR policy OR training OR consent OR "opt out"
     OR cgu OR conditions OR entrain* OR donnees)
"""

# What to ask the sources for: wide, one phrase an entry. The query filters what comes back.
[bluesky]
search = ["{word} AI", "{word} IA"]

[reddit]
subreddits = []  # names without r/
search = ["{word} AI", "{word} IA"]

# What happened. precision: hour, day, by, approx, month. kind: policy_change, discovery,
# company_response, reversal, effective, backlash_peak. Give `url` only if you have read it.
# [[event]]
# date = 2025-05-14
# precision = "day"
# kind = "company_response"
# title = "Open letter of the chief executive"
# source = "Who reported it, and when"
'''
