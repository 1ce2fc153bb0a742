"""Speech in files → transcripts, for the console and the evaluation."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from assistant.protocols import Recognizer
from assistant.records import Transcript
from assistant.voice.decoding import Feed, decode, is_seekable
from assistant.voice.errors import AudioError, AudioProblem
from assistant.voice.listening import Correct, Listening
from assistant.voice.pcm import RATE_HZ, SECOND_BYTES
from assistant.voice.sniffing import HEAD_BYTES, sniff

_PIECE_BYTES = SECOND_BYTES  # what the recogniser gets at once
LONGEST_S = 4 * 3600.0
LARGEST_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class FileTranscript:
    """What was said in a file, and the seconds it took to find out."""

    transcript: Transcript
    took_s: float


def transcribe(
    content: bytes, recognizer: Recognizer, language: str, correct: Correct, *, sure: float = 0.0
) -> FileTranscript:
    """Recognise the speech in a file's content, whatever its format. Blocking.

    Args:
        content: the file.
        recognizer: the model.
        language: of the speech.
        correct: gives the text of words.
        sure: confidence below which alternatives are looked for.

    Raises: AudioError: it cannot be decoded. BackendError: the model failed.
    """
    started = time.perf_counter()
    listening = Listening(
        recognizer, RATE_HZ, 1, detection=None, language=language, correct=correct, sure=sure
    )
    for piece in samples_of(content):
        for at in range(0, len(piece), _PIECE_BYTES):
            listening.push(piece[at : at + _PIECE_BYTES])
    transcript = listening.finish()
    return FileTranscript(transcript, time.perf_counter() - started)


def samples_of(content: bytes) -> Iterator[bytes]:
    """A file's audio as 16 kHz mono 16-bit PCM, piece by piece.

    Raises: AudioError: it cannot be decoded.
    """
    container = sniff(content[:HEAD_BYTES])
    if not container:
        raise AudioError(AudioProblem.FORMAT, "is no audio file of a format that is taken; see docs/voice.md")
    pieces = iter((content,))
    feed = Feed(lambda: next(pieces, b""), seekable=is_seekable(container), limit_bytes=LARGEST_BYTES)
    yield from decode(feed, container, LONGEST_S)
