"""The writer lock of a store on an object store: one at a time, over a dead or stalled holder, and
never at the cost of what somebody else has stored or forgotten."""

from __future__ import annotations

import http.server
import json
import signal
import subprocess
import threading
import time
from collections.abc import Iterator

import obstore
import pytest
from storing import SALT, process, raw, stored, write

import store.lease
from store.faults import StoreUnfit
from store.lease import Lease
from store.remote import Remote
from store.tables import Store, StoreBusy

LIFE = 1.5


def start(what: str, url: str, *words: str) -> subprocess.Popen[str]:
    return process("from leasing import main; main()", what, url, *words)


@pytest.fixture
def holder(bucket: str) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lease until it gets a line; its first line was its number."""
    child = start("hold", bucket, str(LIFE))
    assert child.stdout is not None
    assert int(child.stdout.readline()) == child.pid
    yield child
    child.kill()
    child.wait()


def told(child: subprocess.Popen[str]) -> list[str]:
    """Let it go on, and what it said until it ended."""
    return child.communicate("\n")[0].splitlines()


def test_four_processes_never_hold_it_at_the_same_time(bucket: str) -> None:
    remote = Remote(bucket)
    obstore.put(remote.objects(), "counter", b"0")
    counters = [start("count", bucket, "5") for _ in range(4)]
    assert [child.wait() for child in counters] == [0] * 4
    assert bytes(obstore.get(remote.objects(), "counter").bytes()) == b"20"


def test_it_stays_with_a_holder_that_works_longer_than_a_life(bucket: str, holder) -> None:
    impatient = Lease(Remote(bucket), patience=2 * LIFE)
    with pytest.raises(StoreBusy, match=rf"{holder.pid} on .*since \d{{4}}-"), impatient.held():
        pass
    assert told(holder) == ["ours", "again"]


def test_a_killed_holder_is_taken_over(bucket: str, holder) -> None:
    holder.kill()
    holder.wait()
    with Lease(Remote(bucket), patience=30).held():
        pass


def test_a_holder_that_stood_still_learns_that_another_came(bucket: str, holder) -> None:
    holder.send_signal(signal.SIGSTOP)
    with Lease(Remote(bucket), patience=30).held():
        holder.send_signal(signal.SIGCONT)
        holder.stdin.write("\n")
        holder.stdin.flush()
        assert "stood still" in holder.stdout.readline()
    assert holder.stdout.readline() == "again\n"


@pytest.mark.long
def test_a_holder_that_stood_still_goes_on_when_nobody_came(bucket: str, holder) -> None:
    holder.send_signal(signal.SIGSTOP)
    time.sleep(1.5 * LIFE)
    holder.send_signal(signal.SIGCONT)
    assert told(holder) == ["ours", "again"]


def test_it_is_free_as_soon_as_it_is_given_back(bucket: str) -> None:
    first = Lease(Remote(bucket), patience=1, life=600)
    with first.held():
        pass
    with Lease(Remote(bucket), patience=1).held():  # far less than the life of the first
        pass
    with first.held():
        pass


def test_the_same_thread_may_enter_again_and_another_waits(bucket: str) -> None:
    lease = Lease(Remote(bucket), patience=30)
    order: list[str] = []

    def other() -> None:
        with lease.held():
            order.append("other")

    with lease.held():
        thread = threading.Thread(target=other)
        with lease.held():
            thread.start()
        thread.join(0.3)
        order.append("first")
    thread.join()
    assert order == ["first", "other"]


def test_what_is_no_lease_gives_way_after_the_usual_life(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store.lease, "LIFE", 0.5)
    obstore.put(Remote(bucket).objects(), store.lease.NAME, b"\x00 no JSON")
    with Lease(Remote(bucket), patience=30).held():
        pass


def test_a_deleted_lease_is_made_anew(bucket: str) -> None:
    remote = Remote(bucket)
    lease = Lease(remote, patience=5)
    with lease.held():
        pass
    obstore.delete(remote.objects(), store.lease.NAME)
    with lease.held():
        sign = json.loads(bytes(obstore.get(remote.objects(), store.lease.NAME).bytes()))
        assert sign["host"]


def test_a_forgotten_post_does_not_come_back_with_a_writer_that_stood_still(bucket: str) -> None:
    mine = Store.open(salt=SALT)
    write(mine, raw("forgotten", author="a"))
    child = start("stall", bucket, str(LIFE))
    assert child.stdout is not None
    child.stdout.readline()
    child.send_signal(signal.SIGSTOP)
    mine.forget([mine.key("reddit:t3_forgotten")])
    child.send_signal(signal.SIGCONT)
    assert told(child)[0] != "written"  # it waits in the spool, and is stored when looked at anew
    assert child.returncode == 0
    assert stored(mine)["uri"].to_list() == ["reddit:t3_late"]


def test_a_server_that_keeps_to_no_conditions_is_refused(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Careless(http.server.BaseHTTPRequestHandler):
        """Takes every put, whatever its condition."""

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("ETag", f'"{time.monotonic_ns()}"')
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Careless)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    lease = Lease(Remote(bucket), patience=5)
    try:
        with lease.held(), pytest.raises(StoreUnfit, match="If-None-Match"):
            lease.prove()
    finally:
        server.shutdown()
        server.server_close()
