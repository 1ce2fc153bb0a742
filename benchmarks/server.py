"""The server under load: time to the first delta, messages a second, start-up, memory. JSON lines.

    python -m benchmarks.server [--data DIR] [--seconds 20] [--sessions 1 10 50 200]

Starts the real server as a process of its own on an ingested base (the example shop is ingested into a
temporary folder without --data) and asks it about the titles of its passages. The times are what a client on
the same machine sees; the client shares its processor cores.

`closed loop`: each session asks, reads the reply for a second (0.5 to 1.5 s), asks again.
`every 10 s`: each session asks every 10 s, beginning at a random moment.
`saturated`: each session asks again as soon as it is answered.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from websockets.asyncio.client import ClientConnection, connect

from assistant.storage.snapshots import SnapshotStore
from benchmarks.signature import signature

SEED = 11
ANSWER_GUARD_S = 60.0


@dataclass
class Tally:
    """What a load saw; `lost` counts questions without exactly one end."""

    first_delta_ms: list[float] = field(default_factory=list)
    done_ms: list[float] = field(default_factory=list)
    events: int = 0
    asked: int = 0
    lost: int = 0
    failed: int = 0

    def line(self, name: str, sessions: int, seconds: float) -> dict[str, object]:
        """The figures as one JSON object."""
        return {
            "benchmark": f"server, {name}",
            "sessions": sessions,
            "seconds": round(seconds, 1),
            "questions": self.asked,
            "lost": self.lost,
            "failed": self.failed,
            "first_delta_ms": percentiles(self.first_delta_ms),
            "turn_done_ms": percentiles(self.done_ms),
            "questions_per_s": round(self.asked / seconds, 1),
            "messages_per_s": round((self.asked + self.events) / seconds, 1),
        }


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """p50, p95 and max in milliseconds."""
    if not values:
        return {}
    p50, p95 = np.percentile(values, [50, 95])
    return {"p50": round(float(p50), 1), "p95": round(float(p95), 1), "max": round(max(values), 1)}


async def greet(url: str) -> ClientConnection:
    """Open a session."""
    socket = await connect(url, compression=None, proxy=None, open_timeout=60)
    await socket.send(json.dumps({"type": "hello", "v": 1, "platform": "benchmark"}))
    ready = json.loads(await socket.recv())
    if ready["type"] != "ready":
        raise RuntimeError(f"expected ready, got {ready}")
    return socket


async def ask(socket: ClientConnection, number: int, text: str, tally: Tally) -> None:
    """Ask one question and read its reply to the end."""
    tally.asked += 1
    started = time.perf_counter()
    first: float | None = None
    ends = 0
    await socket.send(json.dumps({"type": "user.text", "id": f"q{number}", "text": text}))
    try:
        async with asyncio.timeout(ANSWER_GUARD_S):
            while not ends:
                event = json.loads(await socket.recv())
                tally.events += 1
                if event["type"] == "delta" and first is None:
                    first = (time.perf_counter() - started) * 1000
                elif event["type"] == "turn.done":
                    ends += 1
                    tally.failed += event["status"] == "failed"
                elif event["type"] == "error":
                    break
    except TimeoutError:
        pass
    if not ends:
        tally.lost += 1
        return
    total = (time.perf_counter() - started) * 1000
    tally.done_ms.append(total)
    tally.first_delta_ms.append(total if first is None else first)


async def load(
    url: str, questions: Sequence[str], sessions: int, seconds: float, pause_s: tuple[float, float] | None
) -> Tally:
    """Let sessions ask for some seconds.

    Args:
        url: the websocket's address.
        questions: what is asked, in a random order for each session.
        sessions: how many talk at the same time.
        seconds: how long new questions are asked.
        pause_s: shortest and longest pause after a reply; None asks every 10 s whatever the reply takes.
    """
    tally = Tally()
    opening = asyncio.Semaphore(50)

    async def customer(index: int) -> None:
        own = random.Random(SEED + index)
        async with opening:
            socket = await greet(url)
        try:
            await all_open.wait()
            begin = time.perf_counter()
            turn = 0
            planned = own.uniform(0, 10 if pause_s is None else pause_s[1])
            while planned < seconds:
                await asyncio.sleep(max(0.0, begin + planned - time.perf_counter()))
                await ask(socket, turn, own.choice(questions), tally)
                turn += 1
                since = time.perf_counter() - begin
                planned = planned + 10 if pause_s is None else since + own.uniform(*pause_s)
        finally:
            await socket.close()

    all_open = asyncio.Barrier(sessions)
    async with asyncio.TaskGroup() as group:
        for index in range(sessions):
            group.create_task(customer(index))
    return tally


@contextmanager
def started_server(data: Path) -> Iterator[tuple[str, int, float]]:
    """A server process: its websocket's address, its process id, and seconds from start to an answered hello."""
    environment = {**os.environ, "ASSISTANT_MAX_MESSAGES_PER_MINUTE": "1000000"}
    before = time.perf_counter()
    log: threading.Thread | None = None
    process = subprocess.Popen(
        [sys.executable, "-m", "assistant", "serve", "--port", "0", "--data", str(data)],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            print(line, end="", file=sys.stderr)
            if found := re.search(r"http://([^/]+)/", line):
                url = f"ws://{found[1]}/ws"
                break
        else:
            raise RuntimeError("the server did not start")
        log = threading.Thread(target=shutil.copyfileobj, args=(process.stderr, sys.stderr), daemon=True)
        log.start()

        async def hello() -> None:
            await (await greet(url)).close()

        asyncio.run(hello())
        yield url, process.pid, time.perf_counter() - before
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
        if log is not None:
            log.join(timeout=10)
        if process.stderr is not None:
            process.stderr.close()


def read_questions(data: Path) -> list[str]:
    """The titles of the base's passages."""
    return [passage.title for passage in SnapshotStore(data).load().knowledge.passages]


def ingest_example(data: Path) -> None:
    """Ingest the example shop."""
    command = [sys.executable, "-m", "assistant", "ingest", "knowledge", "--data", str(data)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    """Run all loads and print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="data folder with an ingested base")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each load")
    parser.add_argument("--sessions", type=int, nargs="+", default=[1, 10, 50, 200])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = arguments.data or Path(folder)
        if arguments.data is None:
            ingest_example(data)
        questions = read_questions(data)
        machine = signature()

        def report(line: dict[str, object]) -> None:
            print(json.dumps({**line, "signature": machine}), flush=True)

        with started_server(data) as (url, pid, start_s):
            server = psutil.Process(pid)
            report({"benchmark": "server, start to ready", "seconds": round(start_s, 2)})
            report({"benchmark": "server, memory when idle", "rss_mib": mebibytes(server)})
            loads: list[tuple[str, int, float, tuple[float, float] | None]] = [
                *(("closed loop", count, arguments.seconds, (0.5, 1.5)) for count in arguments.sessions),
                ("every 10 s", max(arguments.sessions), max(60.0, arguments.seconds), None),
                ("saturated", min(50, max(arguments.sessions)), arguments.seconds, (0.0, 0.0)),
            ]
            for name, count, seconds, pause_s in loads:
                before = time.perf_counter()
                tally = asyncio.run(load(url, questions, count, seconds, pause_s))
                report(tally.line(name, count, time.perf_counter() - before))
            report({"benchmark": "server, memory after the loads", "rss_mib": mebibytes(server)})


def mebibytes(process: psutil.Process) -> float:
    """Resident memory of a process."""
    return round(process.memory_info().rss / 2**20, 1)


if __name__ == "__main__":
    main()
