"""Other CPythons on this machine, and the packages that the scorer needs on each.

`python -m tests.interpreters` (`make interpreters`) gets what is missing, once. Tone follows the
interpreter (sum() and the classes of characters are its own), so tests/test_vader.py compares it
on every one. Only numpy has another wheel for each minor version; everything else is taken from the
environment of the tests.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PACKAGES = ROOT / ".artifacts" / "interpreters"
OURS = f"{sys.version_info.major}.{sys.version_info.minor}"


def found() -> dict[str, Path]:
    """Every CPython from 3.11 on that pyenv or the path has, by name."""
    here = {}
    folders = os.environ["PATH"].split(os.pathsep)
    path = os.pathsep.join(folder for folder in folders if Path(folder).name != "shims")  # pyenv's
    for minor in range(11, 30):
        if where := shutil.which(f"python3.{minor}", path=path):
            here[f"python3.{minor} of the path"] = Path(where)
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for folder in sorted((pyenv / "versions").glob("3.*")):
        if re.fullmatch(r"3\.(1[1-9]|[2-9]\d)\.\d+", folder.name):
            here[folder.name] = folder / "bin" / "python3"
    return here


def minor(name: str) -> str:
    """3.12 of "3.12.1" and of "python3.12 of the path"."""
    return str(re.findall(r"3\.\d+", name)[0])


def ready(name: str) -> bool:
    """Whether that interpreter has a numpy."""
    return minor(name) == OURS or numpy_for(minor(name)).exists()


def run(name: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run that interpreter with its numpy and the other packages of this environment."""
    places = [*([] if minor(name) == OURS else [numpy_for(minor(name))]), ROOT]
    places.append(Path(sysconfig.get_path("platlib")))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, places))}
    command = [str(found()[name]), *words]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def numpy_for(version: str) -> Path:
    """Where the numpy of the lock lies for a minor version."""
    return PACKAGES / f"{version}-{locked('numpy', version)[0].split()[0]}"


def locked(package: str, version: str) -> list[str]:
    """The lines of requirements.txt about a package on a minor version: which one, and its hashes.

    Without the condition after the semicolon: pip asks it of the Python that runs pip, ignores the
    line where it does not hold, and ends well.
    """
    lines = (ROOT / "requirements.txt").read_text().splitlines(keepends=True)
    starts = [number for number, line in enumerate(lines) if not line.startswith(("#", " "))]
    here = {"python_version": version, "python_full_version": f"{version}.0"}
    for begin, end in pairwise([*starts, len(lines)]):
        wanted = Requirement(lines[begin].rstrip(" \\\n"))
        if wanted.name == package and (wanted.marker is None or wanted.marker.evaluate(here)):
            return [f"{package}{wanted.specifier} \\\n", *lines[begin + 1 : end]]
    raise LookupError(f"requirements.txt has no {package} for Python {version}.")


def get(version: str) -> None:
    """Have pip bring numpy for a minor version, if it is not there and pip can."""
    place = numpy_for(version)
    if place.exists():
        return
    PACKAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=PACKAGES) as folder:
        wanted = Path(folder, "requirements.txt")
        wanted.write_text("".join(locked("numpy", version)))
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        what = ["--no-deps", "--only-binary=:all:", "--require-hashes", "--requirement", wanted]
        where = ["--python-version", version, "--target", Path(folder, "packages")]
        done = subprocess.run([*pip, *what, *where], capture_output=True, text=True, check=False)
        if done.returncode == 0 and Path(folder, "packages", "numpy").is_dir():
            Path(folder, "packages").rename(place)


def main() -> None:
    """Say of each interpreter whether its numbers will be compared."""
    names = found()
    with ThreadPoolExecutor(2) as pool:  # what takes time is the network
        list(pool.map(get, sorted({*map(minor, names)} - {OURS})))
    print(f"Tone will be compared on: {', '.join(filter(ready, names)) or 'this Python only'}.")
    if lost := [name for name in names if not ready(name)]:
        print(
            f"Not on {', '.join(lost)}: pip could not get numpy for it. The tests skip it by name;"
            " with a network `make interpreters` tries again.",
            file=sys.stderr,
        )


if __name__ == "__main__":
    main()
