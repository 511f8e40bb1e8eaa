"""The salt and the keyed pseudonyms made with it: posts, authors and texts as HMACs.

Knows nothing of tables. The salt never leaves this module but as a fingerprint.
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

SALT_BYTES = 32
_HEX = re.compile(r"[0-9a-f]{64}\s*")

# The demo's posts are invented, so its salt hides nothing; fixed, so that its keys never change.
DEMO_SALT = b"aftershock: the demo's open salt"


class StoreError(Exception):
    """The store cannot do what was asked. The message says what happened and what to do next."""


@dataclass(frozen=True)
class Keys:
    """Pseudonyms under one salt: 128 bits of HMAC-SHA256 as 32 hex digits.

    `hmac.digest` is OpenSSL in one call, so a list comprehension over it does a million in seconds.
    """

    salt: bytes = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """What the store's tables carry to know their salt again; does not reveal it."""
        return hmac.digest(self.salt, b"fingerprint\0", "sha256")[:8].hex()

    def key(self, uri: str) -> str:
        """The key of a post."""
        return _digest(self.salt, b"post\0" + uri.encode())

    def author_key(self, source: str, author: str) -> str:
        """The pseudonym of an author within one source, never the same across sources."""
        name = author.lower() if source == "reddit" else author  # Reddit names ignore case
        return _digest(self.salt, b"author\0" + source.encode() + b"\0" + name.encode())

    def text_hash(self, text: str) -> str:
        """What tells whether a text has changed, without being searchable for it."""
        return _digest(self.salt, b"text\0" + text.encode())

    def posts(self, uris: pl.Series) -> pl.Series:
        """Keys of a column of uris; null stays null."""
        return _strings(uris.name, [u if u is None else self.key(u) for u in uris.to_list()])

    def authors(self, sources: pl.Series, authors: pl.Series) -> pl.Series:
        """Pseudonyms of a column of authors; null stays null."""
        pairs = zip(sources.to_list(), authors.to_list(), strict=True)
        return _strings(authors.name, [a if a is None else self.author_key(s, a) for s, a in pairs])

    def texts(self, texts: pl.Series) -> pl.Series:
        """Hashes of a column of texts; null stays null."""
        return _strings(texts.name, [t if t is None else self.text_hash(t) for t in texts])


def _digest(salt: bytes, message: bytes) -> str:
    return hmac.digest(salt, message, "sha256")[:16].hex()


def _strings(name: str, values: Sequence[str | None]) -> pl.Series:
    return pl.Series(name, values, dtype=pl.String)


def read_salt(path: Path) -> bytes | None:
    """The salt in `path`, None when there is no such file.

    Raises StoreError when others may read it or when it is not 64 hex digits.
    """
    try:
        with path.open(encoding="ascii", errors="replace") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(1000)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(
            f"The salt file {path} cannot be read ({error.strerror}). Every key of the store is"
            " made with it: give this user read access, or name the right file in AFTERSHOCK_SALT."
        ) from error
    if mode & 0o077:
        raise StoreError(
            f"The salt file {path} may be read by others (mode {mode & 0o777:o}); with it they"
            f" could tell which authors are in the store. Run: chmod 600 {path}"
        )
    if not _HEX.fullmatch(text):
        raise StoreError(
            f"The salt file {path} does not hold 64 hex digits. Restore it from the backup;"
            " do not delete it, since a new salt would store every post a second time."
        )
    return bytes.fromhex(text.strip())


def make_salt(path: Path) -> bytes:
    """A new salt in `path`, mode 0600, or the one another process put there first.

    Written whole under another name and then linked: whoever reads `path` sees all of it or
    nothing, and the second of two makers gets the first one's.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(secrets.token_hex(SALT_BYTES) + "\n")
                file.flush()
                os.fsync(file.fileno())
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    except OSError as error:
        raise StoreError(
            f"The salt cannot be written to {path} ({error.strerror}). Name a file in a folder that"
            " this user may write to in AFTERSHOCK_SALT, outside the store and on a file system"
            " with hard links, and back it up."
        ) from error
    salt = read_salt(path)
    if salt is None:
        raise StoreError(f"The salt file {path} vanished while it was made. Run the command again.")
    return salt
