"""The server as a process: signals, crashes, and the command line around it."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from assistant.cli.main import assistant
from assistant.errors import ConfigError
from assistant.server import serve
from tests.server.harness import Client, ScriptedRunner, make_settings, run

ROOT = Path(__file__).parents[2]


def start(data: Path, drain_s: float, pieces: int = 0) -> tuple[subprocess.Popen[str], Any]:
    """A server process, and what a client needs of it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.server.scripted_process", str(data), str(drain_s), str(pieces)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, SimpleNamespace(port=int(process.stdout.readline()))


def end(process: subprocess.Popen[str]) -> int:
    """Wait for the process; its exit code."""
    assert process.stdout is not None
    if process.stdin is not None and not process.stdin.closed:
        process.stdin.close()
    process.stdout.close()
    return process.wait(timeout=30)


def test_sigterm_lets_the_reply_finish_and_ends_well(tmp_path: Path) -> None:
    """The running reply is completed and stored, the client hears going_away, the exit code is 0."""
    process, server = start(tmp_path, drain_s=30, pieces=1)
    client = Client(server)

    async def before() -> None:
        await client.connect()
        await client.ask("hello", "m1")
        await client.wait_for("delta")
        process.terminate()
        await asyncio.sleep(0.1)  # the signal is on its way; what follows holds in either order
        assert process.stdin is not None
        process.stdin.close()
        assert (await client.wait_for("turn.done"))["status"] == "completed"
        assert await client.closed() == 1012
        assert client.errors[-1]["code"] == "going_away"

    run(before())
    assert end(process) == 0
    again, server = start(tmp_path, drain_s=0)

    async def after() -> None:
        client.last_seq = 0
        client.done.clear()
        await client.connect(server)
        assert client.ready["resumed"]
        assert (await client.wait_for("turn.done"))["text"] == "0 hello. 1 hello. "
        await client.close()

    run(after())
    again.terminate()
    assert end(again) == 0


def test_killed_process_loses_neither_replies_nor_questions(tmp_path: Path) -> None:
    """SIGKILL in the middle of a second reply: the first is there, the second is answered on resuming."""
    process, server = start(tmp_path, drain_s=0, pieces=3)
    client = Client(server)

    async def before() -> None:
        await client.connect()
        await client.answer("first", "m1")
        await client.ask("second", "m2")
        await client.wait_for("delta")
        process.kill()
        assert await client.closed() == 1006

    run(before())
    end(process)
    again, server = start(tmp_path, drain_s=0)
    assert again.stdin is not None
    again.stdin.close()

    async def after() -> None:
        client.last_seq = 0  # as a reloaded page: the whole conversation again
        client.done.clear()
        await client.connect(server)
        assert client.ready["resumed"]
        await client.ask("second", "m2")  # the rule: without an end, send again
        while len(client.done) < 2:
            await client.wait_for("turn.done")
        texts = [done["text"] for done in client.done.values()]
        assert texts == ["0 first. 1 first. ", "0 second. 1 second. "]
        await client.close()

    try:
        run(after())
    finally:
        again.terminate()
        assert end(again) == 0


def test_taken_port_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    """Another program listens there: a ConfigError naming address, reason and options."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"port {port}.*--port"):
            asyncio.run(serve(make_settings(tmp_path, port=port), ScriptedRunner()))


def test_data_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "data").write_text("not a folder")
    with pytest.raises(ConfigError, match=r"sessions\.db"):
        asyncio.run(serve(make_settings(tmp_path / "data"), ScriptedRunner()))


def test_serve_without_a_base_says_how_to_make_one(tmp_path: Path) -> None:
    """`assistant serve` on an empty data folder: exit code 1 and the command to run."""
    result = CliRunner().invoke(assistant, ["serve", "--port", "0", "--data", str(tmp_path)])
    assert result.exit_code == 1
    assert "assistant ingest" in result.output
