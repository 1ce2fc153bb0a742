"""A server process with the scripted runner: `python -m tests.server.scripted_process DATA DRAIN_S PIECES`.

Prints its port. Says so many pieces of replies, two for each, then waits until its standard input ends.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from assistant.server import Server, serve
from tests.server.harness import ScriptedRunner, make_settings


async def main(data: Path, drain_s: float, pieces: int) -> None:
    gate = asyncio.Semaphore(pieces)
    runner = ScriptedRunner(pieces=2, gate=gate)

    async def open_gate() -> None:
        await asyncio.to_thread(sys.stdin.read)
        for _ in range(1000):
            gate.release()

    def announce(server: Server) -> None:
        print(server.port, flush=True)

    opening = asyncio.create_task(open_gate())
    await serve(make_settings(data, drain_s=drain_s), runner, announce=announce)
    opening.cancel()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])))
