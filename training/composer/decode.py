"""Greedy replies of many prompts at once, to measure a model while it is being trained."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import DynamicCache, LlamaForCausalLM

from training.composer.encoding import LONGEST_REPLY

_LOW = -30000.0


@torch.inference_mode()
def greedy(
    model: LlamaForCausalLM,
    prompts: Sequence[Sequence[int]],
    end: int,
    batch: int = 32,
    most: int = LONGEST_REPLY,
) -> list[list[int]]:
    """Reply ids of each prompt, without the end mark, in the order given."""
    model.eval()
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    replies: list[list[int]] = [[] for _ in prompts]
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        for row, reply in zip(rows, _batch(model, [prompts[i] for i in rows], end, most), strict=True):
            replies[row] = reply
    return replies


def _batch(model: LlamaForCausalLM, prompts: Sequence[Sequence[int]], end: int, most: int) -> list[list[int]]:
    lengths = torch.tensor([len(prompt) for prompt in prompts])
    longest = int(lengths.max())
    ids = torch.zeros(len(prompts), longest, dtype=torch.long)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = torch.tensor(prompt)
    padding = longest - lengths
    place = torch.arange(longest)
    real = place[None, :] >= padding[:, None]
    columns = torch.where(real, 0.0, _LOW).to(model.dtype)
    positions = (place[None, :] - padding[:, None]).clamp(min=0)
    cache = DynamicCache()
    later = torch.full((longest, longest), _LOW, dtype=model.dtype).triu(1)
    mask = torch.minimum(columns[:, None, None, :], later)
    out = model(ids, attention_mask=mask, position_ids=positions, past_key_values=cache, logits_to_keep=1)
    replies: list[list[int]] = [[] for _ in prompts]
    running = [True] * len(prompts)
    for step in range(most):
        chosen = out.logits[:, -1].argmax(-1)
        for row, token in enumerate(chosen.tolist()):
            running[row] = running[row] and token != end
            if running[row]:
                replies[row].append(token)
        if not any(running):
            break
        columns = torch.cat([columns, torch.zeros(len(prompts), 1, dtype=model.dtype)], 1)
        out = model(
            chosen[:, None],
            attention_mask=columns[:, None, None, :],
            position_ids=(lengths + step)[:, None],
            past_key_values=cache,
        )
    return replies
