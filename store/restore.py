"""Bringing a backup back: unpacked out of sight, erased in as the store was since, then put in
place whole.

Nothing of it can be read through Aftershock before every erasure on record has been made in it and
the files that still held the words are gone. Does not fetch anything again; what was collected
after the backup is not in it.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import polars as pl

from store import erasures, posts
from store.backup import record
from store.backup_file import Manifest, Progress, read_manifest, unpack
from store.cells import INPUTS, replace_cells
from store.erasures import LONGEST_DAYS, Erasure, Journal, journal_of, siblings
from store.faults import StoreUnfit
from store.keys import Keys, StoreError, read_salt
from store.location import is_local, resolved, salt_path
from store.maintain import maintain
from store.merge import Tables
from store.opening import check_place, make_ready
from store.recording import append
from store.replay import WAITED, OnRecord, erase
from store.schema import CELLS, EXPORTS, SCHEMA_VERSION, TABLES
from store.swap import clear_leftovers, staging_prefix, swap


@dataclass(frozen=True)
class Restored:
    """What was restored: the backup, posts in it, and how many of them were wiped, forgotten,
    hidden or brought back because they had been in the meantime. `covered` is false when nobody
    knows what was erased meanwhile (`without_erasures`)."""

    backup: Manifest
    location: str
    posts: int
    wiped: int
    forgotten: int
    hidden: int
    back: int
    covered: bool


@dataclass
class _Covered(OnRecord):
    """Every erasure that is on record somewhere, and whether that reaches back to the backup."""

    covered: bool = False

    def learn(self, entries: Sequence[Erasure], backup: Manifest) -> None:
        self.add(entries, backup.created_at)
        self.covered |= erasures.covers(entries, backup.backup)


def restore(
    path: Path,
    location: str,
    *,
    replace: bool = False,
    journals: Sequence[Path] = (),
    without_erasures: bool = False,
    now: datetime | None = None,
    progress: Progress | None = None,
) -> Restored:
    """Put the backup `path` in the place of the store at `location`, a folder on this machine.

    `replace` allows a store to be there; it stays readable until the restored one takes its place
    at one stroke, and is deleted then. Erased in it before it can be read is what the journals
    beside the salt, those given in `journals` and the store in the place say was erased. When none
    of them goes back to the making of the backup, only `without_erasures` restores it.

    Killed at any point, it leaves the old store or the restored one, never anything in between;
    leftovers go with the next restore or `maintain`. Raises StoreError for whatever does not fit.
    """
    now = now or datetime.now(UTC)
    tables = Tables(resolved(location))
    if not is_local(tables.location):
        raise StoreUnfit(
            f"A backup can be restored to a folder only, not to {tables.location}. Restore it with"
            " --into FOLDER and copy that folder there with the object store's own tool,"
            " the _delta_log folders last."
        )
    check_place(tables)
    path = path.expanduser().absolute()
    backup = read_manifest(path)
    keys = _admitted(path, backup, now)
    place = Path(tables.location)
    if path.resolve().is_relative_to(place):
        raise StoreError(f"The backup {path} lies inside {place}. Move it elsewhere first.")
    with tables.sentences("restored"):
        place.mkdir(parents=True, exist_ok=True)
        # Whoever wants to write waits, and goes on in the restored store: `.lock` stays the same.
        with tables.lock():
            clear_leftovers(place)
            previous = _previous(tables, keys, replace=replace)
            journal = journal_of(tables.location, keys.fingerprint, backup.store)
            own = [entry for file in siblings(journal) for entry in erasures.read(file)]
            known = _known(own, journals, previous, backup)
            if not (known.covered or without_erasures):
                raise _unknown(path, journal)
            staging = Path(tempfile.mkdtemp(prefix=staging_prefix(place), dir=place.parent))
            try:
                unpack(path, backup, staging, progress)
                done = _prepare(Tables(str(staging)), keys, backup, known, now)
                _on_record(journal, own, known, backup, path, now)
                _carry_exports(Tables(str(staging)), previous, own, path, backup)
                maintain(Tables(str(staging)), now, key=keys.key, purge=True)
                _erase_late(Tables(str(staging)), keys, journal, own, backup, now)
                _renumber(staging, now)
                rows = int(Tables(str(staging)).partitions("posts")["rows"].sum())
                swap(staging, place)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
    return Restored(backup, tables.location, rows, *done, covered=known.covered)


def _admitted(path: Path, backup: Manifest, now: datetime) -> Keys:
    """The keys of this user, if the backup goes with them and with this program."""
    if backup.demo:
        raise StoreError(f"{path} holds the demo's invented posts; `aftershock demo` makes them.")
    ends = min(backup.expires_at, backup.created_at + timedelta(days=LONGEST_DAYS))
    if ends <= now:
        raise StoreError(
            f"The backup {path} could be kept until {ends:%Y-%m-%d %H:%M} UTC. It is"
            " not restored, since what was deleted at the sources is on record for as long as a"
            " backup lasts and no longer. Delete it, and restore a newer one."
        )
    if backup.schema > SCHEMA_VERSION:
        raise StoreError(
            f"The backup {path} was made by a newer Aftershock (schema {backup.schema}, this one"
            f" knows {SCHEMA_VERSION}): update Aftershock."
        )
    salt = read_salt(salt_path())
    if salt is None:
        raise StoreError(
            f"The salt {salt_path()} is missing, and it is never part of a backup of the store."
            " Put it back first, with mode 0600, or name its file in AFTERSHOCK_SALT."
        )
    keys = Keys(salt)
    if keys.fingerprint != backup.salt:
        raise StoreUnfit(
            f"The backup {path} was made with another salt than the one in {salt_path()} (its"
            f" fingerprint is {keys.fingerprint}, the backup's is {backup.salt}). Put back the"
            " right salt file, or name it in AFTERSHOCK_SALT."
        )
    return keys


def _previous(tables: Tables, keys: Keys, *, replace: bool) -> Tables | None:
    """The store that is to be replaced, None when there is none or it cannot be read."""
    place = Path(tables.location)
    ours = [name for name in TABLES if (place / name).is_dir()]
    if not ours:
        if others := sorted(entry.name for entry in place.iterdir() if entry.name != ".lock"):
            raise StoreError(
                f"{place} holds other files ({', '.join(others[:3])}). Name an empty folder or one"
                " that is not there yet."
            )
        return None
    if not replace:
        raise StoreError(
            f"There is a store at {place}. Restore with --replace to put the backup in its place,"
            " or with --into FOLDER to put it elsewhere; what was collected since the backup is"
            " in the present store only."
        )
    try:
        found = tables.description("blocked")
    except StoreError:
        return None
    if found.get("salt") != keys.fingerprint or found.get("demo"):
        raise StoreError(
            f"The store {place} was made with another salt, or is the demo's: it is not replaced."
            " Restore the backup elsewhere with --into FOLDER."
        )
    return tables


def _erase_late(
    staging: Tables,
    keys: Keys,
    journal: Journal,
    own: Sequence[Erasure],
    backup: Manifest,
    now: datetime,
) -> None:
    """Make those erasures, too, that came on record while the backup was unpacked: another store
    under this salt, or the one it is restored beside, goes on meanwhile."""
    seen = {repr(entry) for entry in own}
    while True:
        every = [entry for file in siblings(journal) for entry in erasures.read(file)]
        late = [entry for entry in every if repr(entry) not in seen]
        if not late:
            return
        seen.update(map(repr, late))
        known = _Covered()
        known.learn(late, backup)
        if any(_erase(staging, known, now)):
            maintain(staging, now, key=keys.key, purge=True)


def _known(
    own: Sequence[Erasure], journals: Iterable[Path], previous: Tables | None, backup: Manifest
) -> _Covered:
    known = _Covered()
    known.learn(own, backup)
    for file in journals:
        known.learn(list(erasures.read(file)), backup)
    if previous:
        # A damaged store is what restores are for: then the journals have to do.
        with suppress(StoreError):
            _ask(previous, known, backup)
    return known


def _ask(previous: Tables, known: _Covered, backup: Manifest) -> None:
    """What the store in the place knows of erasures."""
    blocked = posts.blocked(previous)["key"].to_list()
    rows = previous.read(
        lambda: (
            previous.scan("posts")
            .filter(pl.col("state_at").is_not_null())
            .select("post", "author", "state", "state_at")
        )
    )
    made = previous.read(lambda: previous.scan("exports").filter(kind="backup").select("filters"))
    known.blocked.update(blocked)
    known.wiped.update(rows.filter(state="gone")["post"])
    for state, kind in (("hidden", erasures.HIDDEN), ("live", erasures.BACK)):
        turned = rows.filter(pl.col("author").is_not_null(), state=state)
        for author, at in turned.select("author", "state_at").unique().iter_rows():
            if at >= backup.created_at - WAITED:
                known.turns.append((at, kind, author))
    # A store that remembers making this backup has lived through everything since.
    if previous.identity() == backup.store:
        known.covered |= any(backup.backup in filters for filters in made["filters"])


def _unknown(path: Path, journal: Journal) -> StoreError:
    return StoreError(
        f"Nobody here knows which posts were deleted since the backup {path} was made: there is no"
        f" journal of erasures in {journal.path.parent} that goes back to it, nor a readable store"
        " in its place. If the journal lies on another machine (beside the salt there), copy it and"
        " name it with --erasures FILE. If it is lost for good, --without-erasures restores the"
        " backup as it was; then every post has to be checked with its source before anything of it"
        " is shown."
    )


def _prepare(
    staging: Tables, keys: Keys, backup: Manifest, known: _Covered, now: datetime
) -> tuple[int, int, int, int]:
    """Open what was unpacked, bring it up to date, and erase in it what was erased meanwhile.

    Returns posts wiped, forgotten, hidden and brought back.
    """
    for name, figures in backup.tables.items():
        if name in TABLES and staging.version(name) != figures["version"]:
            raise StoreError(
                f"The table {name} of the backup does not open at its version"
                f" {figures['version']}. Nothing was restored: take an older backup."
            )
    make_ready(staging, keys, demo=False)
    return _erase(staging, known, now)


def _erase(staging: Tables, known: OnRecord, now: datetime) -> tuple[int, int, int, int]:
    """`erase`, and keep out what was deleted at its source since and is not in the backup: nothing
    else would remember it, and an older copy would bring it in."""
    done = erase(staging, known, now)
    wiped = pl.Series("post", sorted(known.wiped), dtype=pl.String)
    there = staging.read(
        lambda: staging.scan("posts").select("post").filter(pl.col("post").is_in(wiped.implode()))
    )["post"]
    posts.block(staging, wiped.filter(~wiped.is_in(there.implode())), now)
    return done


def _on_record(
    journal: Journal,
    own: Sequence[Erasure],
    known: _Covered,
    backup: Manifest,
    path: Path,
    now: datetime,
) -> None:
    """Put into the journal here what only the replaced store or another machine's journal knew, so
    that the next restore of the same backup knows it too."""
    here = _Covered()
    here.learn(own, backup)
    journal.write(erasures.WIPED, known.wiped - here.wiped, now)
    journal.write(erasures.BLOCKED, known.blocked - here.blocked, now)
    for at, kind, author in sorted(set(known.turns) - set(here.turns)):
        journal.write(kind, [author], at)
    if known.covered and not here.covered:
        about = {"backup": backup.backup, "path": str(path)}
        journal.write(erasures.BACKUP, (), backup.created_at, about)


def _carry_exports(
    staging: Tables,
    previous: Tables | None,
    own: Sequence[Erasure],
    path: Path,
    backup: Manifest,
) -> None:
    """Keep on record what was handed out after the backup was made, backups among it: their time
    runs on, and what is forgotten has to be found in them."""
    if previous:
        # Of a file written again since, the record of what lies there now is the right one.
        kept = staging.read(lambda: staging.scan("exports").select("export"))
        since = pl.DataFrame(schema=EXPORTS)
        with suppress(StoreError):  # it is damaged
            since = previous.read(
                lambda: previous.scan("exports").join(kept.lazy(), on="export", how="anti")
            )
            now_there = previous.read(lambda: previous.scan("exports"))
            staging.merge("exports", now_there, updates=_ALL)
        with suppress(StoreError):
            theirs = since["export"].drop_nulls().to_list()
            for part in _exported(previous, theirs):
                append(staging, part)
    made = {e.about["path"] for e in own if e.kind == erasures.BACKUP and e.about}
    for place in sorted({*made, str(path)}):
        found = backup
        if place != str(path):
            try:
                found = read_manifest(Path(place))
            except StoreError:  # no longer there, or another file by now
                continue
        if found.store == backup.store:
            record(staging, Path(place), found, None)


_ALL = {name: f's."{name}"' for name in EXPORTS if name != "path"}


def _exported(tables: Tables, exports: Sequence[str]) -> Iterator[pl.DataFrame]:
    """Whose words these exports hold: rows of EXPORTED, an export at a time."""
    for export in exports:
        yield tables.read(partial(_held, tables, export))


def _held(tables: Tables, export: str) -> pl.LazyFrame:
    return tables.scan("exported").filter(pl.col("export") == export)


def _renumber(staging: Path, now: datetime) -> None:
    """Give all tables versions that this place has never had.

    Caches go by versions, and so does whoever replaces cells: a restored table at version 7 must
    not pass for another one's version 7. Versions count commits, and no store makes a thousand a
    second for long, so the clock's milliseconds lie beyond all of them. Every version is moved by
    the same number, and so are those that the cells go up to.
    """
    tables = Tables(str(staging))
    versions = tables.versions()
    recorded = {name: tables.snapshot("cells").transaction_version(name) for name in INPUTS}
    by = max(0, int(now.timestamp() * 1000) - min(versions.values()))
    for name in TABLES:
        for file in sorted((staging / name / "_delta_log").iterdir()):
            if file.name[:20].isdigit():
                file.rename(file.with_name(f"{int(file.name[:20]) + by:020d}{file.name[20:]}"))
            else:  # `_last_checkpoint` names the old number
                file.unlink()
    moved = {name: version + by for name, version in recorded.items() if version is not None}
    replace_cells(Tables(str(staging)), pl.DataFrame(schema=CELLS), (), moved)
