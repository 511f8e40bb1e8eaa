"""`aftershock schedule show`: crontab lines for this checkout, to be read before they are used.

No password is ever in them.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

import typer

from cli.console import say
from cli.credentials import (
    ALONE,
    ENVIRONMENT,
    PASSWORD,
    REDDIT_KEY,
    SERVICE,
    Found,
    credentials_path,
    find,
)
from store.location import checkout, is_local, resolved, salt_path, store_location

# How an object store is found, without the secret that opens it.
_SERVER = (
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ALLOW_HTTP",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_EC2_METADATA_DISABLED",
)

app = typer.Typer(no_args_is_help=True, help="Run the collectors regularly with cron.")


@app.callback()
def _group() -> None:
    pass


def lines(
    command: Path, settings: Mapping[str, str], log: Path, *, login: bool, key: bool
) -> list[str]:
    """Crontab lines with absolute paths, since cron knows neither our folder nor our PATH.

    Search is asked hourly, and only with a login: Bluesky says of it that it is not made for
    collecting, and what is new comes by the stream. Reddit is, with a `key`. A recheck asks only
    about what is due, so it costs little to come more often than once a day: what is missing is
    gone at the second look, hours later, and Reddit wants that within 48 hours. A `%` means a new
    line to cron unless it is escaped; in settings it is itself.
    """
    run = shlex.quote(str(command)).replace("%", r"\%")
    to = shlex.quote(str(log)).replace("%", r"\%")
    search = f"7 * * * * {run} collect bluesky-search >> {to} 2>&1"
    reddit = f"37 * * * * {run} collect reddit >> {to} 2>&1"
    return [
        *(f'{name}="{value}"' for name, value in settings.items()),
        f"*/15 * * * * {run} collect bluesky-stream >> {to} 2>&1; {run} score >> {to} 2>&1",
        search if login else f"# once aftershock setup has a login: {search}",
        reddit if key else f"# once there is a key for Reddit (docs/reddit.md): {reddit}",
        f"20 2,8,14,20 * * * {run} recheck >> {to} 2>&1",
        f"40 3 * * * {run} maintain >> {to} 2>&1",
    ]


@app.command()
def show() -> None:
    """Print crontab lines: stream and scores every 15 minutes, searches and Reddit hourly, a
    recheck four times a day, upkeep at night."""
    say("# Aftershock. Add these lines with: crontab -e")
    command = Path(sys.argv[0]).resolve()
    settings = {
        "AFTERSHOCK_STORE": resolved(store_location()),
        "AFTERSHOCK_SALT": str(salt_path().resolve()),
    }
    for name in ("AFTERSHOCK_CASES", "AFTERSHOCK_ERASURES", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        if own := os.environ.get(name):
            settings[name] = str(Path(own).expanduser().resolve())
    if not is_local(settings["AFTERSHOCK_STORE"]):
        settings |= {name: os.environ[name] for name in _SERVER if os.environ.get(name)}
        if os.environ.get("AWS_SECRET_ACCESS_KEY"):
            say(
                "# cron does not know your AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and they do"
            )
            say("# not belong here: put them into ~/.aws/credentials (`aws configure` does).")
    found = find()
    settings |= _sources(found)
    login = found.places.get(PASSWORD) in _seen_by_cron()
    key = all(found.places.get(name) in _seen_by_cron() for name in REDDIT_KEY)
    for line in lines(command, settings, checkout() / "aftershock.log", login=login, key=key):
        say(line)


def _sources(found: Found) -> dict[str, str]:
    """How cron finds the logins, and what else is set in the environment and is no secret."""
    settings = {}
    if os.environ.get("AFTERSHOCK_CREDENTIALS") or os.environ.get("XDG_CONFIG_HOME"):
        settings["AFTERSHOCK_CREDENTIALS"] = str(credentials_path().resolve())
    settings |= {
        name: found.values[name]
        for name in (SERVICE, *ALONE)
        if found.places.get(name) == ENVIRONMENT
    }
    if PASSWORD in found.values and found.places[PASSWORD] not in _seen_by_cron():
        say(f"# cron does not know your {PASSWORD} from {found.places[PASSWORD]}, and it does not")
        say(f"# belong here: store it in {credentials_path()} (aftershock setup does).")
    if unseen := [
        name
        for name in REDDIT_KEY
        if name in found.values and found.places[name] not in _seen_by_cron()
    ]:
        say(f"# cron does not know your {', '.join(unseen)} from {found.places[unseen[0]]}.")
        say(f"# Write the key for Reddit into {credentials_path()} (mode 0600).")
    return settings


def _seen_by_cron() -> tuple[str, ...]:
    return str(credentials_path()), str(checkout() / ".env")
