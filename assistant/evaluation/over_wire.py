"""Holds test conversations over a real websocket, and watches the rules of the protocol on the way.

Besides the expectations of each turn it is checked that numbers grow, that each turn begins once and ends once, that
deltas belong to a turn that runs, that a message sent again is not answered again, and that a client which comes back
with nothing gets the same conversation (docs/protocol.md).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidURI, WebSocketException

from assistant.errors import ConfigError
from assistant.evaluation.conversations import (
    Answer,
    ConversationTest,
    Failure,
    Held,
    ScriptedTurn,
    not_visible,
    unmet,
)
from assistant.records import TurnResult

_NUMBERED = frozenset({"turn.started", "delta", "turn.done", "user.delivered", "handover", "agent.message"})
_PATIENCE_S = 60.0  # longer than any turn's deadline


@dataclass(frozen=True, slots=True)
class Server:
    """Where conversations are held, and how to get in.

    Attributes:
        url: address of the websocket.
        credential: the server's, "" if it has none.
        token: makes the token of a signed-in customer.
        inside: results of a session's turns in their order, where the engine can be looked into; else nothing.
    """

    url: str
    credential: str = ""
    token: Callable[[str], str] | None = None
    inside: Callable[[str], Sequence[TurnResult]] = lambda session: ()


class BrokenError(Exception):
    """The server broke a rule of the protocol, or refused a message."""


@dataclass(slots=True)
class _Line:
    """One session over one connection after the other: what was received, and whether it kept to the rules."""

    server: Server
    customer: str
    session: str = ""
    seq: int = 0
    running: str = ""
    done: dict[str, dict[str, Any]] = field(default_factory=dict)
    socket: ClientConnection | None = None

    async def open(self, last_seq: int) -> None:
        """Connect and greet; `last_seq` is where a session that goes on is resumed."""
        try:
            self.socket = await connect(self.server.url, compression=None, proxy=None, max_size=None)
        except (OSError, InvalidURI, InvalidHandshake, ValueError) as error:
            raise ConfigError(
                f"{self.server.url}: no conversation can be held there ({type(error).__name__})"
            ) from error
        hello: dict[str, Any] = {"type": "hello", "v": 1, "platform": "evaluate", "locale": "en"}
        if self.server.credential:
            hello["credential"] = self.server.credential
        if self.customer:
            if self.server.token is None:
                raise ConfigError(
                    "some conversations are those of signed-in customers; set `customer_key` as the server has it"
                )
            hello["customer"] = self.server.token(self.customer)
        if self.session:
            hello |= {"session": self.session, "last_seq": last_seq}
        await self.send(hello)
        ready = await self._read()
        if ready["type"] == "error":
            raise ConfigError(f"{self.server.url} refused the greeting: {ready['code']}")
        if self.session and not ready["resumed"]:
            raise BrokenError("the session could not be resumed")
        self.session = ready["session"]

    async def close(self) -> None:
        """Hang up. May be called twice."""
        if self.socket is not None:
            await self.socket.close()

    async def send(self, message: dict[str, Any]) -> None:
        """Send a message."""
        if self.socket is None:
            raise BrokenError("there is no connection")
        await self.socket.send(json.dumps(message))

    async def _read(self) -> dict[str, Any]:
        if self.socket is None:
            raise BrokenError("there is no connection")
        async with asyncio.timeout(_PATIENCE_S):
            message: dict[str, Any] = json.loads(await self.socket.recv())
        return message

    async def receive(self) -> dict[str, Any]:
        """The next message, if it keeps to the rules.

        Raises: BrokenError: it does not, or the server refused something.
        """
        message = await self._read()
        kind = message["type"]
        if kind == "error":
            raise BrokenError(f"the server refused it: {message['code']}: {message['message']}")
        if kind not in _NUMBERED:
            return message
        if message["seq"] <= self.seq:
            raise BrokenError(f"{kind} has number {message['seq']} after {self.seq}")
        self.seq = message["seq"]
        turn = message.get("turn", "")
        if kind == "turn.started":
            if self.running or turn in self.done:
                raise BrokenError("a turn began while another ran, or for the second time")
            self.running = turn
        elif kind == "delta" and turn != self.running:
            raise BrokenError("a piece of a reply came for a turn that does not run")
        elif kind == "turn.done":
            if turn != self.running:
                raise BrokenError("a turn ended that did not run, or twice")
            self.running = ""
            self.done[turn] = message
        return message

    async def wait_for(self, kind: str, **values: Any) -> dict[str, Any]:
        """Receive up to a message of this type with these values."""
        while True:
            message = await self.receive()
            if message["type"] == kind and values.items() <= message.items():
                return message

    async def check_repeat(self, message: dict[str, Any], done: dict[str, Any]) -> None:
        """Send a message again, as after a lost connection: its old events come, and nothing else."""
        await self.send(message)
        await self.send({"type": "ping", "t": 0})
        ends = []
        while (event := await self._read())["type"] != "pong":
            if event["type"] == "turn.started" and event["seq"] > self.seq:
                raise BrokenError("a message sent again was answered again")
            if event["type"] in _NUMBERED:  # the place in the queue may be told meanwhile
                self.seq = max(self.seq, event["seq"])
            ends += [event] if event["type"] == "turn.done" else []
        if ends != [done]:
            raise BrokenError("a message sent again did not bring the end of its turn again")

    async def check_replay(self) -> None:
        """Come back with nothing, as a page that was reloaded: the same turns with the same ends come."""
        await self.close()
        seen, self.done, self.seq, self.running = self.done, {}, 0, ""
        await self.open(0)
        await self.send({"type": "ping", "t": 0})
        while (await self.receive())["type"] != "pong":
            pass
        if self.done != seen:
            raise BrokenError("a client that came back did not get the same conversation")


async def hold(server: Server, test: ConversationTest) -> Held:
    """Hold one conversation to its end, also past unmet expectations.

    Raises: ConfigError: there is no such server, or it does not let us in.
    """
    line = _Line(server, test.customer)
    answers: list[Answer] = []
    failures: list[Failure] = []
    turn = test.turns[0]
    try:
        await line.open(0)
        sent: list[tuple[dict[str, Any], ScriptedTurn]] = []
        for number, turn in enumerate(test.turns, start=1):
            for kind, sku in turn.events:
                await line.send({"type": "event", "kind": kind, "sku": sku})
            content = (
                {"type": "scan", "code": turn.customer}
                if turn.scans
                else {"type": "user.text", "text": turn.customer}
            )
            message = {**content, "id": f"m{number}"}
            await line.send(message)
            sent.append((message, turn))
            if number < len(test.turns) and test.turns[number].interrupts:
                await line.wait_for("turn.started", id=message["id"])
                continue
            while len(line.done) < len(sent):
                await line.receive()
            await line.check_repeat(message, list(line.done.values())[-1])
            answers = _answers(line, sent)
            expected = unmet(turn.expect, answers[-1])
            failures += [Failure(test.name, number, turn.customer, what) for what in expected]
        await line.check_replay()
    except (BrokenError, TimeoutError, WebSocketException) as error:
        what = str(error) or type(error).__name__
        failures.append(Failure(test.name, len(answers) + 1, turn.customer, f"protocol: {what}"))
    finally:
        await line.close()
    unchecked = sum(
        not_visible(turn.expect, answer) for turn, answer in zip(test.turns, answers, strict=False)
    )
    return Held(test.name, tuple(answers), tuple(failures), unchecked)


def _answers(line: _Line, sent: Sequence[tuple[dict[str, Any], ScriptedTurn]]) -> list[Answer]:
    """What came back for each turn so far, with what the engine tells besides."""
    inside = line.server.inside(line.session)
    answers = []
    for place, (done, (_, turn)) in enumerate(zip(line.done.values(), sent, strict=True)):
        answer = Answer(
            said=turn.customer,
            status=done["status"],
            decision=done["decision"],
            reply=done["text"],
            sources=tuple(f"{source['document']}#{source['title']}" for source in done["sources"]),
            cards=tuple(card["kind"] for card in done["cards"]),
            timings=done["timings"],
        )
        answers.append(answer.seen_inside(inside[place]) if place < len(inside) else answer)
    return answers
