"""How a collector stops early: a sentence for the person who must act, and what it means for cron.

What was yielded before such an error is stored. What is wrong with one record is no error at all.
"""

from __future__ import annotations


class CollectorError(Exception):
    """The source cannot be read, and nobody knows whether it can later."""


class TryLaterError(CollectorError):
    """The source cannot be read now: its limit is reached, it is down, the network is dead."""


class UnfitError(CollectorError):
    """The source cannot be read until a person has changed something: credentials, mostly."""
