"""What waits to become a batch, and when a batch has to be cut for the sake of order.

The store applies a batch's posts first, then what is gone, then accounts deleted, hidden and back,
and what belongs to a case is decided for a batch as a whole. Where that would make the outcome
depend on where a batch happens to end, it ends just there. Reads nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from collectors.bluesky_events import Picked
from collectors.normalise import Row, frame
from store.schema import Bad, Batch, Reading

# How an account can be away; whoever comes back is `active`. Deleted is for good.
DELETED = "deleted"


@dataclass
class Pending:
    """Events since the last batch."""

    rows: list[Row] = field(default_factory=list)
    gone: dict[str, None] = field(default_factory=dict)
    hidden: dict[str, None] = field(default_factory=dict)
    back: dict[str, None] = field(default_factory=dict)
    deleted: dict[str, None] = field(default_factory=dict)
    bad: list[Bad] = field(default_factory=list)
    _uris: set[str] = field(default_factory=set)
    _linked: set[str] = field(default_factory=set)  # roots and quoted posts of the rows

    @property
    def posts_waiting(self) -> int:
        return len(self.rows)

    @property
    def size(self) -> int:
        changes = (self.gone, self.hidden, self.back, self.deleted)
        return len(self.rows) + len(self.bad) + sum(map(len, changes))

    def __bool__(self) -> bool:
        return self.size > 0

    def clashes(self, one: Picked) -> bool:
        """Whether the event has to wait until what is pending is stored."""
        event = one.event
        if one.row is not None:
            # A post that belonged once stays in its case, with its newest words, even if these no
            # longer match. A post of an account that is hidden by then is hidden with it.
            edits = event.operation == "update" and event.uri in self._uris
            return edits or event.uri in self.gone or event.did in self.deleted
        if event.operation == "delete":
            return event.uri in self._linked  # replies belong through it as long as it is there
        if event.kind == "account":
            if event.status == "active":
                return event.did in self.deleted
            return event.status != DELETED and event.did in self.back
        return False

    def add(self, one: Picked) -> None:
        event = one.event
        if one.bad is not None:
            self.bad.append(one.bad)
        elif one.row is not None:
            self.rows.append(one.row)
            self._uris.add(event.uri)
            self._linked.update(link for link in (one.row["root"], one.row["quoted"]) if link)
        elif event.kind == "account":
            states = {"active": self.back, DELETED: self.deleted}
            states.get(event.status, self.hidden)[event.did] = None
        elif event.operation == "delete":
            self.gone[event.uri] = None

    def batch(self, collector: str, reading: Reading, cursor: str | None) -> Batch:
        return Batch(
            collector,
            reading,
            posts=frame(self.rows),
            gone=tuple(self.gone),
            hidden=tuple(self.hidden),
            back=tuple(self.back),
            deleted=tuple(self.deleted),
            bad=tuple(self.bad),
            cursor=cursor,
        )
