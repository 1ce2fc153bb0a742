"""Fine-tuning: the grounded-reply corpus, each epoch on another variant of each example."""

from __future__ import annotations

import random
from bisect import bisect
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from torch import nn
from transformers import LlamaForCausalLM

from training.composer import operators
from training.composer.augment import Augmenter, Base, Shorten, without_ids
from training.composer.corpus import OWN, Example
from training.composer.encoding import Encoder
from training.composer.export import stored
from training.composer.network import Sample, loss_sum
from training.composer.parts import parts_of
from training.composer.targets import in_source_words
from training.retrieval.corpus import names
from training.retrieval.optim import MixedPrecision, Part, train

STEPS = 1900
BATCH = 12
_LENGTHS = (8, 10, 12, 14, 16, 18, 20, 24, 30)  # words of a reply: bounds of the classes that are compared
RATE = 2e-4
WHOLE_SHARE = (
    0.85  # of the steps; from there on the network learns to do with the few bits it will be stored with
)


class Examples:
    """Draws variants of the examples of businesses, as samples."""

    def __init__(
        self,
        bases: Sequence[Base],
        common: Collection[str],
        encoder: Encoder,
        seed: int,
        shorten: Shorten | None = None,
    ) -> None:
        every = [
            (base, in_source_words(base, example)) for base in bases for example in base.business.examples
        ]
        self._all = as_long(every, frozenset(names(OWN)), random.Random(f"{seed}-lengths"))
        self._augmenter = Augmenter(bases, common, shorten)
        self._encoder = encoder
        self._seed = seed

    def sample(self, rng: random.Random) -> Sample:
        """A variant of any example."""
        while True:
            base, example = rng.choice(self._all)
            if sample := self._encoder.sample(self._augmenter.draw(base, example, rng)):
                return sample

    def batch(self, step: int) -> list[Sample]:
        """`BATCH` examples, every one once an epoch; one that is too long is left out."""
        epoch, place = divmod(step * BATCH, len(self._all))
        order = list(range(len(self._all)))
        random.Random(f"{self._seed}-order-{epoch}").shuffle(order)
        rng = random.Random(f"{self._seed}-{step}")
        chosen = [self._all[order[number % len(order)]] for number in range(place, place + BATCH)]
        tasks = (self._augmenter.draw(base, example, rng) for base, example in chosen)
        return [sample for task in tasks if (sample := self._encoder.sample(task))]


def as_long(
    every: Sequence[tuple[Base, Example]], own: Collection[str], rng: random.Random
) -> list[tuple[Base, Example]]:
    """Without so many of the short replies of the project's own businesses that these are shorter than the corpus'.

    What is short is learned soon, and a composer of replies too short leaves out what matters.
    """

    def length(example: Example) -> int:
        return bisect(_LENGTHS, len(without_ids(example.reply).split()))

    shares = []
    for written_here in (True, False):
        counts = Counter(length(e) for base, e in every if (base.business.name in own) is written_here)
        shares.append({n: count / counts.total() for n, count in counts.items()})
    here, there = shares
    return [
        (base, example)
        for base, example in every
        if base.business.name not in own
        or rng.random() < there.get(length(example), 0.0) / here[length(example)]
    ]


def run(
    model: LlamaForCausalLM,
    examples: Examples,
    checkpoint: Path,
    steps: int,
    log: Callable[[str], None],
) -> nn.Module:
    """Train to `steps`, resuming from `checkpoint`. Returns: the float32 model."""
    if model.device.type == "cpu":
        operators.quicken(model)
    mixed = MixedPrecision(
        model,
        RATE,
        steps,
        str(model.device),
        rounded=lambda step, name, weight: stored(name, weight) if step >= WHOLE_SHARE * steps else weight,
    )

    def parts(step: int) -> Sequence[Part]:
        return parts_of(examples.batch(step), loss_sum)

    train(mixed, steps, parts, checkpoint, log, every=40)
    return mixed.master
