"""A server for rehearsing: on a free port of this machine, with made-up orders and devices, gone afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.records import Delta, Device, DeviceState, Knowledge, TurnEvent, TurnRequest, TurnResult

if TYPE_CHECKING:
    from assistant.app import LiveEngine
    from assistant.config import Settings
    from assistant.evaluation.over_wire import Server

_MANY = 1_000_000  # messages a minute: conversations are held as fast as they go
_TOKEN_S = 3600


class Witness:
    """An engine that keeps the result of each turn by session, for looking at what the wire does not tell."""

    def __init__(self, engine: LiveEngine) -> None:
        self._engine = engine
        self.results: dict[str, list[TurnResult]] = defaultdict(list)

    @property
    def knowledge(self) -> Knowledge:
        """As the engine."""
        return self._engine.knowledge

    @property
    def features(self) -> frozenset[str]:
        """As the engine."""
        return self._engine.features

    async def run(
        self, request: TurnRequest, cancel: asyncio.Event | None = None
    ) -> AsyncIterator[TurnEvent]:
        """As the engine."""
        async for event in self._engine.run(request, cancel):
            if not isinstance(event, Delta):
                self.results[request.session].append(event)
            yield event

    def describe(self) -> Mapping[str, object]:
        """As the engine."""
        return self._engine.describe()

    async def watch(self) -> None:
        """As the engine."""
        await self._engine.watch()

    async def read_photo(self, photo: bytes) -> str:
        """As the engine."""
        return await self._engine.read_photo(photo)

    def follow_devices(self, told: Callable[[Device, DeviceState], None]) -> None:
        """As the engine."""
        self._engine.follow_devices(told)

    def device_states(self, customer: str) -> Sequence[tuple[Device, DeviceState]]:
        """As the engine."""
        return self._engine.device_states(customer)


@contextlib.asynccontextmanager
async def rehearsal_server(engine: LiveEngine, settings: Settings) -> AsyncIterator[Server]:
    """Serve an engine to conversation tests.

    Args:
        engine: opened for a rehearsal, so that nothing outside is changed; stays the caller's.
        settings: what holds besides address, rates and keys.
    """
    from assistant import server as service
    from assistant.evaluation.over_wire import Server
    from assistant.server.customers import sign_customer
    from assistant.storage.sessions import open_session_store

    key = secrets.token_hex(32)
    witness = Witness(engine)

    def token(customer: str) -> str:
        return sign_customer(customer, int(time.time()) + _TOKEN_S, key)

    with tempfile.TemporaryDirectory(prefix="assistant-rehearsal-") as folder:
        own = settings.model_copy(
            update={
                "host": "127.0.0.1",
                "port": 0,
                "credential": "",
                "customer_key": key,
                "operator_credential": "",
                "max_messages_per_minute": _MANY,
            }
        )
        async with service.Server(own, witness, open_session_store(Path(folder))) as server:
            yield Server(f"ws://127.0.0.1:{server.port}/ws", token=token, inside=witness.results.__getitem__)
