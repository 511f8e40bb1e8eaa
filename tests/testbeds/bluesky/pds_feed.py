"""Feeds the small Jetstream server from the firehose of a real PDS: CAR blocks become JSON records.

What stands between a PDS and a Jetstream on the real network, a relay, is left out.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from atproto import (
    CAR,
    FirehoseSubscribeReposClient,
    firehose_models,
    models,
    parse_subscribe_repos_message,
)
from testbeds.bluesky.mini_jetstream import MiniJetstream

Repos = models.ComAtprotoSyncSubscribeRepos


@contextmanager
def feeding(mini: MiniJetstream, firehose: str) -> Iterator[None]:
    """Everything the PDS has said and will say, until the block ends. `firehose`: ws://…/xrpc."""
    client = FirehoseSubscribeReposClient({"cursor": 0}, firehose)

    def pass_on(raw: firehose_models.MessageFrame) -> None:
        message = parse_subscribe_repos_message(raw)
        if isinstance(message, Repos.Commit):
            blocks = CAR.from_bytes(message.blocks).blocks  # type: ignore[arg-type]
            for operation in message.ops:
                _commit(mini, message, operation, blocks)
        elif isinstance(message, Repos.Account):
            mini.account(message.did, "" if message.active else message.status or "inactive")
        elif isinstance(message, Repos.Sync):
            mini.poison(message.did)

    thread = threading.Thread(target=client.start, args=(pass_on,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        client.stop()
        thread.join(5)


def _commit(mini: MiniJetstream, message: Any, operation: Any, blocks: Any) -> None:
    collection, _, rkey = operation.path.partition("/")
    cid = operation.cid
    values = {"record": plain(blocks[cid]), "cid": str(cid)} if cid else {}
    mini.commit(
        message.repo, rkey, operation.action, collection=collection, rev=message.rev, **values
    )


def plain(value: Any) -> Any:
    """A decoded block as JSON has it: links as {"$link": CID}."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return value if isinstance(value, str | int | float | None) else {"$link": str(value)}
