"""Samples, speech activity and endpointing: pure functions of sound."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from assistant.voice.activity import FRAME_MS, SpeechActivity
from assistant.voice.endpointing import Endpointing, TurnDetection
from assistant.voice.pcm import RATE_HZ, Mono16k, Resampler, to_bytes
from tests.voice.harness import samples


def tone(rate_hz: int, hertz: float, seconds: float = 0.5) -> NDArray[np.float32]:
    time = np.arange(int(rate_hz * seconds)) / rate_hz
    return (8000 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


@pytest.mark.parametrize("rate_hz", [8000, 11_025, 22_050, 32_000, 44_100, 48_000])
@pytest.mark.parametrize("hertz", [200, 1000, 3000])
def test_resampled_tone_is_the_tone(rate_hz: int, hertz: float) -> None:
    """Within half a percent of the same tone made at 16 kHz."""
    found = Resampler(rate_hz).push(tone(rate_hz, hertz))
    wanted = tone(RATE_HZ, hertz)
    middle = slice(500, 7000)
    assert np.abs(found[middle] - wanted[: len(found)][middle]).max() < 40


def test_resampler_keeps_out_what_cannot_be_represented() -> None:
    """A tone above 8 kHz does not come back as another one."""
    assert np.abs(Resampler(48_000).push(tone(48_000, 11_000))[200:-200]).max() < 80


def test_resampled_speech_agrees_with_another_implementation() -> None:
    """scipy's polyphase resampler, on a recording brought to 44.1 kHz by it."""
    speech = np.frombuffer(samples(), "<i2").astype(np.float64)
    higher = scipy.signal.resample_poly(speech, 441, 160)
    found = Resampler(44_100).push(higher.astype(np.float32))
    wanted = speech[: len(found)]
    assert np.sqrt(np.mean((found - wanted) ** 2)) < 0.03 * np.sqrt(np.mean(wanted**2))


@settings(max_examples=40, deadline=None)
@given(
    rate_hz=st.sampled_from([8000, 16_000, 22_050, 44_100, 48_000]),
    channels=st.sampled_from([1, 2]),
    cuts=st.lists(st.integers(0, 4000), max_size=12),
)
def test_cuts_make_no_difference(rate_hz: int, channels: int, cuts: list[int]) -> None:
    """Any division into chunks gives the samples of the whole."""
    data = np.random.default_rng(3).integers(-9000, 9000, 1000 * channels, dtype=np.int16).tobytes()
    whole = Mono16k(rate_hz, channels).push(data)
    parts, mono, at = [], Mono16k(rate_hz, channels), 0
    for cut in [*sorted(cuts), len(data)]:
        parts.append(mono.push(data[at:cut]))
        at = max(at, cut)
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=0.01)


def test_channels_are_averaged() -> None:
    """Left and right count the same."""
    stereo = np.array([[100, 300], [-50, 50]], "<i2").tobytes()
    assert Mono16k(RATE_HZ, 2).push(stereo).tolist() == [200, 0]


def test_samples_out_of_range_are_clipped() -> None:
    """They do not turn over to the other side."""
    assert np.frombuffer(to_bytes(np.array([40_000.0, -40_000.0], np.float32)), "<i2").tolist() == [
        32767,
        -32768,
    ]


def share_of_speech(sound: NDArray[np.float32]) -> float:
    frames = SpeechActivity().push(sound)
    return float(np.mean([frame >= 0.5 for frame in frames]))


def test_speech_is_told_from_silence_and_steady_noise() -> None:
    """Also quietly, and above noise."""
    speech = np.frombuffer(samples(), "<i2").astype(np.float32)
    noise = np.random.default_rng(1).normal(0, 60, len(speech)).astype(np.float32)
    assert share_of_speech(np.zeros(RATE_HZ, np.float32)) == 0
    assert share_of_speech(noise) < 0.1
    assert share_of_speech(speech) > 0.5
    assert share_of_speech(speech / 8) > 0.5
    assert share_of_speech(speech + noise) > 0.4


def listen(endpointing: Endpointing, speech: bool, milliseconds: int) -> None:
    for _ in range(milliseconds // FRAME_MS):
        endpointing.hear(0.9 if speech else 0.1)


def test_click_is_no_beginning() -> None:
    """One loud frame is not speech."""
    endpointing = Endpointing(TurnDetection(), "en")
    listen(endpointing, True, FRAME_MS)
    listen(endpointing, False, 300)
    assert not endpointing.begun
    listen(endpointing, True, 90)
    assert endpointing.begun


def test_silence_after_words_ends_the_utterance() -> None:
    """After the set time, not before, and not without words."""
    endpointing = Endpointing(TurnDetection(silence_duration_ms=600), "en")
    listen(endpointing, True, 900)
    listen(endpointing, False, 900)
    assert not endpointing.ended, "nothing was understood"
    endpointing.read("where is my order")
    assert endpointing.ended
    listen(endpointing, True, 30)
    listen(endpointing, False, 570)
    assert not endpointing.ended
    listen(endpointing, False, 30)
    assert endpointing.ended


def test_word_that_asks_for_another_one_is_given_more_time() -> None:
    """ "I want to return the" waits twice as long."""
    endpointing = Endpointing(TurnDetection(silence_duration_ms=300), "en")
    listen(endpointing, True, 900)
    endpointing.read("i want to return the")
    listen(endpointing, False, 570)
    assert not endpointing.ended
    listen(endpointing, False, 30)
    assert endpointing.ended


def test_noise_does_not_keep_an_utterance_open() -> None:
    """Where silence is never heard, it counts that no word is added."""
    endpointing = Endpointing(TurnDetection(silence_duration_ms=300), "en")
    endpointing.read("where is my order")
    listen(endpointing, True, 900)
    assert not endpointing.ended
    listen(endpointing, True, 300)
    assert endpointing.ended


def test_threshold_decides_what_counts_as_speech() -> None:
    """A higher one for loud surroundings."""
    quiet, loud = (Endpointing(TurnDetection(threshold=value), "en") for value in (0.3, 0.7))
    for endpointing in (quiet, loud):
        for _ in range(5):
            endpointing.hear(0.5)
    assert (quiet.begun, loud.begun) == (True, False)
