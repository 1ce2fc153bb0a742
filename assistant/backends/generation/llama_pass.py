"""Forward passes of Llama-like models with fewer, quicker operators than transformers' own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import LlamaForCausalLM

from assistant.backends.generation.four_bit import FourBitWeights
from assistant.backends.generation.products import GatedProduct, Packed, Product, joined
from assistant.backends.generation.slot_cache import SlotCache

_STEP = 8  # tokens of a row; more are a prompt


@dataclass(frozen=True, slots=True)
class _Layer:
    before: Tensor
    projections: Product  # queries, keys, values
    output: Product
    between: Tensor
    opened: GatedProduct
    down: Product


class LlamaPass:
    """The layers of a Llama. For one thread."""

    def __init__(self, model: LlamaForCausalLM, four_bit: FourBitWeights | None = None) -> None:
        """Take over the weights, in another order; the model itself cannot be used any more.

        Args:
            model: one that `fits`.
            four_bit: what of it has four bits.
        """
        config: Any = model.config
        body: Any = model.model
        self._embedded, self._turn = body.embed_tokens, body.rotary_emb
        self._last, self._head = body.norm.weight, Product(model.lm_head.weight)
        self._heads, self._kept = config.num_attention_heads, config.num_key_value_heads
        self._width = getattr(config, "head_dim", None) or config.hidden_size // self._heads
        self._eps = config.rms_norm_eps
        self._layers = []
        for number, layer in enumerate(body.layers):
            take = _Weights(layer, f"model.layers.{number}", four_bit)
            q, k, v = (f"self_attn.{part}_proj" for part in "qkv")
            gate, up, down = (f"mlp.{part}_proj" for part in ("gate", "up", "down"))
            packed = take.packed(q, k, v)
            opened = GatedProduct(take.whole(gate), take.whole(up), take.packed(gate, up))
            self._layers.append(
                _Layer(
                    layer.input_layernorm.weight,
                    Product(
                        torch.cat([take.whole(q), take.whole(k), take.whole(v)]),
                        joined(packed) if packed else None,
                    ),
                    take.product("self_attn.o_proj"),
                    layer.post_attention_layernorm.weight,
                    opened,
                    take.product(down),
                )
            )
            body.layers[number] = torch.nn.Identity()

    @staticmethod
    def fits(model: object) -> bool:
        """Whether a model is of the kind that is reckoned here."""
        if type(model) is not LlamaForCausalLM:
            return False
        config: Any = model.config
        return config.hidden_act == "silu" and not (config.attention_bias or config.mlp_bias)

    def __call__(self, cache: SlotCache, ids: Tensor, mask: Tensor, places: Tensor, wanted: int) -> Tensor:
        """Read tokens.

        Args:
            cache: told which rows the pass is for.
            ids: (rows, tokens).
            mask: (rows, 1, tokens, columns), added to the scores.
            places: (rows, tokens), positions.
            wanted: how many of the last tokens.

        Returns: (rows, wanted, vocabulary), the logits behind them.
        """
        rows, count = ids.shape
        x = self._embedded(ids).flatten(0, 1)
        cos, sin = (part[:, None] for part in self._turn(x, places))  # (rows, 1, tokens, width)
        for number, layer in enumerate(self._layers):
            projected = layer.projections(self._even(x, layer.before))
            heads = projected.view(rows, count, -1, self._width).transpose(1, 2)
            turned = heads[:, : self._heads + self._kept]
            left, right = turned.chunk(2, dim=-1)
            turned = turned * cos + torch.cat([-right, left], dim=-1) * sin
            queries, keys = turned[:, : self._heads], turned[:, self._heads :]
            keys, values = cache.update(keys, heads[:, self._heads + self._kept :], number)
            mixed = self._attend(queries, keys, values, mask)
            x = layer.output(mixed.transpose(1, 2).reshape(rows * count, -1), x)
            x = layer.down(layer.opened(self._even(x, layer.between)), x)
        last = x.view(rows, count, -1)[:, -wanted:].flatten(0, 1)
        return self._head(self._even(last, self._last)).view(rows, wanted, -1)

    def _even(self, x: Tensor, weight: Tensor) -> Tensor:
        """Divided by the root mean square, times a weight."""
        square = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32).square_()
        inverse = square.div_(x.shape[-1]).add_(self._eps).rsqrt_()
        even: Tensor = x * inverse.to(x.dtype) * weight
        return even

    def _attend(self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """(rows, heads, tokens, width)."""
        rows, heads, count, width = queries.shape
        again = heads // self._kept
        if count <= _STEP:  # the queries that share a key look like so many tokens more
            shared = queries.reshape(rows, self._kept, again * count, width)
            found = F.scaled_dot_product_attention(
                shared, keys, values, attn_mask=mask.repeat(1, 1, again, 1)
            )
            return found.reshape(rows, heads, count, width)
        keys, values = keys.repeat_interleave(again, 1), values.repeat_interleave(again, 1)
        return F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)


class _Weights:
    """The matrices of one layer, whole and with four bits."""

    def __init__(self, layer: Any, name: str, four_bit: FourBitWeights | None) -> None:
        self._layer, self._name, self._four_bit = layer, name, four_bit

    def whole(self, part: str) -> Tensor:
        weight: Tensor = self._layer.get_submodule(part).weight
        return weight

    def packed(self, *parts: str) -> list[Packed] | None:
        names = [f"{self._name}.{part}" for part in parts]
        if self._four_bit is None or not all(name in self._four_bit for name in names):
            return None
        return [self._four_bit.read(name) for name in names]

    def product(self, part: str) -> Product:
        packed = self.packed(part)
        return Product(self.whole(part), joined(packed) if packed else None)
