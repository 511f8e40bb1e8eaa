"""A real S3 server on loopback, for the tests of a store on an object store.

moto's server; or, with TESTBED_S3=seaweedfs, SeaweedFS, where its program `weed` is installed (ten
times as quick, and strict about signatures). Either serves put with a condition (If-None-Match,
If-Match), which delta-rs's commits and our lease stand on. Each runs in a process of its own: a
server in a thread of the tests would wait for the interpreter's lock while a library that holds it
waits for the server.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import obstore
from obstore.store import S3Store

KEY, SECRET = "AKIATESTBED", "a-secret-of-the-testbed"
READY_SECONDS = 60


class Bed:
    """The server: where it listens, and what lies in it."""

    def __init__(self, endpoint: str, *, moto: bool) -> None:
        self.endpoint = endpoint
        self.moto = moto

    @property
    def settings(self) -> dict[str, str]:
        """Where the server is, without credentials."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to use the server."""
        return self.settings | {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}

    def bucket(self, *, versioned: bool = False) -> str:
        """A new empty bucket; a versioned one keeps what is deleted."""
        name = f"test-{uuid.uuid4().hex[:12]}"
        asked = self._session()
        asked.create_bucket(Bucket=name)
        if versioned:
            asked.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        return name

    def objects(self, bucket: str) -> S3Store:
        """The objects of a bucket."""
        return S3Store(
            bucket,
            endpoint=self.endpoint,
            region="us-east-1",
            access_key_id=KEY,
            secret_access_key=SECRET,
            client_options={"allow_http": True},
        )

    def contents(self, bucket: str) -> dict[str, bytes]:
        """Every object of a bucket, by its name."""
        store = self.objects(bucket)
        names = [str(meta["path"]) for chunk in store.list() for meta in chunk]
        return {name: bytes(obstore.get(store, name).bytes()) for name in names}

    @contextmanager
    def strict(self) -> Iterator[None]:
        """Refuse whoever does not come with known keys (SeaweedFS always does)."""
        if not self.moto:
            yield
            return
        self._authenticate_after("0")
        try:
            yield
        finally:
            self._authenticate_after("inf")

    def requests(self) -> int:
        """How many requests there were so far, this one left out."""
        assert self.moto, "only moto's server counts"
        with urllib.request.urlopen(f"{self.endpoint}/testbed-requests") as answer:  # noqa: S310
            return int(answer.read())

    def _authenticate_after(self, requests: str) -> None:
        asked = urllib.request.Request(  # noqa: S310 - our own server
            f"{self.endpoint}/moto-api/reset-auth", data=requests.encode(), method="POST"
        )
        asked.add_header("Content-Type", "text/plain")
        urllib.request.urlopen(asked).close()  # noqa: S310

    def _session(self) -> Any:
        import boto3  # noqa: PLC0415 - slow, and only for what obstore cannot do

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
        )


@contextmanager
def serving(folder: Path) -> Iterator[Bed]:
    """Run the server, with its files in `folder`, until the context ends."""
    folder.mkdir(parents=True, exist_ok=True)
    weed = _weed() if os.environ.get("TESTBED_S3") == "seaweedfs" else None
    ports = _free_ports(8)
    endpoint = f"http://127.0.0.1:{ports[0]}"
    command = _seaweedfs(weed, folder, ports) if weed else [sys.executable, __file__, str(ports[0])]
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
    try:
        bed = Bed(endpoint, moto=weed is None)
        _wait(server, bed, folder / "server.log")
        yield bed
    finally:
        server.kill()
        server.wait()


def _weed() -> str:
    beside = Path(sys.executable).with_name("weed")
    found = str(beside) if beside.exists() else shutil.which("weed")
    assert found, "TESTBED_S3=seaweedfs needs the program weed"
    return found


def _seaweedfs(weed: str, folder: Path, ports: list[int]) -> list[str]:
    data = folder / "data"
    data.mkdir()
    identities = {
        "identities": [
            {
                "name": "tests",
                "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
                "actions": ["Admin", "Read", "List", "Write"],
            }
        ]
    }
    (folder / "s3.json").write_text(json.dumps(identities))
    flags = ("s3.port", "s3.port.grpc", "master.port", "master.port.grpc", "volume.port")
    flags += ("volume.port.grpc", "filer.port", "filer.port.grpc")
    return [
        weed,
        "server",
        f"-dir={data}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-filer",
        "-s3",
        f"-s3.config={folder / 's3.json'}",
        "-volume.max=0",
        "-master.volumeSizeLimitMB=64",
        *(f"-{flag}={port}" for flag, port in zip(flags, ports, strict=True)),
    ]


def _free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    try:
        for each in held:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in held]
    finally:
        for each in held:
            each.close()


def _wait(server: subprocess.Popen[bytes], bed: Bed, log: Path) -> None:
    """Until the server takes a bucket and an object."""
    limit = time.monotonic() + READY_SECONDS
    while True:
        try:
            bucket = bed.bucket()
            bed.objects(bucket).put("ready", b"")
            return
        except Exception as error:
            if server.poll() is not None or time.monotonic() > limit:
                raise RuntimeError(f"no S3 server:\n{log.read_text()[-2000:]}") from error
            time.sleep(0.1)


def _moto(port: int) -> None:
    from moto.moto_server.werkzeug_app import (  # noqa: PLC0415 - only in the server's process
        DomainDispatcherApplication,
        create_backend_app,
    )
    from werkzeug.serving import make_server  # noqa: PLC0415

    app = DomainDispatcherApplication(create_backend_app)
    count = 0

    def counting(environ: Any, start_response: Any) -> Any:
        nonlocal count
        if environ["PATH_INFO"] == "/testbed-requests":
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [str(count).encode()]
        count += 1
        return app(environ, start_response)

    make_server("127.0.0.1", port, counting, threaded=True).serve_forever()


if __name__ == "__main__":
    _moto(int(sys.argv[1]))
