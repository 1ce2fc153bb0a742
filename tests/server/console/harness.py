"""A page of the operator, as a client over the real websocket."""

from __future__ import annotations

import os
from typing import Any, Self

from websockets.asyncio.client import connect

from assistant.server import Server
from tests.server.harness import Agent, hire


class Page(Agent):
    """Signs in, keeps the live conversations, and asks."""

    def __init__(
        self, server: Server, name: str = "Kim", credential: str | None = None, token: str | None = None
    ) -> None:
        super().__init__(server, name, hire(server, name) if credential is None else credential)
        self.token = token
        self.ready: dict[str, Any] = {}
        self.live: dict[str, dict[str, Any]] = {}
        self.open: dict[str, Any] = {}
        self.published: list[dict[str, Any]] = []

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def greet(self, **options: Any) -> None:
        """Connect and say hello, without waiting for the answer."""
        url = f"ws://127.0.0.1:{self.server.port}/console/socket"
        self._socket = await connect(url, compression=None, proxy=None, max_size=None, **options)
        if self.token is not None:
            await self.send(type="hello", v=1, token=self.token)
        else:
            await self.send(type="hello", v=1, agent=self.name, credential=self.credential)

    async def connect(self, server: Server | None = None, **options: Any) -> dict[str, Any]:
        self.server = server or self.server
        await self.greet(**options)
        self.ready = await self.wait_for("ready")
        self.token = self.ready["token"]
        await self.wait_for("queue")
        return self.ready

    async def receive(self) -> dict[str, Any]:
        message = await super().receive()
        if message["type"] == "conversations":
            if message["complete"]:
                self.live.clear()
            self.live |= {entry["key"]: entry for entry in message["entries"]}
            for key in message["gone"]:
                self.live.pop(key, None)
        elif message["type"] == "transcript":
            self.open = message
        elif message["type"] == "publishing":
            self.published.append(message)
        return message

    async def ask(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Ask and wait for the one answer, which may be an error."""
        request = os.urandom(6).hex()
        await self.send(type=kind, id=request, **fields)
        while True:
            message = await self.receive()
            if message.get("id") == request:
                return message

    async def shows(self, count: int = 1, **fields: Any) -> list[dict[str, Any]]:
        """Wait until so many live conversations have these fields."""
        while True:
            found = [one for one in self.live.values() if fields.items() <= one.items()]
            if len(found) == count:
                return found
            await self.receive()
