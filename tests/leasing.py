"""What the processes of the lease's tests do: hold it, count under it, stand still while they do.

Every function takes the URL of a place on the object store of the environment.
"""

from __future__ import annotations

import os
import sys
import time

import obstore
import polars as pl
from storing import SALT, raw, write

import store.lease
import store.posts
from store.lease import Lease
from store.merge import Tables
from store.remote import Remote
from store.tables import Store, StoreBusy


def count(url: str, times: str) -> None:
    """Add to a counter by reading and writing it: wrong as soon as two do it at once."""
    remote = Remote(url)
    lease = Lease(remote, patience=120, life=30)
    for _ in range(int(times)):
        with lease.held():
            number = int(bytes(obstore.get(remote.objects(), "counter").bytes()))
            time.sleep(0.01)
            obstore.put(remote.objects(), "counter", str(number + 1).encode())


def hold(url: str, life: str) -> None:
    """Hold the lease until a line comes in, and say then whether it is still ours."""
    lease = Lease(Remote(url), patience=60, life=float(life))
    with lease.held():
        print(os.getpid(), flush=True)
        sys.stdin.readline()
        try:
            lease.check()
            print("ours", flush=True)
        except StoreBusy as busy:
            print(busy, flush=True)
    with lease.held():
        print("again", flush=True)


def stall(url: str, life: str) -> None:
    """Write two posts, but stand still between the look at what is blocked and the commit."""
    store.lease.LIFE = float(life)
    mine = Store.open(url, salt=SALT)
    blocked = store.posts.blocked

    def looked(tables: Tables) -> pl.DataFrame:
        found = blocked(tables)
        store.posts.blocked = blocked
        print(os.getpid(), flush=True)
        sys.stdin.readline()
        return found

    store.posts.blocked = looked
    try:
        write(mine, raw("forgotten", author="a"), raw("late", author="b"))
        print("written", flush=True)
    except StoreBusy as busy:
        print(busy, flush=True)
    mine.drain()


def main() -> None:
    name, *words = sys.argv[1:]
    {"count": count, "hold": hold, "stall": stall}[name](*words)
