"""Forward passes of Llama-like models with fewer, larger operators than transformers' own.

A pass over one token is mostly the calling of operators and the reading of weights: products that share their input
are one, queries that share a key are one block, and weights that lie on disk with four bits are read with four.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import LlamaForCausalLM

from assistant.backends.generation.four_bit import FourBitWeights, Product
from assistant.backends.generation.slot_cache import SlotCache


@dataclass(frozen=True, slots=True)
class _Layer:
    """Weights of one layer."""

    before: Tensor
    projections: Product  # queries, keys, values
    output: Product
    between: Tensor
    opened: Product  # gate, up
    down: Product


class LlamaPass:
    """The layers of a Llama. For one thread."""

    def __init__(self, model: LlamaForCausalLM, four_bit: FourBitWeights | None = None) -> None:
        """Take the weights; those of the model become views of what is joined here, so that nothing lies twice.

        Args:
            model: one that `fits`.
            four_bit: what of it has four bits.
        """
        config: Any = model.config
        self._model = model.model
        self._head = model.lm_head.weight
        self._heads, self._kept = config.num_attention_heads, config.num_key_value_heads
        self._width = getattr(config, "head_dim", None) or config.hidden_size // self._heads
        self._eps = config.rms_norm_eps
        self._layers = []
        for number, layer in enumerate(model.model.layers):
            name = f"model.layers.{number}"
            attention, mlp = layer.self_attn, layer.mlp
            read = {f"{name}.self_attn.{part}_proj": getattr(attention, f"{part}_proj") for part in "qkvo"}
            read |= {
                f"{name}.mlp.{part}_proj": getattr(mlp, f"{part}_proj") for part in ("gate", "up", "down")
            }
            q, k, v, o, gate, up, down = read
            self._layers.append(
                _Layer(
                    layer.input_layernorm.weight,
                    _joined({n: read[n] for n in (q, k, v)}, four_bit),
                    _joined({o: read[o]}, four_bit),
                    layer.post_attention_layernorm.weight,
                    _joined({n: read[n] for n in (gate, up)}, four_bit),
                    _joined({down: read[down]}, four_bit),
                )
            )

    @staticmethod
    def fits(model: object) -> bool:
        """Whether a model is of the kind that is reckoned here."""
        if type(model) is not LlamaForCausalLM:
            return False
        config: Any = model.config
        return config.hidden_act == "silu" and not (config.attention_bias or config.mlp_bias)

    def __call__(self, cache: SlotCache, ids: Tensor, mask: Tensor, places: Tensor) -> Tensor:
        """Read tokens.

        Args:
            cache: told which rows the pass is for.
            ids: (rows, tokens); one row, or one token each.
            mask: (rows, 1, tokens, columns), added to the scores.
            places: (rows, tokens), positions.

        Returns: (rows, vocabulary), the logits behind the last token.
        """
        rows, count = ids.shape
        x = self._model.embed_tokens(ids).flatten(0, 1)
        turn = self._model.rotary_emb(x, places)
        cos, sin = (part[:, None] for part in turn)  # (rows, 1, tokens, width)
        for number, layer in enumerate(self._layers):
            projected = layer.projections(self._even(x, layer.before))
            heads = projected.view(rows, count, -1, self._width).transpose(1, 2)
            turned = heads[:, : self._heads + self._kept]
            left, right = turned.chunk(2, dim=-1)
            turned = turned * cos + torch.cat([-right, left], dim=-1) * sin
            queries, keys = turned[:, : self._heads], turned[:, self._heads :]
            keys, values = cache.update(keys, heads[:, self._heads + self._kept :], number)
            mixed = self._attend(queries, keys, values, mask)
            x = x + layer.output(mixed.transpose(1, 2).reshape(rows * count, -1))
            gate, up = layer.opened(self._even(x, layer.between)).chunk(2, dim=-1)
            x = x + layer.down(F.silu(gate) * up)
        last = x.view(rows, count, -1)[:, -1]
        return F.linear(self._even(last, self._model.norm.weight), self._head)

    def _even(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), weight, self._eps)

    def _attend(self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """(rows, heads, tokens, width)."""
        rows, heads, count, width = queries.shape
        if count == 1:  # the queries that share a key look like so many tokens
            shared = queries.reshape(rows, self._kept, heads // self._kept, width)
            found = F.scaled_dot_product_attention(shared, keys, values, attn_mask=mask)
            return found.reshape(rows, heads, 1, width)
        again = heads // self._kept
        keys, values = keys.repeat_interleave(again, 1), values.repeat_interleave(again, 1)
        return F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)


def _joined(layers: dict[str, Any], four_bit: FourBitWeights | None) -> Product:
    """One product for layers that take the same input."""
    weight = torch.cat([layer.weight for layer in layers.values()])
    at = 0
    for layer in layers.values():
        size = len(layer.weight)
        layer.weight = torch.nn.Parameter(weight[at : at + size], requires_grad=False)
        at += size
    if four_bit is None or not all(name in four_bit for name in layers):
        return Product(weight)
    numbers, scales = zip(*(four_bit.read(name) for name in layers), strict=True)
    return Product(weight, (torch.cat(numbers), torch.cat(scales)))
