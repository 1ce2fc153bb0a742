"""The grounded-reply corpus: businesses, their passages and their questions, and the fixed split."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

# Whole businesses, of different domains. The test businesses are never trained on and decide nothing.
TEST = ("bistro", "clinic", "fashion", "ferry", "savings", "smarthome")
VALIDATION = ("grocer", "hail", "holiday", "insure", "phones")
OWN = (
    Path(__file__).parents[1] / "composer" / "data"
)  # businesses of the project's own, in the form of the corpus
# Those of them that the retrieval models never see: with the validation businesses they calibrate the probability.
HELD = (
    "aquarium", "auction", "barber", "butcher", "carwash", "chocolate", "climbing", "dogcare", "elevator", "golf",
    "icerink", "jobboard", "locksmith", "luggage", "marathon", "mobile", "newspaper", "notary", "plumber", "pottery",
    "shuttle", "spa", "spices", "vinyl",
)  # fmt: skip

SINGLE = ("answer", "facts", "upset")
NO_PASSAGE = ("unanswerable", "social")
_CITATION = re.compile(r"\s*\[[a-z0-9]+-[a-z0-9]+(?:,\s*[a-z0-9]+-[a-z0-9]+)*\]")


@dataclass(frozen=True, slots=True)
class Passage:
    """One piece of a base. `text` does not repeat the title."""

    id: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Question:
    """One customer question with the passages its written reply uses.

    `history` holds (role, text) pairs, role "customer" or "assistant", oldest first, without citations.
    `answers` are positions in the business's list of passages; empty where no passage answers.
    `reply` is the written answer without citations.
    """

    id: str
    kind: str
    history: tuple[tuple[str, str], ...]
    text: str
    answers: tuple[int, ...]
    reply: str


@dataclass(frozen=True, slots=True)
class Business:
    """One base and the questions asked of it."""

    name: str
    passages: tuple[Passage, ...]
    questions: tuple[Question, ...]


def without_citations(text: str) -> str:
    """Drop the bracketed passage ids that written replies carry."""
    return _CITATION.sub("", text)


def load_business(folder: Path, name: str) -> Business:
    """Read one business from its two JSON-lines files."""
    passages = tuple(
        Passage(row["id"], row["title"], row["text"]) for row in _rows(folder / f"{name}.passages.jsonl")
    )
    place = {passage.id: i for i, passage in enumerate(passages)}
    questions = []
    for row in _rows(folder / f"{name}.examples.jsonl"):
        kind = row["kind"]
        # A reply to an unanswerable question may quote a related passage; it still answers nothing.
        answers = () if kind in NO_PASSAGE else tuple(place[i] for i in row["passages"])
        history = tuple((role, without_citations(text)) for role, text in row["history"])
        questions.append(
            Question(row["id"], kind, history, row["question"], answers, without_citations(row["reply"]))
        )
    return Business(name, passages, tuple(questions))


def names(folder: Path) -> list[str]:
    """Every business in the folder, sorted."""
    return sorted(path.name.split(".")[0] for path in folder.glob("*.passages.jsonl"))


def load_split(folder: Path, part: str) -> list[Business]:
    """Businesses of one part of the fixed split: "train", "validation", "held", "calibration" or "test".

    "held" are those of the project's own that no retrieval model sees, "calibration" is "validation" and "held".
    """
    if part == "calibration":
        return [*load_split(folder, "validation"), *load_split(folder, "held")]
    if part == "held":
        return [load_business(OWN, name) for name in HELD]
    held = {"test": TEST, "validation": VALIDATION}
    chosen = held.get(part) or [name for name in names(folder) if name not in TEST + VALIDATION]
    return [load_business(folder, name) for name in chosen]


def digest(paths: Iterable[Path]) -> str:
    """One sha256 over names and contents, so that a run can say what it was trained on."""
    total = hashlib.sha256()
    for path in sorted(paths):
        total.update(path.name.encode())
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def _rows(path: Path) -> Sequence[dict]:  # type: ignore[type-arg]
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
