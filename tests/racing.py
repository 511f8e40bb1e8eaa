"""Writers, a compactor, a scorer and readers that all work on one store at once.

Every process runs one function here and prints what it met as JSON; what the writers should have
left behind follows from their number and from how many batches each of them wrote.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from storing import SALT, SEEN, START, count_cells, process, raw, score_all, unlocked, write

import store.merge
from store.tables import Store, StoreBusy

WRITERS = 4
SHARED = 8  # posts that every writer writes again and again
HIDE, BACK, ROUND = 2, 7, 10  # batches at which an account goes inactive and comes back


def opened(place: str, lock: str) -> Store:
    found = Store.open(place, salt=SALT)
    return unlocked(found) if lock == "unlocked" else found


def shared(version: int, number: int) -> dict[str, Any]:
    """A post that says which version of it this is; on a day that others write to as well."""
    return raw(
        f"shared{number}",
        text=f"v{version}",
        at=START + timedelta(days=number % 4),
        collected_at=SEEN + timedelta(seconds=version),
    )


def own(writer: int, n: int) -> list[dict[str, Any]]:
    """Posts of one writer, on a common day and on one of its own."""
    days = (START, START + timedelta(days=10 + writer))
    return [
        raw(
            f"own{writer}x{n}x{i}",
            at=days[i % 2],
            author=f"flip{writer}" if i == 2 and n < HIDE else f"writer{i}",
        )
        for i in range(4)
    ]


def versions(writer: int, n: int) -> tuple[int, list[int]]:
    """The version a batch carries, and of which shared posts."""
    return n * WRITERS + writer + 1, [(n + writer + j) % SHARED for j in range(3)]


def write_all(store: Store, writer: int, batches: int) -> dict[str, Any]:
    """Write many small batches; a batch that others kept out waits in the spool."""
    worst, spooled = 0.0, 0
    for n in range(batches):
        version, numbers = versions(writer, n)
        rows = [shared(version, number) for number in numbers] + own(writer, n)
        for name in ("doomed", "forgotten"):
            rows += [
                raw(
                    f"{name}{k}", collected_at=SEEN + timedelta(seconds=version), text=f"v{version}"
                )
                for k in range(WRITERS)
            ]
        gone = [f"reddit:t3_own{writer}x{n - 2}x1"] if n >= 2 else []
        if n == batches // 2:
            gone.append(f"reddit:t3_doomed{writer}")
        begun = time.monotonic()
        try:
            write(
                store,
                *rows,
                gone=tuple(gone),
                hidden=(f"flip{writer}",) if n % ROUND == HIDE else (),
                back=(f"flip{writer}",) if n % ROUND == BACK else (),
            )
        except StoreBusy:
            spooled += 1
        worst = max(worst, time.monotonic() - begun)
        if n == batches // 3:
            store.forget([store.key(f"reddit:t3_forgotten{writer}")])
    return {"batches": batches, "worst_s": round(worst, 1), "spooled": spooled}


def until(stop: str, step: Callable[[int], object]) -> dict[str, Any]:
    """Repeat a step until the file `stop` is there. Being kept out is no error, all else is."""
    n = busy = 0
    while not Path(stop).exists():
        try:
            step(n)
        except StoreBusy:
            busy += 1
        n += 1
    return {"rounds": n, "busy": busy}


def compact(store: Store, stop: str) -> dict[str, Any]:
    return until(stop, lambda n: (store.maintain(purge=n % 3 == 2), time.sleep(0.5)))


def score(store: Store, stop: str) -> dict[str, Any]:
    def step(_: int) -> None:
        score_all(store, datetime.now(UTC))
        store.rebuild(count_cells)
        time.sleep(0.3)

    return until(stop, step)


def read(store: Store, stop: str) -> dict[str, Any]:
    """Look at everything again and again; whatever is inconsistent is an error."""
    seen: set[str] = set()
    gone: set[str] = set()
    newest: dict[str, int] = {}
    forgotten = {store.key(f"reddit:t3_forgotten{k}") for k in range(WRITERS)}

    def step(_: int) -> None:
        posts = store.read(lambda: store.scan("posts").select("post", "uri", "text", "state"))
        keys = set(posts["post"])
        assert len(keys) == posts.height, "a post is there twice"
        assert not (lost := seen - keys - forgotten), f"{len(lost)} posts have disappeared"
        seen.update(keys)
        gone_now = set(posts.filter(state="gone")["post"])
        assert not (back := gone - gone_now), f"{len(back)} posts came back"
        gone.update(gone_now)
        assert posts.filter(state="gone")["text"].is_null().all(), "a gone post has words"
        # A forgotten post may be back for the moment until its writer looks again.
        lasting = posts.filter(
            pl.col("text").str.starts_with("v"), ~pl.col("post").is_in(forgotten)
        )
        for uri, text in lasting["uri", "text"].rows():
            assert newest.get(uri, 0) <= int(text[1:]), f"{uri} went back to {text}"
            newest[uri] = int(text[1:])
        scored = store.read(store.scored)
        assert not scored.select("post", "case", "scorer").is_duplicated().any()
        time.sleep(0.05)

    return until(stop, step)


def main() -> None:
    place, lock, role, *words = sys.argv[1:]
    found = opened(place, lock)
    retries: list[int] = []
    again: list[int] = []
    pause, vanished = store.merge.pause, store.merge.vanished
    store.merge.pause = lambda tried: (retries.append(tried), pause(tried))[1]
    store.merge.vanished = lambda error: (again.append(1), vanished(error))[1]
    met: dict[str, Any] = {"role": role, "error": ""}
    try:
        if role == "writer":
            met |= write_all(found, int(words[0]), int(words[1]))
        else:
            met |= {"compactor": compact, "scorer": score, "reader": read}[role](found, words[0])
    except Exception as error:
        met["error"] = f"{type(error).__name__}: {error}"
    print(json.dumps(met | {"retries": len(retries), "read_again": len(again)}))


def race(place: str, lock: str, batches: int, stop: Path | None = None) -> list[dict[str, Any]]:
    """Let everybody work at once until the writers are done; what each of them met. The file
    `stop`, beside the store if it is not named, ends what has no end."""
    before = opened(place, lock)
    write(before, *(raw(f"doomed{k}", text="v0") for k in range(WRITERS)))
    stop = stop or Path(place).with_name("stop")
    code = "from racing import main; main()"
    others = [
        process(code, place, lock, role, str(stop))
        for role in ("compactor", "scorer", "reader", "reader")
    ]
    writers = [process(code, place, lock, "writer", str(w), str(batches)) for w in range(WRITERS)]
    try:
        met = [json.loads(writer.communicate()[0]) for writer in writers]
    finally:
        stop.touch()
    return met + [json.loads(other.communicate()[0]) for other in others]


def expected(batches: int) -> dict[str, tuple[str | None, str]]:
    """What every post should say at the end, and its state, by uri."""
    posts: dict[str, tuple[str | None, str]] = {}
    last: dict[int, int] = {}
    events = [n % ROUND for n in range(batches) if n % ROUND in {HIDE, BACK}]
    hidden = bool(events) and events[-1] == HIDE
    for writer in range(WRITERS):
        for n in range(batches):
            version, numbers = versions(writer, n)
            for number in numbers:
                last[number] = max(last.get(number, 0), version)
            for i, row in enumerate(own(writer, n)):
                state = "hidden" if hidden and row["author"] == f"flip{writer}" else "live"
                if i == 1 and n + 2 < batches:
                    posts[row["uri"]] = (None, "gone")
                else:
                    posts[row["uri"]] = (row["text"], state)
        posts[f"reddit:t3_doomed{writer}"] = (None, "gone")
    for number, version in last.items():
        posts[f"reddit:t3_shared{number}"] = (f"v{version}", "live")
    return posts
