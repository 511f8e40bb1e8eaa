"""Kill what works on a store at a random moment of it, and know what the store should then hold.

`Killer` runs one operation at a time in a process that ends itself with SIGKILL after a while. It
forks from a process that has the modules but has never used them: starting Python for each kill
would cost a second, and a fork of a used one would hang on the threads it lost.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from storing import SALT, SEEN, START, batch, count_cells, frame, matches, process, raw, score_all
from storing import write as write_posts

import cases.case as case_files
from cli.ingest import ingest
from collectors import archive, readings
from collectors.archive import ImportSettings
from store.prepared import prepare
from store.tables import Store

LEAVERS = 4  # authors who are forgotten, and each of the others hidden in turn


def word(name: str, turn: int) -> str:
    """What a post says in one version of it, found nowhere else."""
    return f"quux{name}v{turn}end"


def row(name: str, turn: int, author: str) -> dict[str, Any]:
    return raw(
        name,
        uri=f"reddit:t1_{name}",
        kind="comment",
        author=author,
        text=word(name, turn),
        at=START + timedelta(days=(sum(map(ord, name)) % 3) * 7),
        collected_at=SEEN + timedelta(hours=turn),
    )


def by(n: int) -> str:
    return f"author{n % 6}"


def base() -> list[dict[str, Any]]:
    return [row(f"b{n:03}", 0, by(n)) for n in range(60)]


@dataclass
class Truth:
    """What a store should hold: text, state and author by the name of a post."""

    posts: dict[str, tuple[str | None, str, str]] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)  # posts and authors
    said: set[str] = field(default_factory=set)  # every word ever written

    def write(self, name: str, turn: int, author: str) -> None:
        if {name, author} & self.refused:
            return
        self.said.add(word(name, turn))
        if self.posts.get(name, (None, "live", author))[1] == "live":
            self.posts[name] = (word(name, turn), "live", author)

    def gone(self, name: str) -> None:
        if name in self.posts:
            self.posts[name] = (None, "gone", "")

    def turn(self, author: str, old: str, new: str) -> None:
        for name, (text, state, whose) in self.posts.items():
            if whose == author and state == old:
                self.posts[name] = (text, new, whose)

    def forget(self, *wanted: str) -> None:
        found = {n for n, (_, _, whose) in self.posts.items() if {n, whose} & set(wanted)}
        self.refused |= {*wanted, *found}
        for name in found:
            del self.posts[name]

    def gone_words(self) -> list[str]:
        """What may stand nowhere any more once old files are cleared: words, and whose uris."""
        standing = {text for text, _, _ in self.posts.values()}
        erased = {n for n, (_, state, _) in self.posts.items() if state == "gone"} | {
            n for n in self.refused if not n.startswith("author")
        }
        return sorted(self.said - standing) + sorted(f"t1_{name}" for name in erased)


# The operations. Each takes a store and a turn, acknowledges what is committed, and can be run
# again after a kill; beside it what it makes true. A new command is two functions and a line.

Ack = Callable[[str], object]


def fresh(turn: int, kind: str) -> list[str]:
    return [f"{kind}{turn:03}x{n}" for n in range(6)]


def some(turn: int, start: int, count: int) -> list[str]:
    return [f"b{(start + 7 * turn + n) % 60:03}" for n in range(count)]


def author_of(name: str) -> str:
    return by(int(name[1:4])) if name.startswith("b") else "newcomer"


def do_import(store: Store, turn: int, ack: Ack) -> None:
    file = Path(f"{store.location}-{turn}.ndjson")
    lines = [
        {
            "kind": "t1",
            "id": name,
            "created_utc": row(name, turn, "x")["at"].timestamp(),
            "text": word(name, turn),
            "score": 1,
            "subreddit": "somewhere",
            "parent_id": "t3_s1",
            "link_id": "t3_s1",
            "author": author_of(name),
        }
        for name in [*some(turn, 0, 5), *fresh(turn, "i")]
    ]
    lines += [lines[0] | {"id": name, "text": "[deleted]"} for name in some(turn, 11, 3)]
    file.write_text("\n".join(json.dumps(line) for line in lines))
    case = case_files.get("duolingo")
    settings = ImportSettings([file], taken=True, collected_at=SEEN + timedelta(hours=turn))
    ingest(store, [case], archive.collect([case], store.known(), settings))
    ack("all")


def true_import(truth: Truth, turn: int) -> None:
    for name in [*some(turn, 0, 5), *fresh(turn, "i")]:
        truth.write(name, turn, author_of(name))
    for name in some(turn, 11, 3):
        truth.gone(name)


def do_merge(store: Store, turn: int, ack: Ack) -> None:
    names = [*some(turn, 20, 6), *fresh(turn, "m")]
    for start in range(0, len(names), 4):
        part = names[start : start + 4]
        write_posts(store, *(row(name, turn, author_of(name)) for name in part))
        for name in part:
            ack(name)


def true_merge(truth: Truth, turn: int) -> None:
    for name in [*some(turn, 20, 6), *fresh(turn, "m")]:
        truth.write(name, turn, author_of(name))


def do_score(store: Store, turn: int, ack: Ack) -> None:
    score_all(store, datetime.now(UTC))
    store.rebuild(count_cells)


def do_wipe(store: Store, turn: int, ack: Ack) -> None:
    store.wipe([store.key(f"reddit:t1_{name}") for name in some(turn, 30, 3)])
    for name in some(turn, 30, 3):
        ack(f"gone {name}")


def true_wipe(truth: Truth, turn: int) -> None:
    for name in some(turn, 30, 3):
        truth.gone(name)


def do_hide(store: Store, turn: int, ack: Ack) -> None:
    write_posts(store, hidden=(by(LEAVERS + turn),))


def do_back(store: Store, turn: int, ack: Ack) -> None:
    write_posts(store, back=(by(LEAVERS), by(LEAVERS + 1)))


def true_back(truth: Truth, turn: int) -> None:
    for n in (LEAVERS, LEAVERS + 1):
        truth.turn(by(n), "hidden", "live")


def do_forget(store: Store, turn: int, ack: Ack) -> None:
    names = some(turn, 40, 2)
    keys = [store.key(f"reddit:t1_{name}") for name in names]
    if turn % 10 == 9:  # not too often: there are four of them
        keys.append(store.author_key("reddit", by(turn // 10 % LEAVERS)))
    store.forget(keys)


def true_forget(truth: Truth, turn: int) -> None:
    authors = [by(turn // 10 % LEAVERS)] if turn % 10 == 9 else []
    truth.forget(*some(turn, 40, 2), *authors)


def do_drain(store: Store, turn: int, ack: Ack) -> None:
    for name in fresh(turn, "s"):
        posts = frame([row(name, turn, "newcomer")])
        ready = prepare(
            batch(posts), matches(posts), store._keys, datetime.now(UTC), lambda rest: rest.clear()
        )
        store._spool.put(ready)
        ack(name)  # whoever is told that a batch waits may rely on it
    store.drain()


def true_drain(truth: Truth, turn: int) -> None:
    for name in fresh(turn, "s"):
        truth.write(name, turn, "newcomer")


def nothing(truth: Truth, turn: int) -> None:
    pass


OPERATIONS: dict[str, tuple[Callable[[Store, int, Ack], None], Callable[[Truth, int], None]]] = {
    "import": (do_import, true_import),
    "merge": (do_merge, true_merge),
    "score": (do_score, nothing),
    "wipe": (do_wipe, true_wipe),
    "hide": (do_hide, lambda truth, turn: truth.turn(by(LEAVERS + turn), "live", "hidden")),
    "back": (do_back, true_back),
    "maintain": (lambda store, turn, ack: store.maintain(), nothing),
    "purge": (lambda store, turn, ack: store.maintain(purge=True), nothing),
    "forget": (do_forget, true_forget),
    "drain": (do_drain, true_drain),
}


@dataclass(frozen=True)
class Ended:
    """How an operation ended: whether the kill came before it was done, what it had said was
    committed by then, how long it took."""

    landed: bool
    acknowledged: tuple[str, ...]
    seconds: float


class Killer:
    """Runs operations in processes of their own and kills them."""

    def __init__(self) -> None:
        self._server = process("from killing import serve; serve()")

    def __enter__(self) -> Killer:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.communicate(timeout=60)

    def run(self, place: str, operation: str, turn: int, after: float | None = None) -> Ended:
        """Run an operation; killed `after` seconds, or to its end."""
        asked = {"place": place, "operation": operation, "turn": turn, "after": after}
        self._server.stdin.write(json.dumps(asked) + "\n")
        self._server.stdin.flush()
        return Ended(**json.loads(self._server.stdout.readline()))


def serve() -> None:
    """Fork for each line of standard input; nothing of polars or Delta Lake is used here."""
    while line := sys.stdin.readline():
        asked = json.loads(line)
        reader, writer = os.pipe()
        begun = time.monotonic()
        child = os.fork()
        if child == 0:
            os.close(reader)
            try:
                _work(writer=writer, **asked)
                os.write(writer, b"done\n")
            finally:
                os._exit(1)
        os.close(writer)
        with os.fdopen(reader) as said:
            lines = said.read().splitlines()
        _, status = os.waitpid(child, 0)
        done = lines[-1:] == ["done"]
        if not done and not os.WIFSIGNALED(status):
            sys.exit(f"{asked} failed by itself")
        ended = Ended(not done, tuple(lines[: -1 if done else None]), time.monotonic() - begun)
        print(json.dumps(ended.__dict__), flush=True)


def _work(place: str, operation: str, turn: int, after: float | None, writer: int) -> None:
    def end() -> None:
        time.sleep(after or 0)
        os.kill(os.getpid(), signal.SIGKILL)

    if after is not None:
        threading.Thread(target=end, daemon=True).start()
    readings.ROWS = 4  # several batches a file
    act, _ = OPERATIONS[operation]
    act(Store.open(place, salt=SALT), turn, lambda said: os.write(writer, f"{said}\n".encode()))


def orphans(store: Store) -> Iterator[str]:
    """Files in the folder of a table that its newest snapshot does not know, and drafts."""
    for name in store._tables.existing():
        folder = Path(store._tables.uri(name))
        known = {Path(uri).name for uri in store._tables.snapshot(name).file_uris()}
        for path in folder.rglob("*"):
            if "_delta_log" in path.parts:
                left = "#" in path.name or path.name.endswith(".tmp")
            else:
                left = path.is_file() and path.name not in known
            if left:
                yield str(path)


def held(store: Store) -> dict[str, tuple[str | None, str]]:
    """Text and state of every stored post by its key."""
    rows = store.read(lambda: store.scan("posts").select("post", "text", "state"))
    assert rows["post"].is_unique().all()
    return {post: (text, state) for post, text, state in rows.iter_rows()}


def new_store(place: str) -> Truth:
    """A store with a past, and what it holds."""
    store, truth = Store.open(place, salt=SALT), Truth()
    write_posts(store, *base())
    for n, post in enumerate(base()):
        truth.write(post["uri"].removeprefix("reddit:t1_"), 0, by(n))
    score_all(store)
    store.rebuild(count_cells)
    return truth


def matched(store: Store) -> set[str]:
    return set(store.read(lambda: store.scan("matches").select(pl.col("post").unique()))["post"])
