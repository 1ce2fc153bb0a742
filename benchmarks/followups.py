"""Follow-up questions: is the history used when it is needed, and only then?

`python -m benchmarks.followups --corpus DIR` takes the follow-ups of the corpus, and as utterances that change
the topic, questions of the same business that stand alone, put behind another conversation. Vectors only: half
the cosine to the whole passage, half to its nearest sentence behind its title. The rule was chosen on the
even-numbered businesses; the odd-numbered ones are the test.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from assistant.backends.choice import open_backend
from assistant.config import load_settings
from assistant.protocols import Embedder, Vectors
from assistant.records import Message, Role
from assistant.text import sentences, words
from assistant.understanding.followup import leans_on_history, resolve
from benchmarks.signature import signature

_CITATION = re.compile(r"\s*\[[a-z]+-[^\]]*\]")
_SHORT = 6  # words
_TOPIC_CHANGES = 18  # of each business, about as many as it has follow-ups


@dataclass(frozen=True, slots=True)
class Case:
    """One utterance with a conversation before it."""

    followup: bool
    text: str
    history: tuple[Message, ...]
    passages: frozenset[str]


@dataclass(frozen=True, slots=True)
class Base:
    """The passages of one business as vectors; `owners` says which passage a sentence belongs to."""

    ids: list[str]
    bodies: Vectors
    titled: Vectors
    owners: np.ndarray[Any, np.dtype[np.intp]]

    def best(self, query: Vectors) -> str:
        """Id of the passage nearest to a query."""
        nearest = np.full(len(self.ids), -1.0, np.float32)
        np.maximum.at(nearest, self.owners, self.titled @ query)
        return self.ids[int(np.argmax(self.bodies @ query + nearest))]


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def cases_of(examples: Sequence[dict[str, Any]], seed: str) -> list[Case]:
    """Follow-ups, and as many topic changes, of one business."""
    draw = random.Random(seed)
    followups = [example for example in examples if example["kind"] == "followup"]
    alone = [e for e in examples if e["kind"] in {"answer", "multi", "upset"} and not e["history"]]
    pairs = [(True, example, example["history"]) for example in followups]
    short = [example for example in alone if is_short(example["question"])]
    changes = draw.sample(alone, min(_TOPIC_CHANGES, len(alone)))
    changes += [example for example in short if example not in changes]
    pairs.extend((False, example, draw.choice(followups)["history"]) for example in changes)
    return [
        Case(
            followup,
            example["question"],
            tuple(Message(Role(role), _CITATION.sub("", said)) for role, said in history),
            frozenset(example["passages"]),
        )
        for followup, example, history in pairs
    ]


def is_short(text: str) -> bool:
    return len(words(text)) <= _SHORT


def base_of(path: Path, embedder: Embedder) -> Base:
    passages = read_lines(path)
    titled = [(i, f"{p['title']}: {part}") for i, p in enumerate(passages) for part in sentences(p["text"])]
    return Base(
        [passage["id"] for passage in passages],
        embedder.embed([f"{passage['title']}. {passage['text']}" for passage in passages]),
        embedder.embed([text for _, text in titled]),
        np.array([owner for owner, _ in titled], np.intp),
    )


def last_question(case: Case) -> str:
    return [message.text for message in case.history if message.role is Role.CUSTOMER][-1]


def always(case: Case) -> str:
    """The resolved form whatever the words say."""
    return resolve("it", case.history).text.removesuffix("question: it") + f"question: {case.text}"


FORMS: dict[str, Callable[[Case], str]] = {
    "utterance alone": lambda case: case.text,
    "always the last question before it": lambda case: f"{last_question(case)} {case.text}",
    "always the conversation before it": always,
    "last question where the rule says so": lambda case: (
        f"{last_question(case)} {case.text}" if leans_on_history(case.text) else case.text
    ),
    "resolve": lambda case: resolve(case.text, case.history).text,
    "conversation where it truly is a follow-up": lambda case: always(case) if case.followup else case.text,
}


def served(case: Case, embedder: Embedder) -> Vectors:
    """The vector that a turn searches with."""
    query = resolve(case.text, case.history)
    return query.mix(embedder.embed(query.texts(case.text)))


def main() -> None:
    """Print one JSON line per form, then the rule's own hits, then the signature."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--backend", default="onnx-int8")
    parser.add_argument("--test", nargs="*", help="businesses to hold out, by name")
    arguments = parser.parse_args()
    settings = load_settings()
    embedder = open_backend(settings.encoder, settings.models, 1, arguments.backend)
    found: list[tuple[int, Base, Case]] = []
    for number, path in enumerate(sorted(arguments.corpus.glob("*.passages.jsonl"))):
        name = path.name.partition(".")[0]
        half = int(name in arguments.test) if arguments.test else number % 2
        base = base_of(path, embedder)
        examples = read_lines(path.with_name(f"{name}.examples.jsonl"))
        found.extend((half, base, case) for case in cases_of(examples, name))

    kinds: dict[str, Callable[[Case], bool]] = {
        "followups": lambda case: case.followup,
        "topic_changes": lambda case: not case.followup and not is_short(case.text),
        "short_topic_changes": lambda case: not case.followup and is_short(case.text),
    }

    def share(values: Sequence[bool]) -> float | None:
        return round(float(np.mean(values)), 3) if values else None

    def report(form: str, vectors: Vectors) -> None:
        hits = [
            base.best(vector) in case.passages for (_, base, case), vector in zip(found, vectors, strict=True)
        ]
        line: dict[str, Any] = {"benchmark": "followups", "form": form}
        for half, name in ((0, "chosen_on"), (1, "test")):
            for label, belongs in kinds.items():
                chosen = [h for h, (at, _, c) in zip(hits, found, strict=True) if at == half and belongs(c)]
                line[f"{name}_{label}_r_at_1"] = share(chosen)
        print(json.dumps(line), flush=True)

    for form, query in FORMS.items():
        report(form, embedder.embed([query(case) for _, _, case in found]))
    report(
        "as served: resolve, mixed with the bare words", np.stack([served(c, embedder) for _, _, c in found])
    )
    rule: dict[str, Any] = {"benchmark": "followups", "form": "rule", "encoder": embedder.identity}
    for label, belongs in kinds.items():
        chosen_cases = [case for at, _, case in found if at == 1 and belongs(case)]
        rule[f"test_{label}_taken_for_followups"] = share([leans_on_history(c.text) for c in chosen_cases])
        rule[f"test_{label}_of"] = len(chosen_cases)
    print(json.dumps({**rule, "signature": signature()}))


if __name__ == "__main__":
    main()
