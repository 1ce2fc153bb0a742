"""The tables of the decision notes on retrieval: `python -m training.retrieval.compare TABLE`.

views: what each score finds alone and joined, with the published and the tuned encoder, no cross-encoder.
reading: how many passages the cross-encoder reads, on one set of observations.
calibration: features and emphases of the calibration, each business of the part "calibration" left out in turn.
shift: a base's own shift by its hidden-passage questions, left out in the same way.
noise: mistyped and recognised questions, with and without correction of mistyped words.
speed: processor time of encoder and cross-encoder.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit

from assistant.backends.choice import open_backend
from assistant.backends.onnx_encoder import OnnxEmbedder
from assistant.backends.onnx_reranker import OnnxReranker
from assistant.backends.word_list import common_words
from assistant.evaluation.figures import auroc, expected_calibration_error, reliability
from assistant.evaluation.noise import Noise
from assistant.protocols import Embedder, Reranker
from assistant.retrieval.calibration import FEATURES, Calibration
from assistant.retrieval.search import Fusion, Weights
from training.retrieval import constants, corpus, figures
from training.retrieval.constants import Emphasis, Floats, Sample
from training.retrieval.observations import UNCALIBRATED, Observation, Observatory

HERE = Path(__file__).parent
_PLAIN = ("dense", "sentence", "question", "lexical")


class Bench:
    """Models, constants and observations."""

    def __init__(self, material: Path, models: Path, runs: Path, part: str) -> None:
        self.models, self.runs = models, runs
        self.businesses = corpus.load_split(material / "corpus", part)
        self.embedder = OnnxEmbedder(models)
        self.reranker = OnnxReranker(models)
        stored = json.loads((models / "ranking.json").read_text(encoding="utf-8"))["with_reranker"]
        self.fusion = Fusion.from_json(stored["fusion"])
        self.calibration = Calibration.from_json(stored["calibration"])

    def observe(
        self,
        fusion: Fusion,
        embedder: Embedder | None = None,
        reranker: Reranker | None = None,
        words: Sequence[str] | None = None,
        **options: Any,
    ) -> list[Observation]:
        """Observations of the businesses."""
        known = common_words("en") if words is None else words
        observatory = Observatory(self.runs / "observations", embedder or self.embedder, reranker, known)
        return observatory.observe(self.businesses, fusion, **options)

    def deep(self) -> list[Observation]:
        """Observations that the constants are fitted on."""
        return self.observe(Fusion(self.fusion.first, self.fusion.first), reranker=self.reranker)


def views(bench: Bench) -> None:
    """Scores alone, and joined by weights fitted on the same businesses."""
    encoders = {
        "published": open_backend("builtin", bench.models, 1, "torch-float32"),
        "tuned": bench.embedder,
    }
    for name, embedder in encoders.items():
        seen = bench.observe(Fusion(), embedder=embedder, hide=False)
        for view in _PLAIN:
            _print(name, view, seen, Fusion(Weights(**{view: 1.0})), UNCALIBRATED)
        joined = constants.fit_weights(seen, (10.0, 5.0, 10.0, 4.0, 0.0))
        _print(name, "untrained weights", seen, Fusion(), UNCALIBRATED)
        _print(name, "fitted weights", seen, Fusion(joined, joined), UNCALIBRATED)


def reading(bench: Bench) -> None:
    """Figures by how many passages are read."""
    seen = bench.deep()
    for least, most, coverage in ((3, 10, 0.98), (2, 6, 0.95), (2, 5, 0.95), (2, 4, 0.9), (2, 2, 0.9)):
        fusion = replace(bench.fusion, least=least, most=most, coverage=coverage)
        _print(f"{least} to {most}, {coverage:.0%}", "joined", seen, fusion, bench.calibration)
    alone = replace(bench.fusion, final=Weights(logit=1.0), least=3, most=10, coverage=0.98)
    _print("3 to 10, 98%", "cross-encoder alone", seen, alone, UNCALIBRATED)


def calibration(bench: Bench) -> None:
    """Calibrations, judged on businesses left out."""
    sample = Sample.of(bench.deep(), bench.fusion)
    without = tuple(name for name in FEATURES if name != "words")
    for emphasis in (
        Emphasis(0.0, 1.0, without),
        Emphasis(0.1, 1.0, without),
        Emphasis(0.3, 1.0, without),
        Emphasis(0.1, 1.0),
        Emphasis(0.3, 1.0),
        Emphasis(0.3, 2.0),
        Emphasis(0.3, 3.0),
        Emphasis(0.3, 5.0),
        Emphasis(1.0, 3.0),
    ):
        probability = constants.left_out(sample, emphasis)
        _say({"emphasis": asdict(emphasis), **_reliability(sample, probability)})


def shift(bench: Bench) -> None:
    """Each base shifted by a share of its distance from the usual hidden-passage log-odds."""
    sample = Sample.of(bench.deep(), bench.fusion)
    means = constants.hidden_means(
        bench.businesses, bench.embedder, bench.reranker, bench.fusion, bench.calibration
    )
    usual = float(np.mean(list(means.values())))
    probability = np.clip(constants.left_out(sample), 1e-9, 1 - 1e-9)
    log_odds = np.log(probability / (1 - probability))
    away = np.array([usual - means[name] for name in sample.owner])
    for follow in (0.0, 0.25, 0.5):
        _say({"follow": follow, **_reliability(sample, expit(log_odds + follow * away))})


def noise(bench: Bench) -> None:
    """Clean, mistyped and recognised questions."""
    fusion = Fusion(bench.fusion.first, bench.fusion.first)
    for kind in (None, Noise.TYPOS, Noise.SPEECH):
        for corrected in (False, True):
            options: dict[str, Any] = {"noise": kind} if kind else {}
            seen = bench.observe(
                fusion,
                reranker=bench.reranker,
                words=None if corrected else (),
                hide=not kind and corrected,
                **options,
            )
            name = f"{kind or 'clean'}, {'corrected' if corrected else 'as written'}"
            _print(name, "served", seen, bench.fusion, bench.calibration)


def speed(bench: Bench) -> None:
    """Processor time."""
    _say(figures.speed(bench.businesses, bench.embedder, bench.reranker))


def _reliability(sample: Sample, probability: Floats) -> dict[str, Any]:
    """AUROC and calibration error on the questions as they were asked."""
    real, none = sample.real, sample.kind == "unanswerable"
    bins = reliability(probability[real].tolist(), sample.right[real].tolist())
    hidden = sample.kind == "hidden"
    found = {
        "auroc": auroc(probability[real & ~none].tolist(), probability[none].tolist()),
        "auroc_hidden": auroc(probability[real & ~none].tolist(), probability[hidden].tolist()),
        "ece": expected_calibration_error(bins),
        "predicted": float(probability[real].mean()),
        "observed": float(sample.right[real].mean()),
    }
    return {name: round(value, 4) if value is not None else None for name, value in found.items()}


def _print(
    name: str, what: str, seen: Sequence[Observation], fusion: Fusion, calibration: Calibration
) -> None:
    made = figures.figures_of(seen, fusion, figures.calibrated(calibration))
    _say({"case": name, "what": what, **figures.short(made)})


def _say(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


def main() -> None:
    """Print one JSON line per row of the table asked for."""
    tables: dict[str, Callable[[Bench], None]] = {
        table.__name__: table for table in (views, reading, calibration, shift, noise, speed)
    }
    parser = argparse.ArgumentParser(
        prog="python -m training.retrieval.compare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("table", choices=tables)
    parser.add_argument(
        "--part", default="calibration", help="validation, held, calibration (default) or test"
    )
    parser.add_argument("--material", type=Path, default=HERE.parents[1] / ".." / "shared")
    parser.add_argument("--models", type=Path, default=HERE.parents[1] / "models" / "retrieval")
    parser.add_argument("--runs", type=Path, default=HERE / "runs" / "main")
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    tables[given.table](Bench(given.material, given.models, given.runs, given.part))


if __name__ == "__main__":
    main()
