"""`make bench`: how fast the main job is, as ratios against plain libraries in the same run.

Absolute figures depend on the machine; the ratios hold when its speed drifts. BENCH_ROWS sets the
number of generated posts (1,000,000 without it). BENCH_LARGE=1 measures the store at many sizes
instead (`large.py`). One part alone: `python -m benchmarks.tone`, BENCH_STREAM=1 (Bluesky's
stream), BENCH_ONLY=dumps (the import of Reddit dumps).
"""

from __future__ import annotations

import logging
import os
import platform
import sys
import tempfile
from pathlib import Path

import polars as pl

from benchmarks import dumps, generate, language, large, reddit, rescore, stream, tone
from benchmarks.measure import Measured, measured, table

ROWS = int(os.environ.get("BENCH_ROWS", "1_000_000"))
SAMPLE = 20_000


def main() -> None:
    """Generate posts, take them through import, score and cells, and print the ratios."""
    if os.environ.get("BENCH_LARGE") == "1":
        large.main()
        return
    if os.environ.get("BENCH_STREAM") == "1":
        stream.main()
        return
    if os.environ.get("BENCH_ONLY") == "dumps":
        print("\n".join(dumps.main()))
        return
    print(
        f"{ROWS:,} generated posts; Python {platform.python_version()}, polars {pl.__version__}, "
        f"{os.cpu_count()} cores"
    )
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        # Settings come from the environment, so it is set before anything reads it.
        os.environ["AFTERSHOCK_STORE"] = str(place / "store")
        os.environ["AFTERSHOCK_SALT"] = str(place / "salt")
        os.environ["AFTERSHOCK_CASES"] = str(place / "cases")
        generate.case(place / "cases")
        file = place / "posts.ndjson"
        generate.posts(file, ROWS)
        print(table([*pipeline(file), *dashboard()]))
        print("\nscore --rescore, where the time goes")
        rescore.profile()
    tone.main()
    language.main()
    reddit.main()
    print("\n".join(dumps.main()))


def pipeline(file: Path) -> list[Measured]:
    """Import, score and cells, each beside the plainest way to do the same with its library."""
    from analysis import series  # noqa: PLC0415 - after the environment is set
    from analysis.tone import SCORER  # noqa: PLC0415
    from cases.case import get  # noqa: PLC0415
    from cli.ingest import ingest  # noqa: PLC0415
    from cli.score import score_store  # noqa: PLC0415
    from collectors import archive  # noqa: PLC0415
    from collectors.archive import ImportSettings  # noqa: PLC0415
    from store.tables import Store  # noqa: PLC0415

    results = []
    store, case = Store.open(), get(generate.CASE)

    def read_and_write() -> None:
        pl.read_ndjson(file).write_parquet(file.with_suffix(".parquet"))

    plain = measured("plain polars: read NDJSON, write Parquet", ROWS, read_and_write)
    settings = ImportSettings(files=[file], taken=True)

    def load() -> None:
        ingest(store, [case], archive.collect([case], store.known(), settings))

    results += [plain, measured("import --take-all", ROWS, load, against=plain)]
    again = measured("the same file again (nothing new)", ROWS, load, against=plain)
    results.append(again)

    texts = pl.scan_ndjson(file).select("text").head(SAMPLE).collect()["text"].to_list()

    def vader() -> None:
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer  # noqa: PLC0415

        analyzer = SentimentIntensityAnalyzer()
        for text in texts:
            analyzer.polarity_scores(text)

    alone = measured("vaderSentiment alone, a sample", len(texts), vader)
    results += [
        alone,
        measured(
            "score: read, language, tone, write, cells",
            ROWS,
            lambda: score_store(store),
            against=alone,
        ),
    ]

    def count() -> None:
        store.scored(scorer=SCORER).group_by("source", pl.col("at").dt.date()).len().collect()

    counted = measured("plain polars: count by source and day", ROWS, count)

    def rebuild() -> None:
        series.cells(store.scored(scorer=SCORER).collect())

    results += [counted, measured("cells of every width", ROWS, rebuild, against=counted)]
    return results


def dashboard() -> list[Measured]:
    """CPU of a page that is opened and of one that is rerun, in AppTest."""
    from streamlit.testing.v1 import AppTest  # noqa: PLC0415

    import dashboard  # noqa: PLC0415

    # It warns that no browser is there.
    name = "streamlit.runtime.scriptrunner_utils.script_run_context"
    logging.getLogger(name).setLevel(logging.ERROR)

    app = AppTest.from_file(str(Path(dashboard.__file__).parent / "app.py"), default_timeout=300)
    app.query_params["case"] = generate.CASE
    first = measured("dashboard: first open", 1, app.run)
    if app.exception:
        sys.exit(f"The dashboard failed: {app.exception[0].value}")
    reruns = []
    for bucket in ("Week", "Day") * 3:
        app.segmented_control(key="bucket").set_value(bucket)
        reruns.append(measured("dashboard: rerun (median of 6)", 1, app.run))
    return [first, sorted(reruns, key=lambda one: one.cpu)[len(reruns) // 2]]


if __name__ == "__main__":
    main()
