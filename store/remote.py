"""A place on an object store: its credentials from the usual chain, and its objects by name.

delta-rs, polars and obstore each look for credentials in a way of their own: obstore and polars
(given a table) know no profiles, delta-rs does, and outside Amazon each waits for the metadata
service in its own time. So botocore is asked, once, and all three get what it found. Nothing here
knows a table. Only S3 is tested; for gs:// and az:// the libraries are left to themselves.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import ObjectStore, from_url

from store.faults import StoreUnfit

SCHEMES = ("s3", "s3a", "gs", "az", "adl", "azure", "abfs", "abfss")
# delta-rs 1.6.6 encodes anything else twice (`%2520` for a blank), so that what one of its parts
# writes another does not find; polars takes a folder a=b for a partition.
_NAME = re.compile(r"[A-Za-z0-9._~+@/-]*")
_HERE = {"127.0.0.1", "localhost", "::1"}
RETRIES = 6  # with back-off some two seconds where nobody listens; delta-rs alone: 10


class Remote:
    """One place on an object store, by its URL. Safe to share between threads."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.s3 = url.startswith(("s3://", "s3a://"))
        self._credentials: Any = None
        self._settings: dict[str, str] | None = None
        self._objects: tuple[dict[str, str] | None, ObjectStore] | None = None

    def check(self) -> None:
        """Raise StoreUnfit for a URL that no store can lie at."""
        parts = urlsplit(self.url)
        if parts.scheme not in SCHEMES or not parts.netloc:
            raise StoreUnfit(
                f"AFTERSHOCK_STORE is {self.url}, which is no place for a store. Name a folder, or"
                " s3://BUCKET/PREFIX for an object store."
            )
        if not _NAME.fullmatch(self.url.split("://", 1)[1]):
            raise StoreUnfit(
                f"The store cannot lie at {self.url}: its tables cannot be read there. Name a"
                " prefix of letters, digits and . _ ~ + @ - only, without accents or blanks."
            )

    def options(self) -> dict[str, str] | None:
        """What delta-rs and polars need to get there, with credentials that are valid now; None
        where they find their own way. Raises StoreUnfit when S3 credentials are nowhere."""
        if not self.s3:
            return None
        if self._settings is None:
            self._settings = self._look_up()
        if self._credentials is None:
            return dict(self._settings)
        with _told(self.url):
            keys = self._credentials.get_frozen_credentials()  # botocore renews what expires
        found = {
            "aws_access_key_id": keys.access_key,
            "aws_secret_access_key": keys.secret_key,
        }
        if keys.token:
            found["aws_session_token"] = keys.token
        return self._settings | found

    def _look_up(self) -> dict[str, str]:
        """Where the server is, and (in `_credentials`) who we are, as the AWS tools would have it:
        environment, AWS_PROFILE and the files in ~/.aws, web identity, container, instance."""
        import botocore.session  # noqa: PLC0415 - half a second, and only for S3
        from botocore.configprovider import ConfiguredEndpointProvider  # noqa: PLC0415

        with _told(self.url):
            session = botocore.session.Session()
            if not _true("AWS_SKIP_SIGNATURE"):
                self._credentials = session.get_credentials()
                if self._credentials is None:
                    raise StoreUnfit(_nobody(self.url))
            settings = {}
            endpoint = ConfiguredEndpointProvider(
                full_config=session.full_config,
                scoped_config=session.get_scoped_config(),
                client_name="s3",
            ).provide() or os.environ.get("AWS_ENDPOINT")
            region = (
                os.environ.get("AWS_REGION")
                or session.get_config_variable("region")
                or ("us-east-1" if endpoint else None)
            )
        if endpoint:
            settings["aws_endpoint_url"] = str(endpoint)
            address = urlsplit(str(endpoint))
            if address.scheme == "http":
                if address.hostname not in _HERE and not _true("AWS_ALLOW_HTTP"):
                    raise StoreUnfit(
                        f"AWS_ENDPOINT_URL is {endpoint}, so {self.url} would be read and written"
                        " without encryption. Use https://, or set AWS_ALLOW_HTTP=true if the"
                        " network is yours."
                    )
                settings["allow_http"] = "true"
        if region:
            settings["aws_region"] = str(region)
        return settings

    def objects(self) -> ObjectStore:
        """The objects under the URL, by their paths below it."""
        options = self.options()
        if self._objects is None or self._objects[0] != options:
            settings: Any = dict(options or {})
            plain = settings.pop("allow_http", None)
            made = from_url(
                self.url,
                config=settings or None,
                client_options={"allow_http": True} if plain else None,
                retry_config={"max_retries": RETRIES},
            )
            self._objects = (options, made)
        return self._objects[1]

    def names(self, folder: str, after: str = "") -> Iterator[str]:
        """The names of the objects in a folder, in order, those not before `folder/after` only."""
        start = f"{folder}/{after}" if after else None
        with as_os_errors():
            for chunk in obstore.list(self.objects(), f"{folder}/", offset=start):
                yield from (str(each["path"]).removeprefix(f"{folder}/") for each in chunk)


@contextmanager
def as_os_errors() -> Iterator[None]:
    """Let obstore's errors pass as OSError, as deltalake's and polars' do."""
    try:
        yield
    except BaseError as error:
        raise OSError(str(error)) from error


@contextmanager
def _told(url: str) -> Iterator[None]:
    """Turn what botocore says of profiles and roles into a StoreUnfit."""
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415

    try:
        yield
    except BotoCoreError as error:
        raise StoreUnfit(
            f"The credentials for {url} could not be read: {str(error).rstrip('.')}. Check"
            " AWS_PROFILE and the files ~/.aws/config and ~/.aws/credentials."
        ) from error


def _nobody(url: str) -> str:
    return (
        f"There are no credentials for {url}. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or"
        " name a profile of ~/.aws/credentials in AWS_PROFILE; a server that is not Amazon's goes"
        " into AWS_ENDPOINT_URL."
    )


def _true(name: str) -> bool:
    return os.environ.get(name, "").lower() in {"1", "true", "yes"}
