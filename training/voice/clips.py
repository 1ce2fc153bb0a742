"""Speech on disk: shards of clips, each a file of 16-bit samples and a JSON line for each clip."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from training.voice.mfcc import RATE_HZ

Samples = NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Clip:
    """One utterance at 16 kHz.

    Attributes:
        id: unique.
        voice: who, or what, speaks.
        source: test set or kind that the clip belongs to.
        text: what is said, as words; "" for noise.
        samples: the audio.
    """

    id: str
    voice: str
    source: str
    text: str
    samples: Samples


def write_shard(path: Path, clips: Iterable[Clip]) -> int:
    """Write `path`.jsonl and `path`.pcm; the former last, and whole. Returns: how many clips."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines, start = [], 0
    with path.with_suffix(".pcm").open("wb") as file:
        for clip in clips:
            file.write(clip.samples.astype("<i2").tobytes())
            row = {"id": clip.id, "voice": clip.voice, "source": clip.source, "text": clip.text}
            lines.append(json.dumps(row | {"start": start, "samples": len(clip.samples)}) + "\n")
            start += len(clip.samples)
    unfinished = path.with_suffix(".part")
    unfinished.write_text("".join(lines), encoding="utf-8")
    unfinished.replace(path.with_suffix(".jsonl"))
    return len(lines)


def read_shard(path: Path) -> Iterator[Clip]:
    """Clips of a finished shard, in order; `path` is its .jsonl."""
    audio = np.fromfile(path.with_suffix(".pcm"), "<i2")
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        samples = audio[row["start"] : row["start"] + row["samples"]]
        yield Clip(row["id"], row["voice"], row["source"], row["text"], samples)


def shards(folder: Path) -> list[Path]:
    """Finished shards of a folder and those below it."""
    return sorted(folder.rglob("*.jsonl"))


def decode(data: bytes) -> Samples:
    """16 kHz mono samples of a sound file of any kind and rate."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE_HZ)
    pieces = []
    with av.open(io.BytesIO(data), "r") as container:
        for frame in container.decode(audio=0):
            pieces += [part.to_ndarray()[0] for part in resampler.resample(frame)]
    pieces += [part.to_ndarray()[0] for part in resampler.resample(None)]
    return np.concatenate(pieces).astype(np.int16) if pieces else np.zeros(0, np.int16)
