"""The first stage: a network with half its layers learns from the whole one, on open text and on the examples."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

from torch import nn
from transformers import LlamaForCausalLM

from training.composer.encoding import Encoder
from training.composer.finetune import Examples
from training.composer.network import Sample, distillation_sum
from training.composer.opentext import OpenText
from training.composer.parts import parts_of
from training.retrieval.optim import MixedPrecision, Part, train

STEPS = 80
BATCH = 32
RATE = 1e-3
_EXAMPLES_SHARE = 0.35
_EVERY = 3


def run(
    model: LlamaForCausalLM,
    teacher: LlamaForCausalLM,
    encoder: Encoder,
    examples: Examples,
    text: OpenText,
    checkpoint: Path,
    seed: int,
    steps: int,
    log: Callable[[str], None],
) -> nn.Module:
    """Train to `steps`, resuming from `checkpoint`. Returns: the float32 model."""
    mixed = MixedPrecision(model, RATE, steps, str(model.device))
    teacher.to(model.device).bfloat16().requires_grad_(False)  # type: ignore[arg-type]

    def parts(step: int) -> Sequence[Part]:
        rng = random.Random(f"{seed}-distil-{step}")
        samples: list[Sample] = []
        while len(samples) < BATCH:
            if rng.random() < _EXAMPLES_SHARE:
                sample = examples.sample(rng)
                samples.append(Sample(sample.prompt[:1], (*sample.prompt[1:], *sample.reply)))
            else:
                samples.append(text.sample(rng, encoder))
        return parts_of(samples, lambda model, group: distillation_sum(model, teacher, group, _EVERY))

    train(mixed, steps, parts, checkpoint, log, every=10)
    return mixed.master
