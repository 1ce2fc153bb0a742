"""Has the customer finished? Decided from speech activity and from what has been heard so far. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from assistant.voice.activity import FRAME_MS

_ONSET_FRAMES, _ONSET_OF = 3, 5  # speech begins with so many frames of so many
_UNFINISHED_FACTOR = 2.0  # a pause after a word that asks for another one may be so much longer
_DECODER_LAG_MS = 450.0  # by which the hypothesis trails the sound
_UNFINISHED = {
    "en": frozenset(
        "a an the my your our their this these those to of for from with in on at by about and or but because if when "
        "is are was were do does did can could would should i'm i'd i'll it's um uh er and then than into".split()
    )
}


@dataclass(frozen=True, slots=True)
class TurnDetection:
    """When an utterance has ended; named as the OpenAI Realtime API names it (`turn_detection`, `server_vad`).

    Attributes:
        threshold: probability from which a stretch counts as speech; higher for loud surroundings.
        prefix_padding_ms: how much before the first speech is listened to.
        silence_duration_ms: silence that ends the utterance.
    """

    threshold: float = 0.5
    prefix_padding_ms: int = 300
    silence_duration_ms: int = 500


class Endpointing:
    """Follows one utterance: waits for speech, then for its end."""

    def __init__(self, detection: TurnDetection, language: str) -> None:
        self._detection = detection
        self._unfinished = _UNFINISHED.get(language, frozenset())
        self._recent: deque[bool] = deque(maxlen=_ONSET_OF)
        self._silence_ms = 0.0
        self._unchanged_ms = 0.0
        self._text = ""
        self.begun = False

    def hear(self, probability: float) -> None:
        """Take the probability of speech in the next frame."""
        speech = probability >= self._detection.threshold
        self._recent.append(speech)
        self._unchanged_ms += FRAME_MS
        if not self.begun:
            self.begun = sum(self._recent) >= _ONSET_FRAMES
        self._silence_ms = 0.0 if speech else self._silence_ms + FRAME_MS

    def read(self, text: str) -> None:
        """Take the hypothesis so far."""
        if text != self._text:
            self._text = text
            self._unchanged_ms = 0.0

    @property
    def ended(self) -> bool:
        """Whether the customer has said something and seems to have finished.

        In loud surroundings no silence is heard; then it counts that no word is added any more.
        """
        if not self._text:
            return False
        wanted = float(self._detection.silence_duration_ms)
        if self._text.rpartition(" ")[2] in self._unfinished:
            wanted *= _UNFINISHED_FACTOR
        return self._silence_ms >= wanted or self._unchanged_ms >= 2 * wanted + _DECODER_LAG_MS
