"""A small, faithful Jetstream server for tests (loopback only).

Speaks the v2 wire (`/xrpc/network.bsky.jetstream.subscribeEvents`, subprotocol xrpc.v1.json, dict-zstd via
`/xrpc/network.bsky.jetstream.getZstdDictionary`) and the legacy v1 wire (`/subscribe`). Events come from code
(`add`), from a JSON-lines file, or live from a PDS firehose (`--from-pds ws://localhost:PORT/xrpc`).
"""

import argparse, asyncio, bisect, datetime as dt, json, struct, sys, time
from urllib.parse import parse_qs, urlsplit

import zstandard
from websockets.asyncio.server import serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Response

NS = "network.bsky.jetstream.subscribeEvents"
KINDS = ("commit", "identity", "account", "sync")
SEQ_MAX = 10**15  # cursors at or above this are unix microseconds


def iso(us):
    return dt.datetime.fromtimestamp(us / 1e6, dt.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class MiniJetstream:
    def __init__(self, first_seq=1, floor=0, dict_id=20260811):
        self.events, self.seqs = [], []  # each event: {'kind', 'did', 'us', ...kind's own fields}
        self.next_seq, self.floor, self.dict_id = first_seq, floor, dict_id
        self.changed = asyncio.Condition()
        self.connections, self.requests = set(), []
        self.fail = []  # queued (status, error, message) for the next handshakes
        self._dict = None

    # --- content ---
    def add(self, kind, did, us=None, **fields):
        us = us or time.time_ns() // 1000
        ev = {"seq": self.next_seq, "kind": kind, "did": did, "us": us, **fields}
        self.next_seq += 1
        self.events.append(ev)
        self.seqs.append(ev["seq"])
        return ev

    async def publish(self, kind, did, **fields):
        async with self.changed:
            ev = self.add(kind, did, **fields)
            self.changed.notify_all()
        return ev

    def dictionary(self):
        if self._dict is None:  # trained here, on frames of this wire's shape
            words = "soundcloud terms ai training artists music upload opt out delete account songs".split()
            sample = [
                self.v2(
                    dict(
                        seq=i,
                        kind="commit",
                        did=f"did:plc:{i * 7919 % 10**9:024d}",
                        us=1747000000000000 + i * 997,
                        operation="create",
                        collection="app.bsky.feed.post",
                        rkey=f"3l{i * 104729 % 10**11:011d}",
                        rev=f"3l{i:011d}",
                        cid="bafyrei" + f"{i * 15485863:052d}",
                        record={
                            "$type": "app.bsky.feed.post",
                            "langs": ["en"],
                            "createdAt": iso(1747000000000000 + i),
                            "text": " ".join(words[(i * k) % len(words)] for k in range(1, 12)),
                        },
                    )
                ).encode()
                for i in range(1, 2000)
            ]
            self._dict = zstandard.train_dictionary(16384, sample, dict_id=self.dict_id)
        return self._dict.as_bytes()

    # --- wires ---
    @staticmethod
    def v2(ev):
        k = ev["kind"]
        p = {
            "$type": f"{NS}#{k}",
            "seq": ev["seq"],
            "did": ev["did"],
            "time": iso(ev["us"]),
            "witnessedAt": iso(ev["us"]),
        }
        if k == "commit":
            p |= {
                f: ev[f]
                for f in ("rev", "operation", "collection", "rkey", "record", "cid")
                if ev.get(f) is not None
            }
        else:
            p[k] = {"did": ev["did"], "seq": ev["seq"] + 10**9, "time": iso(ev["us"]), **ev[k]}
        return json.dumps(
            {"$type": "message", "payload": p}, separators=(",", ":"), ensure_ascii=False
        )

    @staticmethod
    def v1(ev):
        k = ev["kind"]
        if k == "sync":
            return None
        body = (
            {
                f: ev[f]
                for f in ("rev", "operation", "collection", "rkey", "record", "cid")
                if ev.get(f) is not None
            }
            if k == "commit"
            else {"did": ev["did"], "seq": ev["seq"] + 10**9, "time": iso(ev["us"]), **ev[k]}
        )
        return json.dumps(
            {"did": ev["did"], "time_us": ev["us"], "kind": k, k: body},
            separators=(",", ":"),
            ensure_ascii=False,
        )

    def wants(self, ev, q, v2):
        dids, cols = (
            q.get("dids" if v2 else "wantedDids", []),
            q.get("collections" if v2 else "wantedCollections", []),
        )
        if v2 and q.get("kinds") and ev["kind"] not in q["kinds"]:
            return False
        if dids and ev["did"] not in dids:
            return False
        if ev["kind"] == "commit" and cols:
            return any(
                ev["collection"] == c or (c.endswith(".*") and ev["collection"].startswith(c[:-1]))
                for c in cols
            )
        return True

    # --- server ---
    def check(self, conn, request):
        u = urlsplit(request.path)
        q = parse_qs(u.query)
        self.requests.append((u.path, q))

        def say(status, body, kind="application/json"):
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
            return Response(
                status,
                "x",
                Headers(
                    {"content-type": kind, "content-length": str(len(body)), "connection": "close"}
                ),
                body,
            )

        if u.path == "/xrpc/network.bsky.jetstream.getZstdDictionary":
            return say(200, self.dictionary(), "application/octet-stream")
        v2 = u.path == f"/xrpc/{NS}"
        if not v2 and u.path != "/subscribe":
            return say(404, {"error": "NotFound"})
        if self.fail:
            status, error, message = self.fail.pop(0)
            return say(status, {"error": error, "message": message})
        bad = lambda m, e="InvalidRequest": say(400, {"error": e, "message": m})
        cur = q.get("cursor", [None])[0]
        if cur is not None and not cur.isdigit():
            return bad(f'invalid cursor: "{cur}"')
        if v2:
            if q.keys() & {"wantedCollections", "wantedDids", "compress"}:
                return bad("v1 parameter on the v2 endpoint")
            if set(q.get("kinds", [])) - set(KINDS) or (
                q.get("collections") and q.get("kinds") and "commit" not in q["kinds"]
            ):
                return bad("bad kinds")
            z = q.get("zstdDictionary", [None])[0]
            if z is not None and z != str(self.dict_id):
                return bad(
                    f"unknown zstd dictionary id {z}; current dictionary id is {self.dict_id}",
                    "UnknownZstdDictionary",
                )
            if cur and int(cur) < min(self.floor, SEQ_MAX):
                return bad(
                    f"subscribe: cursor too old: {cur} is below floor {self.floor}", "CursorTooOld"
                )

    async def stream(self, ws):
        u = urlsplit(ws.request.path)
        q, v2 = parse_qs(u.query), u.path != "/subscribe"
        comp = None
        if v2 and q.get("zstdDictionary"):
            comp = zstandard.ZstdCompressor(
                level=1, dict_data=zstandard.ZstdCompressionDict(self.dictionary())
            )

        async def send(text):
            await ws.send(comp.compress(text.encode()) if comp else text)

        info = lambda name, msg: send(
            json.dumps(
                {
                    "$type": "message",
                    "payload": {"$type": f"{NS}#info", "name": name, "message": msg},
                }
            )
        )
        cur, nxt = q.get("cursor", [None])[0], self.next_seq
        if cur is not None:
            cur = int(cur)
            if cur >= SEQ_MAX:
                i = next((i for i, e in enumerate(self.events) if e["us"] >= cur), len(self.events))
                nxt = self.seqs[i] if i < len(self.seqs) else self.next_seq
                if v2 and (nxt <= self.floor or (self.events and cur < self.events[0]["us"])):
                    nxt = max(nxt, self.floor)
                    await info("OutdatedCursor", f"cursor below retention; resumed from seq {nxt}")
            elif cur > self.next_seq:
                if v2:
                    await info("FutureCursor", f"started at live tip {self.next_seq}")
            else:
                nxt = max(cur, self.floor)
        self.connections.add(ws)
        try:
            while True:
                i = bisect.bisect_left(self.seqs, nxt)
                for ev in self.events[i:]:
                    nxt = ev["seq"] + 1
                    text = (self.v2 if v2 else self.v1)(ev) if self.wants(ev, q, v2) else None
                    if text is not None:
                        await send(text)
                async with self.changed:
                    gone = asyncio.ensure_future(ws.wait_closed())
                    new = asyncio.ensure_future(self.changed.wait_for(lambda: self.next_seq > nxt))
                    await asyncio.wait({gone, new}, return_when=asyncio.FIRST_COMPLETED)
                    gone.cancel(), new.cancel()
                    await asyncio.gather(new, return_exceptions=True)
                if ws.close_code is not None:
                    return
        except ConnectionClosed:
            pass
        finally:
            self.connections.discard(ws)

    async def error(self, code, message=""):
        """Ends every connection with an error frame, as the real server does."""
        for ws in list(self.connections):
            try:
                await ws.send(json.dumps({"$type": "error", "error": code, "message": message}))
                await ws.close(1008)
            except ConnectionClosed:
                pass

    def listen(self, port=0):
        return serve(
            self.stream,
            "127.0.0.1",
            port,
            process_request=self.check,
            subprotocols=["xrpc.v1.json"],
            select_subprotocol=lambda c, offered: (
                "xrpc.v1.json" if "xrpc.v1.json" in offered else None
            ),
            compression=None,
        )

    async def follow_pds(self, base_uri):
        """Feeds this server from a PDS's real firehose (CAR blocks -> JSON records)."""
        from atproto import (
            AsyncFirehoseSubscribeReposClient,
            CAR,
            models,
            parse_subscribe_repos_message,
        )

        client = AsyncFirehoseSubscribeReposClient(params={"cursor": 0}, base_uri=base_uri)

        def plain(v):
            if isinstance(v, dict):
                return {k: plain(x) for k, x in v.items()}
            if isinstance(v, list):
                return [plain(x) for x in v]
            return v if isinstance(v, (str, int, float, bool, type(None))) else {"$link": str(v)}

        async def on(frame):
            m = parse_subscribe_repos_message(frame)
            R = models.ComAtprotoSyncSubscribeRepos
            if isinstance(m, R.Commit):
                blocks = CAR.from_bytes(m.blocks).blocks
                for op in m.ops:
                    coll, rkey = op.path.split("/", 1)
                    extra = {"record": plain(blocks[op.cid]), "cid": str(op.cid)} if op.cid else {}
                    await self.publish(
                        "commit",
                        m.repo,
                        rev=m.rev,
                        operation=op.action,
                        collection=coll,
                        rkey=rkey,
                        **extra,
                    )
            elif isinstance(m, R.Account):
                await self.publish(
                    "account",
                    m.did,
                    account={"active": m.active, **({"status": m.status} if m.status else {})},
                )
            elif isinstance(m, R.Identity):
                await self.publish(
                    "identity", m.did, identity={"handle": m.handle} if m.handle else {}
                )
            elif isinstance(m, R.Sync):
                await self.publish("sync", m.did, sync={"rev": m.rev, "blocks": {"$bytes": ""}})

        await client.start(on)


async def main():
    a = argparse.ArgumentParser()
    a.add_argument("--port", type=int, default=0)
    a.add_argument("--from-pds")
    a = a.parse_args()
    js = MiniJetstream()
    async with js.listen(a.port) as server:
        port = server.sockets[0].getsockname()[1]
        print(
            json.dumps(
                {
                    "jetstream": f"ws://localhost:{port}/xrpc",
                    "v1": f"ws://localhost:{port}/subscribe",
                }
            ),
            flush=True,
        )
        await (js.follow_pds(a.from_pds) if a.from_pds else asyncio.Future())


if __name__ == "__main__":
    asyncio.run(main())
