"""`assistant agent`: the agent's terminal against a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from assistant.cli.agent import COMMANDS, CREDENTIAL, Terminal
from assistant.cli.main import assistant
from assistant.errors import ConfigError
from assistant.server import Server
from tests.server.harness import Client, ScriptedRunner, eventually, hire, make_settings, run, running


class Keyboard:
    """A terminal with somebody who types, and what it shows."""

    def __init__(self, server: Server, credential: str | None = None, name: str = "Kim") -> None:
        self.shown: list[str] = []
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        url = f"ws://127.0.0.1:{server.port}/agent"
        secret = hire(server, name) if credential is None else credential
        self.terminal = Terminal(url, secret, name, self.shown.append)

    def type(self, line: str) -> None:
        self._lines.put_nowait(line)

    async def sees(self, text: str, count: int = 1) -> None:
        await eventually(lambda: sum(text in line for line in self.shown) >= count)

    async def lines(self) -> AsyncIterator[str]:
        while (line := await self._lines.get()) is not None:
            yield line


@asynccontextmanager
async def at_the_desk(server: Server) -> AsyncIterator[Keyboard]:
    keyboard = Keyboard(server)
    running_terminal = asyncio.create_task(keyboard.terminal.run(keyboard.lines()))
    yield keyboard
    keyboard.type("/quit")
    await running_terminal


def test_agent_takes_speaks_and_gives_back(tmp_path: Path) -> None:
    """Queue, summary and transcript are shown; lines go to the customer; commands do what /help says."""

    async def scenario() -> None:
        async with (
            running(make_settings(tmp_path), ScriptedRunner(pieces=1)) as server,
            Client(server) as client,
            at_the_desk(server) as kim,
        ):
            kim.type("too early")
            await kim.sees("take a conversation first")
            await client.answer("where is TS-12345, unknown?")
            await client.answer("a person please")
            await kim.sees("1 waiting")
            kim.type("/take 2")
            await kim.sees("no such number")
            kim.type("/take")
            await kim.sees("orders: TS-12345")
            await kim.sees("assistant: 0 where is TS-12345, unknown?.")
            await client.ask("hello?")
            await kim.sees("customer: hello?")
            kim.type("good day")
            assert (await client.wait_for("agent.message"))["text"] == "good day"
            kim.type("/queue-back")
            await kim.sees("it is in the queue again")
            await kim.sees("was with Kim")
            kim.type("/take")
            await client.wait_for("handover", lambda event: event["state"] == "active")
            await kim.sees("Kim: good day")
            kim.type("/help")
            await kim.sees("/close")
            kim.type("/dance")
            await kim.sees("no command")
            kim.type("/close")
            ended = await client.wait_for("handover", lambda event: event["state"] == "ended")
            assert ended["reason"] == "closed"
            assert (await client.answer("thanks"))["status"] == "completed"
            assert all(any(name in line for line in kim.shown) for name in COMMANDS)

    run(scenario())


def test_lost_connection_comes_back_and_nothing_typed_is_lost(tmp_path: Path) -> None:
    """The server restarts on the same port: the conversation is there again, and what was not kept is sent again."""

    async def scenario() -> None:
        settings = make_settings(tmp_path)
        runner = ScriptedRunner(pieces=1)
        client: Client
        async with running(settings, runner) as server:
            client = Client(server)
            await client.connect()
            keyboard = Keyboard(server)
            desk = asyncio.create_task(keyboard.terminal.run(keyboard.lines()))
            await client.answer("a person please")
            await keyboard.sees("1 waiting")
            keyboard.type("/take")
            await keyboard.sees("conversation with a guest")
            port = server.port
        await keyboard.sees("the connection is lost")
        keyboard.type("said to nobody")
        async with running(make_settings(tmp_path, port=port), runner) as server:
            await keyboard.sees("conversation with a guest", 2)
            await client.connect(server)
            assert (await client.wait_for("agent.message"))["text"] == "said to nobody"
            keyboard.type("/quit")
            await desk
            await client.close()

    run(scenario())


def refusal(data: Path, *, team: bool) -> None:
    async def scenario() -> None:
        async with running(make_settings(data), ScriptedRunner()) as server:
            if team:
                hire(server, "Kim")
            keyboard = Keyboard(server, credential="wrong")
            await keyboard.terminal.run(keyboard.lines())

    run(scenario())


@pytest.mark.parametrize(
    ("team", "says"), [(True, "refuses the credential of Kim"), (False, "assistant team add")]
)
def test_refusal_says_what_to_do(tmp_path: Path, team: bool, says: str) -> None:
    """A wrong credential, and a server that takes no agents."""
    with pytest.raises(ConfigError, match=says):
        refusal(tmp_path, team=team)


def test_agent_who_is_removed_is_out(tmp_path: Path) -> None:
    """The terminal ends with a reason once the command has removed the agent."""

    async def scenario() -> None:
        async with running(make_settings(tmp_path), ScriptedRunner()) as server:
            keyboard = Keyboard(server)
            desk = asyncio.create_task(keyboard.terminal.run(keyboard.lines()))
            await keyboard.sees("you are Kim")
            result = CliRunner().invoke(assistant, ["team", "remove", "Kim", "--data", str(tmp_path)])
            assert result.exit_code == 0, result.output
            with pytest.raises(ConfigError, match="removed from the team"):
                await desk

    run(scenario())


def test_command_without_a_credential_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 1 and the variable to set."""
    monkeypatch.delenv(CREDENTIAL, raising=False)
    result = CliRunner().invoke(assistant, ["agent", "--data", str(tmp_path)])
    assert result.exit_code == 1
    assert CREDENTIAL in result.output


def test_command_reads_lines_from_a_pipe(tmp_path: Path) -> None:
    """`printf '/queue\n' | assistant agent`: says who it is and who waits, then ends well."""

    async def scenario() -> None:
        settings = make_settings(tmp_path)
        async with running(settings, ScriptedRunner(pieces=1)) as server, Client(server) as client:
            await client.answer("a person please")
            result = await asyncio.to_thread(
                CliRunner(env={CREDENTIAL: hire(server, "Robin")}).invoke,
                assistant,
                ["agent", "--url", f"ws://127.0.0.1:{server.port}/agent", "--name", "Robin"],
                "/queue\n/quit\n",
            )
            assert result.exit_code == 0, result.output
            assert "you are Robin" in result.output
            assert "a person please" in result.output

    run(scenario())
