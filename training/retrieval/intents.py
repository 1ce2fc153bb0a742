"""Does the tuned encoder still serve few-shot intents? Ten utterances a class, logistic regression and nearest one.

Uses only the training parts of the intent sets: ten of each class to fit, others of the same part to test.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

from training.retrieval.inputs import Inputs
from training.retrieval.measure import Vectorizer

SETS = ("banking77", "clinc150", "hwu64")


def few_shot(
    folder: Path, reader: Inputs, vectorizer: Vectorizer, shots: int = 10, tests: int = 12, seed: int = 0
) -> dict[str, dict[str, float]]:
    """Accuracy of nearest neighbour and logistic regression with `shots` utterances a class."""
    figures = {}
    for name in SETS:
        rng = random.Random(seed)
        by_class: dict[str, list[str]] = defaultdict(list)
        for line in (folder / f"{name}.train.jsonl").read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            by_class[str(row["intent"])].append(row["text"])
        shown: list[tuple[str, str]] = []
        asked: list[tuple[str, str]] = []
        for label, texts in sorted(by_class.items()):
            drawn = rng.sample(texts, min(len(texts), shots + tests))
            shown += [(text, label) for text in drawn[:shots]]
            asked += [(text, label) for text in drawn[shots:]]
        train, test = (
            vectorizer.vectors([reader.ids(text)[:64] for text, _ in part]) for part in (shown, asked)
        )
        labels, truth = (np.array([label for _, label in part]) for part in (shown, asked))
        model = LogisticRegression(C=20, max_iter=1000).fit(train, labels)
        figures[name] = {
            "nearest": float((labels[np.argmax(test @ train.T, 1)] == truth).mean()),
            "regression": float((model.predict(test) == truth).mean()),
        }
    return figures
