"""Devices in the customer's home: reading and setting lamps, plugs, heating, air conditioning and locks.

Lights, plugs and air conditioning obey at once, and so does locking a door. Heating needs an explicit yes, and
unlocking a door the owner's PIN and an explicit yes. A device counts as set only when it has told its new state.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from assistant.errors import BackendError
from assistant.protocols import SkillCall, SkillOutcome
from assistant.records import Card, Device, DeviceState, DeviceType, DeviceValue, Source
from assistant.skills.attempts import Attempts, MemoryAttempts, may_guess
from assistant.skills.wording import capital, listing
from assistant.text import words

_GUEST_TYPES = frozenset({DeviceType.LAMP, DeviceType.THERMOSTAT, DeviceType.AIR_CONDITIONER})
_SWITCHED = frozenset({DeviceType.LAMP, DeviceType.PLUG, DeviceType.AIR_CONDITIONER})
_WARMING = frozenset({DeviceType.THERMOSTAT, DeviceType.AIR_CONDITIONER})
_RANGES = {DeviceType.THERMOSTAT: (7.0, 28.0), DeviceType.AIR_CONDITIONER: (17.0, 30.0)}
_TYPE_WORDS: Mapping[str, DeviceType] = {
    **dict.fromkeys(("lamp", "lamps", "light", "lights", "bulb", "bulbs"), DeviceType.LAMP),
    **dict.fromkeys(("plug", "plugs", "socket", "sockets"), DeviceType.PLUG),
    **dict.fromkeys(
        ("thermostat", "thermostats", "heating", "heater", "heaters", "radiator", "radiators"),
        DeviceType.THERMOSTAT,
    ),
    **dict.fromkeys(("ac", "aircon", "conditioner", "conditioning"), DeviceType.AIR_CONDITIONER),
    **dict.fromkeys(("lock", "locks", "locked", "unlocked", "door", "doors"), DeviceType.LOCK),
    **dict.fromkeys(("sensor", "sensors", "window", "windows"), DeviceType.SENSOR),
}
_PLURALS = frozenset(
    "lamps lights bulbs plugs sockets thermostats heaters radiators locks doors sensors windows".split()
)
_ALL = re.compile(
    r"\b(?:all|every|everything|everywhere|whole (?:house|home|flat)|both|any)\b", re.IGNORECASE
)
_ASKS = re.compile(
    r"\W*(?:is|are|was|were|did|does|do i|what|what's|which|how|who|when|can you (?:see|check|tell)|check|show)\b",
    re.IGNORECASE,
)
_POINTS = re.compile(r"\b(?:it|them|that one|this one)\b", re.IGNORECASE)
_OFF = re.compile(r"\b(?:off|out)\b|\bput out\b|\bdeactivate\b|\bstop\b", re.IGNORECASE)
_ON = re.compile(r"\bon\b|\bactivate\b|\bstart\b", re.IGNORECASE)
_UNLOCK = re.compile(r"\b(?:unlock|open)\b", re.IGNORECASE)
_LOCK = re.compile(r"\b(?:lock|close|shut)\b", re.IGNORECASE)
_PERCENT = re.compile(r"\b(\d{1,3})\s*(?:%|percent\b|per cent\b)", re.IGNORECASE)
_DEGREES = re.compile(r"\b(\d{1,2}(?:[.,]\d)?)\s*(?:°|degrees?\b|c\b)", re.IGNORECASE)
_TO = re.compile(r"\b(?:to|at)\s+(\d{1,2}(?:[.,]\d)?)\b", re.IGNORECASE)
_WARMER = re.compile(
    r"\bwarmer\b|\b(?:heating|heat|temperature|radiator)s? up\b|\bturn up the heat", re.IGNORECASE
)
_COLDER = re.compile(r"\b(?:colder|cooler)\b|\b(?:heating|heat|temperature|radiator)s? down\b", re.IGNORECASE)
_BRIGHTER = re.compile(r"\bbrighter\b|\bmore light\b|\b(?:lamp|light)s? up\b|\bturn up\b", re.IGNORECASE)
_DARKER = re.compile(r"\b(?:darker|dimmer|dim)\b|\bless light\b|\b(?:lamp|light)s? down\b", re.IGNORECASE)
_STEP_PERCENT, _STEP_DEGREES = 20, 1.0
_PIN = re.compile(r"(?<!\d)\d{4}(?!\d)")
_WRONG_PINS = 3
_PIN_HOLDS = timedelta(minutes=2)  # between the PIN and the yes
_PIN_ROUNDS = 100_000
_MOST_SESSIONS = 10_000
_MOST_CHOICES = 5


class Home(Protocol):
    """The devices, as a link to them sees it."""

    def read(self, device: Device) -> DeviceState:
        """The last state that a device has told."""

    def set(self, changes: Sequence[tuple[Device, Mapping[str, DeviceValue]]]) -> list[DeviceState]:
        """Set devices and wait until each has told its new state; `reachable` is false where one did not."""


@dataclass(frozen=True, slots=True)
class Command:
    """What is to be done: one value for one name, or a step from the present one."""

    name: str
    value: DeviceValue
    step: bool = False

    def __str__(self) -> str:
        return f"{self.name}{'+' if self.step else '='}{self.value}"


class DeviceMemory:
    """Which devices a conversation spoke of last; shared by the skills that read and set."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.last: OrderedDict[str, frozenset[str]] = OrderedDict()


class _Devices:
    """What reading and setting share."""

    def __init__(
        self, home: Home | None, devices: Sequence[Device], memory: DeviceMemory | None = None
    ) -> None:
        self._home = home
        self._devices = tuple(devices)
        self._memory = memory or DeviceMemory()

    def _permitted(self, customer: str) -> list[Device]:
        """The devices that a customer may use: all of their own, lights and heating where they are guests."""
        return [device for device in self._devices if customer in users_of(device)]

    def _recalled(self, call: SkillCall) -> list[Device]:
        """The devices that "it" and "them" stand for: those this conversation spoke of last."""
        if not call.session or not _POINTS.search(call.text):
            return []
        with self._memory.lock:
            keys = self._memory.last.get(call.session, frozenset())
        return [device for device in self._permitted(call.customer) if _key(device) in keys]

    def _remember(self, call: SkillCall, devices: Sequence[Device]) -> None:
        if not call.session:
            return
        with self._memory.lock:
            self._memory.last[call.session] = frozenset(_key(device) for device in devices)
            self._memory.last.move_to_end(call.session)
            while len(self._memory.last) > _MOST_SESSIONS:
                self._memory.last.popitem(last=False)

    def _not_linked(self, call: SkillCall) -> SkillOutcome | None:
        """What to say to somebody who has no devices here; None if they have."""
        if not call.customer:
            return SkillOutcome(
                "I can do that once I know whose home it is: sign in under Me, and link your home under My home > "
                "Settings > Chat. In the tab My home you can see and switch every device yourself."
            )
        if not self._permitted(call.customer):
            return SkillOutcome(
                "I can't see any device that you may use here. Link your home first under My home > Settings > Chat."
            )
        if self._home is None:
            return SkillOutcome(
                "This chat isn't connected to your home right now. In the tab My home everything works."
            )
        return None


class DeviceStatus(_Devices):
    """Tells how devices are. Implements `Skill`; slot `which`, optional."""

    def run(self, call: SkillCall) -> SkillOutcome:
        """Read every device that is meant."""
        refused = self._not_linked(call)
        if refused is not None or self._home is None:
            return refused or SkillOutcome("")
        permitted = self._permitted(call.customer)
        text = f"{call.text} {call.slots.get('which', '')}"
        found = find_devices(text, permitted) or self._recalled(call)
        if not found and any(word in _TYPE_WORDS for word in words(text)):
            return SkillOutcome("I don't see such a device among those that you may use here.")
        found = found or permitted
        self._remember(call, found)
        try:
            states = [(device, self._home.read(device)) for device in found]
        except BackendError:
            return _broker_down()
        lines = [sentence(device, state) for device, state in states]
        return SkillOutcome("\n".join(lines), _sources(states), _cards(states))


class DeviceControl(_Devices):
    """Switches and sets devices. Implements `Skill`; slots `which` and `pin`, both optional."""

    def __init__(
        self,
        home: Home | None,
        devices: Sequence[Device],
        now: Callable[[], datetime] = datetime.now,
        memory: DeviceMemory | None = None,
        attempts: Attempts | None = None,
    ) -> None:
        super().__init__(home, devices, memory)
        self._now = now
        self._attempts = attempts or MemoryAttempts()
        self._lock = threading.Lock()
        self._right_pin: OrderedDict[tuple[str, str], datetime] = OrderedDict()

    def run(self, call: SkillCall) -> SkillOutcome:
        """Find out what is to be done to which device, ask where it must be asked, do it, and say what it did."""
        refused = self._not_linked(call)
        if refused is not None or self._home is None:
            return refused or SkillOutcome("")
        permitted = self._permitted(call.customer)
        command = parse_stored(call.slots.get("command", "")) or parse_command(call.text)
        if command is None:
            return DeviceStatus(self._home, self._devices, self._memory).run(call)
        meant = call.slots.get("devices", "")
        if meant:
            targets = [device for device in permitted if _key(device) in meant.split("|")]
        else:
            able = [device for device in self._recalled(call) if command.name in _abilities(device.type)]
            targets = able or self._targets(f"{call.text} {call.slots.get('which', '')}", permitted, command)
        if not targets:
            return self._nothing_found(call, command)
        self._remember(call, targets)
        if (
            len(targets) > 1
            and not meant
            and not _means_several(f"{call.text} {call.slots.get('which', '')}")
        ):
            names = [full_name(device) for device in targets][:_MOST_CHOICES]
            return SkillOutcome(
                f"Which one do you mean: {listing(names, 'or')}?",
                missing="which",
                invalid=("which",),
                filled={"command": str(command)},
                choices=tuple(names),
            )
        filled = {"command": str(command), "devices": "|".join(_key(device) for device in targets)}
        if command.name == "locked" and command.value is False:
            return self._unlock(call, targets[0], filled)
        wrong = _out_of_range(command, targets)
        if wrong:
            return SkillOutcome(wrong)
        if any(device.type is DeviceType.THERMOSTAT for device in targets) and not call.confirmed:
            return self._ask_about_heating(command, targets, filled)
        return self._do(command, targets)

    # --- what is meant -----------------------------------------------------------------------------------------

    def _targets(self, text: str, permitted: Sequence[Device], command: Command) -> list[Device]:
        """The devices meant that can do what is asked."""
        able = [device for device in permitted if command.name in _abilities(device.type)]
        found = find_devices(text, able)
        if found:
            return found
        named = find_devices(text, permitted)
        said = set(words(text))
        if named or any(word in _TYPE_WORDS for word in said):
            return []  # something else was named, which cannot do that
        if command.name == "on" and not _ALL.search(text):
            able = [device for device in able if device.type is DeviceType.LAMP]
        return able

    def _nothing_found(self, call: SkillCall, command: Command) -> SkillOutcome:
        permitted = self._permitted(call.customer)
        able = [full_name(device) for device in permitted if command.name in _abilities(device.type)]
        named = find_devices(call.text, permitted)
        if named:
            return SkillOutcome(f"The {full_name(named[0])} can't do that.")
        if not able and command.name == "locked":
            return SkillOutcome(
                "I don't see a lock here that you may use; only the owner of a home can use its locks."
            )
        if not able:
            return SkillOutcome("There is no device among those that you may use here that can do that.")
        return SkillOutcome(
            f"I don't find that device. I can do this with {listing([f'the {name}' for name in able[:_MOST_CHOICES]])}."
        )

    # --- doing -------------------------------------------------------------------------------------------------

    def _ask_about_heating(
        self, command: Command, targets: Sequence[Device], filled: Mapping[str, str]
    ) -> SkillOutcome:
        names = listing([f"the {full_name(device)}" for device in targets])
        if command.step:
            what = "one degree warmer" if float(command.value) > 0 else "one degree cooler"
            question = f"Shall I set {names} {what}?"
        else:
            question = f"Shall I set {names} to {_degrees(float(command.value))}?"
        return SkillOutcome(
            f"{question} Please answer yes or no.", confirm=True, filled=filled, choices=("Yes", "No")
        )

    def _do(self, command: Command, targets: Sequence[Device]) -> SkillOutcome:
        home = self._home
        if home is None:
            return _broker_down()
        try:
            changes = [(device, self._values(home, device, command)) for device in targets]
            states = list(zip(targets, home.set(changes), strict=True))
        except BackendError:
            return _broker_down()
        done = [(device, state) for device, state in states if state.reachable]
        silent = [device for device, state in states if not state.reachable]
        parts = [sentence(device, state) for device, state in done]
        if silent:
            names = listing([f"the {full_name(device)}" for device in silent])
            they = "It hasn't" if len(silent) == 1 else "They haven't"
            parts.append(
                f"I can't reach {names}. {they} confirmed, so I don't know the present state. Switching the device off "
                "and on again at the plug solves most dropouts."
            )
        return SkillOutcome("\n".join(parts), _sources(states), _cards(states))

    def _values(self, home: Home, device: Device, command: Command) -> dict[str, DeviceValue]:
        """What is sent to a device."""
        if command.name == "brightness":
            value = int(float(command.value))
            if command.step:
                now = home.read(device).values
                present = float(now.get("brightness", 100)) if now.get("on", True) else 0.0
                value = round(min(100.0, max(1.0, present + value)))
            return {"on": value > 0, "brightness": value} if value > 0 else {"on": False}
        if command.name == "target":
            target = float(command.value)
            if command.step:
                target += float(home.read(device).values.get("target", 20.0))
            low, high = _RANGES[device.type]
            values: dict[str, DeviceValue] = {"target": min(high, max(low, round(target * 2) / 2))}
            return {"on": True, **values} if device.type is DeviceType.AIR_CONDITIONER else values
        return {command.name: command.value}

    # --- unlocking ---------------------------------------------------------------------------------------------

    def _unlock(self, call: SkillCall, door: Device, filled: Mapping[str, str]) -> SkillOutcome:
        """Only the owner, only with the PIN, only after a yes."""
        name = full_name(door)
        if door.owner != call.customer:
            return SkillOutcome(f"Only the owner of the home can unlock the {name} from here.")
        if not door.pin:
            return SkillOutcome(
                f"Unlocking the {name} by chat is switched off until you have set a voice PIN under My home > Keeper > "
                "Voice. The app, your code and your key open it as ever."
            )
        if self._paused(door):
            return SkillOutcome(
                "After three wrong PINs unlocking by chat is off for an hour. The app, your code and your key go on "
                "working.",
                invalid=("pin",),
            )
        pair = (call.session, _key(door))
        with self._lock:
            since = self._right_pin.get(pair)
            right = since is not None and self._now() - since < _PIN_HOLDS
            if call.confirmed and right:
                del self._right_pin[pair]
        if call.confirmed and right:
            return self._do(Command("locked", False), [door])
        given = _PIN.search(call.slots.get("pin", ""))
        if given is None:
            return SkillOutcome(
                f"To unlock the {name} I need your 4-digit voice PIN.",
                missing="pin",
                invalid=("pin",),
                filled=filled,
            )
        free = may_guess(self._attempts, _guessed(door), _WRONG_PINS, self._now())
        if not free or not check_pin(given.group(), door.pin):
            if self._paused(door):
                return self._unlock(call, door, filled)
            return SkillOutcome(
                "That PIN is not right. Please try again.", missing="pin", invalid=("pin",), filled=filled
            )
        self._attempts.clear(_guessed(door))
        with self._lock:
            self._right_pin[pair] = self._now()
            while len(self._right_pin) > _MOST_SESSIONS:
                self._right_pin.popitem(last=False)
        return SkillOutcome(
            f"Thank you. Shall I unlock the {name} now? Please answer yes or no.",
            confirm=True,
            invalid=("pin",),
            filled=filled,
            choices=("Yes", "No"),
        )

    def _paused(self, door: Device) -> bool:
        return self._attempts.count(_guessed(door), self._now()) >= _WRONG_PINS


def users_of(device: Device) -> frozenset[str]:
    """Customers who may see and use a device: its owner, and guests of the home its lights and heating."""
    guests = device.guests if device.type in _GUEST_TYPES else ()
    return frozenset({device.owner, *guests}) - {""}


def home_of(device: Device) -> str:
    """Names the home of a device without naming its owner; a device's id is unique only within its home."""
    return hashlib.sha256(device.owner.encode()).hexdigest()[:12]


# --- words → devices and commands ----------------------------------------------------------------------------


def find_devices(text: str, devices: Sequence[Device]) -> list[Device]:
    """The devices that a text names by name, kind or room; none if it names nothing."""
    said = f" {' '.join(words(text.replace('-', ' ')))} "
    in_room = [device for device in devices if f" {device.room} " in said]
    pool = in_room or list(devices)
    named: dict[int, list[Device]] = {}
    for device in pool:
        sizes = [len(name.split()) for name in (device.name, *device.also) if f" {name} " in said]
        if sizes:
            named.setdefault(max(sizes), []).append(device)
    kinds = {_TYPE_WORDS[word] for word in said.split() if word in _TYPE_WORDS}
    of_kind = [device for device in pool if device.type in kinds]
    if named:
        best = named[max(named)]
        plural = any(word in _PLURALS for word in said.split())
        return of_kind if plural and of_kind else best
    if of_kind:
        return of_kind
    if kinds and in_room:
        return []  # "the kitchen lock", where the kitchen has none
    return in_room


def parse_command(text: str) -> Command | None:
    """What a text asks to be done; None if it asks for nothing."""
    if _ASKS.match(text):
        return None
    percent, degrees = _PERCENT.search(text), _DEGREES.search(text)
    if percent:
        return Command("brightness", min(100, int(percent[1])))
    if degrees:
        return Command("target", float(degrees[1].replace(",", ".")))
    if _WARMER.search(text) or _COLDER.search(text):
        return Command("target", _STEP_DEGREES if _WARMER.search(text) else -_STEP_DEGREES, step=True)
    said = set(words(text))
    if {_TYPE_WORDS.get(word) for word in said} & _WARMING and (to := _TO.search(text)):
        return Command("target", float(to[1].replace(",", ".")))
    if _UNLOCK.search(text):
        return Command("locked", False)
    if _LOCK.search(text) and said & {"door", "doors", "lock"}:
        return Command("locked", True)
    if _BRIGHTER.search(text) or _DARKER.search(text):
        return Command("brightness", _STEP_PERCENT if _BRIGHTER.search(text) else -_STEP_PERCENT, step=True)
    if _OFF.search(text):
        return Command("on", False)
    if _ON.search(text):
        return Command("on", True)
    to = _TO.search(text)
    return Command("target", float(to[1].replace(",", "."))) if to else None


def parse_stored(text: str) -> Command | None:
    """A command as `str` wrote it, kept between turns."""
    match = re.fullmatch(r"(on|locked|brightness|target)([=+])(\S+)", text)
    if match is None:
        return None
    name, sign, value = match.groups()
    if name in {"on", "locked"}:
        return Command(name, value == "True")
    return Command(name, int(value) if name == "brightness" else float(value), step=sign == "+")


def hash_pin(pin: str) -> str:
    """A PIN as devices.yaml keeps it: salt and PBKDF2 (RFC 8018). Four digits are soon guessed, so guard the file."""
    salt = os.urandom(16).hex()
    return f"{salt}${_stretch(pin, salt)}"


def check_pin(pin: str, kept: str) -> bool:
    """Whether a PIN is the one kept."""
    salt, _, digest = kept.partition("$")
    return hmac.compare_digest(_stretch(pin, salt), digest)


def _stretch(pin: str, salt: str) -> str:
    return hashlib.pbkdf2_hmac("sha256", pin.encode(), salt.encode(), _PIN_ROUNDS).hex()


def _means_several(text: str) -> bool:
    return bool(_ALL.search(text)) or any(word in _PLURALS for word in words(text))


def _abilities(kind: DeviceType) -> frozenset[str]:
    return {
        DeviceType.LAMP: frozenset({"on", "brightness"}),
        DeviceType.PLUG: frozenset({"on"}),
        DeviceType.THERMOSTAT: frozenset({"target"}),
        DeviceType.AIR_CONDITIONER: frozenset({"on", "target"}),
        DeviceType.LOCK: frozenset({"locked"}),
        DeviceType.SENSOR: frozenset[str](),
    }[kind]


def _out_of_range(command: Command, targets: Sequence[Device]) -> str:
    """What is wrong with a temperature, or ""."""
    if command.name != "target" or command.step:
        return ""
    for device in targets:
        low, high = _RANGES[device.type]
        if not low <= float(command.value) <= high:
            return f"The {full_name(device)} can be set from {_degrees(low)} to {_degrees(high)}."
    return ""


# --- devices → words and cards -------------------------------------------------------------------------------


def full_name(device: Device) -> str:
    """ "floor lamp in the living room"; a name that says where it is stays alone."""
    return device.name if device.type is DeviceType.LOCK else f"{device.name} in the {device.room}"


def sentence(device: Device, state: DeviceState) -> str:
    """How a device is, in one sentence."""
    name = f"The {full_name(device)}"
    values = state.values
    if not state.reachable:
        return f"{name} doesn't answer just now, so I can't say how it is."
    battery = values.get("battery")
    low = f" Its batteries are at {battery} percent." if isinstance(battery, int | float) else ""
    match device.type:
        case DeviceType.LAMP:
            bright = values.get("brightness")
            at = f", at {bright} percent" if values.get("on") and isinstance(bright, int | float) else ""
            return f"{name} is {_on(values)}{at}."
        case DeviceType.PLUG:
            return f"{name} is {_on(values)}."
        case DeviceType.THERMOSTAT | DeviceType.AIR_CONDITIONER:
            off = device.type is DeviceType.AIR_CONDITIONER and not values.get("on")
            target, now = values.get("target"), values.get("temperature")
            parts = (
                [f"set to {_degrees(float(target))}"] if isinstance(target, int | float) and not off else []
            )
            parts += ["off"] if off else []
            measured = f"; it is {_degrees(float(now))} there" if isinstance(now, int | float) else ""
            return capital(f"{name} is {' and '.join(parts) or 'on'}{measured}.")
        case DeviceType.LOCK:
            return f"{name} is {'locked' if values.get('locked') else 'not locked'}.{low}"
        case DeviceType.SENSOR:
            return f"{name} says: {'open' if values.get('open') else 'closed'}.{low}"


def _on(values: Mapping[str, DeviceValue]) -> str:
    return "on" if values.get("on") else "off"


def _degrees(value: float) -> str:
    return f"{value:g} degrees"


def _key(device: Device) -> str:
    return f"{device.owner}/{device.id}"


def _guessed(door: Device) -> str:
    """Under what guesses at a lock's PIN are counted."""
    return f"lock:{_key(door)}"


def _cards(states: Sequence[tuple[Device, DeviceState]]) -> tuple[Card, ...]:
    return tuple(
        Card(
            "device",
            {
                "id": device.id,
                "home": home_of(device),
                "name": device.name,
                "room": device.room,
                "type": device.type.value,
                "reachable": state.reachable,
                "state": dict(state.values),
            },
        )
        for device, state in states
    )


def _sources(states: Sequence[tuple[Device, DeviceState]]) -> tuple[Source, ...]:
    return tuple(
        Source(
            f"device:{device.id}",
            capital(full_name(device)),
            "; ".join(f"{name}: {value}" for name, value in state.values.items()) or "no state",
            "home",
        )
        for device, state in states
    )


def _broker_down() -> SkillOutcome:
    return SkillOutcome(
        "I can't reach your home right now, so I can't say how it is and have changed nothing. Please try again in a "
        "few minutes; in the tab My home you see when it is back."
    )
