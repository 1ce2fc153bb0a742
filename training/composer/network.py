"""The composer's network at the start of training, and its loss.

It begins as the published model with some of its layers and some of its vocabulary: a `LlamaForCausalLM`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from training.composer import tokenizer as tokens

POSITIONS = 1024  # tokens of a prompt and its reply at most
LAYERS = 26
_MARKS = {
    tokens.PAD: "<|endoftext|>", tokens.SOURCE: "<|im_end|>", tokens.CUSTOMER: "<|im_start|>user",
    tokens.ASSISTANT: "<|im_start|>assistant", tokens.END: "<|im_end|>",
}  # fmt: skip


def with_vocabulary(
    network: LlamaForCausalLM, published: Any, tokenizer: PreTrainedTokenizerFast
) -> LlamaForCausalLM:
    """The network with the embeddings of another tokenizer, in place.

    A mark's or a citation's embedding is the mean of those of the tokens it would be written with.

    Args:
        network: with tied embeddings.
        published: its tokenizer.
        tokenizer: what `tokenizer.reduce` made of that.
    """
    old = network.get_input_embeddings().weight.detach()
    ids = published.get_vocab()
    marks = _MARKS | {text: text for text in tokens.CITATIONS}
    rows = []
    for name in tokenizer.convert_ids_to_tokens(list(range(len(tokenizer)))):
        pieces = published.tokenize(marks[name]) if name in marks else [name]
        rows.append(old[[ids[piece] for piece in pieces]].mean(0))
    network.resize_token_embeddings(len(rows), mean_resizing=False)
    with torch.no_grad():
        network.get_input_embeddings().weight.copy_(torch.stack(rows))
    network.tie_weights()
    config = network.config
    config.pad_token_id, config.eos_token_id, config.bos_token_id = (
        tokenizer.pad_token_id, tokenizer.eos_token_id, None,
    )  # fmt: skip
    return network


def with_layers(network: LlamaForCausalLM, kept: Sequence[int]) -> LlamaForCausalLM:
    """The network with only these of its layers, in place."""
    layers = nn.ModuleList([network.model.layers[number] for number in kept])
    for place, layer in enumerate(layers):
        layer.self_attn.layer_idx = place
    network.model.layers = layers
    network.config.num_hidden_layers = len(layers)
    network.config.layer_types = None
    return network


@dataclass(frozen=True, slots=True)
class Sample:
    """Token ids of a prompt and of what follows, which is to be learned."""

    prompt: tuple[int, ...]
    reply: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.prompt) + len(self.reply)


def hidden_states(model: LlamaForCausalLM, samples: Sequence[Sample]) -> tuple[Tensor, Tensor]:
    """States from which the replies' tokens are to be told, and those tokens.

    Returns: (tokens of all replies, width) and their ids, (tokens of all replies,).
    """
    device = model.device
    longest = max(len(sample) for sample in samples)
    ids = torch.zeros(len(samples), longest, dtype=torch.long)
    wanted = torch.zeros(len(samples), longest, dtype=torch.bool)
    for row, sample in enumerate(samples):
        ids[row, : len(sample)] = torch.tensor(sample.prompt + sample.reply)
        wanted[row, len(sample.prompt) - 1 : len(sample) - 1] = True
    # rows are padded on the right, where no token of theirs looks
    states = model.model(input_ids=ids.to(device), use_cache=False).last_hidden_state
    following = torch.roll(ids, -1, dims=1)
    return states[wanted.to(device)], following[wanted].to(device)


def loss_sum(model: nn.Module, samples: Sequence[Sample]) -> Tensor:
    """Cross-entropy summed over the tokens of the replies."""
    assert isinstance(model, LlamaForCausalLM)
    states, wanted = hidden_states(model, samples)
    return F.cross_entropy(model.lm_head(states).float(), wanted, reduction="sum")
