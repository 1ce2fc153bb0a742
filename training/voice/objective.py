"""Lattice-free maximum mutual information: what was said against everything that could have been said.

Both are full sums over alignments, of the transcript with all its pronunciations and optional silence, and of a
phone bigram; the gradient is the difference of how often each pdf is passed (Povey et al. 2016).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd import Function

from training.voice.units import CLASS_COUNT, CLASS_OF, FIRST_PDFS, UNIT_COUNT, first_pdf

Pronunciations = Mapping[str, Sequence[tuple[int, ...]]]

_NEVER = -1e4
_START = -1  # what comes before the first sound


@dataclass(frozen=True, slots=True)
class Transcript:
    """An utterance as a graph: nodes in order, each a unit with the nodes that may come before it.

    `before` holds -1 where a node may be the first. `last` are the nodes that may end it.
    """

    units: tuple[int, ...]
    before: tuple[tuple[int, ...], ...]
    last: tuple[int, ...]


def fewest_frames(words: Sequence[str], pronunciations: Pronunciations) -> int:
    """How short an utterance can be: a frame for each phone."""
    return max(1, sum(min(map(len, pronunciations[word])) for word in words))


def transcript(words: Sequence[str], pronunciations: Pronunciations) -> Transcript:
    """The graph of some words: every pronunciation of each, and silence where there may be a pause.

    Raises: KeyError: a word has no pronunciation.
    """
    unit_of: list[int] = []
    before: list[tuple[int, ...]] = []

    def add(unit: int, nodes: tuple[int, ...]) -> int:
        unit_of.append(unit)
        before.append(nodes)
        return len(unit_of) - 1

    ends: tuple[int, ...] = (_START,)
    for word in words:
        entered = (*ends, add(0, ends))
        found = []
        for variant in pronunciations[word]:
            node, nodes = _START, entered
            for unit in variant:
                node = add(unit, nodes)
                nodes = (node,)
            found.append(node)
        ends = tuple(found)
    silence = add(0, ends)
    last = (silence,) if ends == (_START,) else (*ends, silence)
    return Transcript(tuple(unit_of), tuple(before), last)


@dataclass(frozen=True, slots=True)
class Transcripts:
    """Transcripts as tensors: (batch, nodes[, ways in]); unused ways in point at the node count."""

    units: Tensor
    nodes: Tensor
    pdfs: Tensor
    first: Tensor
    last: Tensor

    def to(self, device: str) -> Transcripts:
        """On another device."""
        moved = (self.units, self.nodes, self.pdfs, self.first, self.last)
        return Transcripts(*(tensor.to(device, non_blocking=True) for tensor in moved))


def batched(given: Sequence[Transcript]) -> Transcripts:
    """Pad transcripts to the same size."""
    count = max(len(one.units) for one in given)
    ways = max(len(nodes) for one in given for nodes in one.before)
    units = np.zeros((len(given), count), np.int64)
    nodes = np.full((len(given), count, ways), count, np.int64)
    pdfs = np.zeros((len(given), count, ways), np.int64)
    first = np.full((len(given), count), _NEVER, np.float32)
    last = np.full((len(given), count), _NEVER, np.float32)
    for row, one in enumerate(given):
        units[row, : len(one.units)] = one.units
        last[row, list(one.last)] = 0
        for place, (unit, entered) in enumerate(zip(one.units, one.before, strict=True)):
            inner = [node for node in entered if node != _START]
            if len(inner) < len(entered):
                first[row, place] = 0
            for way, node in enumerate(inner):
                nodes[row, place, way] = node
                pdfs[row, place, way] = first_pdf(CLASS_OF[one.units[node]], unit)
    return Transcripts(*(torch.from_numpy(array) for array in (units, nodes, pdfs, first, last)))


def numerator(scores: Tensor, lengths: Tensor, said: Transcripts) -> Tensor:
    """Log of the summed scores of all alignments of each transcript: (batch,).

    Args: scores: (batch, frames, pdfs); lengths: frames of each.
    """
    total: Tensor = _Numerator.apply(scores, lengths, said)  # type: ignore[no-untyped-call]
    return total


class _Numerator(Function):
    """Forward in logs; backward sends the share of each node at each frame back along the ways in."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, lengths: Tensor, said: Transcripts) -> Tensor:
        batch, frames, _ = scores.shape
        count, ways = said.nodes.shape[1:]
        later = (said.units + FIRST_PDFS)[:, None].expand(batch, frames, count)
        staying = scores.gather(2, later)
        entering = scores.gather(2, said.pdfs.flatten(1)[:, None].expand(batch, frames, count * ways))
        entering = entering.view(batch, frames, count, ways)
        begun = scores[:, 0].gather(1, said.units)  # after silence: class 0
        alpha = scores.new_full((frames, batch, count + 1), _NEVER)
        alpha[0, :, :count] = begun + said.first
        ways_in = said.nodes.flatten(1)
        running = torch.arange(frames, device=scores.device)[:, None] < lengths
        for t in range(1, frames):
            came = alpha[t - 1].gather(1, ways_in).view(batch, count, ways) + entering[:, t]
            stayed = alpha[t - 1, :, :count] + staying[:, t]
            new = torch.logsumexp(torch.cat([stayed[..., None], came], -1), -1)
            alpha[t, :, :count] = torch.where(running[t][:, None], new, alpha[t - 1, :, :count])
        ends = alpha[-1, :, :count] + said.last
        total = torch.logsumexp(ends, 1)
        ctx.save_for_backward(staying, entering, alpha, ends, total, running, later)
        ctx.said, ctx.pdf_count = said, scores.shape[2]
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        staying, entering, alpha, ends, total, running, later = ctx.saved_tensors
        said: Transcripts = ctx.said
        batch, frames, count, ways = entering.shape
        ways_in = said.nodes.flatten(1)
        share = torch.exp(ends - total[:, None])
        stay_shares = staying.new_zeros(batch, frames, count)
        enter_shares = entering.new_zeros(batch, frames, count, ways)
        for t in range(frames - 1, 0, -1):
            here, before = alpha[t, :, :count], alpha[t - 1]
            on = running[t][:, None]
            stay = share * torch.exp(before[:, :count] + staying[:, t] - here) * on
            came = before.gather(1, ways_in).view(batch, count, ways) + entering[:, t] - here[..., None]
            enter = share[..., None] * torch.exp(came) * on[..., None]
            stay_shares[:, t], enter_shares[:, t] = stay, enter
            back = share.new_zeros(batch, count + 1).scatter_add_(1, ways_in, enter.flatten(1))
            share = torch.where(on, stay + back[:, :count], share)
        passed = staying.new_zeros(batch, frames, ctx.pdf_count)
        passed.scatter_add_(2, later, stay_shares)
        index = said.pdfs.flatten(1)[:, None].expand(batch, frames, count * ways)
        passed.scatter_add_(2, index, enter_shares.flatten(2))
        passed[:, 0].scatter_add_(1, said.units, share)
        return passed * grad[:, None, None], None, None


class Denominator:
    """A phone bigram with the same topology: the chance of each unit after each other, and first."""

    def __init__(self, after: NDArray[np.float64], first: NDArray[np.float64], device: str = "cpu") -> None:
        bigram = torch.tensor(after, dtype=torch.float32, device=device)
        self.first = torch.tensor(first, dtype=torch.float32, device=device)
        # (unit before) to (its class, next unit): the order of the pdfs of first frames
        steps = torch.zeros(UNIT_COUNT, CLASS_COUNT, UNIT_COUNT, device=device)
        for unit, group in enumerate(CLASS_OF):
            steps[unit, group] = bigram[unit]
        self.steps = steps.flatten(1)

    def __call__(self, scores: Tensor, lengths: Tensor) -> Tensor:
        """Log of the summed scores of all alignments of everything: (batch,)."""
        total: Tensor = _Denominator.apply(scores, lengths, self.steps, self.first)  # type: ignore[no-untyped-call]
        return total


class _Denominator(Function):
    """Forward and backward with the sums scaled to one at each frame."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, lengths: Tensor, steps: Tensor, first: Tensor) -> Tensor:
        batch, frames, _ = scores.shape
        highest = scores.amax(2, keepdim=True)
        chances = torch.exp(scores - highest).transpose(0, 1).contiguous()
        enter = chances[..., :FIRST_PDFS].reshape(frames, batch, CLASS_COUNT, UNIT_COUNT)
        stay = chances[..., FIRST_PDFS:]
        alpha = scores.new_zeros(frames, batch, UNIT_COUNT)
        sums = scores.new_ones(frames, batch, 1)
        running = (torch.arange(frames, device=scores.device)[:, None] < lengths)[..., None]
        now = enter[0, :, 0] * first
        sums[0] = now.sum(1, keepdim=True)
        now = alpha[0] = now / sums[0]
        for t in range(1, frames):
            new = ((now @ steps).view(batch, CLASS_COUNT, UNIT_COUNT) * enter[t]).sum(1) + now * stay[t]
            new = new + 1e-8
            size = new.sum(1, keepdim=True)
            now = alpha[t] = torch.where(running[t], new / size, now)
            sums[t] = torch.where(running[t], size, sums[t])
        ctx.save_for_backward(enter, stay, alpha, sums, running, steps)
        return torch.log(sums[..., 0]).sum(0) + (highest[..., 0] * running[..., 0].T).sum(1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        enter, stay, alpha, sums, running, steps = ctx.saved_tensors
        frames, batch = enter.shape[:2]
        scale = running.float() / sums
        beta = enter.new_ones(batch, UNIT_COUNT)
        betas = enter.new_zeros(frames, batch, UNIT_COUNT)
        for t in range(frames - 1, 0, -1):
            ahead = betas[t] = beta * scale[t]
            new = (enter[t] * ahead[:, None]).flatten(1) @ steps.T + stay[t] * ahead
            beta = torch.where(running[t], new, beta)
        passed = enter.new_zeros(frames, batch, FIRST_PDFS + UNIT_COUNT)
        came = (alpha[:-1] @ steps).view(frames - 1, batch, CLASS_COUNT, UNIT_COUNT)
        passed[1:, :, :FIRST_PDFS] = (came * enter[1:] * betas[1:, :, None]).flatten(2)
        passed[1:, :, FIRST_PDFS:] = alpha[:-1] * stay[1:] * betas[1:]
        passed[0, :, :UNIT_COUNT] = alpha[0] * beta
        return passed.transpose(0, 1) * grad[:, None, None], None, None, None


def phone_bigram(
    texts: Iterable[Sequence[str]], pronunciations: Pronunciations, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Chances of units after each other, and first, with pauses between words drawn at random."""
    rng = np.random.default_rng(seed)
    after = np.full((UNIT_COUNT, UNIT_COUNT), 0.05)
    first = np.full(UNIT_COUNT, 0.05)
    for words in texts:
        row = [0] if rng.random() < 0.8 else []
        for word in words:
            variants = pronunciations[word]
            row += variants[int(rng.integers(len(variants)))]
            if rng.random() < 0.5:
                row.append(0)
        if row:
            first[row[0]] += 1
            np.add.at(after, (row[:-1], row[1:]), 1)
    after[0, 0] = 1e-3
    return after / after.sum(1, keepdims=True), first / first.sum()
