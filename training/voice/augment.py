"""Speech as it arrives: other voices, rooms, microphones, telephones, codecs, noise and distance."""

from __future__ import annotations

import io
from collections.abc import Sequence

import av
import numpy as np
from numpy.typing import NDArray

from training.voice.clips import Samples, decode
from training.voice.mfcc import RATE_HZ

Reals = NDArray[np.float64]

_FULL = 32767.0
_CODECS = (("libopus", "ogg", (8, 12, 16, 24)), ("libmp3lame", "mp3", (16, 24, 32)))


def augmented(
    samples: Samples, rng: np.random.Generator, noises: Sequence[Samples], speech: Sequence[Samples]
) -> Samples:
    """A clip as somebody else could have said it somewhere else.

    Args: noises: sounds to mix in; speech: other clips, for voices behind.
    """
    sound = samples.astype(np.float64)
    if rng.random() < 0.85:
        sound = resampled(sound, rng.uniform(0.86, 1.16))
    before, behind = rng.integers(200, 8000, 2)
    sound = np.pad(sound, (before, behind))
    sound = _filtered(sound, rng)
    level = np.sqrt(np.mean(sound**2) * 1.6) + 1e-9
    kind = rng.random()
    if kind < 0.4:
        sound = sound + coloured(len(sound), rng) * level * _ratio(rng.uniform(3, 35))
    elif kind < 0.7 and noises:
        sound = sound + _mixed_in(noises[int(rng.integers(len(noises)))], len(sound), rng) * level * _ratio(
            rng.uniform(3, 30)
        )
    if rng.random() < 0.1 and speech:
        other = _mixed_in(speech[int(rng.integers(len(speech)))], len(sound), rng)
        sound = sound + other * level * _ratio(rng.uniform(10, 26))
    loudness = (_FULL + 1) * _ratio(rng.uniform(12, 42))
    made = rounded(sound * loudness / (np.sqrt(np.mean(sound**2)) + 1e-9))
    kind = rng.random()
    if kind < 0.08:
        return telephone(made)
    if kind < 0.16:
        codec, container, rates = _CODECS[int(rng.integers(len(_CODECS)))]
        return through_codec(made, codec, container, int(rng.choice(rates)))
    return made


def quiet_clip(rng: np.random.Generator, noises: Sequence[Samples]) -> Samples:
    """A clip in which nobody speaks: noise, hum, knocks, a recorded sound, or digital silence."""
    count = int(rng.integers(12000, 64000))
    kind = rng.random()
    if kind < 0.1:
        return np.zeros(count, np.int16)
    if kind < 0.5 and noises:
        sound = _mixed_in(noises[int(rng.integers(len(noises)))], count, rng) * 10 ** rng.uniform(1, 3.6)
        return rounded(sound)
    sound = coloured(count, rng) * 10 ** rng.uniform(0, 3.3)
    at = np.arange(count) / RATE_HZ
    if kind < 0.6:
        sound[: count // 2] = 0
    elif kind < 0.75:
        tone = rng.choice((50, 60, 100, 120, 440, 1000))
        sound += np.sin(2 * np.pi * tone * at) * 10 ** rng.uniform(1, 3)
    elif kind < 0.9:
        for _ in range(rng.integers(1, 6)):
            length = int(rng.integers(100, 6000))
            start = int(rng.integers(0, count - length))
            burst = coloured(length, rng) * np.hanning(length) * 10 ** rng.uniform(1, 3.8)
            sound[start : start + length] += burst
    return rounded(sound)


def resampled(sound: Reals, speed: float) -> Reals:
    """Played at another speed: pitch, formants and tempo together."""
    return np.asarray(np.interp(np.arange(0, len(sound) - 1, speed), np.arange(len(sound)), sound))


def coloured(count: int, rng: np.random.Generator) -> Reals:
    """Noise between white and brown, of level 1."""
    spectrum = np.fft.rfft(rng.standard_normal(count))
    spectrum /= np.maximum(np.arange(len(spectrum)), 1) ** rng.uniform(0, 1.2)
    sound = np.fft.irfft(spectrum, count)
    return np.asarray(sound / (sound.std() + 1e-9))


def telephone(samples: Samples) -> Samples:
    """Through a telephone: 300 to 3400 Hz, 8 kHz, G.711 mu-law."""
    spectrum = np.fft.rfft(samples.astype(np.float64))
    hertz = np.linspace(0, RATE_HZ / 2, len(spectrum))
    spectrum *= 1 / (1 + np.exp(-(hertz - 300) / 30)) / (1 + np.exp((hertz - 3400) / 60))
    narrow = np.clip(np.fft.irfft(spectrum, len(samples))[::2] / (_FULL + 1), -1, 1)
    coded = np.round(np.sign(narrow) * np.log1p(255 * np.abs(narrow)) / np.log(256) * 127)
    heard = np.sign(coded) * (256 ** (np.abs(coded) / 127) - 1) / 255
    wide = np.interp(np.arange(len(samples)) / 2, np.arange(len(heard)), heard)
    return rounded(wide * _FULL)


def through_codec(samples: Samples, codec: str, container: str, kilobits: int) -> Samples:
    """Encoded at a low rate and decoded again."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        stream = output.add_stream(codec, rate=RATE_HZ)
        assert isinstance(stream, av.AudioStream)
        stream.bit_rate = kilobits * 1000
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples)[None], format="s16", layout="mono")
        frame.rate = RATE_HZ
        resampler = av.AudioResampler(format=stream.format, layout="mono", rate=RATE_HZ)
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            output.mux(stream.encode(part))
        output.mux(stream.encode(None))
    return decode(buffer.getvalue())[: len(samples)]


def rounded(sound: Reals) -> Samples:
    """As 16-bit samples."""
    return np.clip(np.round(sound), -_FULL - 1, _FULL).astype(np.int16)


def _filtered(sound: Reals, rng: np.random.Generator) -> Reals:
    """Through a microphone, perhaps a narrow band, and a room; as loud as before."""
    count = len(sound)
    points = 1 << int(np.ceil(np.log2(count + 8000)))
    spectrum = np.fft.rfft(sound, points)
    hertz = np.linspace(0, RATE_HZ / 2, len(spectrum))
    if rng.random() < 0.7:
        knots = np.sort(rng.uniform(0, RATE_HZ / 2, 5))
        spectrum *= 10 ** (np.interp(hertz, knots, rng.uniform(-9, 9, 5)) / 20)
    if rng.random() < 0.25:
        spectrum /= 1 + np.exp((hertz - rng.uniform(3200, 7500)) / 150)
    if rng.random() < 0.5:
        spectrum *= np.fft.rfft(_room(rng), points)
    made = np.fft.irfft(spectrum, points)[:count]
    return np.asarray(made * np.sqrt(np.mean(sound**2) / (np.mean(made**2) + 1e-9)))


def _room(rng: np.random.Generator) -> Reals:
    """An impulse response: the direct sound, a gap, and decaying noise."""
    length = int(rng.uniform(0.08, 0.5) * RATE_HZ)
    tail = rng.standard_normal(length) * np.exp(-6.9 * np.arange(length) / length)
    tail *= rng.uniform(0.02, 0.25) / np.sqrt(length / 200)
    return np.concatenate([[1.0], np.zeros(rng.integers(1, 300)), tail])[:8000]


def _mixed_in(samples: Samples, count: int, rng: np.random.Generator) -> Reals:
    """A stretch of another sound, repeated where it is short, of level 1."""
    start = int(rng.integers(max(1, len(samples) - count)))
    sound = np.resize(samples[start : start + count].astype(np.float64), count)
    return np.asarray(sound / (sound.std() + 1e-9))


def _ratio(decibels: float) -> float:
    return float(10 ** (-decibels / 20))
