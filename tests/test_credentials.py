"""Where logins come from, who may read them, and that nothing else of a file is lost."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cli.console import CONFIGURATION, Stop
from cli.credentials import HANDLE, PASSWORD, SERVICE, find, store

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("C",)), min_size=1, max_size=40)


@pytest.fixture
def file(home, monkeypatch) -> Path:
    """The credentials file, not there yet; the current folder is an empty one."""
    monkeypatch.chdir(home.cases)
    monkeypatch.delenv("AFTERSHOCK_JETSTREAM")
    return home.folder / "credentials"


def put(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_the_environment_comes_first_then_the_folder_then_the_file(file, home, monkeypatch) -> None:
    put(file, f"{HANDLE}=file.test\n{PASSWORD}=from-file\n")
    assert find().values == {HANDLE: "file.test", PASSWORD: "from-file"}
    assert set(find().places.values()) == {str(file)}
    put(home.cases / ".env", f"{HANDLE}=folder.test\n{PASSWORD}=from-folder\n", 0o644)
    assert find().values == {HANDLE: "folder.test", PASSWORD: "from-folder"}
    monkeypatch.setenv(HANDLE, "environment.test")
    monkeypatch.setenv(PASSWORD, "")  # set to nothing is not set
    assert find().values == {HANDLE: "environment.test", PASSWORD: "from-folder"}


def test_a_folder_cannot_send_the_files_password_to_a_server_of_its_own(file, home) -> None:
    put(file, f"{HANDLE}=file.test\n{PASSWORD}=from-file\n")
    put(home.cases / ".env", f"{SERVICE}=https://elsewhere.example\nOTHER='not ours\n")
    assert PASSWORD not in find().values


@pytest.mark.skipif(os.name != "posix", reason="no such modes")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_file_that_others_can_read_is_refused_with_what_to_do(file, aftershock, mode) -> None:
    put(file, f"{PASSWORD}=secret-words\n", mode)
    ended = aftershock("collect")
    assert ended.code == 78
    assert f"chmod 600 {file}" in ended.err
    assert "secret-words" not in ended.err
    with pytest.raises(Stop):
        store({HANDLE: "new.test"})


@pytest.mark.parametrize("text", [f"{PASSWORD}='secret-words\n", "secret-words\n", "\ud800"])
def test_a_damaged_file_is_named_with_its_line_and_without_its_words(file, text) -> None:
    file.write_bytes(b"# mine\n" + text.encode("utf-8", "surrogatepass"))
    file.chmod(0o600)
    with pytest.raises(Stop) as stop:
        find()
    assert stop.value.code == CONFIGURATION
    assert str(file) in str(stop.value)
    assert "secret-words" not in str(stop.value)


def test_storing_keeps_other_lines_and_lets_nobody_else_read(file) -> None:
    put(file, f"# a note\nOTHER=1 # said\n{HANDLE}=old.test\nexport MORE='x y'")
    store({HANDLE: "new.test", PASSWORD: "abcd-efgh"})
    assert file.read_text() == (
        "# a note\nOTHER=1 # said\nexport MORE='x y'\n"
        f"{HANDLE}='new.test'\n{PASSWORD}='abcd-efgh'\n"
    )
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.glob(".credentials*")] == []
    store({HANDLE: None, PASSWORD: None})
    assert file.read_text() == "# a note\nOTHER=1 # said\nexport MORE='x y'\n"


def test_a_new_file_is_closed_to_others_and_a_link_stays_one(file, home) -> None:
    real = home.folder / "real" / "credentials"
    file.symlink_to(real)
    store({HANDLE: "new.test"})
    assert file.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o600
    assert find().values == {HANDLE: "new.test"}


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(handle=WORDS, password=WORDS)
def test_any_words_come_back_as_they_were_stored(file, handle, password) -> None:
    store({HANDLE: handle, PASSWORD: password})
    assert find().values == {HANDLE: handle, PASSWORD: password}


def test_what_was_found_does_not_show_its_values(file) -> None:
    put(file, f"{PASSWORD}=secret-words\n")
    assert "secret-words" not in repr(find())
