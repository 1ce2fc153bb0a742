"""The console with a scripted engine: streaming, sources, debug pane, slash commands, cancelling."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput
from rich.console import Console

from assistant.cli.chat import COMMANDS, Chat, WrappedStream, _typed
from assistant.evaluation.conversations import parse_conversations


async def lines_of(*lines: str) -> AsyncIterator[str]:
    """Lines as if typed."""
    for line in lines:
        yield line


def hold(runner: Any, tests: Path, *lines: str, debug: bool = False) -> str:
    """Hold a conversation; everything that was shown, without styles."""
    console = Console(file=io.StringIO(), width=100, highlight=False)
    asyncio.run(Chat(runner, console, tests=tests, debug=debug).hold(lines_of(*lines)))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_reply_is_shown_with_source_card_and_choices(runner: Any, tmp_path: Path) -> None:
    """And the shop greets first."""
    shown = hold(runner, tmp_path / "t.yaml", "how long?\n")
    assert shown.startswith("Testshop")
    assert "  Welcome!\n" in shown
    assert "  Small parcels take 3 days [1].\n  [1] How long?  faq/a.md\n" in shown
    assert "number: T-1" in shown
    assert "note:" not in shown
    assert "‹Track it›" in shown
    assert "how this came about" not in shown


def test_second_turn_knows_the_first_until_reset(runner: Any, tmp_path: Path) -> None:
    """History and state are carried; /reset forgets both."""
    hold(runner, tmp_path / "t.yaml", "one", "two", "/reset", "three")
    assert [len(request.history) for request in runner.requests] == [0, 2, 0]
    assert [request.state.slots for request in runner.requests] == [{}, {"order_number": "T-1"}, {}]


def test_debug_pane_shows_how_it_came_about(runner: Any, tmp_path: Path) -> None:
    """Decision and why, probability and threshold, intents, each score, slots, milliseconds."""
    shown = hold(runner, tmp_path / "t.yaml", "how long?", debug=True)
    for part in (
        "answer  likely enough",
        "0.910 that the first passage answers; reaches the threshold 0.600",
        "how long does it take",
        "delivery_time 0.80  gate 0.700, threshold 0.400: in scope",
        "order_number = T-1",
        "understanding 1.5 · retrieval 2.2",
    ):
        assert part in shown
    row = next(line for line in shown.splitlines() if "1.500" in line)
    assert [cell for cell in row.split() if cell[0].isdigit()] == [
        "1.500",
        "0.810",
        "0.720",
        "0.630",
        "0.540",
    ]


def test_debug_command_switches_the_pane(runner: Any, tmp_path: Path) -> None:
    """On for the first reply, off for the second."""
    shown = hold(runner, tmp_path / "t.yaml", "/debug", "one", "/debug", "two")
    assert shown.count("how this came about") == 1


def test_sources_command_shows_their_full_text(runner: Any, tmp_path: Path) -> None:
    """Before the first reply there are none."""
    shown = hold(runner, tmp_path / "t.yaml", "/sources", "one", "/sources")
    assert "no reply had sources so far" in shown
    assert "      Small parcels take 3 days." in shown
    assert "      Or 4." in shown


def test_save_test_writes_a_test_that_can_be_read(runner: Any, tmp_path: Path) -> None:
    """Under the name given; without a name nothing is written."""
    path = tmp_path / "tests.yaml"
    shown = hold(runner, path, "/save-test", "/save-test none", "how long?", "/save-test how long")
    (saved,) = parse_conversations(path.read_text(), path)
    assert saved.name == "how long"
    assert saved.turns[0].expect.source == "faq/a.md#How long?"
    assert "say which name" in shown
    assert "nothing to save" in shown


def test_help_lists_every_command_and_unknown_ones_are_no_questions(runner: Any, tmp_path: Path) -> None:
    """A slip of the keyboard is not sent to the assistant; nothing after /quit is read."""
    shown = hold(runner, tmp_path / "t.yaml", "/help", "/nope", "", "/quit", "hello")
    assert all(name in shown for name in COMMANDS)
    assert "/nope is no command" in shown
    assert runner.requests == []


def test_interrupt_during_a_reply_cancels_it_and_the_talk_goes_on(runner: Any, tmp_path: Path) -> None:
    """SIGINT reaches the turn as its cancel event; the next line is answered."""
    console = Console(file=io.StringIO(), width=100, highlight=False)

    async def lines() -> AsyncIterator[str]:
        yield "one"
        runner.go = None
        yield "two"

    async def talk() -> None:
        runner.go, runner.said = asyncio.Event(), asyncio.Event()

        async def interrupt() -> None:
            await runner.said.wait()
            os.kill(os.getpid(), signal.SIGINT)

        interrupting = asyncio.create_task(interrupt())
        await Chat(runner, console, tests=tmp_path / "t.yaml").hold(lines())
        await interrupting

    asyncio.run(talk())
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert "  Small parcels\n  stopped" in shown.replace("parcels \n", "parcels\n")
    assert "  Small parcels take 3 days [1].\n" in shown


@pytest.mark.parametrize("end", ["\x04", "\x03"])
def test_prompt_gives_lines_keeps_history_and_ends_at_ctrl_d_or_c(tmp_path: Path, end: str) -> None:
    """Editing keys work: Ctrl-A moves to the start. The history is the owner's only."""
    history = tmp_path / "data" / "chat-history"

    async def read() -> list[str]:
        return [line async for line in _typed(history)]

    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        keys.send_text("world\x01hello \r" + end)
        assert asyncio.run(read()) == ["hello world"]
    assert "hello world" in history.read_text()
    assert stat.S_IMODE(history.stat().st_mode) == 0o600


def test_wrapped_stream_breaks_between_words_however_it_is_cut() -> None:
    """The same text, cut anywhere, gives the same lines; none is longer than the room."""
    text = "one two three four five six seven\n- item eight nine ten 三天送达三天送达三天送达 end"
    shown = set()
    for size in range(1, len(text) + 1):
        out: list[str] = []
        stream = WrappedStream(24, out.append)
        for start in range(0, len(text), size):
            stream.write(text[start : start + size])
        stream.end()
        shown.add("".join(out))
    assert shown == {
        "  one two three four\n  five six seven\n  - item eight nine ten\n"
        "  三天送达三天送达三天\n  送达 end\n"
    }
