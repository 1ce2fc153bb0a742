"""Devices by words: names, rooms, permission, confirmation, PINs, and what is said when something is silent."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from assistant.backends.mqtt import MqttHome, SimulatedHome
from assistant.errors import BackendError
from assistant.protocols import SkillCall, SkillOutcome
from assistant.records import Device, DeviceState, DeviceType, DeviceValue
from assistant.skills.devices import (
    Command,
    DeviceControl,
    DeviceMemory,
    DeviceStatus,
    check_pin,
    find_devices,
    hash_pin,
    parse_command,
    parse_stored,
)
from tests.broker import MOSQUITTO, REASON, Broker

PIN = hash_pin("4711")


def device(id_: str, name: str, room: str, kind: DeviceType, owner: str = "C-1", **more: object) -> Device:
    return replace(Device(id_, name, room, kind, owner, f"t/{owner}/{id_}", ("C-2",)), **more)  # type: ignore[arg-type]


LIVING = device("l1", "floor lamp", "living room", DeviceType.LAMP, also=("reading lamp",))
KITCHEN = device("l2", "ceiling light", "kitchen", DeviceType.LAMP)
PLUG = device("p1", "plug", "office", DeviceType.PLUG)
HEATING = device("h1", "radiator thermostat", "bedroom", DeviceType.THERMOSTAT, also=("heating", "heater"))
COOLING = device("a1", "air conditioner", "living room", DeviceType.AIR_CONDITIONER, also=("ac",))
DOOR = device("d1", "front door", "hall", DeviceType.LOCK, also=("door lock",), pin=PIN)
WINDOW = device("w1", "window sensor", "kitchen", DeviceType.SENSOR, also=("window",))
THEIRS = device("d1", "front door", "hall", DeviceType.LOCK, "C-3")
DEVICES = (LIVING, KITCHEN, PLUG, HEATING, COOLING, DOOR, WINDOW, THEIRS)


class ScriptedHome:
    """Devices that obey at once, except the silent ones."""

    def __init__(self) -> None:
        self.states: dict[str, dict[str, DeviceValue]] = {
            LIVING.topic: {"on": False, "brightness": 80},
            KITCHEN.topic: {"on": True, "brightness": 50},
            PLUG.topic: {"on": True},
            HEATING.topic: {"target": 20.0, "temperature": 19.5},
            COOLING.topic: {"on": True, "target": 23.0},
            DOOR.topic: {"locked": True, "battery": 58},
            WINDOW.topic: {"open": True},
            THEIRS.topic: {"locked": False},
        }
        self.silent: set[str] = set()
        self.down = False
        self.sent: list[tuple[str, dict[str, DeviceValue]]] = []

    def read(self, device: Device) -> DeviceState:
        if self.down:
            raise BackendError("down")
        return DeviceState(device.topic not in self.silent, self.states[device.topic])

    def set(self, changes: Sequence[tuple[Device, Mapping[str, DeviceValue]]]) -> list[DeviceState]:
        if self.down:
            raise BackendError("down")
        for one, values in changes:
            self.sent.append((one.id, dict(values)))
            if one.topic not in self.silent:
                self.states[one.topic] |= values
        return [self.read(one) for one, _ in changes]


@pytest.fixture
def home() -> ScriptedHome:
    return ScriptedHome()


class Talk:
    """Keeps slots from call to call, as the policy does."""

    def __init__(self, home: ScriptedHome | None, customer: str = "C-1", session: str = "s") -> None:
        self.now = [datetime(2026, 11, 21, 12, 0)]
        memory = DeviceMemory()
        self.control = DeviceControl(home, DEVICES, lambda: self.now[0], memory)
        self.status = DeviceStatus(home, DEVICES, memory)
        self.customer, self.session = customer, session
        self.slots: dict[str, str] = {}
        self.awaiting = ""

    def say(self, text: str) -> SkillOutcome:
        confirmed = self.awaiting == "confirm" and text == "yes"
        if self.awaiting not in {"", "confirm"}:
            self.slots[self.awaiting] = text
        elif not confirmed:
            self.slots = {}
        outcome = self.control.run(SkillCall(text, dict(self.slots), confirmed, self.customer, self.session))
        self.slots = {k: v for k, v in self.slots.items() if k not in outcome.invalid} | dict(outcome.filled)
        self.awaiting = outcome.missing or ("confirm" if outcome.confirm else "")
        return outcome

    def ask(self, text: str) -> SkillOutcome:
        return self.status.run(SkillCall(text, {}, False, self.customer, self.session))


@pytest.mark.parametrize(
    ("said", "sent"),
    [
        ("turn the living-room lamp to 40 percent", [("l1", {"on": True, "brightness": 40})]),
        ("switch on the reading lamp", [("l1", {"on": True})]),
        ("kitchen light off please", [("l2", {"on": False})]),
        ("turn the lights off", [("l1", {"on": False}), ("l2", {"on": False})]),
        ("turn everything off", [(id_, {"on": False}) for id_ in ("l1", "l2", "p1", "a1")]),
        ("set the ac to 21", [("a1", {"on": True, "target": 21.0})]),
        ("make the kitchen brighter", [("l2", {"on": True, "brightness": 70})]),
        ("dim the ceiling light", [("l2", {"on": True, "brightness": 30})]),
        ("switch the plug in the office off", [("p1", {"on": False})]),
        ("lock the front door", [("d1", {"locked": True})]),
        ("dim the kitchen light to 0 percent", [("l2", {"on": False})]),
    ],
)  # fmt: skip
def test_words_become_commands(
    home: ScriptedHome, said: str, sent: list[tuple[str, dict[str, DeviceValue]]]
) -> None:
    """Names, rooms and amounts are understood, and the reply tells the state that the device confirmed."""
    outcome = Talk(home).say(said)
    assert home.sent == sent
    assert [card.data["id"] for card in outcome.cards] == [id_ for id_, _ in sent]
    assert outcome.cards[0].data["state"].items() >= sent[0][1].items()


def test_several_lamps_are_asked_about(home: ScriptedHome) -> None:
    """ "The lamp" may be any of two; the room said next decides, and the command is not forgotten."""
    talk = Talk(home)
    asked = talk.say("turn on the lamp")
    assert asked.missing == "which"
    assert asked.choices == ("floor lamp in the living room", "ceiling light in the kitchen")
    talk.say("the one in the kitchen")
    assert home.sent == [("l2", {"on": True})]


def test_it_is_what_was_spoken_of_last(home: ScriptedHome) -> None:
    """After a question about a lamp "turn it on" needs no name; in another conversation it does."""
    talk = Talk(home)
    talk.ask("is the floor lamp on")
    talk.say("turn it on")
    assert home.sent == [("l1", {"on": True})]
    assert Talk(home, session="other").say("turn it on").missing == "which"


def test_heating_waits_for_a_yes(home: ScriptedHome) -> None:
    """The question says what will happen; without a yes nothing does."""
    talk = Talk(home)
    asked = talk.say("set the heating in the bedroom to 21.5 degrees")
    assert asked.confirm
    assert "bedroom to 21.5 degrees?" in asked.reply
    assert home.sent == []
    assert "set to 21.5 degrees" in talk.say("yes").reply
    assert home.sent == [("h1", {"target": 21.5})]


@pytest.mark.parametrize("said", ["set the bedroom to 35 degrees", "set the ac to 12 degrees"])
def test_impossible_temperature_is_refused(home: ScriptedHome, said: str) -> None:
    """Each device has its range."""
    assert "can be set from" in Talk(home).say(said).reply
    assert home.sent == []


def test_unlocking_needs_pin_and_yes(home: ScriptedHome) -> None:
    """Neither alone is enough; the PIN is not kept among the slots."""
    talk = Talk(home)
    assert talk.say("unlock the front door").missing == "pin"
    assert talk.say("0000").missing == "pin"
    assert talk.say("it's 4711").confirm
    assert "4711" not in repr(talk.slots)
    assert home.sent == []
    assert "not locked" in talk.say("yes").reply
    assert home.sent == [("d1", {"locked": False})]


def test_yes_without_pin_unlocks_nothing(home: ScriptedHome) -> None:
    """A confirmed call that skipped the PIN, or came too late after it, is asked for the PIN."""
    slots = {"command": "locked=False", "devices": "C-1/d1"}
    talk = Talk(home)
    assert talk.control.run(SkillCall("yes", slots, True, "C-1", "s")).missing == "pin"
    talk.say("unlock the front door")
    talk.say("4711")
    talk.now[0] += timedelta(minutes=3)
    assert talk.say("yes").missing == "pin"
    assert home.sent == []


def test_used_pin_does_not_unlock_twice(home: ScriptedHome) -> None:
    """A replayed yes finds no PIN any more."""
    talk = Talk(home)
    for text in ("unlock the front door", "4711", "yes"):
        talk.say(text)
    slots = {"command": "locked=False", "devices": "C-1/d1"}
    assert talk.control.run(SkillCall("yes", slots, True, "C-1", "s")).missing == "pin"
    assert len(home.sent) == 1


def test_three_wrong_pins_close_it_for_an_hour(home: ScriptedHome) -> None:
    """Also for the right PIN, and from every conversation; locking goes on working."""
    talk = Talk(home)
    for text in ("unlock the front door", "1111", "2222", "3333"):
        last = talk.say(text)
    assert "off for an hour" in last.reply
    assert "off for an hour" in Talk.say(talk, "unlock the front door").reply
    talk.say("lock the front door")
    assert home.sent == [("d1", {"locked": True})]
    talk.now[0] += timedelta(hours=1)
    assert talk.say("unlock the front door").missing == "pin"


def test_door_without_pin_stays_closed(home: ScriptedHome) -> None:
    """Unlocking is off until a PIN is set."""
    assert "switched off until" in Talk(home, "C-3").say("unlock the front door").reply
    assert home.sent == []


def test_guests_use_lights_and_heating_only(home: ScriptedHome) -> None:
    """Housemates' rights are those of the shop's help page; doors, plugs and sensors are invisible to guests."""
    guest = Talk(home, "C-2")
    guest.say("kitchen light off")
    assert home.sent == [("l2", {"on": False})]
    for said in ("unlock the front door", "switch the plug off", "lock the front door"):
        outcome = guest.say(said)
        assert outcome.cards == ()
    assert len(home.sent) == 1
    assert "don't see such a device" in guest.ask("is the front door locked").reply


def test_nobody_reads_or_sets_anothers_home(home: ScriptedHome) -> None:
    """Strangers and people who are not signed in see no device at all, whatever they claim in slots."""
    for customer in ("", "C-9"):
        talk = Talk(home, customer)
        for outcome in (
            talk.ask("is the front door locked"),
            talk.say("turn on the living room lamp"),
            talk.control.run(
                SkillCall(
                    "yes",
                    {"command": "locked=False", "devices": "C-1/d1", "pin": "4711"},
                    True,
                    customer,
                    "s",
                )
            ),
        ):
            assert outcome.cards == ()
            assert not outcome.confirm
    third = Talk(home, "C-3").ask("is the front door locked")
    assert [card.data["state"] for card in third.cards] == [{"locked": False}]
    assert home.sent == []


def test_status_is_told_in_words(home: ScriptedHome) -> None:
    """Each kind of device has its own sentence."""
    talk = Talk(home)
    assert (
        talk.ask("is the front door locked").reply
        == "The front door is locked. Its batteries are at 58 percent."
    )
    assert "set to 20 degrees; it is 19.5 degrees there" in talk.ask("how warm is it in the bedroom").reply
    assert "window sensor in the kitchen says: open." in talk.ask("is the kitchen window open").reply
    assert len(talk.ask("show me the state of my devices").cards) == 7


def test_silent_device_is_not_called_done(home: ScriptedHome) -> None:
    """What did not confirm is named; what did is told."""
    home.silent.add(LIVING.topic)
    reply = Talk(home).say("turn the lights on").reply
    assert "ceiling light in the kitchen is on" in reply
    assert "can't reach the floor lamp in the living room" in reply
    assert "doesn't answer" in Talk(home).ask("is the floor lamp on").reply


def test_broker_down_is_said(home: ScriptedHome) -> None:
    """Reading and setting both end in an honest sentence."""
    home.down = True
    talk = Talk(home)
    for outcome in (
        talk.say("turn on the reading lamp"),
        talk.say("dim the ceiling light"),
        talk.ask("is the lamp on"),
    ):
        assert "can't reach your home" in outcome.reply
    assert "isn't connected" in Talk(None).say("turn on the reading lamp").reply


@pytest.mark.parametrize(
    "text", ["is the heater on right now", "did i leave the lights on", "which lamps are on", "hello"]
)
def test_question_is_no_command(text: str) -> None:
    """Asking changes nothing."""
    assert parse_command(text) is None


@pytest.mark.parametrize(
    "command",
    [
        Command("on", True),
        Command("locked", False),
        Command("brightness", -20, True),
        Command("target", 21.5),
    ],
)
def test_command_survives_the_slots(command: Command) -> None:
    """Kept as text between turns, read back as it was; other text is no command."""
    assert parse_stored(str(command)) == command
    assert parse_stored("rm=-rf") is None


def test_names_win_over_kinds_and_rooms_narrow() -> None:
    """The longest name counts, a room without such a device finds none."""
    assert find_devices("the front door please", DEVICES[:-1]) == [DOOR]
    assert find_devices("the kitchen lock", DEVICES) == []
    assert find_devices("the bedroom", DEVICES) == [HEATING]


def test_pins_are_kept_as_salted_hashes() -> None:
    """The same PIN never looks the same, and only it opens."""
    assert hash_pin("4711") != PIN
    assert check_pin("4711", PIN)
    assert not check_pin("4712", PIN)


@pytest.mark.skipif(MOSQUITTO is None, reason=REASON)
def test_lamp_over_a_real_broker(tmp_path: Path) -> None:
    """The whole way: words, MQTT, a device that answers, words."""
    broker = Broker(tmp_path)
    played = SimulatedHome(broker.url, [LIVING], {LIVING.topic: {"on": False, "brightness": 80}})
    assert played.wait_until_ready()
    link = MqttHome(broker.url, timeout_s=5.0)
    link.follow([LIVING])
    skill = DeviceControl(link, [LIVING])
    outcome = skill.run(SkillCall("turn the living-room lamp to 40 percent", {}, customer="C-1"))
    assert outcome.reply == "The floor lamp in the living room is on, at 40 percent."
    assert played.states[LIVING.topic] == {"on": True, "brightness": 40}
    for one in (link, played):
        one.close()
    broker.stop()
