"""How tests wait: for what is to come about, and never for a time that a busy machine outruns."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE = 300  # seconds; what takes 15 s on a quiet machine has come about by then on a busy one

T = TypeVar("T")


def wait_until(holds: Callable[[], T], seconds: float = PATIENCE, is_in_vain: Callable[[], bool] = lambda: False) -> T:
    """Waits until something holds; what it gave last."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not is_in_vain():
        if found := holds():
            return found
        time.sleep(0.05)
    return holds()


def free_port() -> int:
    """A port that is free now, for programs that cannot bind port 0 and say what they got."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
