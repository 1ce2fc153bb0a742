"""Skills whose back-ends are slow, down, or talk nonsense, over the websocket: an honest reply in time."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assistant.backends.mqtt import MqttHome
from assistant.backends.orders_http import HttpOrders
from assistant.engine import Engine
from assistant.protocols import SkillCall, SkillOutcome
from assistant.records import (
    Device,
    DeviceType,
    Intent,
    Knowledge,
    OrderChange,
    Refusal,
    SlotSpec,
    TurnEvent,
    TurnRequest,
)
from assistant.server.customers import sign_customer
from assistant.skills.attempts import PAUSE
from assistant.skills.catalogue import Catalogue
from assistant.skills.devices import DeviceControl, DeviceStatus
from assistant.skills.orders import OrderSkills
from assistant.skills.recommend import Recommend
from assistant.skills.scan import Scan
from assistant.storage.attempts import StoredAttempts
from assistant.understanding.intents import IntentModel, fit_intents
from tests.backends.test_orders_http import ORDER, Answer, RawServer, http, plain
from tests.server.harness import Client, ScriptedRunner, make_settings, run, running
from tests.skills.goods import GOODS, taste
from tests.skills.shop import PLACED, PRODUCTS, RULES, clock
from tests.test_engine import INTENTS, build

KEY = "k" * 32
IN_TIME_S = 3.0
LAMP = Device("lamp", "floor lamp", "hall", DeviceType.LAMP, "C-1", "t/lamp")
MORE = (
    Intent(
        "cancel_order",
        ("cancel my order", "please cancel order", "i want to cancel"),
        slots=(SlotSpec("order_number", "order_number", prompt="Which number?"),),
        action="cancel_order",
    ),
    Intent("device_control", ("turn the lamp on", "switch the lamp off", "lamp on"), action="device_control"),
    Intent("device_status", ("is the lamp on", "how is the lamp", "is the light on"), action="device_status"),
    Intent("recommend", ("suggest something", "what do you suggest", "any ideas"), action="recommend"),
)


class Served(ScriptedRunner):
    """The real engine behind the server."""

    engine: Engine

    @property
    def knowledge(self) -> Knowledge:
        return self.engine.knowledge

    async def run(
        self, request: TurnRequest, cancel: asyncio.Event | None = None
    ) -> AsyncIterator[TurnEvent]:
        async for event in self.engine.run(request, cancel):
            yield event


@contextlib.contextmanager
def served(skills: dict[str, Any]) -> Iterator[Served]:
    """An engine with these skills and the intents that lead to them."""
    engine = build()
    intents = (*INTENTS, *MORE)
    examples = engine.embedder.embed([text for intent in intents for text in intent.examples])
    engine.switch(
        replace(
            engine.base,
            knowledge=replace(engine.knowledge, intents=intents),
            intents=IntentModel(intents, fit_intents(intents, examples)),
            skills=skills,
        )
    )
    runner = Served(features=frozenset({"scan"}))
    runner.engine = engine
    yield runner
    engine.close()


@contextlib.asynccontextmanager
async def customer(folder: Path, runner: Served) -> AsyncIterator[Client]:
    """A client of a signed-in customer."""
    token = sign_customer("C-1", int(time.time()) + 600, KEY)
    async with (
        running(make_settings(folder, customer_key=KEY), runner) as server,
        Client(server, customer=token) as client,
    ):
        yield client


async def timed(client: Client, text: str) -> tuple[dict[str, Any], float]:
    started = time.monotonic()
    done = await client.answer(text)
    return done, time.monotonic() - started


def hangs(connection: socket.socket, request: bytes) -> None:
    """Reads and never says a word."""
    connection.settimeout(30)
    while connection.recv(4096):
        pass


def drips(connection: socket.socket, request: bytes) -> None:
    """One byte of a body at a time."""
    connection.sendall(http(200, b"", 10_000))
    with contextlib.suppress(OSError):
        while True:
            connection.sendall(b" ")
            threading.Event().wait(0.05)


@pytest.mark.parametrize(
    "answer",
    [
        hangs,
        drips,
        plain(500, {"error": "boom"}),
        plain(200, b"<html>login</html>"),
        plain(200, {**ORDER, "status": 7}),
        plain(200, {**ORDER, "order_number": "AB-00002"}),
    ],
    ids=["hangs", "drips", "500", "not JSON", "wrong types", "another order"],
)
def test_order_system_that_fails_is_answered_for_honestly_and_in_time(tmp_path: Path, answer: Answer) -> None:
    """No status is made up, a person is offered, and the turn is completed within three seconds."""
    system = RawServer(answer)
    orders = HttpOrders(system.url)

    async def scenario(runner: Served) -> None:
        async with customer(tmp_path, runner) as client:
            done, seconds = await timed(client, "order status AB-00001")
            assert seconds < IN_TIME_S
            assert done["status"] == "completed"
            assert "can't" in done["text"]
            assert "packed" not in done["text"]
            assert "Talk to a person" in done["quick_replies"]

    with served(dict(OrderSkills(orders, PRODUCTS, rules=RULES, now=clock).by_action)) as runner:
        run(scenario(runner))
    orders.close()
    system.close()


def test_broker_that_is_down_is_answered_for_honestly_and_in_time(tmp_path: Path) -> None:
    """Neither reading nor setting pretends."""
    home = MqttHome("mqtt://127.0.0.1:9", timeout_s=2.0)
    skills = {"device_control": DeviceControl(home, [LAMP]), "device_status": DeviceStatus(home, [LAMP])}

    async def scenario(runner: Served) -> None:
        async with customer(tmp_path, runner) as client:
            for text in ("turn the lamp on", "is the lamp on"):
                done, seconds = await timed(client, text)
                assert seconds < IN_TIME_S
                assert "can't reach your home" in done["text"]

    with served(skills) as runner:
        run(scenario(runner))
    home.close()


def test_scan_and_suggestions_go_on_without_the_others(tmp_path: Path) -> None:
    """They stand on the catalogue in the snapshot: with orders and devices gone they answer as ever."""
    catalogue = Catalogue(GOODS, [])

    def embed(texts: list[str]) -> np.ndarray:
        return np.ones((len(texts), taste().vectors.shape[1]), np.float32)

    skills = {"scan": Scan(catalogue, taste()), "recommend": Recommend(catalogue, taste(), embed)}

    async def scenario(runner: Served) -> None:
        async with customer(tmp_path, runner) as client:
            done, seconds = await timed(client, "suggest something")
            assert seconds < IN_TIME_S
            assert [card["kind"] for card in done["cards"]] == ["product"] * 3
            await client.send(type="scan", id="s", code=GOODS[0].barcode)
            scanned = await client.wait_for("turn.done")
            assert GOODS[0].name in scanned["text"]

    with served(skills) as runner:
        run(scenario(runner))


class Counting:
    """An order system in memory that counts changes, and answers a change only after `release`."""

    def __init__(self) -> None:
        self.changes: list[str] = []
        self.release = threading.Event()

    def order(self, order_number: str) -> Any:
        return PLACED

    def orders_of(self, customer: str) -> list[Any]:
        return [PLACED]

    def change(self, order: Any, change: OrderChange, key: str) -> Refusal | None:
        self.changes.append(key)
        self.release.wait(30)
        return None


def test_slow_change_is_not_called_done_nor_undone_and_the_yes_sent_again_does_nothing(
    tmp_path: Path,
) -> None:
    """The customer hears within three seconds that the outcome is unknown; the same message is not run again."""
    orders = Counting()

    async def scenario(runner: Served) -> None:
        async with customer(tmp_path, runner) as client:
            asked = await client.answer("cancel order AB-00001")
            assert "yes or no" in asked["text"]
            started = time.monotonic()
            done = await client.answer("yes", "the-yes")
            assert time.monotonic() - started < IN_TIME_S + 0.5
            assert "don't know whether it is done" in done["text"]
            await client.ask("yes", "the-yes")
            assert await client.wait_for("turn.done") == done
            orders.release.set()

    with served(dict(OrderSkills(orders, PRODUCTS, rules=RULES, now=clock).by_action)) as runner:
        run(scenario(runner))
    assert len(orders.changes) == 1


def test_call_that_waits_for_a_thread_too_long_is_never_made(tmp_path: Path) -> None:
    """When every thread hangs, the customer is told so, and nothing happens behind their back later."""
    release = threading.Event()
    ran: list[str] = []

    class Hanging:
        def run(self, call: SkillCall) -> SkillOutcome:
            ran.append(call.text)
            release.wait(30)
            return SkillOutcome("late")

    async def scenario(runner: Served) -> None:
        results = await asyncio.gather(*(_last(runner.engine, f"lamp on {number}") for number in range(40)))
        assert all("can't reach" in result for result in results)
        release.set()

    with served({"device_control": Hanging()}) as runner:
        run(scenario(runner))
    assert 0 < len(ran) < 40


async def _last(engine: Engine, text: str) -> str:
    request = TurnRequest(text, customer="C-1")
    return [event.text async for event in engine.run(request)][-1]


def test_count_of_guesses_that_cannot_be_read_opens_nothing(tmp_path: Path) -> None:
    """With the database of wrong proofs broken an order is not opened, and the customer hears that it can't be now."""
    attempts = StoredAttempts(tmp_path / "attempts.sqlite", PAUSE)
    attempts.close()
    (tmp_path / "attempts.sqlite").write_bytes(b"no database" * 1000)
    orders = Counting()
    skills = OrderSkills(orders, PRODUCTS, rules=RULES, now=clock, attempts=attempts).by_action

    async def scenario(runner: Served) -> None:
        async with running(make_settings(tmp_path), runner) as server, Client(server) as client:
            asked = await client.answer("cancel order AB-00001")
            assert "can't" in asked["text"]
            assert "Lumo" not in asked["text"]

    with served(dict(skills)) as runner:
        run(scenario(runner))
    assert orders.changes == []
