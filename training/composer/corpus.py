"""The grounded-reply corpus as the composer reads it: replies keep their citations."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from training.retrieval.corpus import TEST, VALIDATION, names

OWN = Path(__file__).parent / "data"
ANSWERED = ("answer", "followup", "multi", "facts", "upset")  # kinds whose reply is made from passages


@dataclass(frozen=True, slots=True)
class Passage:
    """One piece of a base."""

    id: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Example:
    """A question with the reply a person wrote.

    Attributes:
        history: (role, text) pairs, role "customer" or "assistant", oldest first, with citations as [id].
        passages: ids of the passages the reply uses, or, of kind "clarify", offers.
        reply: with citations as [id].
    """

    id: str
    kind: str
    history: tuple[tuple[str, str], ...]
    question: str
    passages: tuple[str, ...]
    reply: str


@dataclass(frozen=True, slots=True)
class Business:
    """One base and the questions asked of it."""

    name: str
    passages: tuple[Passage, ...]
    examples: tuple[Example, ...]


def load_business(folder: Path, name: str) -> Business:
    """Read one business from its two JSON-lines files."""
    passages = tuple(
        Passage(row["id"], row["title"], row["text"]) for row in _rows(folder / f"{name}.passages.jsonl")
    )
    examples = tuple(
        Example(
            id=row["id"],
            kind=row["kind"],
            history=tuple((role, text) for role, text in row["history"]),
            question=row["question"],
            passages=tuple(row["passages"]),
            reply=row["reply"],
        )
        for row in _rows(folder / f"{name}.examples.jsonl")
    )
    return Business(name, passages, examples)


def load_split(folder: Path, part: str) -> list[Business]:
    """Businesses of one part of the split that retrieval uses too: "train", "validation" or "test".

    The project's own businesses (`data/`) belong to "train".
    """
    held = {"test": TEST, "validation": VALIDATION}
    if part in held:
        return [load_business(folder, name) for name in held[part]]
    given = [load_business(folder, name) for name in names(folder) if name not in TEST + VALIDATION]
    return given + [load_business(OWN, name) for name in names(OWN)]


def _rows(path: Path) -> Iterator[dict]:  # type: ignore[type-arg]
    with path.open(encoding="utf-8") as lines:
        yield from (json.loads(line) for line in lines if line.strip())
