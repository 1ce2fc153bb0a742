"""Test conversations: the format of tests.yaml, what counts as met, and writing one down."""

from __future__ import annotations

import dataclasses
import os
import re
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from assistant.errors import ConfigError, KnowledgeError, KnowledgeProblem
from assistant.evaluation.figures import latency, without_citations
from assistant.protocols import TurnRunner
from assistant.records import (
    DecisionKind,
    Delta,
    DialogueState,
    Message,
    Role,
    TurnRequest,
    TurnResult,
)

_EXPECTATIONS = ("decision", "source", "card", "contains", "excludes", "intent", "slots")
_EVENT = re.compile(r"(view|tap|dismiss|purchase) ([!-~]{1,64})")


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a reply must be; an empty field is not checked.

    Attributes:
        decisions: one of these.
        source: `document#title` of a passage among the sources.
        card: kind of a card that is shown.
        contains: each stands in the reply; case does not count.
        excludes: none stands in the reply; case does not count.
        intent: intent the turn acted on.
        slots: values known after the turn.
    """

    decisions: tuple[DecisionKind, ...] = ()
    source: str = ""
    card: str = ""
    contains: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    intent: str = ""
    slots: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ScriptedTurn:
    """What the customer does, and what is expected then.

    Attributes:
        customer: what is said, or the code if `scans`.
        expect: what the reply must be.
        scans: a code is scanned instead of anything being said.
        events: what the customer does with products before that: ("tap", SKU) and the like.
        interrupts: is said as soon as the reply to the turn before has begun.
    """

    customer: str
    expect: Expectation
    scans: bool = False
    events: tuple[tuple[str, str], ...] = ()
    interrupts: bool = False


@dataclass(frozen=True, slots=True)
class ConversationTest:
    """A named test; `customer` is the id of the signed-in customer who speaks, "" for a guest."""

    name: str
    turns: tuple[ScriptedTurn, ...]
    customer: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """One unmet expectation; `turn` is 1-based, `customer` what was said in it."""

    name: str
    turn: int
    customer: str
    what: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one turn.

    Attributes:
        said: what the customer said, or the code that was scanned.
        sources: `document#title` of each.
        cards: the kind of each.
        timings: milliseconds by stage.
        reason: why it was decided so; "" if only the wire was seen.
        intent: what the turn acted on; None if only the wire was seen.
        slots: values known after the turn; None if only the wire was seen.
    """

    said: str
    status: str
    decision: str
    reply: str
    sources: tuple[str, ...] = ()
    cards: tuple[str, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""
    intent: str | None = None
    slots: Mapping[str, str] | None = None

    def seen_inside(self, result: TurnResult) -> Answer:
        """The same answer with what the wire does not tell."""
        return dataclasses.replace(
            self,
            reason=result.decision.reason,
            intent=result.decision.intent or result.state.intent,
            slots={**result.state.slots, **result.decision.slots},
        )


@dataclass(frozen=True, slots=True)
class Held:
    """A test that was run: the turns as they went, and every unmet expectation or broken rule of the protocol."""

    name: str
    answers: tuple[Answer, ...]
    failures: tuple[Failure, ...]
    unchecked: int = 0  # expectations about intents and slots that only the engine's side shows

    def as_line(self) -> dict[str, Any]:
        """JSON-serialisable, for `--predictions`."""
        return {
            "name": self.name,
            "passed": not self.failures,
            "turns": [dataclasses.asdict(answer) for answer in self.answers],
            "failures": [dataclasses.asdict(failure) for failure in self.failures],
        }


class Conversation:
    """Carries history and state from turn to turn, as a session does."""

    def __init__(self, runner: TurnRunner, customer: str = "") -> None:
        self._runner = runner
        self._customer = customer
        self.reset()

    def reset(self) -> None:
        """Forget everything said."""
        self._history: tuple[Message, ...] = ()
        self._state = DialogueState()
        self._session = secrets.token_hex(8)
        self.turns: list[tuple[str, TurnResult]] = []

    @property
    def state(self) -> DialogueState:
        """What is remembered besides the messages."""
        return self._state

    async def say(
        self,
        text: str,
        *,
        cancel: Any = None,
        on_delta: Callable[[str], None] = lambda piece: None,
        alternatives: tuple[str, ...] = (),
    ) -> TurnResult:
        """Run one turn; `on_delta` sees the reply as it comes, setting `cancel` (asyncio.Event) ends it.

        `alternatives` are what else may have been said, if it was heard unsurely.
        """
        request = TurnRequest(
            text=text,
            history=self._history,
            state=self._state,
            customer=self._customer,
            session=self._session,
            alternatives=alternatives,
        )
        result: TurnResult | None = None
        events: AsyncIterator[Any] = self._runner.run(request, cancel)
        async for event in events:
            if isinstance(event, Delta):
                on_delta(event.text)
            else:
                result = event
        assert result is not None  # noqa: S101 - promised by TurnRunner
        self._state = result.state
        self._history = (
            *self._history,
            Message(Role.CUSTOMER, text),
            Message(Role.ASSISTANT, without_citations(result.text)),
        )
        self.turns.append((text, result))
        return result


def conversation_figures(held: Sequence[Held]) -> dict[str, Any]:
    """How many conversations met every expectation, each failure, and the time of every stage."""
    failures = [failure for test in held for failure in test.failures]
    failed = sum(bool(test.failures) for test in held)
    timings = [answer.timings for test in held for answer in test.answers]
    return {
        "n": len(held),
        "conversations": {
            "passed": len(held) - failed,
            "failed": failed,
            "unchecked": sum(test.unchecked for test in held),
            "failures": [dataclasses.asdict(failure) for failure in failures],
        },
        "latency_ms": latency(timings),
    }


def unmet(expect: Expectation, answer: Answer) -> list[str]:
    """Expectations that an answer does not meet, each as a sentence with what was there instead."""
    found = []
    if expect.decisions and answer.decision not in expect.decisions:
        wanted = " or ".join(expect.decisions)
        why = f" ({answer.reason})" if answer.reason else ""
        found.append(f"decision: expected {wanted}, was {answer.decision}{why}")
    if expect.source and expect.source not in answer.sources:
        found.append(f"source: expected {expect.source}, was {', '.join(answer.sources) or 'none'}")
    if expect.card and expect.card not in answer.cards:
        found.append(f"card: expected {expect.card}, was {', '.join(answer.cards) or 'none'}")
    reply = answer.reply.casefold()
    found += [
        f"reply: expected {part!r} in it, was {answer.reply!r}"
        for part in expect.contains
        if part.casefold() not in reply
    ]
    found += [
        f"reply: expected no {part!r} in it, was {answer.reply!r}"
        for part in expect.excludes
        if part.casefold() in reply
    ]
    if expect.intent and answer.intent is not None and expect.intent != answer.intent:
        found.append(f"intent: expected {expect.intent}, was {answer.intent or 'none'}")
    slots = answer.slots
    if slots is not None:
        found += [
            f"slot {name}: expected {value!r}, was {slots[name]!r}"
            if name in slots
            else f"slot {name}: expected {value!r}, was not filled"
            for name, value in expect.slots.items()
            if slots.get(name) != value
        ]
    return found


def not_visible(expect: Expectation, answer: Answer) -> int:
    """How many expectations could not be checked, as only the wire was seen."""
    return (answer.intent is None and bool(expect.intent)) + (
        len(expect.slots) if answer.slots is None else 0
    )


# --- reading tests.yaml ------------------------------------------------------------------------------------


class _Located(dict[str, Any]):
    """A mapping that remembers its line."""

    line = 0


class _Loader(yaml.BaseLoader):
    """Every scalar is the text that stands there (`yes` and 0123 included); mappings remember their line."""


def _construct_mapping(loader: _Loader, node: yaml.MappingNode) -> _Located:
    pairs = loader.construct_mapping(node, deep=True)
    mapping = _Located({str(key): value for key, value in pairs.items()})
    mapping.line = node.start_mark.line + 1
    return mapping


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _construct_mapping)


def parse_conversations(text: str, path: Path) -> tuple[ConversationTest, ...]:
    """Test conversations from YAML.

    Raises: KnowledgeError: every problem, with its line.
    """
    problems: list[KnowledgeProblem] = []

    def problem(line: int, message: str) -> None:
        problems.append(KnowledgeProblem(str(path), line, message))

    loader = _Loader(text)
    try:
        loaded = loader.get_single_data()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        why = getattr(error, "problem", None) or "cannot be parsed"
        problem(mark.line + 1 if mark else 0, f"is not YAML: {why}")
        loaded = None
    finally:
        loader.dispose()
    tests: list[ConversationTest] = []
    names: dict[str, int] = {}
    if not problems and (not isinstance(loaded, list) or not loaded):
        problem(0, "holds no list of conversations; each is `- name: ...` with `turns:`")
    for entry in loaded if isinstance(loaded, list) else []:
        if not isinstance(entry, _Located):
            problem(0, f"a conversation is a mapping with `name` and `turns`, not {entry!r}")
            continue
        name, turns = entry.get("name"), entry.get("turns")
        if not isinstance(name, str) or not name.strip():
            problem(entry.line, "a conversation has no `name`")
            continue
        if name in names:
            problem(entry.line, f"the name {name!r} is taken by line {names[name]}; choose another")
        names.setdefault(name, entry.line)
        if unknown := sorted(set(entry) - {"name", "turns", "customer"}):
            problem(entry.line, f"{name!r} has unknown keys: {', '.join(unknown)}")
        if not isinstance(turns, list) or not turns:
            problem(entry.line, f"{name!r} has no `turns`")
            continue
        parsed = [_turn(turn, entry.line, problem) for turn in turns]
        for before, after in pairwise(parsed):
            if before and after and after.interrupts and before.expect != Expectation():
                problem(entry.line, f"{name!r} expects something of a turn that the next one interrupts")
        if parsed[0] and parsed[0].interrupts:
            problem(entry.line, f"{name!r} begins with a turn that interrupts")
        customer = entry.get("customer", "")
        if not isinstance(customer, str):
            problem(entry.line, f"`customer` of {name!r} is not an id")
            customer = ""
        tests.append(ConversationTest(name, tuple(turn for turn in parsed if turn), customer))
    if problems:
        raise KnowledgeError(problems, "the test conversations")
    return tuple(tests)


def _turn(turn: object, parent_line: int, problem: Callable[[int, str], None]) -> ScriptedTurn | None:
    if not isinstance(turn, _Located):
        problem(parent_line, f"a turn is a mapping with `customer` and `expect`, not {turn!r}")
        return None
    scans = "scan" in turn
    customer, expect = turn.get("scan" if scans else "customer"), turn.get("expect") or {}
    if not isinstance(customer, str) or not customer.strip() or (scans and "customer" in turn):
        problem(turn.line, "a turn has no `customer` text, or a `scan` with a code instead")
        return None
    if turn.get("interrupts", "false") not in {"true", "false"}:
        problem(turn.line, f"`interrupts` is true or false, not {turn['interrupts']!r}")
    events = [_EVENT.fullmatch(event) for event in _texts(turn.get("events"), "events", turn.line, problem)]
    if not all(events):
        problem(turn.line, "`events` are such as `tap SKU`: view, tap, dismiss or purchase, then the product")
    if unknown := sorted(set(turn) - {"customer", "scan", "events", "interrupts", "expect"}):
        problem(turn.line, f"a turn has unknown keys: {', '.join(unknown)}")
    if not isinstance(expect, dict):
        problem(turn.line, "`expect` is not a mapping")
        return None
    if unknown := sorted(set(expect) - set(_EXPECTATIONS)):
        expected = ", ".join(_EXPECTATIONS)
        problem(turn.line, f"unknown expectations: {', '.join(unknown)}; known are {expected}")
    decisions = _texts(expect.get("decision"), "decision", turn.line, problem)
    if wrong := [kind for kind in decisions if kind not in set(DecisionKind)]:
        problem(turn.line, f"unknown decision {', '.join(wrong)}; expected one of {', '.join(DecisionKind)}")
        decisions = ()
    slots = expect.get("slots") or {}
    if not isinstance(slots, dict):
        problem(turn.line, "`slots` is not a mapping of names to values")
        slots = {}
    source, intent, card = expect.get("source") or "", expect.get("intent") or "", expect.get("card") or ""
    if not isinstance(card, str):
        problem(turn.line, "`card` is not a kind of card")
        card = ""
    if not isinstance(source, str) or (source and "#" not in source):
        problem(turn.line, f"`source` is {source!r}; expected `file#heading`")
        source = ""
    if not isinstance(intent, str):
        problem(turn.line, "`intent` is not a name")
        intent = ""
    return ScriptedTurn(
        customer,
        Expectation(
            decisions=tuple(DecisionKind(kind) for kind in decisions),
            source=source,
            card=card,
            contains=_texts(expect.get("contains"), "contains", turn.line, problem),
            excludes=_texts(expect.get("excludes"), "excludes", turn.line, problem),
            intent=intent,
            slots={str(name): str(value) for name, value in slots.items()},
        ),
        scans=scans,
        events=tuple((found[1], found[2]) for found in events if found),
        interrupts=turn.get("interrupts") == "true",
    )


def _texts(value: object, key: str, line: int, problem: Callable[[int, str], None]) -> tuple[str, ...]:
    """One text or a list of texts."""
    values = value if isinstance(value, list) else [value] if value else []
    if not all(isinstance(item, str) and item for item in values):
        problem(line, f"`{key}` is neither a text nor a list of texts")
        return ()
    return tuple(values)


# --- writing one down --------------------------------------------------------------------------------------


def save_test(path: Path, name: str, turns: Sequence[tuple[str, TurnResult]]) -> None:
    """Append a conversation as a test that expects what happened; the rest of the file stays as it is.

    Raises: ConfigError: nothing to save, the name is taken, or the file cannot be written.
        KnowledgeError: the file is not in order.
    """
    if not turns:
        raise ConfigError("there is nothing to save yet; say something first")
    before = path.read_text("utf-8") if path.exists() else ""
    known = parse_conversations(before, path) if before.strip() else ()
    if any(test.name == name for test in known):
        raise ConfigError(f"{path} has a test named {name!r} already; choose another name")
    entry = [{"name": name, "turns": [_saved(text, result) for text, result in turns]}]
    block = yaml.safe_dump(entry, allow_unicode=True, sort_keys=False, width=1_000)
    indent = re.search(r"^( *)- ", before, re.MULTILINE)
    block = "".join(f"{indent[1] if indent else ''}{line}" for line in block.splitlines(keepends=True))
    after = before + ("" if not before or before.endswith("\n") else "\n") + block
    if not _continues(after, known, path):
        raise ConfigError(f"{path}: its layout does not let a test be appended; add it by hand:\n{block}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(path.name + ".new")
        fresh.write_text(after, "utf-8")
        os.replace(fresh, path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error


def _continues(text: str, known: Sequence[ConversationTest], path: Path) -> bool:
    """Whether a text still holds the known tests, and one more."""
    try:
        tests = parse_conversations(text, path)
    except KnowledgeError:
        return False
    return tests[:-1] == known


def _saved(text: str, result: TurnResult) -> dict[str, Any]:
    expect: dict[str, Any] = {"decision": str(result.decision.kind)}
    source = next((source for source in result.sources if source.document), None)
    if source:
        expect["source"] = f"{source.document}#{source.title}"
    if result.decision.intent:
        expect["intent"] = result.decision.intent
    if result.decision.slots:
        expect["slots"] = dict(result.decision.slots)
    return {"customer": text, "expect": expect}
