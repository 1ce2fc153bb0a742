"""Fine-tuning on the grounded-reply corpus, each epoch on another variant of each example, beside open text."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from torch import nn

from assistant.backends.composer_model import ComposerForCausalLM
from training.composer.augment import Augmenter, Base
from training.composer.encoding import Encoder
from training.composer.network import Sample
from training.composer.opentext import OpenText
from training.composer.pretrain import parts_of
from training.retrieval.optim import MixedPrecision, Part, train

STEPS = 4000
BATCH = 32
RATE = 4e-4
DROPOUT = 0.0
SMOOTHING = 0.05
# Open text to be written beside the examples, so that English goes on being learned: tokens a step, and weight.
WRITTEN_TOKENS = 3000
WRITTEN_WEIGHT = 0.5


def run(
    model: ComposerForCausalLM,
    encoder: Encoder,
    bases: Sequence[Base],
    common: Collection[str],
    text: OpenText,
    checkpoint: Path,
    seed: int,
    steps: int,
    log: Callable[[str], None],
) -> nn.Module:
    """Train to `steps`, resuming from `checkpoint`. Returns: the float32 model."""
    mixed = MixedPrecision(model, RATE, steps, str(model.device))
    augmenter = Augmenter(bases, common)
    examples = [(base, example) for base in bases for example in base.business.examples]

    def parts(step: int) -> Sequence[Part]:
        epoch, place = divmod(step * BATCH, len(examples))
        order = list(range(len(examples)))
        random.Random(f"{seed}-order-{epoch}").shuffle(order)
        rng = random.Random(f"{seed}-{step}")
        samples = []
        for number in range(place, place + BATCH):
            base, example = examples[order[number % len(order)]]
            sample = encoder.sample(augmenter.draw(base, example, rng))
            samples += [sample] if sample else []
        written: list[Sample] = []
        while sum(map(len, written)) < WRITTEN_TOKENS:
            written.append(text.writing(rng, encoder))
        return parts_of(samples, SMOOTHING) + parts_of(written, 0.0, WRITTEN_WEIGHT)

    train(mixed, steps, parts, checkpoint, log)
    return mixed.master
