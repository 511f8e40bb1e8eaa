"""Stance by a language model of the user's own: `aftershock stance predict --scorer remote`.

Off until an address and a model are set. What leaves the machine is said, and has to be agreed to
for that very host, before the first post is sent. Never sends what a source's terms forbid to.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from analysis.stance import codebook
from analysis.stance.codebook import Answer, NoAnswer
from analysis.stance.features import Post
from analysis.stance.kept import Kept, key
from cases.terms import permitted
from cli import chat, credentials
from cli.chat import BudgetSpent, Chat, RefusedError
from cli.console import CONFIGURATION, TRY_LATER, Stop, progress, warn
from cli.settings import permissions
from store.location import cache_folder

URL, MODEL, KEY, SEND_TO = credentials.STANCE
REQUESTS, TOKENS, PER_MINUTE = credentials.STANCE_LIMITS
DAYS = 90  # without use, after which a kept answer goes
_NONE = b"none"  # kept of a post that got no readable answer twice: it is not paid for again


@dataclass(frozen=True)
class Settings:
    """The model, and under which terms it is asked.

    `send_to`: the host that posts may be sent to, as the user has agreed. `permissions`: as
    `cases.terms.permitted` takes them. `cache`: the file of answers; None: none is kept. `tell`
    gets sentences for the user.
    """

    chat: chat.Settings
    send_to: str = ""
    permissions: Mapping[str, str] = field(default_factory=dict)
    cache: Path | None = None
    tell: Callable[[str], object] = warn

    @property
    def scorer(self) -> str:
        """What wrote the answers: the model, and the wording of the codebook."""
        return f"stance-remote-{codebook.VERSION}/{self.chat.model}"


def configured(cache: Path | None = None) -> Settings:
    """The settings of this machine; answers are kept in `cache`, or in the user's cache folder.

    Raises Stop (78) when none are set, or one cannot be used.
    """
    found = credentials.find().values
    if not (found.get(URL) and found.get(MODEL)):
        raise Stop(
            f"No language model is set, so nothing was sent. {URL} and {MODEL}, in the environment"
            f" or in {credentials.credentials_path()}, name one (docs/stance-extras.md).",
            CONFIGURATION,
        )
    tokens = _limit(found, TOKENS)
    return Settings(
        chat.Settings(
            url=found[URL],
            model=found[MODEL],
            key=found.get(KEY, ""),
            requests=_limit(found, REQUESTS) or chat.Settings.requests,
            tokens=tokens,
            per_minute=_limit(found, PER_MINUTE) or chat.Settings.per_minute,
        ),
        send_to=found.get(SEND_TO, ""),
        permissions=permissions(),
        cache=cache or cache_folder() / "stance-remote.sqlite",
    )


def _limit(found: Mapping[str, str], name: str) -> int | None:
    text = found.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and int(text[:12]) > 0):
        raise Stop(f"{name} has to be a whole number from 1.", CONFIGURATION)
    return int(text[:12])


def predict(posts: pl.DataFrame, settings: Settings) -> pl.DataFrame:
    """Where each post stands, row by row, by the language model of `settings`.

    In: as `analysis.stance.predict`, and source (what is of no known source is not sent). Out: as
    there; nulls for a post that was not sent, or that got no readable answer in two. Answers are
    kept by a hash of model, codebook, text and context, so that a second run sends only what is
    new. Raises Stop: 75 when the server does not answer, or the run's limit is reached (run again
    to go on), 78 when a person has to change something.
    """
    numbered = _named(posts).with_row_index("row")
    sendable, left_out = _sendable(numbered, settings)
    for sentence in left_out:
        settings.tell(sentence)
    read = {
        row: Post(text, title or "", parent or "", tuple(names or ()), lang or "en")
        for row, text, title, parent, names, lang in sendable.select(
            "row", "text", "title", "parent", "names", "lang"
        ).iter_rows()
    }
    keys = {row: key(settings.scorer, codebook.data(post)) for row, post in read.items()}
    try:
        with Kept(settings.cache, days=DAYS) as kept:
            answers = _answers(read, keys, kept, settings)
    except sqlite3.Error as error:
        raise Stop(
            f"The file of answers {settings.cache} cannot be used ({error}). Delete it if it is"
            " damaged; that loses nothing but the answers in it.",
            CONFIGURATION,
        ) from error
    return codebook.frame(
        [answers.get(keys[row]) if row in keys else None for row in range(posts.height)]
    )


def _named(posts: pl.DataFrame) -> pl.DataFrame:
    """With a column `source` whose values are the sources' names as the terms know them."""
    if "source" not in posts.columns:
        return posts.with_columns(source=pl.lit(None, pl.String))
    source = pl.col("source").cast(pl.String).str.strip_chars().str.to_lowercase()
    # Research files write "Reddit" or "reddit_comments"; the terms are the same.
    return posts.with_columns(
        source=pl.when(source.str.contains("reddit")).then(pl.lit("reddit")).otherwise(source)
    )


def _sendable(posts: pl.DataFrame, settings: Settings) -> tuple[pl.DataFrame, list[str]]:
    """The posts with text that may be sent, and sentences on those that may not."""
    with_text = posts.filter(pl.col("text").str.strip_chars().str.len_chars() > 0)
    known = with_text.filter(pl.col("source").fill_null("") != "")
    kept, sentence = permitted(known, settings.permissions)
    nameless = with_text.height - known.height
    sentences = [sentence] if sentence else []
    if nameless:
        sentences.append(
            f"{nameless:,} posts were left out: they do not say which source they are of (column"
            " source), so whether its terms let them be sent is not known."
        )
    return kept, sentences


def _answers(
    posts: Mapping[int, Post], keys: Mapping[int, bytes], kept: Kept, settings: Settings
) -> dict[bytes, Answer | None]:
    """The answer of every post by its key: those that are kept, then those that are asked for."""
    found = {name: _kept(value) for name, value in kept.get(keys.values()).items()}
    asked: dict[bytes, Post] = {}
    for row, post in posts.items():
        if keys[row] not in found:
            asked.setdefault(keys[row], post)
    if asked:
        _agreed(settings, len(asked))
        counts = Counter[str]()
        with Chat(settings.chat) as model, progress(counted=True, what="posts") as bar:
            task = bar.add_task(f"asking {settings.chat.host}", total=len(asked))
            try:
                for name, post in asked.items():
                    found[name] = answer = _answer(model, post, counts)
                    kept.put({name: _NONE if answer is None else answer.written().encode()})
                    bar.advance(task)
            except BudgetSpent as spent:
                done = sum(name in found for name in asked)
                raise Stop(
                    f"The limit of this run is reached ({spent.what}): {done:,} of {len(asked):,}"
                    " posts were answered, and the answers are kept. Run it again to go on;"
                    f" {REQUESTS} and {TOKENS} set the limits.",
                    TRY_LATER,
                ) from None
        settings.tell(
            f"{len(asked):,} posts were sent to {settings.chat.host} in {model.requests:,} requests"
            f" ({model.tokens:,} tokens), {len(set(keys.values())) - len(asked):,} had answers."
        )
        for words, count in counts.items():
            settings.tell(f"{count:,} posts are not scored: {words}.")
    return found


def _kept(value: bytes) -> Answer | None:
    return None if value == _NONE else codebook.read(value.decode())


def _agreed(settings: Settings, count: int) -> None:
    """Say what leaves the machine. Raises Stop (78) while nobody has agreed to it."""
    host = settings.chat.host
    if settings.chat.local:
        return
    leaves = (
        f"{count:,} posts would be sent to {host}: their text, the title of their thread, the post"
        " they answer, and the platform's name; no author, address or date. Other people wrote"
        " them, and whoever runs that server can read and keep them."
    )
    if settings.send_to.strip().lower() != host.lower():
        raise Stop(
            f"{leaves} Nothing was sent. If that is right under its terms, the sources' and your"
            f" law, set {SEND_TO}={host} beside {URL}.",
            CONFIGURATION,
        )
    settings.tell(leaves.replace("would be sent", "are sent"))


def _answer(model: Chat, post: Post, counts: Counter[str]) -> Answer | None:
    """What the model says of a post, None when it said nothing readable in two requests."""
    for again in (False, True):
        try:
            return codebook.read(model.ask(codebook.messages(post, again=again)))
        except NoAnswer:
            continue
        except RefusedError:
            counts["the server takes no such text"] += 1
            return None
    counts["two answers that were not of the form asked for"] += 1
    return None
