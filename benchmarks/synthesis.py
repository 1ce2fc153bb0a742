"""Questions as a machine says them, in the voices that the shipped speech model was not trained on."""

from __future__ import annotations

import io
import random
import wave

from training.voice import engines
from training.voice.mfcc import RATE_HZ

VOICES = tuple(voice.name for voice in engines.HELD_OUT)


def lacking() -> str:
    """Programs of these voices that are not installed; "" if none is."""
    return ", ".join(engines.missing(engines.HELD_OUT))


def spoken(text: str, voice: str, seed: str) -> bytes | None:
    """A WAV of a text; None if the voice could not say it."""
    samples = engines.speak(voice, text, random.Random(seed))
    if samples is None:
        return None
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(samples.tobytes())
    return buffer.getvalue()
