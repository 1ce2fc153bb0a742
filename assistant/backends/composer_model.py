"""The composer's architecture: a BERT that reads the prompt both ways, writes forward, and may copy what it read.

Importing this module makes `AutoModelForCausalLM.from_pretrained` know it; a copy of the module travels with the
weights for those who load them elsewhere (`trust_remote_code=True`).

- Tokens of the first pass see each other, later ones what was before (a prefix language model; Dong et al. 2019).
- The probability of a token is a mixture of the vocabulary's softmax and of copying any token seen so far
  (See et al. 2017). The copying attention keeps its keys, and the tokens themselves as values, as one more layer of
  the cache, so whatever handles a cache of keys and values handles this one.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, BertConfig, BertLMHeadModel, DynamicCache
from transformers.modeling_outputs import CausalLMOutputWithCrossAttentions

_RADIX = 128  # token ids are kept as two digits of this base, which bfloat16 holds exactly


class ComposerConfig(BertConfig):  # type: ignore[no-untyped-call]
    """A BERT's sizes and the width of the copying attention."""

    model_type = "assistant_composer"

    def __init__(self, copy_size: int = 128, **kwargs: Any) -> None:
        self.copy_size = copy_size
        self.prefix_lm = True
        self.marked_sentences = True  # sentences that bear on the question have a star before them
        kwargs.setdefault("is_decoder", True)
        super().__init__(**kwargs)

    @property
    def cache_layers(self) -> int:
        """Layers of a cache: the transformer's and the copying attention's."""
        return int(self.num_hidden_layers) + 1


class ComposerForCausalLM(BertLMHeadModel):  # type: ignore[no-untyped-call]
    """Returns log-probabilities as `logits`."""

    config_class = ComposerConfig

    def __init__(self, config: ComposerConfig) -> None:
        super().__init__(config)
        self.copy_query = nn.Linear(config.hidden_size, config.copy_size)
        self.copy_key = nn.Linear(config.hidden_size, config.copy_size)
        self.copy_gate = nn.Linear(config.hidden_size, 1)
        self.copy_match = nn.Parameter(torch.tensor([2.0]))
        self.post_init()  # type: ignore[no-untyped-call]

    def copying(
        self, hidden: Tensor, current: Tensor, keys: Tensor, seen: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Where the next token may be copied from.

        A place is likelier if the token before it is the one just written.

        Args:
            hidden: (batch, steps, width), states of the tokens that look.
            current: (batch, steps), ids of the tokens that look.
            keys: (batch, places, copy_size), of what may be copied.
            seen: (batch, places), its ids.
            mask: broadcast to (batch, steps, places): 0 where a place may be looked at, else very low.

        Returns: probability of copying at all, (batch, steps, 1), and of each place, (batch, steps, places).
        """
        scores = self.copy_query(hidden) @ keys.transpose(1, 2) / math.sqrt(keys.shape[2])
        before = torch.cat([torch.full_like(seen[:, :1], -1), seen[:, :-1]], dim=1)
        scores = (
            scores.float() + self.copy_match.float() * (before[:, None] == current[:, :, None]) + mask.float()
        )
        return torch.sigmoid(self.copy_gate(hidden).float()), torch.softmax(scores, dim=-1)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        logits_to_keep: int = 0,
        **_: Any,
    ) -> CausalLMOutputWithCrossAttentions:
        """Read tokens.

        Args:
            input_ids: (batch, tokens).
            attention_mask: None, or (batch, places) of 0/1, or an additive mask (batch or 1, 1, tokens, places).
                Without the last kind a pass on an empty cache, or on none, reads its tokens as a prompt.
            position_ids: (batch, tokens); counted from the mask if absent.
            past_key_values: a cache of `config.cache_layers` layers.
            use_cache: make a cache if none is given.
            logits_to_keep: so many last tokens get logits; 0 means all.

        Returns: `logits` of shape (batch, kept, vocabulary), the logarithms of probabilities, and the cache.
        """
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache()
        before = past_key_values.get_seq_length() if past_key_values is not None else 0
        mask = self._additive(attention_mask, input_ids, before)
        if position_ids is None:
            position_ids = self._positions(attention_mask, input_ids, before)
        hidden = self.bert(
            input_ids,
            attention_mask=mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            use_cache=past_key_values is not None,
        ).last_hidden_state
        keys = self.copy_key(hidden)[:, None]
        values = torch.stack([input_ids // _RADIX, input_ids % _RADIX], dim=-1)[:, None].to(keys.dtype)
        if past_key_values is not None:
            keys, values = past_key_values.update(keys, values, self.config.num_hidden_layers)
        digits = values[:, 0].long()
        seen = digits[..., 0] * _RADIX + digits[..., 1]
        kept = slice(-logits_to_keep, None) if logits_to_keep else slice(None)
        hidden, current = hidden[:, kept], input_ids[:, kept]
        gate, places = self.copying(hidden, current, keys[:, 0], seen, mask[:, 0, kept])
        chances = torch.softmax(self.cls(hidden).float(), dim=-1) * (1 - gate)
        chances.scatter_add_(2, seen[:, None].expand(places.shape), gate * places)
        return CausalLMOutputWithCrossAttentions(
            logits=torch.log(chances + 1e-10), past_key_values=past_key_values
        )

    def _additive(self, mask: Tensor | None, ids: Tensor, before: int) -> Tensor:
        if mask is not None and mask.dim() == 4:
            return mask
        rows, tokens = ids.shape
        if mask is None:
            mask = ids.new_ones(rows, before + tokens)
        low = torch.finfo(self.dtype).min
        columns = torch.where(mask.bool(), 0.0, low)[:, None, None].expand(rows, 1, tokens, -1)
        if before and tokens > 1:
            places = torch.arange(before + tokens, device=ids.device)
            later = places[None, :] > places[before:, None]
            columns = columns.masked_fill(later, low)
        return columns.to(self.dtype)

    @staticmethod
    def _positions(mask: Tensor | None, ids: Tensor, before: int) -> Tensor:
        if mask is not None and mask.dim() == 2:
            return (mask.long().cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        return torch.arange(before, before + ids.shape[1], device=ids.device)[None].expand(len(ids), -1)


AutoConfig.register(ComposerConfig.model_type, ComposerConfig)
AutoModelForCausalLM.register(ComposerConfig, ComposerForCausalLM)
