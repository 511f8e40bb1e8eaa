"""Import of a Reddit dump: how fast lines are sorted out, beside the usual loop and bare unpacking.

Writes an invented archive of 2 GB of text (BENCH_DUMP_MB), a third of it submissions, in a frame
with the window of Reddit's monthly dumps; measures each road in a process of its own on one core.
"""

from __future__ import annotations

import io
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import zstandard

from benchmarks.measure import Measured, forget_peak, measured, peak_mb

MEGABYTES = int(os.environ.get("BENCH_DUMP_MB", "2000"))
PIECE = 1 << 22
WINDOW = 31
POOL = 40_000  # records before they come again: far beyond what a compressor of this level sees
BEGIN = 1_746_057_600  # May 2025

PLAIN = [
    "the",
    "a",
    "to",
    "of",
    "and",
    "in",
    "is",
    "it",
    "that",
    "for",
    "on",
    "with",
    "as",
    "this",
    "was",
    "at",
    "be",
    "by",
    "are",
    "we",
    "you",
    "they",
    "our",
    "your",
    "their",
    "i",
    "my",
    "me",
    "not",
    "have",
    "but",
    "so",
    "if",
    "just",
    "like",
    "what",
    "about",
    "how",
    "all",
    "when",
    "can",
    "would",
    "out",
    "up",
    "there",
    "get",
    "more",
    "from",
    "one",
    "no",
    "or",
    "has",
    "time",
    "people",
    "do",
    "know",
    "really",
    "think",
    "going",
    "want",
    "good",
    "make",
    "game",
    "still",
    "because",
    "them",
    "some",
    "any",
    "then",
    "now",
    "only",
    "even",
    "been",
    "who",
    "well",
    "also",
    "way",
    "new",
    "much",
    "could",
    "work",
    "need",
    "back",
    "see",
    "him",
    "other",
    "did",
    "first",
    "after",
    "never",
    "something",
    "same",
    "thing",
    "every",
    "year",
    "most",
    "over",
    "day",
    "too",
    "being",
    "where",
    "those",
    "very",
    "use",
    "should",
    "into",
    "made",
    "help",
    "right",
    "why",
    "since",
    "sure",
    "long",
    "play",
    "find",
    "best",
    "around",
    "say",
    "take",
    "life",
    "old",
    "looking",
    "music",
    "account",
    "update",
    "video",
    "post",
    "comment",
    "thanks",
    "please",
    "today",
    "week",
    "read",
    "wrote",
    "company",
    "change",
    "page",
    "share",
    "user",
    "data",
    "content",
    "your",
    "training",
    "school",
    "phone",
    "car",
    "house",
    "money",
    "job",
]
FRENCH = [
    "je",
    "ne",
    "sais",
    "pas",
    "pourquoi",
    "c'est",
    "très",
    "déçu",
    "par",
    "cette",
    "décision,",
    "ça",
    "fait",
    "déjà",
    "un",
    "an",
    "que",
    "la",
    "qualité",
    "baisse",
    "et",
    "l’équipe",
    "n’a",
    "rien",
    "expliqué",
    "à",
    "propos",
    "des",
    "œuvres",
]
SIGNS = ("’s", "…", " — ", " “so”", " 😂", " ❤️", " 👍🏽", "é", " &amp; ", "\n\n&gt; quoted")
SUBREDDITS = [
    "AskReddit",
    "gaming",
    "funny",
    "teenagers",
    "relationships",
    "memes",
    "worldnews",
    "music",
    "technology",
    "movies",
    "nba",
    "soccer",
    "anime",
    "WeAreTheMusicMakers",
    "languagelearning",
    "france",
]
# One record in fifty names a platform that is watched, one in three hundred is about its policy.
PLATFORMS = [
    "soundcloud",
    "duolingo",
    "slack",
    "zoom",
    "deviantart",
    "figma",
    "bandcamp",
    "patreon",
    "substack",
    "tumblr",
    "wattpad",
    "artstation",
    "behance",
    "fiverr",
    "upwork",
    "canva",
    "dropbox",
    "grammarly",
    "pinterest",
]
ABOUT = "{} changed its terms and will use my work for AI training unless you opt out"
OWN = """
title = "{0}"
platform = "{0}"
summary = "Invented."
since = 2025-01-01
languages = ["en"]
query = '''({0} OR community:{0}) AND (ai OR ia OR "a.i." OR genai OR llm)
AND (terms OR tos OR policy OR training OR trained OR scrape OR dataset* OR "opt out")'''
"""
# Fields of the dumps of 2025 that carry nothing here; they are most of a record's bytes.
_NONE = [
    "approved_at_utc",
    "approved_by",
    "author_flair_background_color",
    "author_flair_css_class",
    "author_flair_template_id",
    "author_flair_text",
    "author_flair_text_color",
    "banned_at_utc",
    "banned_by",
    "distinguished",
    "likes",
    "mod_note",
    "mod_reason_by",
    "mod_reason_title",
    "removal_reason",
]
_NONE_RS = [
    "category",
    "content_categories",
    "discussion_type",
    "link_flair_css_class",
    "link_flair_text",
    "media",
    "post_hint",
    "removed_by",
    "removed_by_category",
    "secure_media",
    "suggested_sort",
    "thumbnail_height",
    "thumbnail_width",
    "top_awarded_type",
    "view_count",
]
_NONE_RC = [
    "associated_award",
    "collapsed_because_crowd_control",
    "collapsed_reason",
    "collapsed_reason_code",
    "comment_type",
    "top_awarded_type",
    "unrepliable_reason",
]
_FALSE = [
    "archived",
    "author_is_blocked",
    "author_patreon_flair",
    "author_premium",
    "can_gild",
    "can_mod_post",
    "edited",
    "locked",
    "no_follow",
    "saved",
    "stickied",
]
_FALSE_RS = [
    "allow_live_comments",
    "clicked",
    "contest_mode",
    "hidden",
    "hide_score",
    "is_created_from_ads_ui",
    "is_meta",
    "is_original_content",
    "is_reddit_media_domain",
    "is_video",
    "media_only",
    "over_18",
    "pinned",
    "quarantine",
    "spoiler",
    "visited",
]
_EMPTY = "all_awardings author_flair_richtext awarders mod_reports report_reasons treatment_tags"


def main() -> list[str]:
    """Measure all roads and give the lines to print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        size = write(folder, MEGABYTES)
        figures = {road: _apart(road, folder) for road in ROADS}
    mb = size / 1e6
    lines = [f"{mb:,.0f} MB of dumps, 20 cases, one core", f"{'':34}{'MB/s':>8}{'peak MB':>10}"]
    speed = {}
    for road, one in figures.items():
        speed[road] = mb / one["cpu"]
        lines.append(f"{road:34}{speed[road]:>8,.0f}{one['peak']:>10,.0f}")
    for road in ("import", "import, one case"):
        lines.append(
            f"{road}: {speed[road] / speed['the usual loop']:.1f} times the usual loop,"
            f" {speed[road] / speed['unpacking alone']:.2f} of unpacking alone"
        )
    return lines


def write(folder: Path, megabytes: int, *, window: int = WINDOW) -> int:
    """Write RS.zst, RC.zst and the cases; returns the bytes of text."""
    for name in PLATFORMS[5:]:
        (folder / f"{name}.toml").write_text(OWN.format(name))
    rng = random.Random(20250501)
    size = 0
    for name, make, share in (("RS", _submission, 1 / 3), ("RC", _comment, 2 / 3)):
        records = [
            json.dumps(make(rng), ensure_ascii=False, separators=(",", ":")) for _ in range(POOL)
        ]
        size += _pack(folder / f"{name}.zst", _numbered(records), megabytes * 1e6 * share, window)
    return size


def _numbered(records: list[str]) -> Iterator[bytes]:
    """The records over and over, each with an id and a time of its own."""
    number = 0
    while True:
        for record in records:
            number += 1
            fresh = record.replace("#id#", f"{number:x}").replace("#root#", f"{number % 9999:x}")
            yield fresh.replace("17460", f"{17460 + number // 50_000}", 1).encode() + b"\n"


def _pack(path: Path, lines: Iterator[bytes], size: float, window: int) -> int:
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=window)
    written = 0
    with (
        path.open("wb") as file,
        zstandard.ZstdCompressor(compression_params=parameters).stream_writer(file) as packed,
    ):
        piece = bytearray()
        while written < size:
            piece += next(lines)
            if len(piece) >= PIECE:
                written += packed.write(piece) and len(piece)
                piece.clear()
    return written


def _text(rng: random.Random, mean: float) -> str:
    count = max(3, int(rng.expovariate(5 / mean)))
    if rng.random() < 0.02:
        words = rng.choices(FRENCH, k=count)
    else:
        words = [PLAIN[int(rng.random() * rng.random() * len(PLAIN))] for _ in range(count)]
    for chance, choices in ((0.5, (".", ",", "!", '"', "\n\n")), (0.12, SIGNS)):
        if rng.random() < chance:
            for _ in range(1 + count // 30):
                words[rng.randrange(count)] += rng.choice(choices)
    lot = rng.random()
    if lot < 1 / 300:
        words.append(ABOUT.format(rng.choice(PLATFORMS)))
    elif lot < 1 / 50:
        words.append(rng.choice(PLATFORMS))
    elif lot < 1 / 30:
        words.append(rng.choice(("AI", "an AI.", "ChatGPT and AI")))
    return " ".join(words)


def _shared(rng: random.Random) -> dict[str, object]:
    subreddit = rng.choice(SUBREDDITS)
    return {
        **dict.fromkeys(_NONE),
        **dict.fromkeys(_FALSE, False),
        **{name: [] for name in _EMPTY.split()},
        "_meta": {"retrieved_2nd_on": BEGIN + 129_600},
        "author": f"writer{rng.getrandbits(24):x}",
        "author_flair_type": "text",
        "author_fullname": f"t2_{rng.getrandbits(32):x}",
        "created_utc": BEGIN + rng.randrange(9999),
        "downs": 0,
        "gilded": 0,
        "gildings": {},
        "id": "#id#",
        "num_reports": 0,
        "retrieved_on": BEGIN + 15,
        "score": rng.randrange(100),
        "send_replies": True,
        "subreddit": subreddit,
        "subreddit_id": f"t5_{rng.getrandbits(24):x}",
        "subreddit_name_prefixed": f"r/{subreddit}",
        "subreddit_type": "public",
        "total_awards_received": 0,
        "updated_on": BEGIN + 99,
        "user_reports": [],
    }


def _submission(rng: random.Random) -> dict[str, object]:
    shared = _shared(rng)
    title = _text(rng, 45)[:300]
    slug = "_".join(title.split()[:4])
    gone = rng.random() < 0.195  # deleted or removed within 36 hours, as in January 2026
    body = "[removed]" if gone else _text(rng, 350) if rng.random() < 0.6 else ""
    return dict(
        sorted(
            {
                **shared,
                **dict.fromkeys(_NONE_RS),
                **dict.fromkeys(_FALSE_RS, False),
                "_meta": {"retrieved_2nd_on": BEGIN + 129_600, "was_deleted_later": gone},
                "domain": f"self.{shared['subreddit']}",
                "is_crosspostable": True,
                "is_robot_indexable": True,
                "is_self": True,
                "link_flair_background_color": "",
                "link_flair_richtext": [],
                "link_flair_text_color": "dark",
                "link_flair_type": "text",
                "media_embed": {},
                "name": "t3_#id#",
                "num_comments": rng.randrange(90),
                "num_crossposts": 0,
                "permalink": f"/r/{shared['subreddit']}/comments/#id#/{slug}/",
                "secure_media_embed": {},
                "selftext": body,
                "subreddit_subscribers": rng.randrange(1 << 20),
                "thumbnail": "self",
                "title": title,
                "upvote_ratio": 0.77,
                "url": f"https://www.reddit.com/r/{shared['subreddit']}/comments/#id#/",
                "whitelist_status": "all_ads",
                "wls": 6,
            }.items()
        )
    )


def _comment(rng: random.Random) -> dict[str, object]:
    shared = _shared(rng)
    gone = rng.random() < 0.035
    return dict(
        sorted(
            {
                **shared,
                **dict.fromkeys(_NONE_RC),
                "body": "[deleted]" if gone else _text(rng, 156),
                "collapsed": False,
                "controversiality": 0,
                "is_submitter": False,
                "link_id": "t3_#root#",
                "name": "t1_#id#",
                "parent_id": "t3_#root#",
                "permalink": f"/r/{shared['subreddit']}/comments/#root#/x/#id#/",
                "replies": "",
                "score_hidden": False,
            }.items()
        )
    )


def _apart(road: str, folder: Path) -> dict[str, float]:
    """A road in a process of its own: CPU seconds and the highest memory in MB."""
    env = os.environ | {
        "POLARS_MAX_THREADS": "1",
        "AFTERSHOCK_STORE": str(folder / f"store of {road}"),
        "AFTERSHOCK_SALT": str(folder / "salt"),
        "AFTERSHOCK_CASES": str(folder),
    }
    words = [sys.executable, "-m", "benchmarks.dumps", road, str(folder)]
    ended = subprocess.run(words, env=env, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
    return found


def _unpack(folder: Path) -> None:
    for name in ("RS", "RC"):
        with (folder / f"{name}.zst").open("rb") as file:
            reader = zstandard.ZstdDecompressor(max_window_size=2**31).stream_reader(file)
            buffer = bytearray(1 << 20)
            while reader.readinto(buffer):
                pass


def _loop(folder: Path) -> None:
    """What everybody writes: unpack, split into lines, parse each."""
    for name in ("RS", "RC"):
        with (folder / f"{name}.zst").open("rb") as file:
            reader = zstandard.ZstdDecompressor(max_window_size=2**31).stream_reader(file)
            for line in io.TextIOWrapper(reader, encoding="utf-8"):
                json.loads(line)


def _import(folder: Path, *, case: str | None = None) -> None:
    from cases.case import get, load_all  # noqa: PLC0415 - not part of the other roads
    from cli.ingest import ingest  # noqa: PLC0415
    from collectors import archive  # noqa: PLC0415
    from collectors.archive import ImportSettings  # noqa: PLC0415
    from store.tables import Store  # noqa: PLC0415

    cases = [get(case)] if case else list(load_all().values())
    assert case or len(cases) == 20
    store = Store.open()
    settings = ImportSettings(files=[folder / "RS.zst", folder / "RC.zst"])
    units = ingest(store, cases, archive.collect(cases, store.known(), settings))
    assert sum(unit.kept for unit in units)


ROADS: dict[str, Callable[[Path], None]] = {
    "unpacking alone": _unpack,
    "the usual loop": _loop,
    "import": _import,
    "import, one case": lambda folder: _import(folder, case="soundcloud"),
}


def _one(road: str, folder: Path) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    forget_peak()
    took: Measured = measured(road, 1, lambda: ROADS[road](folder))
    print(json.dumps({"cpu": took.cpu, "wall": took.wall, "peak": peak_mb()}))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _one(sys.argv[1], Path(sys.argv[2]))
    else:
        print("\n".join(main()))
