"""One utterance, from samples to its transcript. Blocking; knows neither sockets nor threads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from assistant.protocols import Recognizer
from assistant.records import HeardWord, Transcript
from assistant.voice.activity import SpeechActivity
from assistant.voice.endpointing import Endpointing, TurnDetection
from assistant.voice.pcm import RATE_HZ, SECOND_BYTES, Mono16k, Samples, to_bytes

_TRAILING_BYTES = SECOND_BYTES // 5  # silence after the last sample: the model looks ahead
_ALTERNATIVES = 6  # asked of the recogniser; some of them say the same in other small words

Correct = Callable[[tuple[HeardWord, ...]], str]


@dataclass(frozen=True, slots=True)
class Hearing:
    """How far an utterance has come.

    Attributes:
        text: what has been heard so far.
        ended: whether the customer seems to have finished.
        seconds: audio taken so far.
    """

    text: str
    ended: bool
    seconds: float


class Listening:
    """Takes the audio of one utterance and gives its transcript; used from one thread at a time.

    Silence before the first speech is not recognised, which is what an open microphone costs otherwise.

    Args:
        recognizer: the model.
        rate_hz: sample rate of the PCM that comes.
        channels: its interleaved channels.
        detection: when the utterance ends by itself; None: only when it is finished.
        language: of the speech.
        correct: gives the text of words, with the shop's own words put right.
        sure: confidence below which alternatives are looked for.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        rate_hz: int,
        channels: int,
        *,
        detection: TurnDetection | None,
        language: str,
        correct: Correct,
        sure: float = 0.0,
    ) -> None:
        self._recognizer = recognizer
        self._recognition = recognizer.start()
        self._mono = Mono16k(rate_hz, channels)
        self._detection = detection
        self._activity = SpeechActivity()
        self._endpointing = Endpointing(detection or TurnDetection(), language)
        self._correct = correct
        self._sure = sure
        self._samples = 0
        self._before: list[Samples] = []  # what came before the first speech, as much as is listened to
        self._skipped = 0  # samples before that
        self._listened = bytearray()
        self._heard_any = False
        self._text = ""

    @property
    def seconds(self) -> float:
        """Audio taken so far."""
        return self._samples / RATE_HZ

    def push(self, chunk: bytes) -> Hearing:
        """Take PCM, cut anywhere. Blocking.

        Raises: BackendError: the model failed.
        """
        samples = self._mono.push(chunk)
        self._samples += len(samples)
        for probability in self._activity.push(samples):
            self._endpointing.hear(probability)
        if self._detection is None or self._endpointing.begun or self._heard_any:
            if self._before:
                samples = np.concatenate([*self._before, samples])
                self._before.clear()
            data = to_bytes(samples)
            self._heard_any = True
            if self._sure > 0:
                self._listened += data  # to be listened to again if it was not understood
            self._text = self._recognition.accept(data)
            self._endpointing.read(self._text)
        else:
            self._keep(samples, self._detection.prefix_padding_ms)
        ended = self._detection is not None and self._endpointing.ended
        return Hearing(self._text, ended, self.seconds)

    def _keep(self, samples: Samples, padding_ms: int) -> None:
        """Keep the last samples before speech, at least so many milliseconds."""
        self._before.append(samples)
        kept = sum(len(part) for part in self._before)
        while kept - len(self._before[0]) >= padding_ms * RATE_HZ // 1000:
            kept -= len(self._before[0])
            self._skipped += len(self._before[0])
            del self._before[0]

    def finish(self) -> Transcript:
        """The transcript of all that came; to be called once. Blocking.

        Raises: BackendError: the model failed.
        """
        if not self._heard_any:
            return Transcript("", "", (), 0.0, self.seconds)
        self._recognition.accept(bytes(_TRAILING_BYTES))
        offset = self._skipped / RATE_HZ
        words = tuple(
            replace(word, start_s=round(word.start_s + offset, 2), end_s=round(word.end_s + offset, 2))
            for word in self._recognition.finish()
        )
        raw = " ".join(word.text for word in words)
        confidence = _confidence(words)
        text = self._correct(words)
        others = self._others(text) if words and confidence < self._sure else ()
        return Transcript(text, raw, words, confidence, self.seconds, others)

    def _others(self, text: str) -> tuple[str, ...]:
        """What it may have been besides `text`."""
        texts = self._recognizer.alternatives(bytes(self._listened), _ALTERNATIVES)
        corrected = (
            self._correct(tuple(HeardWord(word, 0.0, 0.0, self._sure) for word in one.split()))
            for one in texts
        )
        return tuple(one for one in dict.fromkeys(corrected) if one != text)


def _confidence(words: tuple[HeardWord, ...]) -> float:
    """The mean, long words counting more."""
    length = sum(word.end_s - word.start_s for word in words)
    if length <= 0:
        return 0.0
    return sum(word.confidence * (word.end_s - word.start_s) for word in words) / length
