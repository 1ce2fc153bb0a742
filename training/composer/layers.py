"""Which layers of the published network to keep."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from transformers import LlamaForCausalLM

from training.composer.network import Sample, loss_sum


@torch.inference_mode()
def choose(
    network: LlamaForCausalLM, samples: Sequence[Sample], count: int, log: Callable[[str], None]
) -> list[int]:
    """Take out, one after another, the layer whose loss is felt least.

    Args:
        network: is given back as it was.
        samples: texts of which the loss is taken.
        count: layers to be kept.

    Returns: positions of the layers kept.
    """
    layers = network.model.layers
    kept = list(range(len(layers)))
    tokens = sum(len(sample.reply) for sample in samples)

    def loss(positions: Sequence[int]) -> float:
        network.model.layers = torch.nn.ModuleList([layers[i] for i in positions])
        network.config.num_hidden_layers = len(positions)
        return float(loss_sum(network, samples)) / tokens

    log(f"layers: {len(kept)}, loss {loss(kept):.3f}")
    while len(kept) > count:
        tried = {gone: loss([i for i in kept if i != gone]) for gone in kept}
        worst = min(tried, key=lambda gone: tried[gone])
        kept.remove(worst)
        log(f"layers: {len(kept)} without {worst}, loss {tried[worst]:.3f}")
    network.model.layers = layers
    network.config.num_hidden_layers = len(layers)
    return kept
