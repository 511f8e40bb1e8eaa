"""The stream end to end: posts on a real PDS, over its firehose, into the store and out again."""

from __future__ import annotations

import time

import pytest
from streaming import CASE, Stream
from testbeds.bluesky.mini_jetstream import serving
from testbeds.bluesky.pds_feed import feeding

from store.tables import Store

pytestmark = pytest.mark.bluesky


def test_what_happens_to_a_post_on_the_network_happens_in_the_store(home, network) -> None:
    (home.cases / "tootle.toml").write_text(CASE)
    for name in ("streamalice", "streambob", "streamcarol"):
        network.add(name)
    with serving() as mini, feeding(mini, network.firehose):
        place = {"AFTERSHOCK_JETSTREAM": mini.url}
        stream = Stream(mini, Store.open(), home.folder / "cache", place)

        def settled() -> None:
            """Until everything has come down the firehose, then one drain."""
            seen = -1
            while seen != mini.next_seq:
                seen = mini.next_seq
                time.sleep(1)
            stream.live()
            stream.collect()

        root = network.post("streamalice", "Tootle trains its AI on our songs")
        reply = network.post("streambob", "I cancelled", reply_to=root)
        other = network.post("streamcarol", "a picture of my cat")
        settled()
        assert stream.said(root.uri, reply.uri, other.uri) == [
            ("Tootle trains its AI on our songs", "live"),
            ("I cancelled", "live"),
            None,
        ]
        network.edit(reply, "I stay, after all")
        settled()
        assert stream.said(reply.uri) == [("I stay, after all", "live")]
        network.take_down("streambob")
        settled()
        assert stream.said(reply.uri) == [("I stay, after all", "hidden")]
        network.restore("streambob")
        settled()
        assert stream.said(reply.uri) == [("I stay, after all", "live")]
        network.deactivate("streambob")
        settled()
        assert stream.said(reply.uri) == [("I stay, after all", "hidden")]
        network.activate("streambob")
        network.delete(root)
        settled()
        assert stream.said(root.uri, reply.uri) == [(None, "gone"), ("I stay, after all", "live")]
        network.delete_account("streambob")
        settled()
        assert stream.said(reply.uri) == [(None, "gone")]
