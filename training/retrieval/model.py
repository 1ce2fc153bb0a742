"""The MiniLM body in plain torch: word embeddings go in, hidden states come out.

The word embedding table is frozen and stays outside (the published package already ships it), so a tuned
body is the only thing that has to be stored. The layout of the state dict is the one of the published
safetensors file without the word embeddings and the pooler.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class BodyShape:
    """Sizes of the transformer, read from the package's config.json."""

    hidden: int
    layers: int
    heads: int
    inner: int
    positions: int
    eps: float


class Layer(nn.Module):
    """One post-norm BERT layer with the three attention projections in one matrix."""

    def __init__(self, shape: BodyShape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.qkv = nn.Linear(shape.hidden, 3 * shape.hidden)
        self.attention_out = nn.Linear(shape.hidden, shape.hidden)
        self.attention_norm = nn.LayerNorm(shape.hidden, eps=shape.eps)
        self.inner = nn.Linear(shape.hidden, shape.inner)
        self.out = nn.Linear(shape.inner, shape.hidden)
        self.norm = nn.LayerNorm(shape.hidden, eps=shape.eps)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """x: (batch, tokens, hidden); bias: (batch, 1, 1, tokens), 0 where a token counts, else very low."""
        batch, tokens, hidden = x.shape
        size = hidden // self.heads
        q, k, v = (
            self.qkv(x).view(batch, tokens, 3, self.heads, size).permute(2, 0, 3, 1, 4).contiguous().unbind(0)
        )
        q = q * size**-0.5
        # Plain matrix products: the fused CPU kernel's backward pass takes half of the whole training step.
        weights = torch.softmax(q @ k.transpose(2, 3) + bias, dim=-1)
        mixed = (weights @ v).transpose(1, 2).reshape(batch, tokens, hidden)
        x = self.attention_norm(x + self.attention_out(mixed))
        y: Tensor = self.norm(x + self.out(F.gelu(self.inner(x))))
        return y


class Body(nn.Module):
    """Position and type embeddings, layer norm and the transformer layers."""

    def __init__(self, shape: BodyShape) -> None:
        super().__init__()
        self.shape = shape
        self.positions = nn.Embedding(shape.positions, shape.hidden)
        self.types = nn.Embedding(2, shape.hidden)
        self.norm = nn.LayerNorm(shape.hidden, eps=shape.eps)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))

    def forward(self, embeds: Tensor, mask: Tensor, types: Tensor, apart: int = 0) -> Tensor:
        """Hidden states of the last layer.

        Args:
            embeds: (batch, tokens, hidden) word embeddings.
            mask: (batch, tokens) of 0/1.
            types: (batch, tokens) of 0/1, the segment of each token.
            apart: in this many layers from below a segment sees only itself; if any, the positions of the second
                segment begin at 1, as if it stood alone behind a first token.
        """
        places = torch.arange(embeds.shape[1], device=embeds.device).expand(len(embeds), -1)
        if apart:
            first = ((1 - types) * mask.long()).sum(1, keepdim=True)
            places = places - types * (first - 1)
        x: Tensor = self.norm(embeds + self.positions(places) + self.types(types))
        bias = (1.0 - mask.to(x.dtype))[:, None, None, :] * -30000.0
        own = (
            (types[:, :, None] != types[:, None, :]).to(x.dtype)[:, None] * -30000.0 + bias if apart else bias
        )
        for i, layer in enumerate(self.layers):
            x = layer(x, own if i < apart else bias)
        return x


def load_body(package_model: Path) -> tuple[Body, Tensor]:
    """Read the published weights.

    Returns: the body and the word embedding table (vocabulary, hidden) as float32.
    """
    config = json.loads((package_model / "config.json").read_text())
    shape = BodyShape(
        hidden=config["hidden_size"],
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        inner=config["intermediate_size"],
        positions=config["max_position_embeddings"],
        eps=config["layer_norm_eps"],
    )
    raw = {k.removeprefix("bert."): v for k, v in load_file(package_model / "model.safetensors").items()}
    state = {
        "positions.weight": raw["embeddings.position_embeddings.weight"],
        "types.weight": raw["embeddings.token_type_embeddings.weight"],
        "norm.weight": raw["embeddings.LayerNorm.weight"],
        "norm.bias": raw["embeddings.LayerNorm.bias"],
    }
    for i in range(shape.layers):
        old, new = f"encoder.layer.{i}.", f"layers.{i}."
        for part in ("weight", "bias"):
            state[f"{new}qkv.{part}"] = torch.cat(
                [raw[f"{old}attention.self.{name}.{part}"] for name in ("query", "key", "value")]
            )
            state[f"{new}attention_out.{part}"] = raw[f"{old}attention.output.dense.{part}"]
            state[f"{new}attention_norm.{part}"] = raw[f"{old}attention.output.LayerNorm.{part}"]
            state[f"{new}inner.{part}"] = raw[f"{old}intermediate.dense.{part}"]
            state[f"{new}out.{part}"] = raw[f"{old}output.dense.{part}"]
            state[f"{new}norm.{part}"] = raw[f"{old}output.LayerNorm.{part}"]
    body = Body(shape)
    body.load_state_dict(state)
    return body, raw["embeddings.word_embeddings.weight"].float()
