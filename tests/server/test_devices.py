"""What devices tell over a real broker reaches the connections of those who may use them, and nobody else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assistant.backends.mqtt import SimulatedHome
from assistant.config import load_settings
from assistant.records import Device, DeviceState, DeviceType, Knowledge, Passage, PassageId
from assistant.server.customers import sign_customer
from assistant.skill_set import SkillSet
from assistant.skills.devices import home_of
from tests.broker import MOSQUITTO, REASON, Broker
from tests.server.harness import Client, ScriptedRunner, make_settings, run, running
from tests.test_skill_set import snapshot

pytestmark = pytest.mark.skipif(MOSQUITTO is None, reason=REASON)
KEY = "k" * 32
LAMP = Device("lamp", "floor lamp", "living room", DeviceType.LAMP, "C-1", "t/1/lamp", guests=("C-2",))
LOCK = Device("door", "front door", "hall", DeviceType.LOCK, "C-1", "t/1/door", guests=("C-2",))
OTHER = Device("lamp", "hall light", "hall", DeviceType.LAMP, "C-3", "t/3/lamp")
DEVICES = (LAMP, LOCK, OTHER)
STATES = {"t/1/lamp": {"on": False, "brightness": 80}, "t/1/door": {"locked": True}, "t/3/lamp": {"on": True}}


class Linked(ScriptedRunner):
    """A runner whose devices are those of a skill set."""

    skills: SkillSet

    def follow_devices(self, told: Any) -> None:
        self.skills.follow_devices(told)

    def device_states(self, customer: str) -> list[tuple[Device, DeviceState]]:
        return self.skills.device_states(customer)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    started = Broker(tmp_path)
    yield started
    started.stop()


@pytest.fixture
def home(broker: Broker) -> Iterator[SimulatedHome]:
    played = SimulatedHome(broker.url, DEVICES, STATES)
    assert played.wait_until_ready()
    yield played
    played.close()


@pytest.fixture
def runner(broker: Broker, home: SimulatedHome, tmp_path: Path) -> Iterator[Linked]:
    def embed(texts: Sequence[str]) -> np.ndarray:
        return np.ones((len(texts), 4), np.float32)

    linked = Linked()
    linked.skills = SkillSet(load_settings(data=tmp_path, mqtt_url=broker.url), embed)
    linked.skills.skills(snapshot(Knowledge((Passage(PassageId("p"), "Title", "Text."),), devices=DEVICES)))
    deadline = time.monotonic() + 20
    while sum(len(linked.device_states(customer)) for customer in ("C-1", "C-3")) < len(DEVICES):
        assert time.monotonic() < deadline, "the retained states do not come"
    yield linked
    linked.skills.close()


def token(customer: str) -> str:
    return sign_customer(customer, int(time.time()) + 600, KEY)


async def told(client: Client, device: Device) -> dict[str, Any]:
    """The next state of a device."""
    return await client.wait_for(
        "device.state", lambda event: (event["device"], event["home"]) == (device.id, home_of(device))
    )


def test_present_states_follow_ready_and_changes_come_by_themselves(
    tmp_path: Path, runner: Linked, home: SimulatedHome
) -> None:
    """The owner sees every device of the home at once, and then the lamp that somebody switches by hand."""

    async def scenario() -> None:
        settings = make_settings(tmp_path, customer_key=KEY)
        async with running(settings, runner) as server, Client(server, customer=token("C-1")) as client:
            first = await told(client, LAMP)
            assert (first["values"], first["reachable"]) == ({"on": False, "brightness": 80}, True)
            assert (first["name"], first["room"], first["kind"]) == ("floor lamp", "living room", "lamp")
            assert (await told(client, LOCK))["values"] == {"locked": True}
            home.tell(LAMP, on=True, brightness=40)
            changed = await told(client, LAMP)
            assert changed["values"] == {"on": True, "brightness": 40}
            assert changed["seq"] == client.ready["seq"], "it takes no number"

    run(scenario())


def test_guest_of_the_home_sees_lights_only_and_strangers_nothing(
    tmp_path: Path, runner: Linked, home: SimulatedHome
) -> None:
    """The lock's state goes to its owner alone; somebody else, or nobody signed in, gets nothing of this home."""

    async def scenario() -> None:
        settings = make_settings(tmp_path, customer_key=KEY)
        async with (
            running(settings, runner) as server,
            Client(server, customer=token("C-1")) as owner,
            Client(server, customer=token("C-2")) as guest,
            Client(server, customer=token("C-3")) as other,
            Client(server) as nobody,
        ):
            home.tell(LOCK, locked=False)
            while (await told(owner, LOCK))["values"] != {"locked": False}:
                pass
            home.tell(LAMP, on=True)
            while not (await told(owner, LAMP))["values"]["on"]:
                pass
            seen: dict[str, set[str]] = {}
            for name, client in (("guest", guest), ("other", other), ("nobody", nobody)):
                await client.send(type="ping", t=0)
                seen[name] = set()
                while (event := await client.receive())["type"] != "pong":
                    if event["type"] == "device.state":
                        seen[name].add(event["name"])
            assert seen == {"guest": {"floor lamp"}, "other": {"hall light"}, "nobody": set()}

    run(scenario())


def test_only_the_latest_state_is_told_after_coming_back(
    tmp_path: Path, runner: Linked, home: SimulatedHome
) -> None:
    """What changed while the phone slept is not replayed: the present state comes once."""

    async def scenario() -> None:
        settings = make_settings(tmp_path, customer_key=KEY)
        async with running(settings, runner) as server, Client(server, customer=token("C-1")) as watching:
            client = Client(server, customer=token("C-1"))
            await client.connect()
            client.cut()
            for brightness in (10, 20, 30):
                home.tell(LAMP, on=True, brightness=brightness)
            while (await told(watching, LAMP))["values"].get("brightness") != 30:
                pass
            await client.connect()
            await client.send(type="ping", t=0)
            states = []
            while (event := await client.receive())["type"] != "pong":
                states += [event] if event.get("device") == "lamp" else []
            assert [state["values"]["brightness"] for state in states] == [30]
            await client.close()

    run(scenario())


def test_device_that_drops_out_and_a_lost_broker_are_told(
    tmp_path: Path, runner: Linked, home: SimulatedHome, broker: Broker
) -> None:
    """Its last will marks one device; without the broker nothing can be reached, and afterwards all is well again."""

    async def scenario() -> None:
        settings = make_settings(tmp_path, customer_key=KEY)
        async with running(settings, runner) as server, Client(server, customer=token("C-1")) as client:
            assert (await told(client, LAMP))["reachable"]
            await asyncio.to_thread(home.set_available, LAMP, False)
            assert (await told(client, LAMP))["reachable"] is False
            await asyncio.to_thread(broker.stop)
            lost = await told(client, LOCK)
            while lost["reachable"]:
                lost = await told(client, LOCK)
            assert lost["values"] == {"locked": True}
            await asyncio.to_thread(broker.start)
            assert (await told(client, LOCK))["reachable"]

    run(scenario())


def test_many_changes_in_a_moment_are_told_as_one(tmp_path: Path) -> None:
    """A lamp being dimmed in a hundred steps does not flood the phone; the last step is what counts."""
    scripted = ScriptedRunner(devices=[(LAMP, DeviceState(True, {"on": True, "brightness": 0}))])

    async def scenario() -> None:
        settings = make_settings(tmp_path, customer_key=KEY)
        async with running(settings, scripted) as server, Client(server, customer=token("C-1")) as client:
            await told(client, LAMP)
            for brightness in range(1, 101):
                scripted.device_told(LAMP, DeviceState(True, {"on": True, "brightness": brightness}))
            scripted.device_told(replace(OTHER, owner="C-1", id="end"), DeviceState(True, {"on": True}))
            seen = []
            while (event := await client.wait_for("device.state"))["device"] != "end":
                seen.append(event["values"]["brightness"])
            assert seen == [100]

    run(scenario())
