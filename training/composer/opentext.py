"""Plain English of the kind that customers and help centres write: sections of documents, and dialogues."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import zstandard

from training.retrieval.opentext import DIALOGUES, DOCUMENTS, QUESTIONS


@dataclass(frozen=True, slots=True)
class OpenText:
    """(title, text) of sections, and (role, text) turns of dialogues."""

    sections: tuple[tuple[str, str], ...]
    dialogues: tuple[tuple[tuple[str, str], ...], ...]

    @classmethod
    def read(cls, folder: Path) -> OpenText:
        """Read the sources without a share-alike, copyleft or missing-licence flag."""
        sections = tuple(
            (record["title"], " ".join(record["text"].split()))
            for name in (*DOCUMENTS, *QUESTIONS)
            for record in _records(folder, name)
        )
        dialogues = tuple(
            turns
            for name in DIALOGUES
            for record in _records(folder, name)
            if len(turns := _turns(record["text"])) > 1
        )
        return cls(sections, dialogues)

    def texts(self) -> list[str]:
        """Everything, each with a space in front."""
        return [
            *(f" {title}: {text}" for title, text in self.sections),
            *(f" {said}" for dialogue in self.dialogues for _, said in dialogue),
        ]

    def words(self) -> list[str]:
        """Lower-case words of three letters and more, as often as they stand there."""
        return [word for text in self.texts() for word in re.findall(r"[a-z]{3,}", text.lower())]


def _records(folder: Path, name: str) -> list[dict[str, str]]:
    with zstandard.open(folder / f"{name}.jsonl.zst", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _turns(text: str) -> tuple[tuple[str, str], ...]:
    turns = []
    for line in text.split("\n"):
        speaker, _, said = line.partition(": ")
        if speaker in ("Customer", "Agent") and said:
            turns.append(("customer" if speaker == "Customer" else "assistant", said))
    return tuple(turns)
