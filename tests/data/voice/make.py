"""Make the recordings of this folder anew: `python tests/data/voice/make.py`, with Debian's package flite.

The voices come with flite 2.2, are free software (BSD-like), and were made from recordings of the CMU ARCTIC
speakers rms (the questions) and slt (the rest), who allowed it.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import av

FOLDER = Path(__file__).parent
RATE_HZ = 16_000
SENTENCES = {
    "return_sofa": ("rms", "how long can I return the sofa"),
    "where_order": ("rms", "where is my order"),
    "skerry_table": ("rms", "what does the skerry coffee table cost"),
    "cancel_order": ("slt", "can I cancel my order"),
}
"""Recordings by name: voice and words."""
FORMATS = {
    "mp3": ("libmp3lame", "mp3", 16_000, 32_000),
    "aac": ("aac", "adts", 16_000, 48_000),
    "m4a": ("aac", "ipod", 44_100, 64_000),
    "webm": ("libopus", "webm", 48_000, 32_000),
    "ogg": ("libopus", "ogg", 48_000, 32_000),
}
"""Compressed forms of the first one: codec, container, rate, bits a second."""


def main() -> None:
    """Speak and encode."""
    for name, (voice, words) in SENTENCES.items():
        wav = FOLDER / f"{name}.wav"
        subprocess.run(["flite", "-voice", voice, "-t", words, "-o", str(wav)], check=True)
    first = FOLDER / f"{next(iter(SENTENCES))}.wav"
    for ending, (codec, container, rate_hz, bit_rate) in FORMATS.items():
        encode(first, first.with_suffix(f".{ending}"), codec, container, rate_hz, bit_rate)


def encode(source: Path, target: Path, codec: str, container: str, rate_hz: int, bit_rate: int) -> None:
    """Write a recording in another format."""
    with av.open(str(source)) as reading, av.open(str(target), "w", format=container) as writing:
        stream = writing.add_stream(codec, rate=rate_hz, layout="mono")
        stream.bit_rate = bit_rate
        resampler = av.AudioResampler(format=stream.format.name, layout="mono", rate=rate_hz)
        for frame in [*reading.decode(audio=0), None]:
            for part in resampler.resample(frame):
                writing.mux(stream.encode(part))
        writing.mux(stream.encode(None))


if __name__ == "__main__":
    main()
