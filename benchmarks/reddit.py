"""How fast posts come in from Reddit: the collector beside PRAW's own iteration, same server.

The server is the simulated Reddit of the tests, on loopback and in a process of its own, half way
through its quota window, so that nobody waits. Nothing is stored: it is the collector alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import praw

from benchmarks.measure import Measured, measured, table
from store.known import DUE

TESTS = Path(__file__).parents[1] / "tests"
POSTS = 1_000  # what Reddit lists of a subreddit
ROUNDS = 5

SERVE = """
import sys
from testbeds.reddit.sim import SimReddit, post
with SimReddit([post(n) for n in range(int(sys.argv[1]))], quota=10**6) as sim:
    print(sim.url, flush=True)
    sys.stdin.read()
"""


@contextmanager
def serving() -> Iterator[str]:
    """The address of a simulated Reddit in a process of its own."""
    run = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(POSTS)],
        env=os.environ | {"PYTHONPATH": str(TESTS)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert run.stdin is not None
    assert run.stdout is not None
    try:
        yield run.stdout.readline().strip()
    finally:
        run.stdin.close()
        run.wait()


class Nothing:
    """A store that keeps nothing."""

    def cursors(self, _collector: str) -> dict[str, str]:
        return {}

    def due(self, *_asked: object, **_only: object) -> pl.DataFrame:
        return pl.DataFrame(schema=DUE)

    def matched(self, *_asked: object) -> set[str]:
        return set()


def live() -> list[Measured]:
    """1,000 new posts of a subreddit, five times: by PRAW's iteration, and by the collector."""
    from cases.case import get  # noqa: PLC0415 - after the environment is set
    from collectors import reddit  # noqa: PLC0415
    from collectors.settings import Settings  # noqa: PLC0415

    sys.path.append(str(TESTS))
    from testbeds.reddit.sim import AGENT, KEY, SECRET  # noqa: PLC0415

    case = get("soundcloud")
    name = "inventedmusic"
    watched = type(case)(**{**vars(case), "reddit_subreddits": (name,), "reddit_search": ()})
    with tempfile.TemporaryDirectory() as folder, serving() as url:
        settings = Settings(
            cache=Path(folder),
            credentials={
                "AFTERSHOCK_REDDIT_CLIENT_ID": KEY,
                "AFTERSHOCK_REDDIT_CLIENT_SECRET": SECRET,
                "AFTERSHOCK_REDDIT_USER_AGENT": AGENT,
                "AFTERSHOCK_REDDIT_URL": url,
            },
        )

        def plain() -> None:
            client = praw.Reddit(
                client_id=KEY,
                client_secret=SECRET,
                user_agent=AGENT,
                oauth_url=url,
                reddit_url=url,
                check_for_updates=False,
            )
            for _ in range(ROUNDS):
                new = client.subreddit(name).new(limit=None)
                assert len([(post.title, post.selftext, post.score) for post in new]) == POSTS

        def ours() -> None:
            for _ in range(ROUNDS):
                batches = reddit.collect([watched], Nothing(), settings)  # type: ignore[arg-type]
                assert sum(batch.posts.height for batch in batches) == POSTS

        rows = POSTS * ROUNDS
        alone = measured("PRAW alone: subreddit.new()", rows, plain)
        return [alone, measured("collect reddit: read and normalise", rows, ours, against=alone)]


def main() -> None:
    print(table(live()))


if __name__ == "__main__":
    main()
