"""`aftershock setup`: asks for the logins of the sources, tries each with one call, stores it.

Passwords are typed unseen; none ever stands on a command line or on the screen. What the source has
refused is not stored.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from importlib import import_module
from typing import Annotated

import typer

import cases.case as case_files
import collectors
from cli.console import CONFIGURATION, FINE, TRY_LATER, Stop, say, warn
from cli.credentials import (
    BLUESKY,
    HANDLE,
    PASSWORD,
    REDDIT,
    REDDIT_KEY,
    SERVICE,
    Found,
    credentials_path,
    find,
    store,
)
from cli.settings import build
from collectors.errors import TryLaterError, UnfitError
from collectors.reddit_access import preflight
from collectors.reddit_refusals import PASSING
from collectors.settings import MOST_LOOKBACK

ATTEMPTS = 3
REMOVE = "-"
SEARCH = "bluesky-search"
# What bsky.social makes: four groups of base32.
_APP_PASSWORD = re.compile(r"[a-z2-7]{4}(-[a-z2-7]{4}){3}")
_PROFILE = re.compile(r"https?://[^/]+/profile/([^/?#]+).*")


def setup(
    service: Annotated[
        str | None,
        typer.Option(help="The account's own server, where that is not https://bsky.social."),
    ] = None,
) -> None:
    """Store the logins of the sources, after a test, and say how far back each can be read."""
    found = find()
    hours = MOST_LOOKBACK // timedelta(hours=1)
    firsts = [f"{case.name} {case.since}" for case in case_files.load_all().values()]
    say("Reddit")
    say(f"  {_state(found, REDDIT)} Keys come on request (docs/reddit.md); setup asks for none.")
    reddit = FINE
    if all(found.values.get(name) for name in REDDIT_KEY):
        access = preflight(build())
        (say if access.fine else warn)(f"  {access.sentence}")
        passing = TRY_LATER if access.kind in PASSING else CONFIGURATION
        reddit = FINE if access.fine else passing
    say("Bluesky")
    say(f"  The stream of new posts needs no login and reaches {hours} hours back: collect daily.")
    say(f"  Search needs one and goes back to each case's first day: {', '.join(firsts)}.")
    say(
        "  It finds what is still there and what Bluesky's index shows, which is not all there was."
    )
    say(f"  {_state(found, BLUESKY)}")
    if sys.stdin.isatty():
        _ask(found, service)
    else:
        _unattended(found)
    if reddit != FINE:
        raise typer.Exit(reddit)


def _state(found: Found, login: Sequence[str]) -> str:
    """Which names are set, and where; never their values."""
    by_place: dict[str, list[str]] = {}
    for name in login:
        if name in found.values:
            by_place.setdefault(found.places[name], []).append(name)
    if not by_place:
        return "No login is set."
    said = (f"{', '.join(names)} (in {place})" for place, names in by_place.items())
    return f"Set: {'; '.join(said)}."


def _unattended(found: Found) -> None:
    """Without a terminal nobody can be asked: try what is set, or say how to set it."""
    if HANDLE not in found.values or PASSWORD not in found.values:
        raise Stop(
            f"There is no terminal to ask on. Set {HANDLE} and {PASSWORD} in the environment, in"
            f" .env, or in {credentials_path()} (mode 0600), then run aftershock setup again to"
            " test them. The stream works without.",
            CONFIGURATION,
        )
    _try_what_is_set()


def _ask(found: Found, service: str | None) -> None:
    own = str(credentials_path())
    above = {found.places[name] for name in BLUESKY if name in found.values} - {own}
    if above:
        say(f"  What is set in {' and '.join(sorted(above))} comes before what is stored here.")
    say("  App passwords: bsky.app, Settings, Privacy and security, App passwords.")
    keeps = "keeps what is set" if HANDLE in found.values else "goes on without"
    for _ in range(ATTEMPTS):
        handle = _handle(
            typer.prompt(
                f"  Handle (Enter {keeps}, {REMOVE} removes it)", default="", show_default=False
            )
        )
        if handle == REMOVE:
            say(f"  Removed from {store(dict.fromkeys(BLUESKY))}.")
            return
        if not handle:
            if HANDLE in found.values and PASSWORD in found.values:
                _try_what_is_set()
            return
        password = typer.prompt("  App password (not shown)", hide_input=True).strip()
        if not _APP_PASSWORD.fullmatch(password) and not typer.confirm(
            "  That is no app password (xxxx-xxxx-xxxx-xxxx). An account's own password opens all"
            " of it to whoever reads the file. Use it all the same?"
        ):
            continue
        values = {HANDLE: handle, PASSWORD: password, SERVICE: service or found.values.get(SERVICE)}
        try:
            said = _tried({name: value for name, value in values.items() if value})
        except UnfitError as error:
            warn(f"  {error} Nothing was stored.")
        except TryLaterError as error:
            path = store(values)
            raise Stop(
                f"{error} The login is stored in {path} without a test: run aftershock setup again"
                " later, and press Enter at the handle.",
                TRY_LATER,
            ) from error
        else:
            say(f"  {said}")
            say(f"  Stored in {store(values)}. Next: aftershock collect {SEARCH}")
            return
    raise Stop("No login was stored.", CONFIGURATION)


def _try_what_is_set() -> None:
    try:
        say(f"  {_tried({})}")
    except UnfitError as error:
        raise Stop(str(error), CONFIGURATION) from error
    except TryLaterError as error:
        raise Stop(str(error), TRY_LATER) from error


def _tried(values: Mapping[str, str]) -> str:
    """What the source says to these values, over those that are set. Raises as collectors do."""
    settings = build()
    settings = replace(settings, credentials={**settings.credentials, **values})
    try:
        collectors.load(SEARCH)
    except LookupError as error:
        raise Stop(str(error)) from error
    said: str = import_module("collectors.bluesky_search").check(settings)
    return said


def _handle(text: str) -> str:
    """A handle as it is pasted: with an @, with marks of direction around it, as an address."""
    plain = "".join(sign for sign in text if unicodedata.category(sign) != "Cf").strip()
    if address := _PROFILE.fullmatch(plain):
        plain = address[1]
    return plain.removeprefix("@")
