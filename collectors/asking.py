"""What a source answers when it is asked once more about posts that are kept.

The words between `recheck.py`, which decides what an answer means, and the modules that ask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collectors.normalise import Row


class Account(Enum):
    """What a source says of an author's account."""

    ACTIVE = "active"
    INACTIVE = "inactive"  # deactivated, suspended, taken down: may come back
    ABSENT = "absent"  # nobody of that name
    UNSEEN = "unseen"  # the source does not say


@dataclass(frozen=True)
class There:
    """A post that its source still shows; `row` is None when its record cannot be read."""

    row: Row | None
    likes: int | None = None
    reposts: int | None = None
    replies: int | None = None
    bad: str = ""


class Source(Protocol):
    """How one source is asked. Raises CollectorError where it does not answer: that is no answer,
    and least of all that a post is absent."""

    @property
    def at_once(self) -> int:
        """Posts in one request."""
        ...

    @property
    def requests(self) -> int:
        """How many there were so far, in vain or not."""
        ...

    @property
    def bytes(self) -> int: ...

    def look(self, uris: Sequence[str]) -> dict[str, There | None]:
        """Those of these posts that were answered for: shown, or None where absent."""
        ...

    def author(self, uri: str) -> str | None:
        """Whose post it is, by its uri or by what `look` told last."""
        ...

    def account(self, author: str) -> Account: ...
