"""The reranker that is served: which sentences of the passages shown answer the question."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from assistant.backends.onnx_reranker import sentence_row
from training.composer.augment import Base, used, without_ids
from training.composer.corpus import ANSWERED, Example
from training.composer.labels import gold
from training.retrieval import inputs
from training.retrieval.crossencoder import Reranker, listwise_loss
from training.retrieval.inputs import Inputs
from training.retrieval.noise import augment as misspelt
from training.retrieval.optim import MixedPrecision, Part, train

EPOCHS = 1.0
GROUPS = 16  # questions a step
RATE = 1.2e-4
_HARDNESS = 4.0


class SentenceReranker(nn.Module):
    """Body and head of the reranker of passages, the head applied to each sentence instead of to the whole passage."""

    def __init__(self, reranker: Reranker) -> None:
        super().__init__()
        self.body = reranker.body
        self.mix = reranker.mix
        self.dense = reranker.dense
        self.out = nn.Linear(reranker.out.in_features, 1)
        with torch.no_grad():
            self.out.weight.zero_()
            self.out.bias.copy_(reranker.out.bias)

    def forward(self, embeds: Tensor, mask: Tensor, types: Tensor, pieces: Tensor) -> Tensor:
        """One logit per sentence.

        Args:
            embeds, mask, types: see `Reranker`.
            pieces: (batch, tokens), number of the sentence a token belongs to, from 1; 0 for none.

        Returns: (batch, most sentences of a row), -inf where a row has fewer.
        """
        hidden = self.body(embeds, mask, types, Reranker.APART)
        count = int(pieces.max())
        asked = ((1 - types) * mask).to(hidden.dtype)
        member = pieces[:, None, :] == torch.arange(1, count + 1, device=pieces.device)[None, :, None]
        q = nn.functional.normalize((hidden * asked[..., None]).sum(1).float(), dim=-1)
        total = member.to(hidden.dtype) @ hidden
        s = nn.functional.normalize(total.float(), dim=-1)
        unit = nn.functional.normalize(hidden, dim=-1)
        reach = int(asked.sum(1).max())
        pairs = (unit[:, :reach] @ unit.transpose(1, 2)).float()
        near = torch.where(member[:, :, None, :], pairs[:, None], -1.0).amax(3)
        best = (near * asked[:, None, :reach].float()).sum(2) / asked.float().sum(1, keepdim=True)
        mean = total / member.sum(2, keepdim=True).clamp(min=1).to(total.dtype)
        said: Tensor = self.out(torch.tanh(self.dense(mean)))[..., 0].float()
        mix = self.mix.float()
        logits = said + mix[0] * (s @ q[..., None])[..., 0] + mix[1] * best
        return logits.masked_fill(~member.any(2), -torch.inf)


@dataclass(frozen=True, slots=True)
class Row:
    """A question with one passage: ids, start of the second segment, sentence of each token, gold sentences."""

    ids: list[int]
    second: int
    pieces: list[int]
    gold: frozenset[int]


def row(
    reader: Inputs,
    query: Sequence[int],
    title: str,
    pieces: Sequence[str],
    wanted: frozenset[int] = frozenset(),
) -> Row:
    """The input for one passage, as in serving."""
    made, numbers = sentence_row(query, reader.ids(f"{title}."), [reader.ids(piece) for piece in pieces])
    return Row(list(made.ids), made.second, numbers, wanted)


def logits_of(model: nn.Module, table: Tensor, rows: Sequence[Row]) -> Tensor:
    """(rows, most sentences)."""
    ids, mask, types = inputs.padded([r.ids for r in rows], [r.second for r in rows])
    pieces = np.zeros_like(ids)
    for place, r in enumerate(rows):
        pieces[place, : len(r.pieces)] = r.pieces
    kind = next(model.parameters()).dtype
    found: Tensor = model(
        table[torch.from_numpy(ids)].to(kind),
        torch.from_numpy(mask),
        torch.from_numpy(types),
        torch.from_numpy(pieces),
    )
    return found


def tune(
    model: SentenceReranker,
    table: Tensor,
    reader: Inputs,
    bases: Sequence[Base],
    checkpoint: Path,
    seed: int,
    log: Callable[[str], None],
) -> SentenceReranker:
    """Learn from the examples of the businesses; two or three passages each."""
    pool = [
        (base, example, gold(base, example) if example.kind in ANSWERED else {})
        for base in bases
        for example in base.business.examples
        if example.kind in (*ANSWERED, "unanswerable")
    ]
    pool = [entry for entry in pool if entry[2] or entry[1].kind == "unanswerable"]
    steps = int(EPOCHS * len(pool) / GROUPS)
    log(f"{len(pool)} questions, {steps} steps")
    mixed = MixedPrecision(model, RATE, steps, "cpu")

    def group(
        base: Base, example: Example, wanted: dict[str, frozenset[int]], rng: random.Random
    ) -> list[Row]:
        known = {p.id: p for p in base.business.passages}
        shown = [known[id_] for id_ in wanted]
        others = [base.business.passages[i] for i in base.near[example.id]]
        others = [p for p in others if p not in shown and p.id not in used(example)]
        keys = [rng.expovariate(1.0) * math.exp(rank / _HARDNESS) for rank in range(len(others))]
        order = sorted(range(len(others)), key=lambda i: keys[i])
        shown += [others[i] for i in order[: max(1, rng.choice((2, 3)) - len(shown))]]
        history = [(role, without_ids(text)) for role, text in example.history]
        query = reader.query(misspelt(example.question, rng), history)
        empty: frozenset[int] = frozenset()
        return [row(reader, query, p.title, base.pieces[p.id], wanted.get(p.id, empty)) for p in shown]

    def part(groups: Sequence[list[Row]]) -> Part:
        def loss(model: nn.Module) -> Tensor:
            found = logits_of(model, table, [r for g in groups for r in g])
            total = torch.zeros(())
            at = 0
            for g in groups:
                logits = found[at : at + len(g)].reshape(1, -1)
                marks = torch.zeros(len(g), found.shape[1])
                for i, r in enumerate(g):
                    for place in r.gold & {number - 1 for number in r.pieces}:  # those not cut off
                        marks[i, place] = 1
                nothing = torch.tensor([[0.0 if marks.any() else 1.0]])
                shares = marks.reshape(1, -1) / marks.sum().clamp(min=1)
                total = total + listwise_loss(logits, torch.cat([shares, nothing], 1))
                at += len(g)
            return total / GROUPS

        return loss

    def parts(step: int) -> list[Part]:
        rng = random.Random(f"{seed}/sentences {step}")
        chosen = []
        for place in range(step * GROUPS, (step + 1) * GROUPS):
            epoch, at = divmod(place, len(pool))
            order = random.Random(f"{seed}/{epoch}").sample(range(len(pool)), len(pool))
            chosen.append(pool[order[at]])
        groups = sorted((group(*entry, rng) for entry in chosen), key=lambda g: max(len(r.ids) for r in g))
        return [part(groups[at : at + 4]) for at in range(0, len(groups), 4)][::-1]

    train(mixed, steps, parts, checkpoint, log)
    return mixed.master  # type: ignore[return-value]
