"""Runs ingests that are killed, or run out of disk, at a chosen point. Driven by test_crash.py over pipes.

A line `kill N DATA SHOP` runs an ingest that kills itself at its N-th change of the data folder (0: never), a line
`limit BYTES DATA SHOP` one that may write no file beyond so many bytes. Each runs in a fork, so that the imports
are paid once. The answer is the exit status (negative: signal) and how many changes were seen.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

from conftest import run_ingest

from assistant.errors import ConfigError

CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate"}


def watch(data: Path, kill_at: int) -> list[int]:
    """Count changes under the data folder from now on; end this process at the chosen one."""
    seen = [0]

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        is_change = event in CHANGES
        if event == "open":
            is_change = bool(arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        if is_change and str(data) in str(arguments[0]):
            seen[0] += 1
            if seen[0] == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    return seen


def perform(order: str, amount: int, data: Path, shop: Path) -> int:
    """One ingest in this process; returns its exit status."""
    if order == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (amount, amount))
    seen = watch(data, amount if order == "kill" else 0)
    try:
        run_ingest([shop], data)
    except ConfigError as error:
        return 1 if "cannot be written" in str(error) else 2
    return 100 + seen[0] if order == "kill" else 0


def main() -> None:
    """Answer orders until stdin ends."""
    for line in sys.stdin:
        order, amount, data, shop = line.rstrip("\n").split("\t")
        child = os.fork()
        if not child:
            os._exit(perform(order, int(amount), Path(data), Path(shop)))
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(status, flush=True)


if __name__ == "__main__":
    main()
