"""Whether Reddit can be asked with the key there is, and if not, what to do about it.

Asks as little as can tell: a token, and one post that everybody may read. For `aftershock setup`.
"""

from __future__ import annotations

from dataclasses import dataclass

from collectors.errors import CollectorError
from collectors.reddit_client import BudgetSpentError, Client, missing
from collectors.reddit_refusals import RefusedError, suspended
from collectors.settings import Settings

REQUESTS = 6  # a token and a post, and what is tried again


@dataclass(frozen=True)
class Access:
    """What came of it. `kind`: fine, absent (no key), credentials (wrong ones), revoked, blocked,
    suspended, limited, network, down or garbled; `sentence` for the person who must act."""

    kind: str
    sentence: str

    @property
    def fine(self) -> bool:
        return self.kind == "fine"


def preflight(settings: Settings) -> Access:
    """Ask once, and say what is the matter. Never raises for what Reddit or the network does."""
    absent = missing(settings.credentials)
    if absent:
        return Access(
            "absent",
            f"No key for Reddit: {', '.join(absent)} not set. Reddit gives keys on request only;"
            " docs/reddit.md says how to ask for one, and how to import archives without.",
        )
    try:
        client = Client(settings, budget=REQUESTS)
        client.get("r/all/new", limit=1)
    except RefusedError as error:
        if error.kind == "forbidden":
            error = suspended()
        return Access(error.kind, str(error))
    except CollectorError as error:
        return Access("credentials", str(error))
    except BudgetSpentError:
        return Access("down", "Reddit does not answer. Try again later.")
    left = "" if client.remaining is None else f"; it allows {client.remaining:,} more requests now"
    return Access("fine", f"Reddit takes the key{left}.")
