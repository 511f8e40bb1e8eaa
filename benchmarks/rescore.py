"""Where the time of `aftershock score --rescore` goes: reading, languages, tone, writing, cells.

`python -m benchmarks.rescore FOLDER [ROUNDS]` scores every post of a store that `benchmarks.build`
has made; from the second round on the languages are known. CPU seconds of this process, all
threads. `make bench` ends with one round on its own store.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.measure import forget_peak, peak_mb


def main(folder: Path, rounds: int) -> None:
    """Print a line for each part and round."""
    from benchmarks import build  # noqa: PLC0415 - as in all benchmarks

    build.settle(folder)
    for number in range(1, rounds + 1):
        print(f"\nround {number}")
        profile()


def profile() -> None:
    """Rescore the store of the settings and print what each part took."""
    from analysis import tone  # noqa: PLC0415
    from cli import score  # noqa: PLC0415
    from store.tables import Store  # noqa: PLC0415

    store = Store.open(create=False)
    spent: Counter[str] = Counter()

    def timed(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def timing(*args: Any, **kwargs: Any) -> Any:
            began = time.process_time()
            try:
                return work(*args, **kwargs)
            finally:
                spent[name] += time.process_time() - began

        return timing

    forget_peak()
    began = time.process_time()
    with (
        mock.patch.object(tone, "_languages", timed("languages", tone._languages)),
        mock.patch.object(tone, "numbers", timed("tone", tone.numbers)),
        mock.patch.object(store, "add_scores", timed("writing", store.add_scores)),
        mock.patch.object(score, "rebuild", timed("cells", score.rebuild)),
    ):
        counts = score.score_store(store, rescore=True)
    whole = time.process_time() - began
    posts = sum(counts[status] for status in score.STATUS)
    spent["reading and the rest"] = whole - spent.total()
    for name, seconds in spent.most_common():
        print(f"  {name:22}{seconds:8.1f} s {seconds / whole:5.0%} {seconds / posts * 1e6:6.1f} us")
    print(f"  {posts:,} posts in {whole:.1f} CPU s ({posts / whole:,.0f}/s), {peak_mb():,.0f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 2)
