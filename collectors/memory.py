"""Whether there is memory enough to unpack a file, asked before anything is read of it.

A dump of Reddit unpacks only with its whole window (2 GiB) in memory, whatever program does it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import zstandard

BESIDE = 500 << 20  # what the import itself takes beside a window; measured in docs/performance.md
CGROUPS = Path("/sys/fs/cgroup")


def window(path: Path) -> int:
    """Bytes of memory that unpacking a zstd file takes by the header of its first frame; else 0."""
    with path.open("rb") as file:
        head = file.read(1 << 16)
    with suppress(zstandard.ZstdError):
        while head[1:4] == b"\x2a\x4d\x18" and 0x50 <= head[0] < 0x60:  # skippable frames
            head = head[8 + int.from_bytes(head[4:8], "little") :]
        if head.startswith(b"\x28\xb5\x2f\xfd"):
            return int(zstandard.get_frame_parameters(head).window_size)
    return 0


def available() -> int | None:
    """Bytes of memory that this process can still get, by the system and by its control groups;
    None where the system does not say."""
    free = [value for value in (_of_system(), _of_group(), _of_old_group()) if value is not None]
    return min(free, default=None)


def _of_system() -> int | None:
    with suppress(OSError, ValueError, IndexError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        line = next(line for line in lines if line.startswith("MemAvailable:"))
        return int(line.split()[1]) * 1024
    with suppress(OSError, ValueError, AttributeError):  # not on Linux: all there is, in use or not
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _of_group(root: Path = CGROUPS) -> int | None:
    """What the tightest of the control groups (version 2) around this process leaves."""
    with suppress(OSError, IndexError, ValueError, StopIteration):
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
        inside = next(line for line in lines if line.startswith("0::"))[3:].strip("/")
        group = root / inside
        found = []
        while group.is_relative_to(root):
            limit = _left(group / "memory.max", group / "memory.current", group / "memory.stat")
            found += [] if limit is None else [limit]
            if group == root:
                break
            group = group.parent
        return min(found, default=None)
    return None


def _of_old_group() -> int | None:
    folder = CGROUPS / "memory"
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat")
    return _left(*(folder / name for name in names))


def _left(limit: Path, used: Path, stat: Path) -> int | None:
    with suppress(OSError, ValueError):
        most = int(limit.read_text(encoding="ascii"))  # "max" is no number: no limit
        if most >= 1 << 60:
            return None
        cached = 0
        with suppress(OSError, ValueError, IndexError):
            for line in stat.read_text(encoding="ascii").splitlines():
                if line.startswith(("inactive_file ", "total_inactive_file ")):
                    cached = int(line.split()[1])  # the group gives this up before it is full
        return max(most - int(used.read_text(encoding="ascii")) + cached, 0)
    return None
