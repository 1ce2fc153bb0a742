"""Samples: 16-bit PCM of any rate → 16 kHz mono. Pure."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 16_000
SAMPLE_BYTES = 2
SECOND_BYTES = RATE_HZ * SAMPLE_BYTES
_PHASES = 512  # positions between two samples at which the filter is tabulated
_HALF_ZEROS = 12  # zero crossings of the filter on each side
_CUTOFF = 0.94  # of the lower Nyquist frequency: where the filter begins to fall

Samples = NDArray[np.float32]


class Mono16k:
    """Turns chunks of PCM into 16 kHz mono, whatever their lengths; state of one stream.

    Args:
        rate_hz: samples a second of what comes in.
        channels: interleaved channels; they are averaged.
    """

    def __init__(self, rate_hz: int, channels: int) -> None:
        self._channels = channels
        self._rest = b""
        self._resampler = None if rate_hz == RATE_HZ else Resampler(rate_hz)

    def push(self, chunk: bytes) -> Samples:
        """Take a chunk, cut anywhere; a sample that is not complete waits for the next one.

        Returns: samples in the range of 16-bit integers.
        """
        data = self._rest + chunk
        whole = len(data) - len(data) % (SAMPLE_BYTES * self._channels)
        self._rest = data[whole:]
        samples = np.frombuffer(data[:whole], "<i2").astype(np.float32)
        if self._channels > 1:
            samples = samples.reshape(-1, self._channels).mean(axis=1)
        return samples if self._resampler is None else self._resampler.push(samples)


class Resampler:
    """Band-limited interpolation to 16 kHz, chunk by chunk.

    A windowed sinc, tabulated at 512 positions between samples (J. O. Smith, Digital Audio Resampling Home Page).
    """

    def __init__(self, rate_hz: int) -> None:
        self._step = rate_hz / RATE_HZ  # input samples for an output sample
        self._bank = _filter_bank(rate_hz)
        half = self._bank.shape[1] // 2
        self._kept = np.zeros(half, dtype=np.float32)
        self._at = float(half)  # position of the next output sample, in `kept` followed by what comes

    def push(self, samples: Samples) -> Samples:
        """The output samples whose surroundings are now known; half a filter's length stays behind."""
        data = np.concatenate([self._kept, samples])
        taps = self._bank.shape[1]
        half = taps // 2
        last = len(data) - half - 1  # position that still has all its neighbours on the right
        count = max(0, int(np.floor((last - self._at) / self._step)) + 1) if last >= self._at else 0
        positions = self._at + self._step * np.arange(count)
        whole = np.floor(positions).astype(np.int64)
        phases = np.rint((positions - whole) * _PHASES).astype(np.int64)
        around = (whole - half + 1)[:, None] + np.arange(taps)[None, :]
        found = np.einsum("ij,ij->i", data[around], self._bank[phases]) if count else np.zeros(0)
        self._at += self._step * count
        drop = min(max(0, int(self._at) - half), len(data))
        self._kept = data[drop:]
        self._at -= drop
        return found.astype(np.float32)


def to_bytes(samples: Samples) -> bytes:
    """Samples as 16-bit PCM."""
    return np.clip(np.rint(samples), -32768, 32767).astype("<i2").tobytes()


@lru_cache(maxsize=16)
def _filter_bank(rate_hz: int) -> Samples:
    """Filter coefficients by position between two samples: shape (513, taps), each row with sum 1."""
    scale = _CUTOFF * min(1.0, RATE_HZ / rate_hz)  # cut-off relative to the input's Nyquist frequency
    half = int(np.ceil(_HALF_ZEROS / scale))
    offsets = np.arange(-half + 1, half + 1)[None, :] - (np.arange(_PHASES + 1) / _PHASES)[:, None]
    window = np.cos(np.clip(offsets / half, -1, 1) * np.pi / 2) ** 2
    bank = np.sinc(offsets * scale) * window
    return np.asarray(bank / bank.sum(axis=1, keepdims=True), dtype=np.float32)
