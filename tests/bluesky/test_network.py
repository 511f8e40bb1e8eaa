"""The testbed itself: what people do on the real servers arrives in the AppView."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from atproto import Client
from testbeds.bluesky.network import Network

pytestmark = pytest.mark.bluesky

MAY = datetime(2025, 5, 9, 12, tzinfo=UTC)


def found(network: Network, reader: str, phrase: str) -> list[str]:
    network.caught_up()
    client: Client = network.client(reader)
    answer = client.app.bsky.feed.search_posts({"q": phrase, "limit": 100, "sort": "latest"})
    return [post.record.text for post in answer.posts]


def test_posts_edits_and_deletions_reach_the_appview(network: Network) -> None:
    network.add("nina")
    first = network.post("nina", "quuxnetwork one", at=MAY, langs=["fr"])
    many = network.posts("nina", [(f"quuxnetwork {n}", MAY.replace(hour=n)) for n in range(3)])
    reply = network.post("nina", "quuxnetwork reply", reply_to=first)
    network.post("nina", "quuxnetwork quote", quote=reply)
    network.edit(many[0], "quuxnetwork edited", at=MAY.replace(hour=0))
    network.delete(many[1])
    assert found(network, "alice", "quuxnetwork") == [
        "quuxnetwork quote",
        "quuxnetwork reply",
        "quuxnetwork one",
        "quuxnetwork 2",
        "quuxnetwork edited",
    ]


def test_accounts_go_and_come_back(network: Network) -> None:
    network.add("otto")
    network.post("otto", "quuxaccount")
    assert found(network, "alice", "quuxaccount") == ["quuxaccount"]
    network.take_down("otto")
    assert found(network, "alice", "quuxaccount") == []
    network.restore("otto")
    assert found(network, "alice", "quuxaccount") == ["quuxaccount"]
    network.deactivate("otto")
    assert found(network, "alice", "quuxaccount") == []
    network.activate("otto")
    assert found(network, "alice", "quuxaccount") == ["quuxaccount"]
    network.delete_account("otto")
    assert found(network, "alice", "quuxaccount") == []


def test_an_invalid_record_is_taken_by_the_server_and_never_shown(network: Network) -> None:
    network.post("alice", "quuxinvalid", record={"createdAt": None}, validate=False)
    assert found(network, "bob", "quuxinvalid") == []


def test_requests_are_counted(network: Network) -> None:
    before = network.requests().get("com.atproto.server.createSession", 0)
    network.login("carol")
    assert network.requests()["com.atproto.server.createSession"] == before + 1
