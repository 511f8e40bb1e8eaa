"""Is the store whole? Goes through logs, files, rows and figures, and mends what can be mended.

What it looks for is in `examine_files` and `examine_rows`, what it does about it in `mend`. It
opens tables by itself: `Store.open` refuses the stores it is for.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl

from store import cells
from store.erasures import journal_of, read, siblings
from store.examine_files import examine_data, examine_leftovers, examine_log, opens
from store.examine_rows import BY_DAY, examine_days, examine_labels, examine_others
from store.findings import Finding, problems
from store.keys import DEMO_SALT, Keys, StoreError
from store.location import resolved, store_location
from store.mend import (
    REPLACEABLE,
    distrust_cells,
    mend_files,
    mend_log,
    mend_rows,
    mend_table,
)
from store.merge import Tables, monday
from store.opening import admit, check_place, salt_of
from store.replay import OnRecord, erase
from store.schema import CELL_KEY, CELL_STANCE, CELLS, SCHEMA_VERSION, TABLES

MakeCells = Callable[[pl.DataFrame], pl.DataFrame]
Progress = Callable[[str, int, int], None]
SAMPLE = 8  # weeks
ROUNDS = 4
FIGURES = "Every figure of the charts is counted again."


@dataclass
class Doctor:
    """A store under examination: its tables and keys, and how cells are counted.

    Raises StoreError when there is no store here, or one of another salt or a newer version.
    """

    location: str | None = None
    demo: bool = False
    salt: bytes | None = None
    tables: Tables = field(init=False)
    keys: Keys = field(init=False)

    def __post_init__(self) -> None:
        self.tables = Tables(resolved(self.location or store_location()))
        check_place(self.tables)
        there = self.tables.existing()
        if not there:
            raise StoreError(
                f"There is no store at {self.tables.location}, so there is nothing to look at. Name"
                " its place in AFTERSHOCK_STORE, or restore it from a backup."
            )
        salt = DEMO_SALT if self.demo else self.salt or salt_of(self.tables, there)
        self.keys = Keys(salt)
        for name in there:
            if opens(examine_log(self.tables, name)):
                admit(self.tables, self.keys, demo=self.demo, among=(name,))
                break
        if not self.demo:
            with suppress(StoreError):  # the table that tells which journal is this store's is lost
                self.tables.journal = journal_of(
                    self.tables.location,
                    self.keys.fingerprint,
                    self.tables.identity(),
                    beside_store=self.salt is not None,
                )

    def examine(
        self,
        make_cells: MakeCells | None = None,
        *,
        compact: MakeCells | None = None,
        sample: int = SAMPLE,
        quick: bool = False,
        progress: Progress | None = None,
    ) -> list[Finding]:
        """Everything that is wrong with the store, and notes.

        `quick` reads no rows, only logs and footers. `sample` weeks of the cells are compared with
        what `make_cells` counts (0 for none). Changes nothing.
        """
        self.tables.refresh()
        there = self.tables.existing()
        found = self._lost(there)
        readable = []
        for name in there:
            logs = examine_log(self.tables, name)
            found += logs
            if opens(logs):
                readable.append(name)
        found += self._versions(readable)
        skip: dict[str, set[date]] = {}
        for number, name in enumerate(readable):
            if progress:
                progress("files", number, len(readable))
            files = list(examine_data(self.tables, name, quick=quick))
            found += [*files, *examine_leftovers(self.tables, name)]
            days = {day for finding in files for day in finding.days}
            if not files or TABLES[name][1] is not None:
                skip[name] = days
        if not quick:
            found += self._rows(skip, progress)
            found += self._figures(found, skip, make_cells, sample, compact)
        return found + self._waiting()

    def _lost(self, there: Sequence[str]) -> list[Finding]:
        return [
            Finding(name, "lost", f"The table {name} is missing.", name, REPLACEABLE.get(name, ""))
            for name in TABLES
            if name not in there
        ]

    def _versions(self, readable: Sequence[str]) -> Iterator[Finding]:
        for name in readable:
            description = self.tables.description(name)
            version = description.get("schema")
            if version != SCHEMA_VERSION:
                text = f"The table {name} has version {version}, this program {SCHEMA_VERSION}."
                older = isinstance(version, int) and version < SCHEMA_VERSION
                how = "The store is brought up to date when it is opened." if older else ""
                yield Finding(name, "version", text, repair=how)
            if description.get("salt") != self.keys.fingerprint:
                text = f"The table {name} was made with another salt than the rest of the store."
                yield Finding(name, "salt", text)

    def _rows(self, skip: dict[str, set[date]], progress: Progress | None) -> list[Finding]:
        def moved(done: int, total: int) -> None:
            if progress:
                progress("rows", done, total)

        try:
            return self._examine_rows(skip, moved)
        except StoreError as error:
            return [Finding("store", "unreadable", str(error))]

    def _examine_rows(
        self, skip: dict[str, set[date]], moved: Callable[[int, int], None]
    ) -> list[Finding]:
        found = examine_days(self.tables, self.keys, skip, moved)
        for name in TABLES:
            # A key twice in `exported` does no harm: it says the same twice.
            if name not in {*BY_DAY, "exported"} and name in skip and not skip[name]:
                found += examine_others(self.tables, name)
        if {"posts", "labels"} <= skip.keys() and not skip["posts"]:
            found += examine_labels(self.tables)
        if "runs" in skip and not skip["runs"]:
            running = self.tables.read(
                lambda: (
                    self.tables.scan("runs").filter(pl.col("status") == "running").select(pl.len())
                )
            ).item()
            if running:
                text = f"{running:,} runs never ended: they are still going on, or were stopped."
                found.append(Finding("runs", "running", text, note=True, rows=running))
        return found

    def _figures(
        self,
        found: list[Finding],
        skip: dict[str, set[date]],
        make_cells: MakeCells | None,
        sample: int,
        compact: MakeCells | None,
    ) -> list[Finding]:
        """Whether the cells of some weeks say what their posts say; only where all else is well."""
        needed = {*cells.INPUTS, "cells"}
        if not needed <= skip.keys() or any(f.table in needed for f in problems(found)):
            return []
        stale = cells.stale(self.tables).weeks
        notes = []
        if stale:
            text = f"The figures of {len(stale):,} weeks wait for `aftershock score`."
            notes.append(Finding("cells", "stale", text, note=True, rows=len(stale)))
        if make_cells is None or not sample:
            return notes
        weeks = {monday(day) for day in self.tables.partitions("scores")["value"]}
        weeks |= set(
            self.tables.read(lambda: self.tables.scan("cells").select(pl.col("week").unique()))[
                "week"
            ]
        )
        weeks -= set(stale)
        chosen = sorted(random.sample(sorted(weeks), min(sample, len(weeks))))
        wrong = tuple(week for week in chosen if not self._agrees(week, make_cells, compact))
        if wrong:
            text = f"The figures of {len(wrong):,} of {len(chosen):,} weeks looked at are wrong."
            where = str(wrong[0])
            notes.append(
                Finding("cells", "figures", text, where, FIGURES, rows=len(wrong), days=wrong)
            )
        return notes

    def _agrees(self, week: date, make_cells: MakeCells, compact: MakeCells | None) -> bool:
        rows = cells.rows_of(self.tables, [week], compact)
        fresh = make_cells(rows).select(CELLS.names()).sort(CELL_KEY)
        kept = self.tables.read(
            lambda: self.tables.scan("cells").filter(pl.col("week") == week).sort(CELL_KEY)
        )
        if fresh.height != kept.height:
            return False
        # Cells of an older version have no counts of stance, and hold none.
        fresh, kept = (
            frame.with_columns(pl.col(CELL_STANCE).fill_null(0)) for frame in (fresh, kept)
        )
        same = [
            # Sums of fractions depend on the order in which they were added.
            ((fresh[name] - kept[name]).abs() <= 1e-6 * (1 + kept[name].abs()))
            .fill_null(fresh[name].is_null() & kept[name].is_null())
            .all()
            if kind == pl.Float64
            else fresh[name].eq_missing(kept[name]).all()
            for name, kind in CELLS.items()
        ]
        return all(same)

    def _waiting(self) -> list[Finding]:
        """Notes on what lies beside the tables."""
        if not self.tables.local:
            return []
        spool = Path(self.tables.location) / "spool"
        batches = [path for path in spool.rglob("*") if path.is_file()] if spool.is_dir() else []
        if not batches:
            return []
        text = f"{len(batches):,} files wait in {spool}: the next import or collection stores them."
        return [Finding("store", "spool", text, note=True, rows=len(batches))]

    def repair(
        self,
        make_cells: MakeCells,
        *,
        compact: MakeCells | None = None,
        progress: Progress | None = None,
    ) -> list[tuple[Finding, str]]:
        """Mend what can be mended, and say what was done about each finding.

        Logs first, then files, rows and figures: what one stage loses, the next one clears up
        after. `examine` again afterwards. Raises StoreBusy when others are writing.
        """
        done: list[tuple[Finding, str]] = []
        with self.tables.lock():
            done += self._mend_logs()
            done += self._mend_files()
            for _ in range(ROUNDS):
                rows = self._mend_rows(progress)
                done += rows
                if not rows:
                    break
            if done:
                done += self._erase_again()
            done += self._mend_cells(make_cells, compact)
        return done

    def _mend_logs(self) -> Iterator[tuple[Finding, str]]:
        there = self.tables.existing()
        # The cells first: they are told when another table loses a commit.
        for name in sorted(there, key=lambda name: name != "cells"):
            # Newest first: deleting a checkpoint decides which entries are needed.
            order = {"checkpoint": 0, "hint": 1}
            logs = examine_log(self.tables, name)
            for finding in sorted(logs, key=lambda finding: order.get(finding.kind, 2)):
                if finding.repair and not _hopeless(logs, finding):
                    yield finding, mend_log(self.tables, finding)
        self.tables.refresh()
        readable = [name for name in there if opens(examine_log(self.tables, name))]
        for finding in self._lost(there) if readable else ():
            if finding.repair:
                description = self.tables.description(readable[0])
                yield finding, mend_table(self.tables, finding.table, description)

    def _mend_files(self) -> Iterator[tuple[Finding, str]]:
        for name in self._readable():
            found = [f for f in examine_data(self.tables, name, quick=False) if f.repair]
            if found:
                said = mend_files(self.tables, name, found)
                for finding in found:
                    yield finding, said
                if name == "cells":
                    distrust_cells(self.tables)

    def _mend_rows(self, progress: Progress | None) -> list[tuple[Finding, str]]:
        self.tables.refresh()
        skip: dict[str, set[date]] = {}
        for name in self._readable():
            files = list(examine_data(self.tables, name, quick=True))
            if not files or TABLES[name][1] is not None:
                skip[name] = {day for finding in files for day in finding.days}
        found = problems(self._rows(skip, progress))
        for name in TABLES:  # posts before what hangs on them
            mine = [finding for finding in found if finding.table == name and finding.repair]
            if mine:
                mend_rows(self.tables, self.keys, mine)
        return [(finding, finding.repair) for finding in found if finding.repair]

    def _mend_cells(
        self, make_cells: MakeCells, compact: MakeCells | None
    ) -> list[tuple[Finding, str]]:
        readable = self._readable()
        if not {*cells.INPUTS, "cells"} <= set(readable):
            return []
        found = self._figures([], {name: set() for name in readable}, make_cells, SAMPLE, compact)
        wrong = problems(found)
        if wrong:
            distrust_cells(self.tables)
        weeks = cells.rebuild(self.tables, make_cells, compact=compact)
        return [
            (finding, f"The figures of {weeks:,} weeks are counted again.") for finding in wrong
        ]

    def _erase_again(self) -> Iterator[tuple[Finding, str]]:
        """Make again what is on record as erased: the rows that said so may be among the lost."""
        if self.tables.journal is None or not {*cells.INPUTS, "blocked"} <= set(self._readable()):
            return
        known = OnRecord()
        for file in siblings(self.tables.journal):
            known.add(list(read(file)))
        counts = erase(self.tables, known, datetime.now(UTC))
        if any(counts):
            text = "What was deleted, hidden or forgotten had come back with the lost rows."
            words = ("wiped", "forgotten", "hidden", "shown again as their accounts are back")
            said = ", ".join(f"{n:,} {word}" for n, word in zip(counts, words, strict=True) if n)
            yield Finding("posts", "erased", text), f"By the journal of erasures: posts {said}."

    def _readable(self) -> list[str]:
        return [name for name in self.tables.existing() if opens(examine_log(self.tables, name))]


def _hopeless(logs: Sequence[Finding], finding: Finding) -> bool:
    """Whether something else in this log cannot be mended, so that nothing of it is touched."""
    return any(not other.repair for other in logs if other is not finding)
