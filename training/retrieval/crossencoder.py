"""The reranker: question and passage read together; one logit per passage, 0 for "no passage answers"."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.retrieval import inputs
from training.retrieval.corpus import Business, Question
from training.retrieval.inputs import Inputs
from training.retrieval.model import Body
from training.retrieval.optim import MixedPrecision, Part, train
from training.retrieval.variants import variant

# How fast the chance of a wrong passage to be shown falls with its rank in the first stage.
HARDNESS = 4.0


class Reranker(nn.Module):
    """The tuned encoder's body, its upper layers reading question and passage together, and a head of three terms.

    The head starts as a similarity: cosine of the two means, and the mean over the question's tokens of the best
    cosine with a token of the passage. So training begins where the encoder stands, not from nothing.
    """

    APART = 4

    def __init__(self, body: Body) -> None:
        super().__init__()
        self.body = body
        self.dense = nn.Linear(body.shape.hidden, body.shape.hidden)
        self.out = nn.Linear(body.shape.hidden, 1)
        self.mix = nn.Parameter(torch.tensor([8.0, 24.0]))
        with torch.no_grad():
            self.out.weight.zero_()
            self.out.bias.fill_(-21.0)
            self.body.types.weight[1] = self.body.types.weight[0]

    def forward(self, embeds: Tensor, mask: Tensor, types: Tensor) -> Tensor:
        """Returns: one logit per row."""
        hidden = self.body(embeds, mask, types, self.APART)
        asked = ((1 - types) * mask).to(hidden.dtype)
        shown = (types * mask).to(hidden.dtype)
        q = nn.functional.normalize((hidden * asked[..., None]).sum(1).float(), dim=-1)
        p = nn.functional.normalize((hidden * shown[..., None]).sum(1).float(), dim=-1)
        unit = nn.functional.normalize(hidden, dim=-1)
        pairs = (unit @ unit.transpose(1, 2)).float() + (shown.float()[:, None, :] - 1) * 100
        best = (pairs.amax(2) * asked.float()).sum(1) / asked.float().sum(1)
        logits: Tensor = self.out(torch.tanh(self.dense(hidden[:, 0])))[:, 0].float()
        mix = self.mix.float()
        return logits + mix[0] * (q * p).sum(1) + mix[1] * best


Row = tuple[list[int], int]


def logits_of_rows(model: nn.Module, table: Tensor, rows: Sequence[Row]) -> Tensor:
    """One logit per (ids, start of second segment) row, all rows in one batch."""
    ids, mask, types = inputs.padded([row for row, _ in rows], [start for _, start in rows])
    device, kind = table.device, next(model.parameters()).dtype
    embeds = table[torch.from_numpy(ids).to(device)].to(kind)
    logits: Tensor = model(embeds, torch.from_numpy(mask).to(device), torch.from_numpy(types).to(device))
    return logits.float()


@dataclass(frozen=True, slots=True)
class Candidates:
    """Rows of one question and the share of the target each takes; the last share is that of "no passage"."""

    rows: list[Row]
    shares: list[float]


def parts_of_groups(
    groups: Sequence[Candidates], table: Tensor, a_part: int = 2, hide: float = 0.0
) -> list[Part]:
    """Split a step into parts of `a_part` groups of like length; all groups have the same size.

    hide: weight of `hidden_loss` beside the listwise loss.
    """
    ordered = sorted(groups, key=lambda g: max(len(ids) for ids, _ in g.rows))

    def part(some: Sequence[Candidates]) -> Part:
        def loss(model: nn.Module) -> Tensor:
            logits = logits_of_rows(model, table, [row for g in some for row in g.rows]).view(len(some), -1)
            targets = torch.tensor([g.shares for g in some], device=logits.device)
            total = listwise_loss(logits, targets)
            if hide:
                total = total + hide * hidden_loss(logits, targets)
            return total * (len(some) / len(groups))

        return loss

    # the longest first, so that the workers end together
    return [part(ordered[at : at + a_part]) for at in range(0, len(ordered), a_part)][::-1]


def listwise_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy of softmax over (candidates, null logit 0) against `targets` of the same width.

    logits: (groups, candidates), -inf where a group has fewer; targets: (groups, candidates + 1), rows sum to 1.
    """
    null = torch.zeros(len(logits), 1, device=logits.device)
    log_shares = torch.log_softmax(torch.cat([logits, null], 1), 1)
    return -(torch.where(targets > 0, log_shares, 0.0) * targets).sum(1).mean()


def hidden_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """The listwise loss of the same groups had their answers not been shown: then no passage answers.

    Costs no further forward pass, because every passage is read alone. Groups without an answer add nothing.
    """
    answers = targets[:, :-1] > 0
    null = torch.zeros(len(logits), 1, device=logits.device)
    left = torch.cat([logits.masked_fill(answers, -torch.inf), null], 1)
    each = -torch.log_softmax(left, 1)[:, -1]
    return (each * answers.any(1)).mean()


def finetune(
    model: Reranker,
    table: Tensor,
    reader: Inputs,
    businesses: Sequence[Business],
    ranks: Mapping[str, Sequence[int]],
    checkpoint: Path,
    log: Callable[[str], None],
    epochs: float,
    seed: int,
    groups_a_step: int = 16,
    size: int = 6,
    rate: float = 1e-4,
    hide: float = 0.3,
) -> Reranker:
    """Learn from customer questions.

    Args:
        ranks: for each question id, positions of all passages of its business as the first stage orders them.
        hide: weight of the same questions asked without their answers among the candidates.
    """
    torch.manual_seed(seed)
    pool = [(b, q) for b in businesses for q in b.questions]
    pool += [(b, q) for b, q in pool if q.kind == "unanswerable"]
    steps = int(epochs * len(pool) / groups_a_step)
    mixed = MixedPrecision(model, rate, steps, str(table.device))
    shown = {b.name: [reader.passage(p.title, p.text) for p in b.passages] for b in businesses}

    def group(business: Business, question: Question, rng: random.Random) -> Candidates:
        answers = list(question.answers)[: size - 2]
        wrong = [i for i in ranks[question.id] if i not in question.answers]
        # sampled without replacement, the likelier the higher the first stage puts them
        keys = [rng.expovariate(1.0) * math.exp(rank / HARDNESS) for rank in range(len(wrong))]
        drawn = [i for _, i in sorted(zip(keys, wrong, strict=True))][: size - len(answers)]
        query = variant(question, business, reader, rng)
        rows = [inputs.pair(query, shown[business.name][i]) for i in answers + drawn]
        each = 1 / max(1, len(answers))
        shares = [each] * len(answers) + [0.0] * len(drawn) + [0.0 if answers else 1.0]
        return Candidates(rows, shares)

    def parts_of_step(step: int) -> list[Part]:
        first = step * groups_a_step
        chosen = []
        for place in range(first, first + groups_a_step):
            epoch, at = divmod(place, len(pool))
            order = random.Random(f"{seed}/{epoch}").sample(range(len(pool)), len(pool))
            chosen.append(pool[order[at]])
        rng = random.Random(f"{seed}/step {step}")
        return parts_of_groups([group(b, q, rng) for b, q in chosen], table, hide=hide)

    train(mixed, steps, parts_of_step, checkpoint, log)
    return mixed.master  # type: ignore[return-value]


def score(model: Reranker, table: Tensor, rows: Sequence[Row], chunk: int = 32) -> NDArray[np.float32]:
    """Logits in order, without gradients; rows of like length run together."""
    order = sorted(range(len(rows)), key=lambda i: len(rows[i][0]))
    logits = np.empty(len(rows), np.float32)
    with torch.no_grad():
        for at in range(0, len(order), chunk):
            some = order[at : at + chunk]
            logits[some] = logits_of_rows(model, table, [rows[i] for i in some]).cpu().numpy()
    return logits
