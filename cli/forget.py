"""`aftershock forget`: what somebody asks us to forget goes from every file of ours, for good."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from analysis import series
from cli.console import CONFIGURATION, FAILED, FINE, Stop, say, say_json, warn
from store.forget import Backup, Forgotten
from store.naming import WHAT, Unknown, named
from store.tables import Store

ORDINALS = ("first", "second", "third")


def forget(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[URI|AUTHOR]...",
            help="Posts (links or uris) and authors (u/name, did:...); - reads them from standard"
            " input, a line each.",
        ),
    ] = None,
    case: Annotated[
        str | None, typer.Option("--case", help="A whole case, in place of posts and authors.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what there is; change nothing.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="The result as JSON; needs --yes.")
    ] = False,
) -> None:
    """Forget posts, authors or a case: rows, exports and old files go, the keys are blocked."""
    if what == ["-"] and not (yes or dry_run):
        raise Stop(
            "Names come from standard input, so nobody can be asked: add --yes, or --dry-run to see"
            " what there is.",
            CONFIGURATION,
        )
    given = _given(what or [])
    if bool(given) == (case is not None):
        raise Stop(
            f"Say what to forget: posts and authors, or --case NAME, but not both. {WHAT}",
            CONFIGURATION,
        )
    names = [_understood(text, number) for number, text in enumerate(given)]
    if as_json and not (yes or dry_run):
        raise Stop(
            "--json cannot ask: add --yes, or --dry-run to see what there is.", CONFIGURATION
        )
    store = Store.open(create=False)
    keys = [
        store.key(name.uri) if name.uri else store.author_key(name.source, name.author)
        for name in names
    ]
    there = store.forget(keys, case=case, preview=True)
    if dry_run or not yes:
        if not as_json:
            _announce(there, case)
        if dry_run:
            if as_json:
                say_json(_facts(there, dry_run=True))
            raise typer.Exit(FINE)
        if not typer.confirm("Forget this for good? It cannot be brought back", err=True):
            raise Stop("Nothing was changed.", FAILED)
    done = store.forget(keys, case=case)
    weeks = store.rebuild(series.cells_of, compact=series.compact)
    freed = store.purge()
    if as_json:
        say_json(_facts(done) | {"weeks_rebuilt": weeks, "bytes_freed": freed})
    else:
        _report(done, case, weeks)
    stuck = any(file.there for file in done.scrubbed.left)
    raise typer.Exit(FAILED if stuck else FINE)


def _given(what: list[str]) -> list[str]:
    """The arguments; what stands on standard input instead stays out of the shell's history."""
    if what == ["-"]:
        return [line.strip() for line in sys.stdin if line.strip()]
    return what


def _understood(text: str, number: int) -> Any:
    try:
        return named(text)
    except Unknown as error:
        place = ORDINALS[number] if number < len(ORDINALS) else f"no. {number + 1}"
        raise Stop(f"What was given {place} {error} Nothing was changed.", CONFIGURATION) from error


def _announce(there: Forgotten, case: str | None) -> None:
    if case is None:
        say(f"{there.posts:,} posts in the store will go, and will never be taken again.")
    else:
        say(
            f"The case {case} will go: {there.posts:,} posts that no other case holds, its matches,"
            f" scores, labels and figures. {there.kept:,} posts stay for other cases."
        )
    for path, posts in there.exports.items():
        say(f"  {path}: " + ("will be deleted" if case else f"{posts:,} of its posts will go"))
    for backup in there.backups:
        say(f"  {_of_backup(backup)}")


def _report(done: Forgotten, case: str | None, weeks: int) -> None:
    scrubbed = done.scrubbed
    if case is not None:
        nothing = not (done.posts or done.kept or scrubbed.removed or scrubbed.left)
        if nothing:
            say(f"Nothing of a case {case} is in the store.")
        else:
            say(
                f"The case {case} is forgotten: {done.posts:,} posts went and are blocked,"
                f" {done.kept:,} stay for other cases. The ledger of its collections stays: it"
                " holds nobody's words. Its file in cases/ stays too: delete it yourself, or the"
                " next collection begins anew."
            )
    elif done.posts:
        say(f"{done.posts:,} posts are forgotten, and blocked for good.")
    else:
        say("No such post is in the store. It is blocked all the same: no import will bring it in.")
    for path in scrubbed.removed:
        say(f"Deleted the export {path}.")
    for path in scrubbed.rewritten:
        say(f"Rewrote the export {path}, its manifest too.")
    if weeks:
        say(f"Figures of {weeks:,} weeks rebuilt.")
    for file in scrubbed.left:
        warn(
            f"{file.path} holds {file.posts:,} posts that should go, but {file.why}."
            + (
                " Delete it, or export it again."
                if file.there
                else " If it was moved or copied, delete those."
            )
        )
    for backup in done.backups:
        warn(_of_backup(backup))
    say(
        "Files made with --share hold no text, link or key, so nobody can be found in them; copies,"
        " downloads and what was passed on are beyond reach of this command."
    )


def _of_backup(backup: Backup) -> str:
    made = f" of {backup.written_at:%Y-%m-%d}" if backup.written_at else ""
    until = f"expires on {backup.expires_at:%Y-%m-%d}" if backup.expires_at else "never expires"
    return (
        f"{backup.path}: a backup{made} that may hold it and cannot be rewritten; it {until}."
        " Restoring it forgets again. To be rid of it now, delete it and make a new one."
    )


def _facts(done: Forgotten, *, dry_run: bool = False) -> dict[str, Any]:
    facts = {
        "at": datetime.now(UTC),
        "dry_run": dry_run,
        "posts": done.posts,
        "posts_kept_for_other_cases": done.kept,
        "backups": [asdict(backup) for backup in done.backups],
    }
    if dry_run:
        return facts | {"exports": done.exports}
    return facts | {
        "exports_rewritten": done.scrubbed.rewritten,
        "exports_deleted": done.scrubbed.removed,
        "export_rows_removed": done.scrubbed.rows_removed,
        "exports_left": [asdict(file) | {"there": file.there} for file in done.scrubbed.left],
    }
