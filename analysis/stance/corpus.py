"""The invented posts from which the stance model learns. Not one of them was written by a user.

`corpus_en.ndjson` and `corpus_fr.ndjson`, one post a line; docs/stance.md says how they came about.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from analysis.stance.features import Post

LANGUAGES = ("en", "fr")


@dataclass(frozen=True, slots=True)
class Example:
    """An invented post and what is true of it."""

    id: str
    lang: str
    platform: str
    names: tuple[str, ...]  # of the platform, as a case has them
    source: str  # whose register it has: bluesky | reddit | forum
    sort: str  # what kind of post it is
    text: str
    title: str
    parent: str
    stance: str  # against | for | neutral | off
    reasons: tuple[str, ...]
    exit: bool
    pair: str  # the id of the post it differs from in the target only; empty: none

    def post(self, *, names: bool = True, around: bool = True) -> Post:
        """As the model reads it, with or without the platform's names and what stands around."""
        return Post(
            self.text,
            self.title if around else "",
            self.parent if around else "",
            self.names if names else (),
            self.lang,
        )


def corpus() -> list[Example]:
    """All invented posts, in the order of the files."""
    return [example for lang in LANGUAGES for example in _read(lang)]


def _read(lang: str) -> Iterator[Example]:
    path = Path(__file__).with_name(f"corpus_{lang}.ndjson")
    for line in path.read_text("utf-8").splitlines():
        record = json.loads(line)
        record["names"] = tuple(record["names"])
        record["reasons"] = tuple(record["reasons"])
        yield Example(**record, lang=lang)
