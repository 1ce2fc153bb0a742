"""Speech engines: whose voices may be used to train, and how each is asked to speak."""

from __future__ import annotations

import random
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.voice import packages
from training.voice.clips import Samples, decode
from training.voice.mfcc import RATE_HZ

_ESPEAK_VARIANTS = (
    "Alex Alicia Andrea Andy Annie Denis Diogo Gene Hugo Jacky Lee Mario Michael Mike adam anika antonio belinda "
    "benjamin boris caleb david ed edward f1 f2 f3 f4 f5 grandma iven john linda m1 m2 m3 m4 m5 m6 m7 m8 marcelo max "
    "michel miguel pablo paul pedro quincy rob robert sandro shelby steph travis victor zac klatt klatt2 klatt3"
).split()
_ESPEAK_ACCENTS = "en-us en-us en-us en-gb en-gb-scotland en-gb-x-rp en-gb-x-gbclan en-029 en-us-nyc".split()
_NEURAL_FOLDER = packages.place(packages.VOICES) / "build"
_PAD = RATE_HZ * 3 // 20  # what is left of the silence around speech
_QUIET = 1e-4  # of the loudest 20 ms: silence
_LIMIT_S = 60
LONGEST_S, SHORTEST_S = 15.0, 0.2


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice of an engine.

    Attributes:
        name: engine and voice.
        program: what must be installed.
        licence: of engine and voice data, as their packages state it.
        share: of the training clips; 0: held out, for tests.
    """

    name: str
    program: str
    licence: str
    share: float


_PICO = "Apache-2.0"
_RHVOICE = "LGPL-2.1-or-later"
_FLITE = "BSD-like (CMU Flite)"
_FESTIVAL = "BSD-like (University of Edinburgh, CMU)"
# Voices of the same person count as one: slt speaks in three engines. Non-commercial voices are not here at all.
VOICES = (
    Voice("pico:en-US", "pico2wave", _PICO, 0.15),
    Voice("rhvoice:alan", "RHVoice-test", _RHVOICE, 0.14),
    Voice("rhvoice:bdl", "RHVoice-test", _RHVOICE, 0.15),
    Voice("rhvoice:clb", "RHVoice-test", _RHVOICE, 0.15),
    Voice("rhvoice:slt", "RHVoice-test", _RHVOICE, 0.08),
    Voice("flite:awb", "flite", _FLITE, 0.08),
    Voice("flite:slt", "flite", _FLITE, 0.04),
    Voice("flite:kal16", "flite", _FLITE, 0.05),
    Voice("festival:cmu_us_slt_arctic_hts", "text2wave", _FESTIVAL, 0.02),
    Voice("espeak", "espeak-ng", "GPL-3.0-or-later (program; its output is free)", 0.14),
    Voice("flite:rms", "flite", _FLITE, 0.0),
    Voice("pico:en-GB", "pico2wave", _PICO, 0.0),
    Voice("festival:ked_diphone", "text2wave", _FESTIVAL, 0.0),
)
TRAINED = tuple(voice for voice in VOICES if voice.share)
NEURAL, NEURAL_LICENCE = "kokoro", "Apache-2.0"  # speaks in a part of its own
HELD_OUT = tuple(voice for voice in VOICES if not voice.share)


def missing(voices: Sequence[Voice]) -> list[str]:
    """Programs that are not installed."""
    return sorted({voice.program for voice in voices if shutil.which(voice.program) is None})


def speak(voice: str, text: str, rng: random.Random) -> Samples | None:
    """Have a text spoken, at a speed and pitch drawn from `rng`.

    Returns: 16 kHz samples; None if nothing, too little or too much was said.
    Raises: subprocess.SubprocessError: the engine failed.
    """
    if voice == NEURAL:
        from training.voice import neural  # needs onnx and openvino, which the other voices do not

        return _of_fitting_length(neural.voices(_NEURAL_FOLDER).speak(text, rng))
    engine, _, name = voice.partition(":")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "said.wav"
        command, given = _order(engine, name, text, rng, path)
        subprocess.run(
            command,
            input=given.encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_LIMIT_S,
            check=True,
        )
        samples = trimmed(decode(path.read_bytes())) if path.exists() else None
    return _of_fitting_length(samples)


def _of_fitting_length(samples: Samples | None) -> Samples | None:
    fits = samples is not None and SHORTEST_S <= len(samples) / RATE_HZ <= LONGEST_S
    return samples if fits else None


def _order(engine: str, name: str, text: str, rng: random.Random, path: Path) -> tuple[list[str], str]:
    """The command, and what it reads."""
    out = str(path)
    if engine == "espeak":
        name = f"{rng.choice(_ESPEAK_ACCENTS)}+{rng.choice(_ESPEAK_VARIANTS)}"
        speed, pitch = str(rng.randrange(125, 205)), str(rng.randrange(25, 75))
        return ["espeak-ng", "-v", name, "-s", speed, "-p", pitch, "-w", out, text], ""
    if engine == "flite":
        stretch = f"duration_stretch={rng.uniform(0.85, 1.25):.2f}"
        return ["flite", "-voice", name, "--setf", stretch, "-t", text, "-o", out], ""
    if engine == "pico":
        level = f"<speed level='{rng.randrange(80, 130)}'><pitch level='{rng.randrange(80, 125)}'>"
        return ["pico2wave", "-l", name, "-w", out, f"{level}{text}</pitch></speed>"], ""
    if engine == "rhvoice":
        speed, pitch = str(rng.randrange(80, 135)), str(rng.randrange(85, 118))
        return ["RHVoice-test", "-p", name, "-r", speed, "-t", pitch, "-o", out], f"{text}."
    if engine == "festival":
        stretch = f"(Parameter.set 'Duration_Stretch {rng.uniform(0.85, 1.2):.2f})"
        return ["text2wave", "-eval", f"(begin (voice_{name}) {stretch})", "-o", out], text
    raise ValueError(f"no engine {engine}")


def trimmed(samples: Samples) -> Samples | None:
    """Without most of the silence around what is said; None if all is silent."""
    power = np.convolve(samples.astype(np.float64) ** 2, np.ones(320) / 320, "same")
    loud = np.flatnonzero(power > _QUIET * max(power.max(), 1.0))
    if not len(loud):
        return None
    return samples[max(0, loud[0] - _PAD) : loud[-1] + _PAD]
