"""Features of augmented copies of every training clip, kept as half floats so that training never waits for them."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from training.voice.augment import augmented, quiet_clip
from training.voice.clips import Clip, Samples, read_shard
from training.voice.mfcc import COEFFICIENTS, RATE_HZ, Mfcc

Features = NDArray[np.float16]
LONGEST_S = 17.0
_QUIET_SHARE = 0.04
_CLEAN_SHARE = 0.1
_BEHIND = 40  # clips that speak behind others


@dataclass(frozen=True, slots=True)
class Item:
    """Where the features of an utterance are, and what is said."""

    path: Path
    start: int
    frames: int
    text: str


def make(shard: Path, folder: Path, copy: int, noises: Sequence[Samples], seed: int) -> Path:
    """Write one augmented copy of a shard; does nothing where it is there. Returns: its .json."""
    target = _target(shard, folder, copy)
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, copy, zlib.crc32(f"{shard.parent.name}/{shard.stem}".encode())])
    clips = list(read_shard(shard))
    behind = [clip.samples for clip in clips[:_BEHIND]]
    mfcc = Mfcc()
    rows, texts = [], []
    for text, samples in _sounds(clips, behind, rng, noises, copy):
        if not 0.25 <= len(samples) / RATE_HZ <= LONGEST_S:
            continue
        rows.append(mfcc(torch.from_numpy(samples.astype(np.float32))).numpy().astype(np.float16))
        texts.append((text, len(rows[-1])))
    np.save(target.with_suffix(".npy"), np.concatenate(rows or [np.zeros((0, COEFFICIENTS), np.float16)]))
    unfinished = target.with_suffix(".part")
    unfinished.write_text(json.dumps(texts), encoding="utf-8")
    unfinished.replace(target)
    return target


def is_made(shard: Path, folder: Path, copy: int) -> bool:
    """Whether `make` would find nothing to do."""
    return _target(shard, folder, copy).exists()


def _target(shard: Path, folder: Path, copy: int) -> Path:
    return folder / f"{copy}-{shard.parents[1].name}-{shard.stem}.json"


def _sounds(  # type: ignore[no-untyped-def]
    clips: Sequence[Clip],
    behind: Sequence[Samples],
    rng: np.random.Generator,
    noises: Sequence[Samples],
    copy: int,
):
    for clip in clips:
        if copy == 0 and rng.random() < _CLEAN_SHARE:
            yield clip.text, np.pad(clip.samples, tuple(rng.integers(800, 4000, 2)))
        else:
            yield clip.text, augmented(clip.samples, rng, noises, behind)
        if rng.random() < _QUIET_SHARE:
            yield "", quiet_clip(rng, noises)


def items(folder: Path) -> list[Item]:
    """Everything that was made so far."""
    found = []
    for path in sorted(folder.glob("*.json")):
        start = 0
        for text, frames in json.loads(path.read_text(encoding="utf-8")):
            found.append(Item(path.with_suffix(".npy"), start, frames, text))
            start += frames
    return found


class Store:
    """Reads features without holding them."""

    def __init__(self) -> None:
        self._files: dict[Path, Features] = {}

    def read(self, item: Item) -> torch.Tensor:
        """(frames, coefficients), before normalisation."""
        if item.path not in self._files:
            self._files[item.path] = np.load(item.path, mmap_mode="r")
        rows = self._files[item.path][item.start : item.start + item.frames]
        return torch.from_numpy(rows.astype(np.float32))
