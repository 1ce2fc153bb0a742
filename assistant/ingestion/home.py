"""devices.yaml and events.csv: what stands in customers' homes, and what they looked at and bought."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import yaml

from assistant.ingestion.questions import parse_yaml, read_csv
from assistant.ingestion.sources import Findings, SourceFile, decode
from assistant.records import Device, DeviceType, Interaction, Product, SignalKind
from assistant.text import normalise

_HOME_KEYS = frozenset({"owner", "guests", "devices"})
_DEVICE_KEYS = frozenset({"id", "name", "room", "type", "topic", "also", "pin"})
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_TOPIC = re.compile(r"[^+#\x00-\x1f]{1,200}")
_PIN = re.compile(r"|[0-9a-f]{16,64}\$[0-9a-f]{64}")
_EVENT_COLUMNS = ("customer", "sku", "kind", "at")


def read_devices(source: SourceFile, findings: Findings) -> list[Device]:
    """The devices of all homes; a home or device with a problem is left out."""
    text = decode(source, findings)
    if text is None:
        return []
    value, problem = parse_yaml(text)
    if problem is not None:
        findings.add(source.name, *problem)
        return []
    homes = value.get("homes") if isinstance(value, dict) else None
    if not isinstance(homes, list) or not homes:
        findings.add(source.name, 1, "holds no list `homes`; each home has an owner and devices")
        return []
    lines = _lines(text)
    devices: list[Device] = []
    for place, home in enumerate(homes):
        devices += _read_home(source.name, home, lines[place] if place < len(lines) else [0], findings)
    seen: dict[tuple[str, str], Device] = {}
    for device in devices:
        if seen.setdefault((device.owner, device.id), device) is not device:
            findings.add(source.name, 0, f"device {device.id} stands twice in the home of {device.owner}")
    return devices


def _lines(text: str) -> list[list[int]]:
    """For each home its line, then the lines of its devices."""
    tree = yaml.compose(text, Loader=yaml.SafeLoader)
    found: list[list[int]] = []
    for home in _items(_child(tree, "homes")):
        devices = _items(_child(home, "devices"))
        found.append([node.start_mark.line + 1 for node in (home, *devices)])
    return found


def _child(node: yaml.Node | None, key: str) -> yaml.Node | None:
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next((value for name, value in pairs if name.value == key), None)


def _items(node: yaml.Node | None) -> list[yaml.Node]:
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _read_home(path: str, home: Any, lines: Sequence[int], findings: Findings) -> list[Device]:
    if not isinstance(home, dict) or not isinstance(home.get("owner"), str) or not home["owner"].strip():
        findings.add(path, lines[0], "a home needs `owner`, the customer's id")
        return []
    guests, given = home.get("guests", []), home.get("devices")
    if unknown := sorted(map(str, home.keys() - _HOME_KEYS)):
        findings.add(
            path, lines[0], f"unknown key {unknown[0]!r} in a home; known are owner, guests and devices"
        )
    if not isinstance(guests, list) or not all(isinstance(guest, str) for guest in guests):
        findings.add(path, lines[0], "guests must be a list of customers' ids")
        guests = []
    if not isinstance(given, list) or not given:
        findings.add(path, lines[0], f"the home of {home['owner']} has no devices")
        return []
    devices = []
    for item, line in zip(given, (*lines[1:], *[lines[0]] * len(given)), strict=False):
        problem = _device_problem(item)
        if problem:
            findings.add(path, line, problem)
            continue
        topic = item["topic"].rstrip("/")
        devices.append(
            Device(
                id=item["id"],
                name=normalise(item["name"]).casefold(),
                room=normalise(item["room"]).casefold(),
                type=DeviceType(item["type"]),
                owner=home["owner"].strip(),
                topic=topic,
                guests=tuple(guests),
                also=tuple(normalise(name).casefold() for name in item.get("also", [])),
                pin=item.get("pin", ""),
            )
        )
    return devices


def _device_problem(item: Any) -> str:
    if not isinstance(item, dict):
        return "a device needs id, name, room, type and topic"
    if unknown := sorted(map(str, item.keys() - _DEVICE_KEYS)):
        return f"unknown key {unknown[0]!r} in a device; known are {', '.join(sorted(_DEVICE_KEYS))}"
    for key in ("id", "name", "room", "type", "topic"):
        if not isinstance(item.get(key), str) or not item[key].strip():
            return f"a device needs {key}, as text"
    if not _ID.fullmatch(item["id"]):
        return f"id of a device must be lower-case letters, digits and -, not {item['id']!r}"
    if item["type"] not in set(DeviceType):
        return f"unknown type {item['type']!r}; known are {', '.join(DeviceType)}"
    if not _TOPIC.fullmatch(item["topic"]):
        return f"topic {item['topic']!r} must not hold +, # or control characters"
    if not isinstance(item.get("pin", ""), str) or not _PIN.fullmatch(item.get("pin", "")):
        return "pin must be a hash as docs/skills.md shows, never the PIN itself"
    also = item.get("also", [])
    if not isinstance(also, list) or not all(isinstance(name, str) and name.strip() for name in also):
        return "also must be a list of other names"
    return ""


def read_events(source: SourceFile, products: Sequence[Product], findings: Findings) -> list[Interaction]:
    """What customers did with products, oldest first; rows with a problem are left out."""
    table = read_csv(source, findings)
    if table is None:
        return []
    header, rows = table
    missing = [name for name in _EVENT_COLUMNS if name not in header]
    if missing:
        findings.add(source.name, 1, f"column {', '.join(missing)} missing; add it to the first line")
        return []
    skus = {product.sku for product in products}
    events = []
    for row in rows:
        values = {name: row.values.get(name, "").strip() for name in _EVENT_COLUMNS}
        problem = ""
        if not values["customer"]:
            problem = "customer is empty; fill it in"
        elif values["sku"] not in skus:
            problem = f"sku {values['sku']!r} is not in catalog.csv"
        elif values["kind"] not in set(SignalKind):
            problem = f"unknown kind {values['kind']!r}; known are {', '.join(SignalKind)}"
        elif not _is_time(values["at"]):
            problem = f"at {values['at']!r} is not a time; write it like 2026-11-20T18:05:00"
        if problem:
            findings.add(source.name, row.line, problem)
        else:
            events.append(Interaction(values["customer"], values["sku"], values["kind"], values["at"]))
    return sorted(events, key=lambda event: event.at)


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is None
    except ValueError:
        return False
