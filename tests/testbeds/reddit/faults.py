"""A request as it came in, and what can go wrong with one."""

from __future__ import annotations

import os
import signal
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass
class Request:
    """One that came in."""

    method: str
    path: str
    query: dict[str, str]
    form: dict[str, str]
    headers: dict[str, str]


@dataclass
class Fault:
    """What goes wrong with the requests that match, from the first after `skip`, `times` times."""

    match: str
    times: int
    skip: int = 0
    status: int | None = None
    body: str | Mapping[str, Any] | list[Any] | None = None
    headers: Mapping[str, str] | None = None
    delay: float = 0.0
    drop: bool = False
    truncate: bool = False
    kill: int = 0  # pid of whoever asks


def struck(connection: socket.socket, fault: Fault) -> None:
    """End the connection in the middle, as a reset; and the process that asks, if that is meant."""
    if fault.kill:
        os.kill(fault.kill, signal.SIGKILL)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
