"""Pre-training on open text."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from torch import nn

from assistant.backends.composer_model import ComposerForCausalLM
from training.composer.encoding import Encoder
from training.composer.network import Sample, loss_sum
from training.composer.opentext import OpenText
from training.retrieval.optim import MixedPrecision, Part, train

STEPS = 400
BATCH = 32
RATE = 6e-4
PART_TOKENS = 4000


def run(
    model: ComposerForCausalLM,
    encoder: Encoder,
    text: OpenText,
    checkpoint: Path,
    seed: int,
    log: Callable[[str], None],
    steps: int = STEPS,
) -> nn.Module:
    """Train to `steps`, resuming from `checkpoint`. Returns: the float32 model."""
    mixed = MixedPrecision(model, RATE, steps, str(model.device))

    def parts(step: int) -> Sequence[Part]:
        rng = random.Random(f"{seed}-{step}")
        return parts_of([text.sample(rng, encoder) for _ in range(BATCH)], smoothing=0.0)

    train(mixed, steps, parts, checkpoint, log)
    return mixed.master


def parts_of(samples: Sequence[Sample], smoothing: float, weight: float = 1.0) -> list[Part]:
    """Samples of like length together, about `PART_TOKENS` a part; the losses add up to `weight` times the mean."""
    total = sum(len(sample.reply) for sample in samples) / weight
    groups: list[list[Sample]] = [[]]
    for sample in sorted(samples, key=len, reverse=True):
        if groups[-1] and len(groups[-1][0]) * (len(groups[-1]) + 1) > PART_TOKENS:
            groups.append([])
        groups[-1].append(sample)
    return [partial(_mean, group, total, smoothing) for group in groups]


def _mean(samples: Sequence[Sample], total: float, smoothing: float, model: nn.Module):  # type: ignore[no-untyped-def]
    return loss_sum(model, samples, smoothing) / total
