"""What the disk does to the store: every command says it in a sentence, and nothing gets worse."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from damaging import LOGS, cut, data_file, entries, flip, newer
from test_cli import CASE, post

from store.faults import panicked
from store.schema import TABLES
from store.tables import Store

UNSHARE = ("unshare", "--map-root-user", "--mount")
TESTS = Path(__file__).parent


def namespaces() -> bool:
    """Whether this machine lets a test mount a small disk of its own."""
    if not shutil.which("unshare"):
        return False
    tried = subprocess.run([*UNSHARE, "true"], capture_output=True, check=False)
    return tried.returncode == 0


mounts = pytest.mark.skipif(not namespaces(), reason="no mount namespaces here (unshare --mount)")


def lines(*numbers: int, words: str = "tootle ai is bad") -> str:
    """Invented posts as an archive has them, over several days."""
    return "\n".join(
        json.dumps(post(n, f"{words} {n}", created_utc=1746800000 + 40_000 * n)) for n in numbers
    )


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a store of a few days, scored, with a checkpoint and commits after it."""
    folder = tmp_path_factory.mktemp("faults")
    (folder / "cases").mkdir()
    (folder / "cases" / "tootle.toml").write_text(CASE)
    (folder / "posts.ndjson").write_text(lines(*range(12, 15)))
    with pytest.MonkeyPatch.context() as patch:
        settle(folder, patch)
        for name, numbers in (("a", range(10)), ("b", range(8, 11)), ("c", range(11, 12))):
            (folder / f"{name}.ndjson").write_text(lines(*numbers))
            for words in (("import", folder / f"{name}.ndjson", "--case", "tootle"), ("score",)):
                assert run(patch, *words) == 0
            if name == "a":
                assert run(patch, "maintain", "--purge") == 0
    return folder


def settle(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("AFTERSHOCK_STORE", str(folder / "store"))
    patch.setenv("AFTERSHOCK_SALT", str(folder / "salt"))
    patch.setenv("AFTERSHOCK_CASES", str(folder / "cases"))
    patch.delenv("AFTERSHOCK_DEMO", raising=False)
    patch.delenv("AFTERSHOCK_DEBUG", raising=False)


def run(patch: pytest.MonkeyPatch, *words: str | Path) -> int:
    from cli.main import main  # noqa: PLC0415 - a second of imports only where it is used

    patch.setattr(sys, "argv", ["aftershock", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.fixture
def at(filled: Path, home, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that home, to be damaged: its store, its case, its salt."""
    shutil.copytree(filled, home.folder, dirs_exist_ok=True)
    settle(home.folder, monkeypatch)
    return Path(home.store)


def commands(folder: Path) -> dict[str, tuple[str | Path, ...]]:
    return {
        "import": ("import", folder / "posts.ndjson", "--case", "tootle"),
        "score": ("score", "--rescore"),
        "posts": ("export", "posts", "--case", "tootle", "-o", folder / "p.csv"),
        "series": ("export", "series", "--case", "tootle", "-o", folder / "s.csv"),
        "maintain": ("maintain",),
        "test": ("case", "test", "tootle"),
    }


def rows(location: Path) -> dict[str, list[str]]:
    """What every table but the ledger holds."""
    store = Store.open(str(location), create=False)
    return {
        name: sorted(map(str, store.scan(name).collect().rows()))
        for name in TABLES
        if name != "runs"
    }


# One of each kind with every command; the doctor's tests go through all of them.
DAMAGED: dict[str, Callable[[Path], object]] = {
    "a file cut off": lambda store: cut(data_file(store)),
    "a page flipped": lambda store: flip(data_file(store)),
    "a file lost": lambda store: data_file(store).unlink(),
} | {
    name: LOGS[name].do
    for name in (
        "the newest entry empty",
        "the newest entry cut off",
        "a middle entry empty",
        "the checkpoint flipped",
        "the checkpoint lost",
        "the posts' folder lost",
    )
}
HARMLESS = ["the pointer garbled", "the pointer empty", "the oldest entry garbled"]


SOON = {"a file cut off", "a page flipped", "the newest entry empty", "the posts' folder lost"}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in SOON else pytest.mark.long) for name in DAMAGED],
)
def test_damage_is_a_sentence_that_names_the_table_and_the_doctor(
    at: Path, aftershock: Callable[..., Any], name: str
) -> None:
    whole = shutil.copytree(at, at.with_name("whole"))
    before = rows(at)
    DAMAGED[name](at)
    refused = set()
    for command, words in commands(at.parent).items():
        ended = aftershock(*words)
        assert "Traceback" not in ended.err
        assert "mistake of its own" not in ended.err
        if ended.code == 0:
            continue
        refused.add(command)
        assert ended.code == 1
        assert ended.err.count("\n") <= 2, ended.err
        assert "aftershock doctor" in ended.err
        assert "/posts" in ended.err or " posts:" in ended.err or "could not be read" in ended.err
        assert not list(at.parent.glob("[ps].csv*"))
    assert "posts" in refused
    # With what was damaged put back, all is as it was, and the same command does its work.
    for path in whole.rglob("*"):
        if path.is_file() and not (at / path.relative_to(whole)).exists():
            (at / path.relative_to(whole)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, at / path.relative_to(whole))
        elif path.is_file() and "posts" in path.relative_to(whole).parts:
            shutil.copy2(path, at / path.relative_to(whole))
    if refused >= {"import", "score", "maintain"}:
        after = rows(at)
        assert {t: after[t] for t in before if t != "exports"} == {
            t: before[t] for t in before if t != "exports"
        }
    assert aftershock(*commands(at.parent)["import"]).code == 0
    assert aftershock("doctor").code == 0


@pytest.mark.parametrize("name", HARMLESS)
def test_what_nobody_needs_stops_no_command(at: Path, aftershock, name: str) -> None:
    LOGS[name].do(at)
    for words in commands(at.parent).values():
        ended = aftershock(*words)
        assert ended.code == 0, ended.err


def test_a_store_of_a_newer_version_is_refused_as_a_setting(at: Path, aftershock) -> None:
    newer(at)
    for words in [*commands(at.parent).values(), ("doctor", "--repair")]:
        ended = aftershock(*words)
        assert ended.code == 78, words
        assert "newer Aftershock" in ended.err
        assert "update Aftershock" in ended.err


def test_a_lost_table_is_never_made_anew_as_an_empty_one(at: Path, aftershock) -> None:
    shutil.rmtree(at / "posts")
    ended = aftershock(*commands(at.parent)["import"])
    assert ended.code == 1
    assert "has lost its table posts" in ended.err
    assert not (at / "posts").exists()


def test_an_empty_entry_is_not_taken_for_a_commit_that_changed_nothing(at: Path) -> None:
    """delta-rs reads past it, and as many posts fewer than there were."""
    entries(at)[-1].write_bytes(b"")
    with pytest.raises(Exception, match=r"entry \d+ of its log is empty"):
        Store.open(str(at)).scan("posts").collect()


def test_a_lock_that_cannot_be_opened_says_what_to_delete(at: Path, aftershock) -> None:
    (at / ".lock").unlink(missing_ok=True)
    (at / ".lock").mkdir()
    ended = aftershock(*commands(at.parent)["import"])
    assert ended.code == 1
    assert f"{at}/.lock" in ended.err
    assert "delete it" in ended.err
    (at / ".lock").rmdir()
    assert aftershock(*commands(at.parent)["import"]).code == 0


def test_a_panic_of_the_libraries_is_a_sentence(at: Path, aftershock, monkeypatch) -> None:
    """polars' own, by an expression that it panics on; delta-rs brings a class of the same name."""
    import polars as pl  # noqa: PLC0415

    panic = pl.exceptions.PanicException
    assert not issubclass(panic, Exception)
    assert panicked(panic("index out of bounds"))

    def stop(*_: object, **__: object) -> None:
        raise panic("index out of bounds")

    monkeypatch.setattr(Store, "maintain", stop)
    ended = aftershock("maintain")
    assert ended.code == 1
    assert "index out of bounds" in ended.err
    assert "aftershock doctor" in ended.err
    assert "Traceback" not in ended.err


def test_reports_of_panics_are_kept_off_the_screen_and_nothing_else() -> None:
    program = """
import os, sys
from cli.quiet import without_panics
with without_panics():
    os.write(2, b"before\\n\\nthread 'tokio-rt-worker' (7) panicked at buffered.rs:369:41:\\n"
        b"Already shut down\\nstack backtrace:\\nnote: Some details are omitted.\\nbetween\\n")
    print("a sentence", file=sys.stderr)
print("after", file=sys.stderr)
# A worker that is slower than the command: its report comes when all has been said.
os.write(2, b"thread 'tokio-rt-worker' (8) panicked at buffered.rs:369:41:\\nAlready shut down\\n"
    b"stack backtrace:\\n   0: std::panicking\\n             at /rustc/panicking.rs:697:5\\n")
"""
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert sorted(ended.stderr.split("\n")) == ["", "a sentence", "after", "before", "between"]


@pytest.fixture
def disk(tmp_path: Path) -> Callable[[str], list[dict[str, Any]]]:
    """Runs filling.py in a mount namespace of its own, with posts to be imported."""
    (tmp_path / "cases").mkdir()
    (tmp_path / "cases" / "tootle.toml").write_text(CASE)
    (tmp_path / "first.ndjson").write_text(lines(*range(50)))
    (tmp_path / "posts.ndjson").write_text(lines(*range(40, 200)))

    def play(what: str) -> list[dict[str, Any]]:
        settings = {
            "AFTERSHOCK_SALT": str(tmp_path / "salt"),
            "AFTERSHOCK_CASES": str(tmp_path / "cases"),
            "PYTHONPATH": f"{TESTS.parent}:{TESTS}",
        }
        ended = subprocess.run(
            [*UNSHARE, sys.executable, str(TESTS / "filling.py"), what, str(tmp_path)],
            env={k: v for k, v in os.environ.items() if k != "AFTERSHOCK_DEBUG"} | settings,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        played: list[dict[str, Any]] = json.loads(ended.stdout.splitlines()[-1])
        return played

    return play


@mounts
@pytest.mark.long
def test_a_full_disk_is_a_sentence_and_the_same_command_goes_on_when_it_is_not(disk) -> None:
    said = disk("full")
    for step in said[:-1]:
        assert "Traceback" not in step["err"], step
        assert step["kept"], step
        if step["left"] is None:
            assert (step["code"], step["same"], step["found"]) == (0, True, []), step
        elif step["code"]:
            assert step["code"] == 1, step
            assert "full" in step["err"], step
            assert "free some space" in step["err"].lower(), step
            assert len(step["err"].splitlines()) == 1, step
            assert step["command"] == "export" or step["files"] == [], step
    stopped = {step["command"] for step in said[:-1] if step["left"] is not None and step["code"]}
    assert stopped == {"import", "score", "maintain", "export"}
    assert said[-1]["notes"] == []


@mounts
def test_a_store_that_may_only_be_read_is_read_and_never_half_written(disk) -> None:
    said = {step["command"]: step for step in disk("readonly")}
    for name in ("case test", "doctor", "dashboard"):
        assert said[name]["code"] == 0, said[name]
    for name in ("export posts", "export series", "maintain"):
        assert said[name]["code"] == 78, said[name]
        assert "may only be read" in said[name]["err"]
        assert "Traceback" not in said[name]["err"]
    assert said["bytes"]["same"]
    assert said["left"]["files"] == []


# root may write anywhere; without this right it is a user like any other.
MAIN = "from cli.main import main; main()"
BOUND = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()


@pytest.mark.skipif(bool(BOUND) and not shutil.which("setpriv"), reason="root without setpriv")
@pytest.mark.parametrize("name", ["import", pytest.param("posts", marks=pytest.mark.long)])
def test_a_store_without_the_right_to_write_is_a_sentence(at: Path, name: str) -> None:
    for path in [at, *at.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    ended = subprocess.run(
        [
            *BOUND,
            sys.executable,
            "-c",
            "from cli.main import main; main()",
            *commands(at.parent)[name],
        ],
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    for path in [at, *at.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    assert ended.returncode == 78, ended.stderr
    assert f"This user may not write to {at}" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not list(at.parent.glob("p.csv*"))
