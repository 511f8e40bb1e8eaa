"""How fast a text gets its tone: ours beside vaderSentiment and NLTK's copy of it, in one run.

Texts are invented, in the lengths of tweets, comments, bodies of Reddit posts and long ones; words
are drawn as in real English (one in ten from the lexicon, some adverbs, negations, capitals,
emoji and punctuation). CPU seconds of one process, median of five turns taken one after the other;
with two processes, texts per second of wall time.
"""

from __future__ import annotations

import multiprocessing
import random
import tempfile
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median

import polars as pl

# Words. The last is the longest body that Reddit takes, 40,000 characters.
LENGTHS = {"tweet": 15, "comment": 13, "Reddit body": 86, "long": 640, "longest": 7_000}
WORDS = 600_000  # of each kind, for ours; the slower ones get a part of it
TURNS = 5
SEED = 7


def main() -> None:
    """Print a line for each kind of text."""
    from analysis import vader  # noqa: PLC0415 - benchmarks import what they measure, when they do

    package, nltk = _package(), _nltk()
    columns = f"{'vaderSentiment':>16}{'NLTK':>10}{'ours':>10}{'ratio':>8}{'to NLTK':>9}"
    print(f"\n{'texts / CPU s':16}{columns}{'two processes / wall s (one)':>32}")
    for name, length in LENGTHS.items():
        sample = invented(WORDS // length, length)
        part = sample[: max(40_000 // length, 1_000_000 // (length * (length + 100)), 2)]
        theirs, copied, ours = [], [], []
        for _ in range(TURNS):
            theirs.append(_cpu(lambda part=part: [package(text) for text in part]) / len(part))
            copied.append(_cpu(lambda part=part: [nltk(text) for text in part]) / len(part))
            column = pl.Series(sample)
            ours.append(_cpu(lambda column=column: vader.score(column)) / len(sample))
        one, other, own = median(theirs), median(copied), median(ours)
        print(f"{name:16}{1 / one:>16,.0f}{1 / other:>10,.0f}{1 / own:>10,.0f}", end="")
        two, alone = in_processes(sample, 2), in_processes(sample, 1)
        print(f"{one / own:>8.1f}{other / own:>9.1f}{two:>22,.0f} ({alone:,.0f})", flush=True)


def invented(count: int, length: int) -> list[str]:
    """Texts of about so many words."""
    from vaderSentiment import vaderSentiment  # noqa: PLC0415

    from benchmarks.generate import PLAIN  # noqa: PLC0415

    chance = random.Random(SEED)
    lexicon = sorted(vaderSentiment.SentimentIntensityAnalyzer().lexicon)
    chance.shuffle(lexicon)
    pools = [PLAIN, lexicon, list(vaderSentiment.BOOSTER_DICT), vaderSentiment.NEGATE]
    pools += [["but", "no", "least", "so", "this"], ["don’t", "it’s", "“well”", "…", "😀", "❤️"]]
    weights = [82, 10, 3, 2, 1, 2]
    texts = []
    for _ in range(count):
        words = []
        for pool in chance.choices(pools, weights, k=chance.randint(length // 2, length * 3 // 2)):
            # The first words of a pool are the common ones.
            word = pool[int(len(pool) * chance.random() ** 3)]
            styled = chance.random()
            words.append(word.upper() if styled < 0.04 else word.title() if styled < 0.1 else word)
            words[-1] += chance.choices(["", ",", ".", "!", "?"], [86, 6, 5, 2, 1])[0]
        texts.append(" ".join(words))
    return texts


def in_processes(texts: list[str], processes: int) -> float:
    """Texts per second of wall time, when so many processes share them and all have begun."""
    context = multiprocessing.get_context("spawn")
    parts = [pl.Series(texts[index::processes]) for index in range(processes)]
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        list(pool.map(_score, [part[:100] for part in parts]))
        began = time.perf_counter()
        list(pool.map(_score, parts))
        return len(texts) / (time.perf_counter() - began)


def _score(texts: pl.Series) -> pl.DataFrame:
    from analysis import vader  # noqa: PLC0415

    return vader.score(texts)


def _cpu(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _package() -> Callable[[str], object]:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer  # noqa: PLC0415

    return SentimentIntensityAnalyzer().polarity_scores


def _nltk() -> Callable[[str], object]:
    """NLTK's copy with vaderSentiment's lexicon, which is the one NLTK would download."""
    import nltk  # noqa: PLC0415
    import vaderSentiment  # noqa: PLC0415
    from nltk.sentiment.vader import SentimentIntensityAnalyzer  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "sentiment"
        place.mkdir()
        name = "vader_lexicon.txt"
        lexicon = Path(vaderSentiment.__file__).with_name(name)
        with zipfile.ZipFile(place / "vader_lexicon.zip", "w") as packed:
            packed.write(lexicon, f"vader_lexicon/{name}")
        nltk.data.path.insert(0, folder)
        return SentimentIntensityAnalyzer().polarity_scores


if __name__ == "__main__":
    main()
