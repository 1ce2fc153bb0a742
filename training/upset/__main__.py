"""Fits assistant/understanding/upset.py: `python -m training.upset --corpus DIR` writes models/upset/en.json.

Upset utterances of the corpus against all its others, with the lines of lines.py. For the figures whole businesses
are held out: five folds, and in each the threshold is chosen by folds of what is left, so that nothing of a business
takes part in what is measured on it. Ends in one JSON line.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import GroupKFold

from assistant.understanding.upset import UpsetReader, features
from benchmarks.signature import signature
from training.upset.lines import CALM, UPSET

FOLDS = 5
PRECISION = (
    0.85  # at least, among the utterances of the corpus; a person is offered only after repeated alarms
)
KEPT = 2000  # weights; the others are near zero
STRENGTH = 30.0  # inverse of the regularisation
WEIGHT = 8  # of an upset utterance, as there are few
OWN = "own lines"


class Data:
    """Utterances, whether they are upset, of which business and kind."""

    def __init__(self, corpus: Path) -> None:
        rows = [
            (path.name.partition(".")[0], example["kind"], example["question"])
            for path in sorted(corpus.glob("*.examples.jsonl"))
            for example in map(json.loads, path.read_text(encoding="utf-8").splitlines())
        ]
        # one line in five of ours goes with each fold, so that they are held out like businesses
        for place, line in enumerate([*UPSET, *CALM]):
            rows.append((f"{OWN} {place % FOLDS}", "upset" if line in UPSET else "calm", line))
        self.group = np.array([row[0] for row in rows])
        self.kind = np.array([row[1] for row in rows])
        self.text = [row[2] for row in rows]
        self.upset = self.kind == "upset"
        self.own = np.char.startswith(self.group, OWN)


def fit(texts: Sequence[str], upset: NDArray[np.bool_]) -> tuple[dict[str, float], float]:
    """Weights by feature, the largest only, and the bias."""
    vectorizer = DictVectorizer()
    matrix = vectorizer.fit_transform([features(text) for text in texts])
    model = LogisticRegression(C=STRENGTH, class_weight={False: 1, True: WEIGHT}, max_iter=5000)
    model.fit(matrix, upset)
    weights = model.coef_[0]
    largest = np.argsort(-np.abs(weights))[:KEPT]
    names = vectorizer.get_feature_names_out()
    kept = {str(names[place]): round(float(weights[place]), 3) for place in sorted(largest)}
    return kept, round(float(model.intercept_[0]), 3)


def held_out(data: Data, rows: NDArray[np.intp]) -> NDArray[np.float64]:
    """Scores of rows, each by a model that has not seen its business."""
    scores = np.zeros(len(rows))
    for seen, unseen in GroupKFold(FOLDS).split(rows, groups=data.group[rows]):
        weights, bias = fit([data.text[row] for row in rows[seen]], data.upset[rows[seen]])
        reader = UpsetReader(weights, bias, 0.0)
        scores[unseen] = [reader.score(data.text[row]) for row in rows[unseen]]
    return scores


def threshold(data: Data, rows: NDArray[np.intp]) -> float:
    """The lowest score at which the precision on the corpus is high enough."""
    scores = held_out(data, rows)
    counted = ~data.own[rows]
    upset, scores = data.upset[rows][counted], scores[counted]
    order = np.argsort(-scores)
    precision = np.cumsum(upset[order]) / np.arange(1, len(order) + 1)
    good = np.flatnonzero(precision >= PRECISION)
    return float(scores[order][good[-1]]) if len(good) else float("inf")


def measure(data: Data) -> dict[str, Any]:
    """Precision and recall on businesses held out, threshold included; false alarms by kind."""
    rows = np.arange(len(data.text))
    scores = np.zeros(len(rows))
    found = np.zeros(len(rows), dtype=bool)
    for seen, unseen in GroupKFold(FOLDS).split(rows, groups=data.group):
        weights, bias = fit([data.text[row] for row in seen], data.upset[seen])
        reader = UpsetReader(weights, bias, threshold(data, seen))
        scores[unseen] = [reader.score(data.text[row]) for row in unseen]
        found[unseen] = [reader.is_upset(data.text[row]) for row in unseen]

    def figures(rows: NDArray[np.bool_]) -> dict[str, float]:
        hits = int((found & data.upset & rows).sum())
        return {
            "utterances": int(rows.sum()),
            "upset": int((data.upset & rows).sum()),
            "precision": round(hits / max(1, int((found & rows).sum())), 3),
            "recall": round(hits / max(1, int((data.upset & rows).sum())), 3),
            "average_precision": round(float(average_precision_score(data.upset[rows], scores[rows])), 3),
        }

    return {
        "corpus": figures(~data.own),
        "own_lines": figures(data.own),
        "false_alarms": {
            str(kind): f"{int((found & (data.kind == kind)).sum())} of {int((data.kind == kind).sum())}"
            for kind in sorted(set(data.kind) - {"upset"})
        },
    }


def main() -> None:
    """Measure, fit on everything, write, and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("models/upset/en.json"))
    arguments = parser.parse_args()
    data = Data(arguments.corpus)
    measured = measure(data)
    weights, bias = fit(data.text, data.upset)
    model = {
        "bias": bias,
        "threshold": round(threshold(data, np.arange(len(data.text))), 3),
        "figures": measured,
        "weights": weights,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(model, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
    print(json.dumps({"training": "upset", **measured, "signature": signature()}))


if __name__ == "__main__":
    main()
