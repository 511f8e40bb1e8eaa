"""What opens the sources, and how they are reached: found in three places, stored in one.

The environment comes first, then `.env` in the current folder and in the checkout, then the
credentials file. Values go to the collectors and nowhere else: no log, error, table or command
line ever holds one, and the demo reads none. Files are read as python-dotenv reads them.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

from dotenv.parser import Binding, parse_stream

from cases.terms import PERMISSIONS
from cli.console import CONFIGURATION, Stop
from store.location import checkout, configuration_folder

HANDLE = "AFTERSHOCK_BLUESKY_HANDLE"
PASSWORD = "AFTERSHOCK_BLUESKY_APP_PASSWORD"  # noqa: S105 - the name of a setting
SERVICE = "AFTERSHOCK_BLUESKY_SERVICE"
# What belongs to one login is taken from one file: a `.env` that came with somebody else's folder
# could otherwise name a server and be sent the password that lies in the credentials file.
BLUESKY = (HANDLE, PASSWORD, SERVICE)
REDDIT_KEY = (
    "AFTERSHOCK_REDDIT_CLIENT_ID",
    "AFTERSHOCK_REDDIT_CLIENT_SECRET",
    "AFTERSHOCK_REDDIT_USER_AGENT",
)
REDDIT = (*REDDIT_KEY, "AFTERSHOCK_REDDIT_URL")
# A language model that reads posts for their stance; nothing is sent while it is not set.
STANCE = (
    "AFTERSHOCK_STANCE_URL",
    "AFTERSHOCK_STANCE_MODEL",
    "AFTERSHOCK_STANCE_KEY",
    "AFTERSHOCK_STANCE_SEND_TO",
)
STANCE_LIMITS = (
    "AFTERSHOCK_STANCE_REQUESTS",
    "AFTERSHOCK_STANCE_TOKENS",
    "AFTERSHOCK_STANCE_PER_MINUTE",
)
TOGETHER = (BLUESKY, REDDIT, STANCE)
PERMISSION = PERMISSIONS["reddit"]  # no key, but it is set where the key is
ALONE = (
    PERMISSION,
    "AFTERSHOCK_BLUESKY_APPVIEW",
    "AFTERSHOCK_JETSTREAM",
    "AFTERSHOCK_JETSTREAM_MONTHLY_GB",
    *STANCE_LIMITS,
)
NAMES = (*(name for group in TOGETHER for name in group), *ALONE)
ENVIRONMENT = "the environment"


@dataclass(frozen=True)
class Found:
    """Names and values, and where each value was found (a sentence may say that)."""

    values: Mapping[str, str] = field(repr=False)
    places: Mapping[str, str]


def credentials_path() -> Path:
    """The credentials file: AFTERSHOCK_CREDENTIALS, or `credentials` beside the salt's default."""
    if named := os.environ.get("AFTERSHOCK_CREDENTIALS"):
        return Path(named).expanduser()
    return configuration_folder() / "credentials"


def find() -> Found:
    """What is set, from the first place that sets it; an empty value counts as none.

    Raises Stop (78) when the credentials file is open to others or cannot be read.
    """
    files = list(dict.fromkeys(folder / ".env" for folder in (Path.cwd(), checkout())))
    found = [(str(path), _read(path)) for path in files]
    own = credentials_path()
    found.append((str(own), _read(own, private=True)))
    values: dict[str, str] = {}
    places: dict[str, str] = {}
    for names in (*TOGETHER, *((name,) for name in ALONE)):
        for place, held in found:
            if any(held.get(name) for name in names):
                values |= {name: held[name] for name in names if held.get(name)}
                places |= {name: place for name in names if held.get(name)}
                break
    for name in NAMES:
        if value := os.environ.get(name):
            values[name], places[name] = value, ENVIRONMENT
    return Found(values, places)


def store(values: Mapping[str, str | None]) -> Path:
    """Set these names in the credentials file, or take those without a value out of it.

    Other lines stay as they are. The file is replaced in one step and is readable by this user
    only (mode 0600). Returns its path. Raises Stop (78) when it is open to others or damaged.
    """
    path = Path(os.path.realpath(credentials_path()))  # the file itself, where it is a link
    _read(path, private=True)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    kept = [line.original.string for line in _lines(path, private=True) if line.key not in values]
    if kept and not kept[-1].endswith("\n"):
        kept.append("\n")
    kept += [f"{name}={_quoted(value)}\n" for name, value in values.items() if value]
    # mkstemp makes it 0600 from the start
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".credentials.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write("".join(kept))
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def _quoted(value: str) -> str:
    """In single quotes, where dotenv takes nothing but these two for anything but itself."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _read(path: Path, *, private: bool = False) -> dict[str, str]:
    return {
        line.key: line.value for line in _lines(path, private=private) if line.key and line.value
    }


def _lines(path: Path, *, private: bool) -> list[Binding]:
    """The lines of a file; none when there is no file. Of a `.env`, which may hold anything for
    others, lines that are no settings are passed over."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            mode = os.fstat(file.fileno()).st_mode
            if private and os.name == "posix" and stat.S_IMODE(mode) & 0o077:
                raise Stop(
                    f"{path} can be read by others on this machine (mode {stat.S_IMODE(mode):04o})"
                    f" and holds passwords, so it is not used. Close it: chmod 600 {path}. If"
                    " others may have read it, revoke the app password and make a new one.",
                    CONFIGURATION,
                )
            text = file.read()
    except FileNotFoundError:
        return []
    except UnicodeDecodeError:
        if not private:
            return []
        raise Stop(
            f"{path} is no text in UTF-8. Delete it and run aftershock setup.", CONFIGURATION
        ) from None
    except OSError as error:
        if not private:  # a folder of that name, or one that is not for us
            return []
        raise Stop(
            f"{path} cannot be read: {error.strerror}. It has to be a file of this user with mode"
            " 0600; AFTERSHOCK_CREDENTIALS names another.",
            CONFIGURATION,
        ) from error
    lines = list(parse_stream(StringIO(text)))
    if private:
        for line in lines:
            if line.error or (line.key and line.value is None):
                raise Stop(
                    f"{path}, line {line.original.line}: expected NAME='value'. Mend the line, or"
                    " delete the file and run aftershock setup.",
                    CONFIGURATION,
                )
    return lines
