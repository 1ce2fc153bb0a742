"""Two hundred customers at once, against the real server process with the real models."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import psutil
import pytest

from benchmarks.server import ingest_example, load, read_questions, started_server

SESSIONS = 200
SECONDS = 60.0


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_two_hundred_sessions_asking_every_ten_seconds_lose_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every question of a minute gets exactly one end that is no failure; the times are printed."""
    ingest_example(tmp_path)
    questions = read_questions(tmp_path)
    with started_server(tmp_path) as (url, pid, start_s):
        tally = asyncio.run(load(url, questions, SESSIONS, SECONDS, None))
        rss_mib = psutil.Process(pid).memory_info().rss / 2**20
    with capsys.disabled():
        line = {
            **tally.line("soak", SESSIONS, SECONDS),
            "start_s": round(start_s, 1),
            "rss_mib": round(rss_mib),
        }
        print(json.dumps(line))
    assert tally.asked >= SESSIONS * (SECONDS // 10 - 1)
    assert (tally.lost, tally.failed) == (0, 0)
    assert rss_mib <= 1024
