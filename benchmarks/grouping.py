"""Chooses the threshold of assistant/learning/grouping.py on a knowledge folder.

The examples of an intent belong together, and so do the author's other phrasings of a question ("Also asked"); those
of different intents or questions do not. Prints one JSON line for each set and threshold: precision, recall and F1
over pairs of phrasings, and how many groups came out. Usage: `python -m benchmarks.grouping [KNOWLEDGE]`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from assistant.backends.choice import choose_encoder
from assistant.config import load_settings
from assistant.ingestion.reading import read_knowledge
from assistant.ingestion.sources import Findings, collect_sources
from assistant.learning.grouping import link
from assistant.records import PassageKind

THRESHOLDS = (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7)


def main(folder: Path) -> None:
    """Measure every threshold on a folder."""
    findings = Findings()
    knowledge = read_knowledge(collect_sources([folder], findings), findings).knowledge
    sets = {
        "intents": [(intent.name, text) for intent in knowledge.intents for text in intent.examples],
        "also_asked": [
            (passage.id, text)
            for passage in knowledge.passages
            if passage.kind is PassageKind.FAQ
            for text in passage.questions
        ],
    }
    with TemporaryDirectory() as data:
        encoder = choose_encoder(load_settings(data=data), Path(data) / "encoder-choice.json")
        for name, asked in sets.items():
            vectors = encoder.embed([text for _, text in asked])
            for line in measure(asked, vectors):
                print(json.dumps({"set": name, **line, "encoder": encoder.identity}))


def measure(asked: Sequence[tuple[str, str]], vectors: NDArray[np.float32]) -> Iterator[dict[str, float]]:
    """Pairs found together against pairs that belong together, for each threshold."""
    same = np.array([a[0] == b[0] for a, b in combinations(asked, 2)])
    for near in THRESHOLDS:
        labels = link(vectors, near)
        together = np.array([a == b for a, b in combinations(labels, 2)])
        hits = int((same & together).sum())
        precision = hits / max(1, int(together.sum()))
        recall = hits / int(same.sum())
        yield {
            "near": near,
            "phrasings": len(asked),
            "meant": len({label for label, _ in asked}),
            "groups": len(set(labels)),
            "precision": round(precision, 3),
            "recall": round(recall, 3),
            "f1": round(2 * precision * recall / max(1e-9, precision + recall), 3),
        }


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "knowledge"))
