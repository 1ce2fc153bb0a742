"""From data to weights: `python -m training.composer STAGE... --material ../shared`.

Stages, the long ones resumable: `tokenizer` (which tokens of the published model to keep), `layers` (which layers),
`finetune` (the grounded-reply corpus), `export`, `evaluate` (on the validation businesses, or with `--part test` on
those that decided nothing), `card`.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import hashlib
import json
import pickle
import platform
import random
import re
from collections import Counter
from functools import cached_property
from pathlib import Path

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from training.composer import (
    augment,
    card,
    corpus,
    export,
    finetune,
    layers,
    measure,
    nearest,
    network,
    published,
    tokenizer,
)
from training.composer.encoding import Encoder
from training.composer.finetune import Examples
from training.composer.opentext import OpenText
from training.retrieval.corpus import digest, names

HERE = Path(__file__).parent
STAGES = ("tokenizer", "layers", "finetune", "export", "evaluate", "card")
_TEXT_SHARE = 3  # every third open text counts for the tokenizer
_CORPUS_WEIGHT = 10
_LAYERS_SAMPLES = 12


class Run:
    """One training run: where things are, and the log."""

    def __init__(
        self,
        material: Path,
        runs: Path,
        models: Path,
        seed: int,
        steps: int,
        part: str,
        begin: Path | None = None,
    ) -> None:
        self.material, self.runs, self.models = material, runs, models
        self.seed, self.steps, self.part, self.begin = seed, steps, part, begin
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        runs.mkdir(parents=True, exist_ok=True)

    def log(self, text: str) -> None:
        """Print a line and keep it in the run's log."""
        line = f"{datetime.datetime.now():%H:%M:%S} {text}"
        print(line, flush=True)
        with (self.runs / "log.txt").open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def tokenizer(self) -> None:
        """Choose the tokens to keep by what the open text and the training businesses use."""
        texts = [(text, 1) for text in OpenText.read(self.material / "text").texts()[::_TEXT_SHARE]]
        for business in corpus.load_split(self.material / "corpus", "train"):
            texts += [(f" {passage.title}: {passage.text}", _CORPUS_WEIGHT) for passage in business.passages]
            texts += [(f" {t}", _CORPUS_WEIGHT) for e in business.examples for t in (e.question, e.reply)]
        reduced = tokenizer.reduce(published.load_tokenizer(), texts, context=network.POSITIONS)
        reduced.save_pretrained(self.runs / "tokenizer")
        self.log(f"tokenizer: {len(reduced)} tokens")

    def layers(self) -> None:
        """Choose the layers to keep."""
        rng = random.Random(f"{self.seed}-layers")
        samples = [self._examples.sample(rng) for _ in range(_LAYERS_SAMPLES)]
        kept = layers.choose(self._published().bfloat16(), samples, network.LAYERS, self.log)
        (self.runs / "layers.json").write_text(json.dumps(kept))

    def finetune(self) -> None:
        """Fine-tune the network with the layers kept."""
        model = self._begin()
        if self.begin:
            model.load_state_dict(torch.load(self.begin, weights_only=True, mmap=True)["model"])
        model = model.to(self.device)  # type: ignore[arg-type]
        finetune.run(model, self._examples, self.runs / "finetune.pt", self.steps, self.log)

    @cached_property
    def _tokenizer(self) -> PreTrainedTokenizerFast:
        return tokenizer.load(self.runs / "tokenizer")

    @cached_property
    def _encoder(self) -> Encoder:
        return Encoder(self._tokenizer)

    @cached_property
    def _examples(self) -> Examples:
        common = self._common([base.business for base in self._bases])
        return Examples(self._bases, common, self._encoder, self.seed, nearest.Excerpts())

    @cached_property
    def _bases(self) -> list[augment.Base]:
        businesses = corpus.load_split(self.material / "corpus", "train")
        count = sum(len(business.examples) for business in businesses)
        self.log(f"training on {len(businesses)} businesses, {count} examples")
        file = self.runs / f"nearest-{digest([*corpus.OWN.glob('*.jsonl')])[:16]}.pickle"
        if not file.exists():  # takes minutes
            file.write_bytes(pickle.dumps(nearest.bases(businesses)))
        found: list[augment.Base] = pickle.loads(file.read_bytes())
        return found

    def _published(self) -> LlamaForCausalLM:
        """The whole published network, with the vocabulary kept."""
        return network.with_vocabulary(published.load_network(), published.load_tokenizer(), self._tokenizer)

    def _begin(self) -> LlamaForCausalLM:
        kept = json.loads((self.runs / "layers.json").read_text())
        return network.with_layers(self._published(), kept)

    def export(self) -> None:
        """Write the newest checkpoint as a transformers model folder."""
        self.models.mkdir(parents=True, exist_ok=True)
        export.write(self._network("finetune.pt"), self._tokenizer, self.models)
        self.log(f"export: {sum(f.stat().st_size for f in self.models.iterdir())} bytes")

    def evaluate(self) -> None:
        """Figures of the exported model; every reply is written beside the log."""
        bases = nearest.bases(corpus.load_split(self.material / "corpus", self.part))
        model = LlamaForCausalLM.from_pretrained(self.models, dtype=torch.bfloat16)
        items = measure.compose(model, self._tokenizer, bases, self.seed)
        with (self.runs / f"{self.part}.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(dataclasses.asdict(item), ensure_ascii=False) + "\n" for item in items)
        figures = measure.figures(items)
        self.log(f"evaluate: {self.part} {json.dumps(figures)}")
        (self.runs / f"{self.part}.figures.json").write_text(json.dumps(figures))

    def card(self) -> None:
        """Write the model card from the figures of `evaluate`."""
        file = self.models / "model.safetensors"
        parts = [part for part in ("validation", "test") if (self.runs / f"{part}.figures.json").exists()]
        figures = {part: json.loads((self.runs / f"{part}.figures.json").read_text()) for part in parts}
        text = card.card(
            hashlib.sha256(file.read_bytes()).hexdigest(),
            file.stat().st_size,
            export.parameters(file),
            network.LAYERS,
            len(names(corpus.OWN)),
            figures,
            f"Settings: {self.settings}, {self.steps} steps of fine-tuning.",
        )
        (self.models / "README.md").write_text(text, encoding="utf-8")

    @property
    def settings(self) -> str:
        """Seed and hashes of the data, in words."""
        corpus_hash = digest((self.material / "corpus").glob("*.jsonl"))
        return (
            f"seed {self.seed}, corpus {corpus_hash[:16]}, own businesses {digest(corpus.OWN.glob('*.jsonl'))[:16]}, "
            f"open text {digest((self.material / 'text').glob('*.zst'))[:16]}"
        )

    def _network(self, checkpoint: str) -> LlamaForCausalLM:
        model = self._begin()
        state = torch.load(self.runs / checkpoint, weights_only=True, mmap=True)
        self.log(f"{checkpoint}: step {state['step']}")
        model.load_state_dict(state["model"])
        return model

    def _common(self, businesses: list[corpus.Business]) -> frozenset[str]:
        """Words that are no invented names: met in open text, or in lower case in a passage."""
        open_text = Counter(OpenText.read(self.material / "text").words())
        passages = " ".join(p.text for business in businesses for p in business.passages)
        return frozenset(w for w, n in open_text.items() if n > 2) | set(re.findall(r"\b[a-z]{3,}", passages))


def main() -> None:
    """Run the stages named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stages", nargs="+", choices=STAGES)
    parser.add_argument("--material", type=Path, default=Path("../shared"))
    parser.add_argument("--runs", type=Path, default=HERE / "runs" / "main")
    parser.add_argument("--models", type=Path, default=Path("models/composer"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=finetune.STEPS, help="of fine-tuning")
    parser.add_argument("--begin", type=Path, help="checkpoint of another run whose weights to begin with")
    parser.add_argument("--part", choices=("validation", "test"), default="validation")
    chosen = parser.parse_args()
    run = Run(
        chosen.material,
        chosen.runs,
        chosen.models,
        chosen.seed,
        chosen.steps,
        chosen.part,
        chosen.begin,
    )
    run.log(f"{run.settings}, torch {torch.__version__}, {platform.machine()}, {run.device}")
    for stage in chosen.stages:
        getattr(run, stage)()


if __name__ == "__main__":
    main()
