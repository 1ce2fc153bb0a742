"""The encoder: questions near the passages that answer them, still good for sentences in general."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from assistant.records import UnitKind
from assistant.retrieval.units import passage_units
from training.retrieval import inputs
from training.retrieval.corpus import Business
from training.retrieval.inputs import Inputs
from training.retrieval.model import Body
from training.retrieval.observations import passages_of
from training.retrieval.optim import MixedPrecision, Part, train
from training.retrieval.variants import variant

SCALE = 20.0


def vectors_of_rows(
    model: nn.Module, table: Tensor, rows: Sequence[Sequence[int]], chunk: int = 32
) -> Tensor:
    """Unit vectors of id rows (without special tokens), in order.

    Rows of like length run together; every batch has `chunk` rows, because bf16 kernels are compiled per shape.
    """
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    found = []
    for at in range(0, len(order), chunk):
        some = [inputs.single(rows[i]) for i in order[at : at + chunk]]
        ids, mask, types = inputs.padded(some + some[-1:] * (chunk - len(some)))
        device, kind = table.device, next(model.parameters()).dtype
        counts = torch.from_numpy(mask).to(device)
        hidden = model(
            table[torch.from_numpy(ids).to(device)].to(kind), counts, torch.from_numpy(types).to(device)
        )
        total = (hidden.float() * counts[..., None]).sum(1)
        found.append(nn.functional.normalize(total, dim=-1)[: len(some)])
    back = torch.empty(len(order), dtype=torch.long)
    back[torch.tensor(order)] = torch.arange(len(order))
    return torch.cat(found)[back.to(table.device)]


def encode(model: nn.Module, table: Tensor, rows: Sequence[Sequence[int]]) -> NDArray[np.float32]:
    """Vectors without gradients, for evaluation."""
    with torch.no_grad():
        found: NDArray[np.float32] = vectors_of_rows(model, table, rows, min(32, len(rows))).cpu().numpy()
    return found


def tune(
    body: Body,
    table: Tensor,
    reader: Inputs,
    businesses: Sequence[Business],
    general: Sequence[str],
    checkpoint: Path,
    log: Callable[[str], None],
    steps: int,
    seed: int,
    questions_a_part: int = 48,
    businesses_a_step: int = 2,
    rate: float = 6e-5,
    anchor: float = 2.0,
) -> Body:
    """Contrast each question with all passages of its business, whole and by best sentence.

    `general` texts are held near the vectors that the untuned model gives them (weight `anchor`), so that
    intents and other sentences keep their geometry.
    """
    torch.manual_seed(seed)
    rows_general = [reader.ids(text)[: inputs.QUERY_TOKENS] for text in general]
    fixed = torch.from_numpy(encode(body.bfloat16(), table, rows_general)).to(table.device)
    mixed = MixedPrecision(body.float(), rate, steps, str(table.device))
    asked = [[q for q in business.questions if q.answers] for business in businesses]
    wholes = [[reader.passage(p.title, p.text) for p in business.passages] for business in businesses]
    parts = [piece_rows(reader, business) for business in businesses]

    def part(at: int, rng: random.Random) -> Part:
        business, owner = businesses[at], [i for i, rows in enumerate(parts[at]) for _ in rows]
        questions = rng.sample(asked[at], min(questions_a_part, len(asked[at])))
        queries = [variant(question, business, reader, rng) for question in questions]
        target = torch.zeros(len(questions), len(wholes[at]))
        for row, question in zip(target, questions, strict=True):
            row[list(question.answers)] = 1 / len(question.answers)
        flat = [row for rows in parts[at] for row in rows]
        sample = [rng.randrange(len(rows_general)) for _ in range(32)]
        rows = queries + wholes[at] + flat + [rows_general[i] for i in sample]

        def loss(model: nn.Module) -> Tensor:
            found = vectors_of_rows(model, table, rows)
            sizes = [len(queries), len(wholes[at]), len(flat), len(sample)]
            q, w, p, g = torch.split(found, sizes)
            by_whole = q @ w.T
            by_part = torch.full_like(by_whole, -1.0).scatter_reduce(
                1,
                torch.tensor(owner, device=q.device).expand(len(q), -1),
                q @ p.T,
                "amax",
                include_self=False,
            )
            total: Tensor = anchor * (1 - (g * fixed[sample]).sum(1)).mean()
            for scores in (by_whole, by_part, (by_whole + by_part) / 2):
                total = total - (torch.log_softmax(SCALE * scores, 1) * target.to(q.device)).sum(1).mean() / 3
            return total / businesses_a_step

        return loss

    def parts_of_step(step: int) -> list[Part]:
        rng = random.Random(f"{seed}/{step}")
        return [part(at, rng) for at in rng.sample(range(len(businesses)), businesses_a_step)]

    train(mixed, steps, parts_of_step, checkpoint, log)
    return mixed.master  # type: ignore[return-value]


def piece_rows(reader: Inputs, business: Business) -> list[list[list[int]]]:
    """Rows of the sentences of each passage behind its title, as they are embedded in serving."""
    rows: list[list[list[int]]] = [[] for _ in business.passages]
    for unit in passage_units(passages_of(business)):
        if unit.kind is UnitKind.TITLED:
            rows[unit.passage].append(reader.ids(unit.text)[: inputs.QUERY_TOKENS])
    return rows
