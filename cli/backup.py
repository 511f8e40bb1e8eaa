"""`aftershock backup` and `aftershock restore`: one file with the whole store, and back again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.console import say, say_json, transfer, warn
from store.backup import KEEP_DAYS
from store.erasures import LONGEST_DAYS
from store.location import store_location
from store.restore import restore as restore_store
from store.tables import Store

Json = Annotated[bool, typer.Option("--json", help="Say what was done as JSON.")]


def backup(
    file: Annotated[Path, typer.Argument(help="The file to write, best on another disk.")],
    keep: Annotated[
        int,
        typer.Option(
            min=1, max=LONGEST_DAYS, help="Days it may be kept; `maintain` deletes it then."
        ),
    ] = KEEP_DAYS,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite a file that is no backup.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write the whole store into one file; the salt is not in it."""
    store = Store.open(create=False)
    with transfer("Backing up") as step:
        made = store.backup(file, keep_days=keep, force=force, progress=step)
    manifest = made.manifest
    posts = manifest.tables["posts"]["rows"]
    if as_json:
        say_json(
            {
                "path": str(made.path),
                "backup": manifest.backup,
                "posts": posts,
                "bytes": made.bytes,
                "expires_at": manifest.expires_at.isoformat(),
            }
        )
        return
    say(
        f"{made.path}: {posts:,} posts, {made.bytes:,} bytes. It may be kept until"
        f" {manifest.expires_at:%Y-%m-%d}; `aftershock maintain` deletes it then."
    )
    say("It holds other people's posts. If you move or copy it, deleting it in time is up to you.")


def restore(
    file: Annotated[Path, typer.Argument(help="A file that `aftershock backup` made.")],
    into: Annotated[
        str | None,
        typer.Option("--into", help="The folder of the restored store; else AFTERSHOCK_STORE."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Put it in the place of the store that is there.")
    ] = False,
    erasures: Annotated[
        list[Path] | None,
        typer.Option("--erasures", help="A journal of erasures from another machine."),
    ] = None,
    without_erasures: Annotated[
        bool,
        typer.Option(
            "--without-erasures", help="Restore even if nobody knows what was deleted since."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Put a backup in place, without what was deleted or forgotten since it was made."""
    with transfer("Restoring") as step:
        done = restore_store(
            file,
            into or store_location(),
            replace=replace,
            journals=erasures or [],
            without_erasures=without_erasures,
            progress=step,
        )
    if as_json:
        counts = ("posts", "wiped", "forgotten", "hidden", "back", "covered")
        say_json(
            {"location": done.location, "backup": done.backup.backup}
            | {"created_at": done.backup.created_at.isoformat()}
            | {name: getattr(done, name) for name in counts}
        )
    else:
        say(
            f"{done.location}: {done.posts:,} posts as of"
            f" {done.backup.created_at:%Y-%m-%d %H:%M} UTC. Since deleted and erased again:"
            f" {done.wiped:,} wiped, {done.forgotten:,} forgotten, {done.hidden:,} hidden,"
            f" {done.back:,} back."
        )
        say("Run `aftershock score` to bring the charts up to date, then collect what is missing.")
    if not done.covered:
        warn(
            "What was deleted at the sources since the backup was made is not on record, so posts"
            " in this store may have been deleted by their authors. Check every post with its"
            " source before you show or export anything."
        )
