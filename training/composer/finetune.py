"""The second stage: the grounded-reply corpus, each epoch on another variant of each example."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from torch import nn
from transformers import LlamaForCausalLM

from training.composer.augment import Augmenter, Base, Hint
from training.composer.encoding import Encoder
from training.composer.network import Sample, loss_sum
from training.composer.parts import parts_of
from training.retrieval.optim import MixedPrecision, Part, train

STEPS = 2500
BATCH = 24
RATE = 5e-4
# So many of the steps show hardly more sources than are needed: twice as many examples are seen in the same time, and
# to choose among sources is learned when there is something to choose.
ALONE_SHARE = 0.6


class Examples:
    """Draws variants of the examples of businesses, as samples."""

    def __init__(
        self,
        bases: Sequence[Base],
        common: Collection[str],
        encoder: Encoder,
        seed: int,
        hint: Hint | None = None,
    ) -> None:
        self._all = [(base, example) for base in bases for example in base.business.examples]
        self._augmenter = Augmenter(bases, common, hint)
        self._encoder = encoder
        self._seed = seed

    def sample(self, rng: random.Random) -> Sample:
        """A variant of any example."""
        while True:
            base, example = rng.choice(self._all)
            if sample := self._encoder.sample(self._augmenter.draw(base, example, rng)):
                return sample

    def batch(self, step: int, alone: bool) -> list[Sample]:
        """`BATCH` examples, every one once an epoch; one that is too long is left out."""
        epoch, place = divmod(step * BATCH, len(self._all))
        order = list(range(len(self._all)))
        random.Random(f"{self._seed}-order-{epoch}").shuffle(order)
        rng = random.Random(f"{self._seed}-{step}")
        chosen = [self._all[order[number % len(order)]] for number in range(place, place + BATCH)]
        tasks = (self._augmenter.draw(base, example, rng, alone) for base, example in chosen)
        return [sample for task in tasks if (sample := self._encoder.sample(task))]


def run(
    model: LlamaForCausalLM,
    examples: Examples,
    checkpoint: Path,
    steps: int,
    log: Callable[[str], None],
) -> nn.Module:
    """Train to `steps`, resuming from `checkpoint`. Returns: the float32 model."""
    mixed = MixedPrecision(model, RATE, steps, str(model.device))

    def parts(step: int) -> Sequence[Part]:
        return parts_of(examples.batch(step, alone=step < steps * ALONE_SHARE), loss_sum)

    train(mixed, steps, parts, checkpoint, log, every=20)
    return mixed.master
