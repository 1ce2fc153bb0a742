"""Training of the acoustic model: batches, schedule, checkpoints."""

from __future__ import annotations

import math
import multiprocessing
import os
import random
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn

from training.voice import objective
from training.voice.features import Item, Store
from training.voice.mfcc import normalised
from training.voice.network import SUBSAMPLING, AcousticModel
from training.voice.objective import Denominator, Pronunciations, Transcripts
from training.voice.variation import varied

Log = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Shape:
    """Size of the model: 640, 128, 9 are 3.5 million parameters; 1024, 160, 11 are 8.6 million."""

    width: int = 640
    bottleneck: int = 128
    depth: int = 9
    ahead: int = 5


@dataclass(frozen=True, slots=True)
class Settings:
    """How it is trained.

    Attributes:
        steps: updates in all; the learning rate follows a cosine to their end, also when training resumes.
        rate: highest learning rate.
        frames: features in a batch of one process, padding included; 8000 are 80 seconds of speech.
        minutes: between checkpoints.
        seed: of order and masks.
    """

    steps: int = 9_500
    rate: float = 1.5e-3
    frames: int = 8_000
    minutes: float = 3.0
    seed: int = 1


_WARM_UP = 100
_LOWEST = 0.02  # of the rate, at the end
_DECAY = 1e-4
_CLIP = 3.0
_OUTPUT_PENALTY = 3e-5
_BUCKET = 45  # frames; lengths are padded to a multiple, so that few shapes occur
_POOL = 3000  # clips of like length are looked for among so many
_LOG_EVERY = 25
_MOST_BAD = -1000.0  # objective under which an utterance does not count: its alignment fails


@dataclass(frozen=True, slots=True)
class Batch:
    """Features and what is said."""

    features: Tensor
    lengths: Tensor
    said: Transcripts


class Batches:
    """Batches in an order fixed by the seed, from any update on.

    Args: rank, processes: which of the batches of an update are made, of how many.
    """

    def __init__(
        self,
        items: Sequence[Item],
        pronunciations: Pronunciations,
        settings: Settings,
        mean: Tensor,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        self._settings, self._mean = settings, mean
        self._rank, self._processes = rank, processes
        self._pronunciations = pronunciations
        self._store = Store()
        self.items = [item for item in items if self._usable(item)]
        if not self.items:
            raise ValueError("no clip can be trained on")

    def _usable(self, item: Item) -> bool:
        words = item.text.split()
        if any(word not in self._pronunciations for word in words):
            return False
        frames = (item.frames - SUBSAMPLING) // SUBSAMPLING
        return frames > objective.fewest_frames(words, self._pronunciations) + 1

    def epoch(self, number: int) -> list[list[list[Item]]]:
        """The updates of one pass, each a batch for every process, of clips of like length."""
        rng = random.Random(f"{self._settings.seed}-{number}")
        mixed = rng.sample(self.items, len(self.items))
        found: list[list[list[Item]]] = []
        for start in range(0, len(mixed), _POOL):
            batches: list[list[Item]] = [[]]
            for item in sorted(mixed[start : start + _POOL], key=lambda item: item.frames):
                if batches[-1] and len(batches[-1]) >= self._settings.frames // _padded(item.frames):
                    batches.append([])
                batches[-1].append(item)
            found += [batches[at : at + self._processes] for at in range(0, len(batches), self._processes)]
        found = [update for update in found if len(update) == self._processes]
        rng.shuffle(found)
        return found

    def after(self, step: int) -> Generator[Batch]:
        """Endless batches, from update `step` on; the next one is made while one is used."""
        with ThreadPoolExecutor(1) as maker:
            waiting = None
            for place, chosen in self._numbered(step):
                made = maker.submit(self.build, chosen, f"{self._settings.seed}-{place}-{self._rank}")
                if waiting is not None:
                    yield waiting.result()
                waiting = made

    def _numbered(self, step: int) -> Iterator[tuple[int, list[Item]]]:
        place, epoch = 0, 0
        while updates := self.epoch(epoch):
            for chosen in updates:
                if place >= step:
                    yield place, chosen[self._rank]
                place += 1
            epoch += 1

    def build(self, chosen: Sequence[Item], seed: str) -> Batch:
        """Read, normalise, shift by up to two frames, vary and pad."""
        rng = random.Random(seed)
        shift = rng.randrange(SUBSAMPLING)
        rows = [varied(normalised(self._store.read(item)[shift:], self._mean), rng) for item in chosen]
        longest = _padded(max(map(len, rows)))
        features = torch.stack([torch.cat([row, row[-1:].expand(longest - len(row), -1)]) for row in rows])
        lengths = torch.tensor([-(-len(row) // SUBSAMPLING) for row in rows])
        said = [objective.transcript(item.text.split(), self._pronunciations) for item in chosen]
        return Batch(features, lengths, objective.batched(said))


def _padded(frames: int) -> int:
    return -(-frames // _BUCKET) * _BUCKET


def rate_at(step: int, settings: Settings) -> float:
    """Learning rate: warm-up, then a cosine to the end."""
    down = 0.5 * (1 + math.cos(math.pi * min(1.0, step / settings.steps)))
    return settings.rate * min(1.0, (step + 1) / _WARM_UP) * (down * (1 - _LOWEST) + _LOWEST)


def begin(items: Sequence[Item], shape: Shape, seed: int) -> AcousticModel:
    """A new model, with the statistics of some clips."""
    torch.manual_seed(seed)
    model = AcousticModel(shape.width, shape.bottleneck, shape.depth, shape.ahead)
    store = Store()
    rows = [store.read(item) for item in random.Random(seed).sample(list(items), min(400, len(items)))]
    model.mean.copy_(torch.cat(rows).mean(0))
    rows = [normalised(row, model.mean) for row in rows]
    model.shift.copy_(torch.cat(rows).mean(0))
    model.scale.copy_(torch.cat(rows).std(0))
    return model


def load(path: Path) -> AcousticModel:
    """The model of a checkpoint."""
    state = torch.load(path, weights_only=True, map_location="cpu")
    model = AcousticModel(*state["shape"])
    model.load_state_dict(state["model"])
    return model


def run(
    items: Sequence[Item],
    pronunciations: Pronunciations,
    checkpoint: Path,
    shape: Shape,
    settings: Settings,
    log: Log,
    stop_after: float = math.inf,
    processes: int = 1,
) -> AcousticModel:
    """Train to `settings.steps`, resuming from `checkpoint`, which is made if it is not there.

    Args:
        log: takes a line of what happens.
        stop_after: minutes after which this call ends, with a checkpoint.
        processes: on a CPU, how many work on each update, with one thread each; on a GPU there is one.
    Raises: ValueError: no clip can be trained on, or too few for so many processes.
    """
    processes = 1 if torch.cuda.is_available() else processes
    if not checkpoint.exists():
        model = begin(items, shape, settings.seed)
        _save(checkpoint, {"model": model.state_dict(), "optimizer": None, "shape": model.shape, "step": 0})
    with tempfile.TemporaryDirectory() as meeting:
        given = (processes, meeting, items, pronunciations, checkpoint, settings)
        fresh = multiprocessing.get_context("spawn")
        others = [
            fresh.Process(target=_work, args=(rank, *given), daemon=True) for rank in range(1, processes)
        ]
        for other in others:
            other.start()
        try:
            _work(0, *given, log, stop_after)
        except BaseException:
            for other in others:
                other.terminate()
            raise
        finally:
            for other in others:
                other.join()
    return load(checkpoint)


def _work(
    rank: int,
    processes: int,
    meeting: str,
    items: Sequence[Item],
    pronunciations: Pronunciations,
    checkpoint: Path,
    settings: Settings,
    log: Log = print,
    stop_after: float = math.inf,
) -> None:
    """What one process does. Parameters and optimiser stay the same in all, as they share gradients.

    The first process, rank 0, logs, saves and looks at the time.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(1 if processes > 1 else _threads())
    distributed.init_process_group(
        "gloo", init_method=f"file://{meeting}/store", rank=rank, world_size=processes
    )
    state = torch.load(checkpoint, weights_only=True, map_location="cpu")
    step = state["step"]
    model = AcousticModel(*state["shape"])
    model.load_state_dict(state["model"])
    batches = Batches(items, pronunciations, settings, model.mean.clone(), rank, processes)
    if not batches.epoch(0):
        raise ValueError(f"too few clips for {processes} processes")
    texts = random.Random(settings.seed).sample(batches.items, min(20_000, len(batches.items)))
    denominator = Denominator(
        *objective.phone_bigram([item.text.split() for item in texts], pronunciations, settings.seed), device
    )
    model.to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), settings.rate, weight_decay=_DECAY, betas=(0.9, 0.98))
    if state["optimizer"] is not None:
        optimizer.load_state_dict(state["optimizer"])
    hours = sum(item.frames for item in batches.items) / 360_000
    if rank == 0:
        log(
            f"{sum(p.numel() for p in model.parameters())} parameters, {len(batches.items)} of {len(items)} "
            f"clips ({hours:.1f} h), step {step} of {settings.steps}, on {device}, {processes} processes"
        )

    def save() -> None:
        kept = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
        _save(checkpoint, kept | {"shape": model.shape, "step": step})

    began = saved = logged = time.monotonic()
    report, stop = _Report(), False
    source = batches.after(step)
    while step < settings.steps and not stop:
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, settings)
        late = time.monotonic() - began > 60 * stop_after
        figures, stop = update(model, denominator, optimizer, next(source), device, late)
        report.add(figures)
        step += 1
        now = time.monotonic()
        if rank == 0 and (step % _LOG_EVERY == 0 or step == settings.steps):
            log(f"step {step} {report.line(now - logged)} lr {rate_at(step, settings):.1e}")
            logged, report = now, _Report()
        if rank == 0 and (now - saved > 60 * settings.minutes or step == settings.steps or stop):
            save()
            saved = now
    if rank == 0 and step < settings.steps:
        log(f"stopped at step {step}; run the stage again to go on")
    source.close()
    distributed.destroy_process_group()


def _save(checkpoint: Path, state: dict[str, Any]) -> None:
    unfinished = checkpoint.with_suffix(".part")
    torch.save(state, unfinished)
    unfinished.replace(checkpoint)


def update(
    model: AcousticModel,
    denominator: Denominator,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    device: str,
    late: bool = False,
) -> tuple[tuple[float, float, int], bool]:
    """One update, of all processes together.

    Returns: objective and frames of the utterances that counted and how many did not; whether any is `late`.
    """
    lengths = batch.lengths.to(device)
    with torch.autocast(device, torch.bfloat16, enabled=_bfloat16_pays(device)):
        scores = model(batch.features.to(device))
    scores = scores.float()
    gain = objective.numerator(scores, lengths, batch.said.to(device)) - denominator(scores, lengths)
    good = gain.detach() > _MOST_BAD
    frames = (lengths * good).sum().clamp(min=1)
    loss = -(gain * good).sum() / frames + _OUTPUT_PENALTY * scores.square().sum(2).mean()
    optimizer.zero_grad()
    loss.backward()
    own = torch.stack([(gain.detach() * good).sum(), frames.float(), (~good).sum().float()]).cpu()
    figures = _together(model, torch.cat([own, torch.tensor([float(late)])]))
    size = nn.utils.clip_grad_norm_(model.parameters(), _CLIP)
    if torch.isfinite(size):
        optimizer.step()
    return (float(figures[0]), float(figures[1]), int(figures[2])), bool(figures[3])


def _together(model: AcousticModel, figures: Tensor) -> Tensor:
    """Make gradients the mean of all processes. Returns: the sum of their figures."""
    processes = distributed.get_world_size() if distributed.is_initialized() else 1
    if processes == 1:
        return figures
    grads = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    flat = torch.cat([figures, *(grad.flatten() for grad in grads)])
    distributed.all_reduce(flat)
    start = len(figures)
    for grad in grads:
        grad.copy_(flat[start : start + grad.numel()].view_as(grad) / processes)
        start += grad.numel()
    return flat[: len(figures)]


class _Report:
    """What happened since the last line of the log."""

    def __init__(self) -> None:
        self._objective = self._frames = 0.0
        self._bad = 0

    def add(self, figures: tuple[float, float, int]) -> None:
        """Take the figures of an update."""
        self._objective += figures[0]
        self._frames += figures[1]
        self._bad += figures[2]

    def line(self, seconds: float) -> str:
        """Objective a frame, utterances without alignment, and seconds of speech a second."""
        speed = self._frames * 0.01 * SUBSAMPLING / max(seconds, 1e-9)
        return f"objective {self._objective / max(self._frames, 1):.4f} bad {self._bad} audio-s/s {speed:.0f}"


def _threads() -> int:
    """Those the machine gives, or fewer where OMP_NUM_THREADS says so."""
    given = len(os.sched_getaffinity(0))
    return min(given, int(os.environ.get("OMP_NUM_THREADS") or given))


def _bfloat16_pays(device: str) -> bool:
    """On a GPU, and on processors with matrix tiles."""
    return device == "cuda" or torch.cpu._is_amx_tile_supported()
