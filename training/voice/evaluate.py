"""Word error rates of a Vosk model directory, decoded through vosk in the pieces a client would send."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.voice.clips import Clip, Samples
from training.voice.lexicon import errors
from training.voice.mfcc import RATE_HZ

_PIECE = RATE_HZ // 5
_TRAILING = RATE_HZ * 3 // 10  # silence behind a clip: the model looks ahead


@dataclass(frozen=True, slots=True)
class Heard:
    """One clip as it was recognised."""

    id: str
    voice: str
    kind: str
    wanted: str
    heard: str
    errors: int
    seconds: float
    cpu_s: float


class Recogniser:
    """A loaded model."""

    def __init__(self, folder: Path) -> None:
        import vosk

        vosk.SetLogLevel(-1)
        self._model = vosk.Model(str(folder))
        words = (folder / "graph" / "words.txt").read_text(encoding="utf-8").splitlines()
        self.vocabulary = frozenset(line.split()[0] for line in words)

    def hear(self, samples: Samples, grammar: str = "") -> str:
        """The words of one utterance."""
        import vosk

        given = (self._model, RATE_HZ, grammar) if grammar else (self._model, RATE_HZ)
        recognizer = vosk.KaldiRecognizer(*given)
        padded = np.concatenate([samples, np.zeros(_TRAILING, np.int16)])
        found = [
            json.loads(recognizer.Result())["text"]
            for start in range(0, len(padded), _PIECE)
            if recognizer.AcceptWaveform(padded[start : start + _PIECE].tobytes())
        ]
        found.append(json.loads(recognizer.FinalResult())["text"])
        return " ".join(text for text in found if text)


def recognise(recogniser: Recogniser, clips: Iterable[Clip]) -> list[Heard]:
    """Recognise every clip."""
    found = []
    for clip in clips:
        before = time.process_time()
        heard = recogniser.hear(clip.samples)
        cpu_s = time.process_time() - before
        wrong = errors(clip.text.split(), heard.split())
        seconds = len(clip.samples) / RATE_HZ
        found.append(Heard(clip.id, clip.voice, clip.source, clip.text, heard, wrong, seconds, cpu_s))
    return found


def figures(items: Iterable[Heard], vocabulary: frozenset[str]) -> dict[str, Mapping[str, float]]:
    """By test set: clips, words, word error rate, share of words not in the vocabulary, CPU time over length."""
    groups: dict[str, list[Heard]] = {}
    for item in items:
        groups.setdefault(item.kind, []).append(item)
    found: dict[str, Mapping[str, float]] = {}
    for kind, heard in groups.items():
        words = [word for item in heard for word in item.wanted.split()]
        found[kind] = {
            "clips": len(heard),
            "words": len(words),
            "wer": round(sum(item.errors for item in heard) / max(len(words), 1), 4),
            "oov": round(sum(word not in vocabulary for word in words) / max(len(words), 1), 4),
            "rtf": round(sum(item.cpu_s for item in heard) / sum(item.seconds for item in heard), 4),
        }
    return found
