"""Is somebody speaking? A probability for every 30 ms, from the level above the background. Pure."""

from __future__ import annotations

from collections import deque

import numpy as np

from assistant.voice.pcm import RATE_HZ, Samples

FRAME_MS = 30
FRAME_SAMPLES = RATE_HZ * FRAME_MS // 1000
_PRE_EMPHASIS = 0.9  # takes rumble and hum away
_QUIETEST_DB = -68.0  # background of a good microphone; digital silence counts as this
_FIRST_FLOOR_DB = -48.0  # highest background assumed before any was heard
_FLOOR_FRAMES = 50  # the background is the quietest of 1.5 s: speech pauses more often than that
_MIDDLE_DB = 9.0  # above the background at which speech is as likely as not
_SLOPE_DB = 3.0


class SpeechActivity:
    """Follows the background and says how likely each frame is speech; state of one stream."""

    def __init__(self) -> None:
        self._rest = np.zeros(0, dtype=np.float32)
        self._last = np.float32(0)
        self._levels: deque[float] = deque(maxlen=_FLOOR_FRAMES)

    def push(self, samples: Samples) -> list[float]:
        """Take samples; returns the probability of speech (0..1) for each frame that is complete now."""
        data = np.concatenate([self._rest, samples])
        count = len(data) // FRAME_SAMPLES
        frames, self._rest = data[: count * FRAME_SAMPLES], data[count * FRAME_SAMPLES :]
        if not count:
            return []
        before = np.concatenate([[self._last], frames[:-1]])
        self._last = frames[-1]
        bright = (frames - _PRE_EMPHASIS * before).reshape(count, FRAME_SAMPLES) / 32768
        levels = 10 * np.log10(np.mean(bright**2, axis=1) + 1e-12)
        return [self._probability(max(float(level), _QUIETEST_DB)) for level in levels]

    def _probability(self, level_db: float) -> float:
        self._levels.append(level_db)
        floor = min(self._levels)
        if len(self._levels) < _FLOOR_FRAMES:
            floor = min(floor, _FIRST_FLOOR_DB)
        return float(1 / (1 + np.exp(-(level_db - floor - _MIDDLE_DB) / _SLOPE_DB)))
