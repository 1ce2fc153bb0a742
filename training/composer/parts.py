"""Batches as parts that workers share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor, nn

from training.composer.network import Sample
from training.retrieval.optim import Part

PART_TOKENS = 1400


def parts_of(samples: Sequence[Sample], loss: Callable[[nn.Module, Sequence[Sample]], Tensor]) -> list[Part]:
    """Samples of like length together, about `PART_TOKENS` a part; the losses add up to the mean over a token.

    loss: of a model and samples, summed over the tokens of their replies.
    """
    total = sum(len(sample.reply) for sample in samples)
    groups: list[list[Sample]] = [[]]
    for sample in sorted(samples, key=len, reverse=True):
        if groups[-1] and len(groups[-1][0]) * (len(groups[-1]) + 1) > PART_TOKENS:
            groups.append([])
        groups[-1].append(sample)
    return [partial(_mean, loss, group, total) for group in groups]


def _mean(
    loss: Callable[[nn.Module, Sequence[Sample]], Tensor],
    samples: Sequence[Sample],
    total: int,
    model: nn.Module,
) -> Tensor:
    return loss(model, samples) / total
