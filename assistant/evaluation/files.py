"""Evaluation files → records: what kind a file is, its items, and every problem with its line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from assistant.errors import ConfigError, KnowledgeError, KnowledgeProblem
from assistant.evaluation.figures import without_citations
from assistant.evaluation.speech import is_manifest
from assistant.records import Message, Role

T = TypeVar("T")

_ROLES = {"customer": Role.CUSTOMER, "assistant": Role.ASSISTANT, "agent": Role.AGENT}


class FileKind(StrEnum):
    """What an evaluation file holds."""

    QUESTIONS = "questions"
    INTENTS = "intents"
    CONVERSATIONS = "conversations"
    SPEECH = "speech"


class Kind(StrEnum):
    """What a labelled question asks of the assistant."""

    ANSWER = "answer"
    FACTS = "facts"
    UPSET = "upset"
    FOLLOWUP = "followup"
    MULTI = "multi"
    CLARIFY = "clarify"
    UNANSWERABLE = "unanswerable"
    SOCIAL = "social"


@dataclass(frozen=True, slots=True)
class Question:
    """A labelled question: the passages that answer it and a reply a good colleague would give.

    `history` is what was said before, without citation markers.
    """

    id: str
    kind: Kind
    history: tuple[Message, ...]
    text: str
    passages: tuple[str, ...]
    reply: str


@dataclass(frozen=True, slots=True)
class LabelledUtterance:
    """An utterance and its intent; None means out of scope."""

    text: str
    intent: str | None


def read_text(path: Path) -> str:
    """Text of an evaluation file.

    Raises: ConfigError: missing or not UTF-8.
    """
    try:
        return path.read_text("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text; save it as UTF-8") from error


def recognise(text: str, path: Path) -> FileKind:
    """Say what kind of evaluation file a text is, by its content.

    Raises: ConfigError: none of the known kinds, or one that cannot be evaluated yet.
    """
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    if is_manifest(first):
        return FileKind.SPEECH
    if first.startswith("{"):
        try:
            keys = set(json.loads(first))
        except ValueError:
            keys = set()
        if "question" in keys:
            return FileKind.QUESTIONS
        if {"text", "intent"} <= keys:
            return FileKind.INTENTS
    elif first.startswith(("-", "#", "---")):
        return FileKind.CONVERSATIONS
    raise ConfigError(
        f'{path}: is no known evaluation file; expected JSON lines with "question" (labelled questions) or '
        f'"text" and "intent" (intents), or YAML conversations; see docs/evaluation.md'
    )


def parse_questions(text: str, path: Path) -> tuple[Question, ...]:
    """Labelled questions, one JSON object a line.

    Raises: KnowledgeError: every line that is wrong, and why.
    """
    return _parse_lines(text, path, _question)


def parse_utterances(text: str, path: Path) -> tuple[LabelledUtterance, ...]:
    """Labelled utterances, one JSON object a line.

    Raises: KnowledgeError: every line that is wrong, and why.
    """
    return _parse_lines(text, path, _utterance)


def spread(items: Sequence[T], limit: int | None) -> Sequence[T]:
    """At most `limit` items, evenly spread over all of them; files are often sorted by kind."""
    if limit is None or len(items) <= limit:
        return items
    return [items[number * len(items) // limit] for number in range(limit)]


def _parse_lines(text: str, path: Path, parse: Any) -> tuple[Any, ...]:
    items, problems = [], []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            if not isinstance(record, dict):
                raise ValueError("is not a JSON object")
            items.append(parse(record))
        except json.JSONDecodeError as error:
            problems.append(KnowledgeProblem(str(path), number, f"is not JSON: {error.msg}"))
        except ValueError as error:
            problems.append(KnowledgeProblem(str(path), number, str(error)))
    if not items and not problems:
        problems.append(KnowledgeProblem(str(path), 0, "holds no items"))
    if problems:
        raise KnowledgeError(problems, "the evaluation file")
    return tuple(items)


def _question(record: Mapping[str, Any]) -> Question:
    kind = _string(record, "kind")
    if kind not in set(Kind):
        raise ValueError(f'"kind" is {kind!r}; expected one of {", ".join(Kind)}')
    passages = record.get("passages", [])
    if not isinstance(passages, list) or not all(isinstance(name, str) for name in passages):
        raise ValueError('"passages" is not a list of passage ids')
    history = record.get("history", [])
    if not isinstance(history, list):
        raise ValueError('"history" is not a list')
    return Question(
        id=_string(record, "id"),
        kind=Kind(kind),
        history=tuple(_message(item) for item in history),
        text=_string(record, "question"),
        passages=tuple(passages),
        reply=_string(record, "reply"),
    )


def _message(item: object) -> Message:
    if not isinstance(item, list) or len(item) != 2 or item[0] not in _ROLES or not isinstance(item[1], str):
        raise ValueError('"history" holds something else than ["customer" or "assistant", text] pairs')
    return Message(_ROLES[item[0]], without_citations(item[1]))


def _utterance(record: Mapping[str, Any]) -> LabelledUtterance:
    intent = record.get("intent")
    if intent is not None and (not isinstance(intent, str) or not intent):
        raise ValueError('"intent" is neither a name nor null (out of scope)')
    return LabelledUtterance(_string(record, "text"), intent)


def _string(record: Mapping[str, Any], key: str) -> str:
    value = record.get(key)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f'"{key}" is missing or empty')
    return value
