"""shop.toml, intents.yaml and tests.yaml, with the line of each problem."""

from __future__ import annotations

import re
import tomllib
import zoneinfo
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from difflib import get_close_matches
from typing import Any, TypeGuard

import yaml

from assistant.ingestion.questions import line_of, parse_yaml
from assistant.ingestion.sources import Findings, SourceFile, decode
from assistant.records import Intent, OrderRules, Passage, Shop, SlotSpec
from assistant.text import normalise

SLOT_TYPES = (
    "order_number",
    "email",
    "email_or_postcode",
    "date",
    "day_part",
    "number",
    "text",
    "yes_no",
    "phone",
    "product",
    "room",
    "device",
    "percent",
    "temperature",
)
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_HOURS = re.compile(r"([01]\d|2[0-3]):[0-5]\d-(([01]\d|2[0-3]):[0-5]\d|24:00)")
_TEXTS = {"name", "language", "greeting", "tone", "currency", "timezone", "order_number"}
_TABLES: Mapping[str, tuple[str, ...]] = {
    "hours": WEEKDAYS,
    "handover": ("offer", "outside_hours", "after_misses", "after_upset"),
    "accepted": ("wrong_answers",),
    "orders": tuple(rule.name for rule in fields(OrderRules)),
}
_WHOLE: Mapping[str, tuple[int, int]] = {  # rules that are whole numbers, with the least and the most
    "free_cancel_hours": (0, 8760),
    "cancel_refund_days": (0, 365),
    "return_days": (0, 3650),
    "drop_off_days": (1, 365),
    "collection_days": (0, 365),
    "inspection_days": (0, 365),
    "late_move_hour": (0, 23),
    "most_moves": (0, 100),
    "most_days_moved": (0, 365),
    "driver_calls_minutes": (0, 1440),
    "mattress_nights": (0, 3650),
    "mattress_days": (0, 3650),
}
_FEES = ("collection_fee", "late_move_fee")
_WINDOWS = ("windows", "windows_saturday", "windows_sunday")
_TOPICS = ("cancel", "delivery", "return", "mattress", "made to order", "device")


def read_shop(source: SourceFile, findings: Findings) -> Shop:
    """The shop, with defaults for what is not said or wrong."""
    text = decode(source, findings)
    if text is None:
        return Shop()
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        found = re.search(r"at line (\d+)", str(error))
        reason = re.sub(r" \(at .*\)$", "", str(error))
        findings.add(source.name, int(found.group(1)) if found else 0, f"is not valid TOML: {reason}")
        return Shop()
    reader = _ShopReader(source, text, findings)
    return reader.read(data)


class _ShopReader:
    def __init__(self, source: SourceFile, text: str, findings: Findings) -> None:
        self._name, self._text, self._findings = source.name, text, findings

    def _complain(self, key: str, message: str) -> None:
        self._findings.add(self._name, line_of(self._text, key), f"{key} {message}")

    def _check_keys(self, keys: Sequence[str], known: Sequence[str]) -> None:
        for key in keys:
            if key not in known:
                near = get_close_matches(key, known, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
                self._complain(key, f"is not a setting of the shop; {hint}")

    def read(self, data: dict[str, Any]) -> Shop:
        self._check_keys(list(data), [*sorted(_TEXTS), *_TABLES])
        values: dict[str, Any] = {}
        for key in sorted(_TEXTS & data.keys()):
            value = data[key]
            if not isinstance(value, str):
                self._complain(key, f"must be text in quotes, not {value!r}")
            elif not value.strip() and key in {"name", "language", "currency"}:
                self._complain(key, "is empty; fill it in, or remove the line")
            else:
                values[key] = normalise(value)
        if not re.fullmatch(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*", values.get("language", "en")):
            self._complain("language", 'must be a language code such as "en" or "zh"')
            del values["language"]
        if not re.fullmatch(r"[A-Z]{3}", values.get("currency", "EUR")):
            self._complain("currency", 'must be a code of three capital letters such as "EUR"')
        if values.get("order_number") and "#" not in values["order_number"]:
            self._complain("order_number", 'must show each digit as #, such as "LM-#####"')
        if "timezone" in values and not _is_timezone(values["timezone"]):
            self._complain(
                "timezone", f'{values["timezone"]!r} is unknown; write one such as "Europe/Berlin"'
            )
        tables = {name: data.get(name, {}) for name in _TABLES}
        for name, table in tables.items():
            if isinstance(table, dict):
                self._check_keys(list(table), _TABLES[name])
            else:
                self._complain(name, f"must be a table: write [{name}] and its settings below")
                tables[name] = {}
        values["hours"] = self._hours(tables["hours"])
        values |= self._handover(tables["handover"])
        accepted = tables["accepted"].get("wrong_answers", Shop().accepted_wrong_answers)
        if _is_number(accepted) and 0 <= accepted <= 1:
            values["accepted_wrong_answers"] = float(accepted)
        else:
            self._complain("wrong_answers", "must be a fraction from 0 to 1, such as 0.05 for one in twenty")
        if "orders" in data:
            values["orders"] = self._orders(tables["orders"])
        return Shop(**values)

    def _orders(self, table: dict[str, Any]) -> OrderRules | None:
        """The rules for orders; None if one of them is missing or wrong."""
        before = len(self._findings.problems)
        needed = [rule.name for rule in fields(OrderRules) if rule.default is MISSING == rule.default_factory]
        if lacking := [name for name in needed if name not in table]:
            found = re.search(r"(?m)^[ \t]*\[\s*orders\s*\]", self._text)
            line = self._text.count("\n", 0, found.start()) + 1 if found else 1
            message = f"[orders] lacks {', '.join(lacking)}; fill them in, or remove the table"
            self._findings.add(self._name, line, message)
        for key in table.keys() & _WHOLE.keys():
            low, high = _WHOLE[key]
            value = table[key]
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                self._complain(key, f"must be a whole number from {low} to {high}, not {value!r}")
        for key in table.keys() & set(_FEES):
            if not _is_number(table[key]) or table[key] < 0:
                self._complain(key, f"must be an amount of 0 or more, not {table[key]!r}")
        for key in table.keys() & set(_WINDOWS):
            self._check_windows(key, table[key])
        for key in table.keys() & {"mattress_category", "lock_category"}:
            if not isinstance(table[key], str):
                self._complain(key, f"must be a category of the catalogue in quotes, not {table[key]!r}")
        categories = table.get("device_categories", [])
        if not _is_texts(categories):
            self._complain("device_categories", "must be a list of categories of the catalogue")
        sources = table.get("sources", {})
        if not isinstance(sources, dict):
            self._complain(
                "sources", "must be a table: write [orders.sources] and the passages of each topic below"
            )
            sources = {}
        for topic, names in sources.items():
            if topic not in _TOPICS:
                self._complain(topic, f"is no topic of the rules; known are {', '.join(_TOPICS)}")
            elif not _is_texts(names) or not all("#" in name for name in names):
                self._complain(
                    topic, 'must be a list of passages such as "faq/returns.md#How long can I ...?"'
                )
        if table.get("mattress_category") and not {"mattress_nights", "mattress_days"} <= table.keys():
            self._complain("mattress_category", "needs mattress_nights and mattress_days")
        if len(self._findings.problems) > before or lacking:
            return None
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in table.items()
            if key in _TABLES["orders"] and key != "sources"
        }
        return OrderRules(**values, sources={topic: tuple(names) for topic, names in sources.items()})

    def _check_windows(self, key: str, windows: object) -> None:
        """Spans of a day in their order."""
        if not _is_texts(windows) or (key == "windows" and not windows):
            self._complain(key, 'must be a list such as ["08:00-12:00", "12:00-16:00"]')
            return
        for window in windows:
            if not _HOURS.fullmatch(window) or window[:5] >= window[6:]:
                self._complain(key, f'must hold "HH:MM-HH:MM" with the later time last, not {window!r}')

    def _hours(self, table: dict[str, Any]) -> dict[str, str]:
        hours = {}
        for day, value in table.items():
            is_span = isinstance(value, str) and _HOURS.fullmatch(value) and value[:5] < value[6:]
            if is_span or value == "closed":
                hours[day] = value
            elif day in WEEKDAYS:
                self._complain(
                    day, f'must be "HH:MM-HH:MM" with the later time last, or "closed", not {value!r}'
                )
        return hours

    def _handover(self, table: dict[str, Any]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key in ("offer", "outside_hours"):
            if isinstance(table.get(key, ""), str):
                values |= {f"handover_{key}": normalise(table[key])} if table.get(key) else {}
            else:
                self._complain(key, f"must be text in quotes, not {table[key]!r}")
        for key in ("after_misses", "after_upset"):
            count = table.get(key, getattr(Shop(), f"handover_{key}"))
            if isinstance(count, int) and not isinstance(count, bool) and count >= 1:
                values[f"handover_{key}"] = count
            else:
                self._complain(key, f"must be a whole number of 1 or more, not {count!r}")
        return values


def check_sources(
    source: SourceFile, rules: OrderRules, passages: Sequence[Passage], findings: Findings
) -> None:
    """The passages that the rules for orders name must be there: they are shown as the rules' sources."""
    known = {f"{passage.document}#{passage.title}" for passage in passages}
    text = decode(source, findings) or ""
    for topic, names in rules.sources.items():
        for name in names:
            if name not in known:
                near = get_close_matches(name, known, 1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                findings.add(
                    source.name, line_of(text, topic), f"{topic}: there is no passage {name!r}{hint}"
                )


def _is_timezone(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        return False
    return True


def _is_texts(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(item, str) and item for item in value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


# --- YAML with lines ---------------------------------------------------------------------------------------


def _read_yaml(source: SourceFile, findings: Findings) -> tuple[Any, yaml.Node | None]:
    """The value of a YAML file and its node tree, which knows the lines."""
    text = decode(source, findings)
    if text is None:
        return None, None
    value, problem = parse_yaml(text)
    if problem:
        findings.add(source.name, *problem)
        return None, None
    return value, yaml.compose(text, Loader=yaml.SafeLoader)


def _items(node: yaml.Node | None) -> list[yaml.Node]:
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _child(node: yaml.Node, key: str) -> yaml.Node:
    """Node of a key in a mapping; the mapping itself if it is not there."""
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            if name.value == key:
                return name if not isinstance(value, yaml.SequenceNode | yaml.MappingNode) else value
    return node


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1


def read_intents(source: SourceFile, findings: Findings) -> list[Intent]:
    """The intents; those with a problem are left out."""
    value, tree = _read_yaml(source, findings)
    if tree is None:
        if value is None and source.content.strip() == b"":
            findings.add(source.name, 0, "is empty; list the intents, or remove the file")
        return []
    if not isinstance(value, list):
        findings.add(source.name, 1, "must be a list of intents, each beginning with `- name: ...`")
        return []
    intents: list[Intent] = []
    lines: dict[str, int] = {}
    said: dict[str, str] = {}
    for item, node in zip(value, _items(tree), strict=True):
        before = len(findings.problems)
        intent = _read_intent(source.name, item, node, findings)
        if intent is None:
            continue
        if intent.name in lines:
            findings.add(
                source.name, _line(node), f"intent {intent.name} stands already in line {lines[intent.name]}"
            )
        lines[intent.name] = _line(node)
        for example, at in zip(intent.examples, _items(_child(node, "examples")), strict=False):
            other = said.setdefault(example.casefold(), intent.name)
            if other != intent.name:
                findings.add(
                    source.name,
                    _line(at),
                    f"example {example!r} stands in intent {other} too; keep it in one",
                )
        if before == len(findings.problems):
            intents.append(intent)
    return intents


def _read_intent(path: str, item: Any, node: yaml.Node, findings: Findings) -> Intent | None:
    known = ("name", "description", "examples", "slots", "action", "reply")
    if not isinstance(item, dict):
        findings.add(path, _line(node), "must be an intent with name and examples")
        return None
    for key in item:
        if key not in known:
            findings.add(
                path, _line(_child(node, str(key))), f"unknown key {key!r}; known are {', '.join(known)}"
            )
    name = item.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        findings.add(
            path, _line(_child(node, "name")), f"name must be lower-case letters, digits and _, not {name!r}"
        )
        return None
    texts = {}
    for key in ("description", "action", "reply"):
        given = item.get(key)
        if given is not None and (not isinstance(given, str) or not given.strip()):
            findings.add(path, _line(_child(node, key)), f"intent {name}: {key} must be text, not {given!r}")
        elif given is not None:
            texts[key] = normalise(given)
    if "action" not in item and "reply" not in item:
        findings.add(path, _line(node), f"intent {name} has neither action nor reply; give it one of them")
    if item.get("action") is not None and item.get("reply") is not None:
        findings.add(path, _line(node), f"intent {name} has both action and reply; keep one of them")
    if texts.get("action") and not _NAME.fullmatch(texts["action"]):
        findings.add(
            path, _line(_child(node, "action")), f"intent {name}: action must be the name of a skill"
        )
    return Intent(
        name=name,
        examples=_read_examples(path, name, item.get("examples"), node, findings),
        description=texts.get("description", ""),
        slots=_read_slots(path, name, item.get("slots"), node, findings),
        action=texts.get("action"),
        reply=texts.get("reply"),
    )


def _read_examples(path: str, name: str, given: Any, node: yaml.Node, findings: Findings) -> tuple[str, ...]:
    where = _child(node, "examples")
    if not isinstance(given, list) or not given:
        findings.add(
            path, _line(where), f"intent {name} has no examples; list what customers say, 12 or more"
        )
        return ()
    examples: dict[str, str] = {}
    for example, at in zip(given, _items(where), strict=True):
        if isinstance(example, bool) or not isinstance(example, str | int | float):
            findings.add(path, _line(at), f"intent {name}: an example must be text; put it in quotes")
            continue
        text = normalise(at.value if isinstance(at, yaml.ScalarNode) else str(example))
        if not text:
            findings.add(path, _line(at), f"intent {name}: example is empty; fill it in or remove it")
        elif text.casefold() in examples:
            findings.add(path, _line(at), f"intent {name}: example {text!r} stands twice; remove one")
        else:
            examples[text.casefold()] = text
    return tuple(examples.values())


def _read_slots(
    path: str, name: str, given: Any, node: yaml.Node, findings: Findings
) -> tuple[SlotSpec, ...]:
    where = _child(node, "slots")
    if given is None:
        return ()
    if not isinstance(given, list):
        findings.add(path, _line(where), f"intent {name}: slots must be a list")
        return ()
    slots: list[SlotSpec] = []
    for slot, at in zip(given, _items(where), strict=True):
        message = ""
        if not isinstance(slot, dict):
            message = "a slot needs name and type"
        elif unknown := sorted(map(str, slot.keys() - {"name", "type", "required", "prompt"})):
            message = f"unknown key {unknown[0]!r} in a slot; known are name, type, required and prompt"
        elif not isinstance(slot.get("name"), str) or not _NAME.fullmatch(slot["name"]):
            message = f"name of a slot must be lower-case letters, digits and _, not {slot.get('name')!r}"
        elif slot["name"] in {other.name for other in slots}:
            message = f"slot {slot['name']} stands twice"
        elif slot.get("type") not in SLOT_TYPES:
            message = f"unknown slot type {slot.get('type')!r}; known are {', '.join(SLOT_TYPES)}"
        elif not isinstance(slot.get("required", True), bool):
            message = f"slot {slot['name']}: required must be true or false"
        elif not isinstance(slot.get("prompt", ""), str):
            message = f"slot {slot['name']}: prompt must be text"
        elif slot.get("required", True) and not slot.get("prompt", "").strip():
            message = (
                f"slot {slot['name']} is required and has no prompt; write the question that asks for it"
            )
        if message:
            findings.add(path, _line(at), f"intent {name}: {message}")
        else:
            prompt = normalise(slot.get("prompt", ""))
            slots.append(SlotSpec(slot["name"], slot["type"], slot.get("required", True), prompt))
    return tuple(slots)


def check_tests(source: SourceFile, findings: Findings) -> None:
    """Look at the shape of conversation tests: a list of conversations, each with a name and turns."""
    value, tree = _read_yaml(source, findings)
    if tree is None:
        return
    if isinstance(value, dict) and len(value) == 1 and isinstance(next(iter(value.values())), list):
        value, tree = next(iter(value.values())), tree.value[0][1]
    if not isinstance(value, list):
        findings.add(source.name, 1, "must be a list of conversations, each with name and turns")
        return
    names: dict[str, int] = {}
    for item, node in zip(value, _items(tree), strict=True):
        line = _line(node)
        if not isinstance(item, dict) or not isinstance(item.get("name"), str):
            findings.add(source.name, line, "a conversation needs a name")
            continue
        if item["name"] in names:
            findings.add(
                source.name,
                line,
                f"conversation {item['name']!r} stands already in line {names[item['name']]}",
            )
        names[item["name"]] = line
        turns = item.get("turns")
        if not isinstance(turns, list) or not turns or not all(isinstance(turn, dict) for turn in turns):
            findings.add(
                source.name, line, f"conversation {item['name']!r} needs turns, a list of what is said"
            )
