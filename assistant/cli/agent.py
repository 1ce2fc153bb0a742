"""`assistant agent`: a service agent's terminal, over the websocket that any other agent's program would use."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import click

from assistant.cli.common import with_settings

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

    from assistant.config import Settings
    from assistant.server.agent_wire import AgentEvent, ConversationEvent, QueueEntry
    from assistant.server.wire import Wire

T = TypeVar("T")
COMMANDS = {
    "/queue": "who waits",
    "/take": "[NUMBER]: take a conversation, the first by default",
    "/release": "give it back to the assistant",
    "/queue-back": "give it to another colleague: to the front of the queue",
    "/close": "it is solved",
    "/switch": "[NUMBER]: speak in another of your conversations",
    "/help": "these commands",
    "/quit": "leave; you have the server's grace time to come back",
}
CREDENTIAL = "ASSISTANT_AGENT_CREDENTIAL"
_PROMPT = "agent ▸ "
_RETRY_S = (0.5, 1.0, 2.0, 5.0)


@click.command("agent")
@click.option("--url", help="The server; by default the host and port of the settings.")
@click.option(
    "--name", help="Your name as `assistant team add` has it; customers see it. By default your user name."
)
@with_settings
def agent_command(settings: Settings, url: str | None, name: str | None) -> None:
    """Speak with customers who asked for a person.

    Your credential, which `assistant team add` has printed, is read from the variable ASSISTANT_AGENT_CREDENTIAL or
    asked for. What you type goes to the customer; /help lists the commands.
    """
    from assistant.errors import ConfigError

    address = url or f"ws://{settings.host}:{settings.port}/agent"
    agent = name or getpass.getuser()
    credential = os.environ.get(CREDENTIAL, "")
    if not credential and sys.stdin.isatty():
        credential = getpass.getpass(f"credential of {agent}: ")
    if not credential:
        raise ConfigError(f"set {CREDENTIAL} to the credential that `assistant team add` printed")
    lines = _typed() if sys.stdin.isatty() else _piped()
    asyncio.run(Terminal(address, credential, agent, click.echo).run(lines))


class Terminal:
    """Shows the queue and one conversation at a time; connects again when the connection is lost.

    Args:
        write: shows a line.
    """

    def __init__(self, url: str, credential: str, name: str, write: Callable[[str], object]) -> None:
        self._url = url
        self._credential = credential
        self._name = name
        self._write = write
        self._socket: ClientConnection | None = None
        self._connected = asyncio.Event()
        self._queue: tuple[QueueEntry, ...] = ()
        self._mine: list[str] = []
        self._current = ""
        self._unkept: dict[str, tuple[str, str]] = {}  # message id → conversation and text, until it is kept

    async def run(self, lines: AsyncIterator[str]) -> None:
        """Serve until the lines end or one says /quit.

        Raises: ConfigError: the server is not there, or refuses the credential.
        """
        listening = asyncio.create_task(self._listen())
        typing = asyncio.create_task(self._type(lines))
        try:
            await asyncio.wait([listening, typing], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (typing, listening):
                task.cancel()
            done = await asyncio.gather(typing, listening, return_exceptions=True)
            if self._socket is not None:
                await self._socket.close()
        for outcome in done:
            if isinstance(outcome, Exception):
                raise outcome

    # --- the server's side ---

    async def _listen(self) -> None:
        from websockets.asyncio.client import connect
        from websockets.exceptions import ConnectionClosed, InvalidHandshake

        from assistant.errors import ConfigError
        from assistant.server.agent_wire import AgentHello, parse_agent_event
        from assistant.server.wire import PROTOCOL_VERSION, encode

        attempt, greeted = 0, False
        while True:
            try:
                async with connect(self._url, proxy=None) as socket:
                    hello = AgentHello(v=PROTOCOL_VERSION, credential=self._credential, agent=self._name)
                    await socket.send(encode(hello))
                    self._socket = socket
                    async for frame in socket:
                        greeted, attempt = True, 0
                        await self._show(parse_agent_event(frame))
                code = socket.close_code
            except ConnectionClosed as closed:
                code = closed.rcvd.code if closed.rcvd else 1006
            except (OSError, InvalidHandshake) as error:
                if not greeted:
                    raise ConfigError(
                        f"{self._url} does not take agents ({error}); does the server run there, and has "
                        "`assistant team add` added you?"
                    ) from error
                code = 1006
            finally:
                self._connected.clear()
            if code == 4401:
                raise ConfigError(
                    f"the server refuses the credential of {self._name}; `assistant team renew` gives a new one"
                )
            if code == 4412:
                raise ConfigError(f"{self._name} was removed from the team, or has a new credential")
            if code == 4409:
                raise ConfigError(f"an agent named {self._name} connected elsewhere; choose another --name")
            self._write("* the connection is lost; connecting again")
            await asyncio.sleep(_RETRY_S[min(attempt, len(_RETRY_S) - 1)])
            attempt += 1

    async def _show(self, event: AgentEvent) -> None:
        from assistant.server import agent_wire as wire

        match event:
            case wire.AgentReady():
                open_now = "" if event.staffed else " (outside the opening hours)"
                self._write(f"* {event.shop}: you are {event.agent}{open_now}. /help lists the commands")
                for message_id, (conversation, text) in list(self._unkept.items()):
                    await self._send(wire.AgentSays(id=message_id, conversation=conversation, text=text))
            case wire.QueueEvent():
                before = {one.conversation for one in self._waiting()}
                self._queue = event.conversations
                self._connected.set()  # the server sends it after `ready`
                if {one.conversation for one in self._waiting()} - before:
                    self._show_queue()
            case wire.ConversationEvent():
                self._begin(event)
            case wire.CustomerSays():
                self._write(f"{self._label(event.conversation)}customer: {event.text}")
            case wire.CustomerPresence():
                here = "is there again" if event.connected else "has left; what you write is kept"
                self._write(f"* {self._label(event.conversation)}the customer {here}")
            case wire.MessageKept():
                self._unkept.pop(event.id, None)
            case wire.ConversationEnded():
                self._end(event.conversation, event.reason)
            case wire.AgentError():
                if event.id is not None and not event.retryable:
                    self._unkept.pop(event.id, None)
                self._write(f"* refused: {event.message}")

    def _begin(self, event: ConversationEvent) -> None:
        if event.conversation not in self._mine:
            self._mine.append(event.conversation)
        self._current = event.conversation
        summary = event.summary
        who = event.customer or "a guest"
        there = "" if event.connected else ", not connected now"
        self._write(f"* conversation with {who} ({event.language}, {event.platform or 'unknown'}{there})")
        self._write(f"  reason: {summary.reason}")
        self._write(f"  question: {summary.question}")
        if summary.orders:
            self._write(f"  orders: {', '.join(summary.orders)}")
        for line in event.transcript:
            self._write(f"{line.agent or line.who}: {line.text}")

    def _end(self, conversation: str, reason: str) -> None:
        ends = {
            "customer": "the customer went back to the assistant",
            "queue": "it is in the queue again",
            "released": "the assistant goes on",
            "closed": "closed",
            "erased": "the customer's data were deleted",
        }
        self._write(f"* {self._label(conversation)}{ends[reason]}")
        if conversation in self._mine:
            self._mine.remove(conversation)
        if self._current == conversation:
            self._current = self._mine[-1] if self._mine else ""

    def _waiting(self) -> list[QueueEntry]:
        return [one for one in self._queue if one.state == "waiting"]

    def _show_queue(self) -> None:
        waiting = self._waiting()
        self._write(f"* {len(waiting)} waiting" if waiting else "* nobody waits")
        for number, one in enumerate(waiting, 1):
            before = f", was with {one.agent}" if one.agent else ""
            self._write(f"  {number}. {one.waited_s:.0f} s{before}: {one.summary.question}")

    def _label(self, conversation: str) -> str:
        """Which conversation, if there is more than one."""
        if conversation == self._current or conversation not in self._mine:
            return ""
        return f"[{self._mine.index(conversation) + 1}] "

    # --- the agent's side ---

    async def _type(self, lines: AsyncIterator[str]) -> None:
        async for line in lines:
            text = line.strip()
            if text == "/quit":
                return
            if text:
                await self._connected.wait()
                await self._do(text)

    async def _do(self, text: str) -> None:
        from assistant.server.agent_wire import AgentSays, CloseConversation, Release, Take

        command, _, argument = text.partition(" ")
        if command == "/help":
            for name, meaning in COMMANDS.items():
                self._write(f"  {name:<12}{meaning}")
        elif command == "/queue":
            self._show_queue()
        elif command == "/take":
            chosen = _pick(self._waiting(), argument or "1")
            if chosen is None:
                self._write("* there is no such number in the queue")
            else:
                await self._send(Take(conversation=chosen.conversation))
        elif command == "/switch":
            mine = _pick(self._mine, argument or "1")
            if mine is None:
                self._write("* you have no such conversation")
            else:
                await self._send(Take(conversation=mine))
        elif command.startswith("/") and command not in COMMANDS:
            self._write(f"* {command} is no command; /help lists them")
        elif not self._current:
            self._write("* take a conversation first: /take")
        elif command == "/release":
            await self._send(Release(conversation=self._current))
        elif command == "/queue-back":
            await self._send(Release(conversation=self._current, to="queue"))
        elif command == "/close":
            await self._send(CloseConversation(conversation=self._current))
        else:
            message_id = os.urandom(8).hex()
            self._unkept[message_id] = (self._current, text)
            await self._send(AgentSays(id=message_id, conversation=self._current, text=text))

    async def _send(self, message: Wire) -> None:
        """Send; what a lost connection swallows is sent again after the next hello, or shown as not done."""
        from websockets.exceptions import ConnectionClosed

        from assistant.server.wire import encode

        if self._socket is not None:
            with contextlib.suppress(ConnectionClosed):
                await self._socket.send(encode(message))


def _pick(items: Sequence[T], number: str) -> T | None:
    return items[int(number) - 1] if number.isdigit() and 0 < int(number) <= len(items) else None


async def _piped() -> AsyncIterator[str]:
    while line := await asyncio.to_thread(sys.stdin.readline):
        yield line


async def _typed() -> AsyncIterator[str]:
    """Lines typed at a prompt that stays below what comes in; ends at Ctrl-D and at Ctrl-C."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.patch_stdout import patch_stdout

    session: PromptSession[str] = PromptSession(_PROMPT)
    with patch_stdout():
        while True:
            try:
                line = await session.prompt_async()
            except (EOFError, KeyboardInterrupt):
                return
            yield line
