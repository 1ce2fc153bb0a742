"""The process that decodes strangers' audio: one utterance after the other, from stdin to stdout.

It may be killed at any time, takes no more memory and processor time than it is allowed, and nothing that FFmpeg
does to it concerns the server. What it is sent: a line of JSON for each utterance, then messages of a length (4
bytes, big-endian) and that many bytes of audio; a length of 0 is the end. What it answers: a letter, a length,
and that many bytes: `S` samples, `E` an `AudioProblem` and its text as JSON, `D` done.
"""

from __future__ import annotations

import json
import struct
import sys
from typing import BinaryIO

from assistant.voice.decoding import Feed, decode, is_seekable
from assistant.voice.errors import AudioError, AudioProblem

LENGTH = struct.Struct(">I")
HEADER = struct.Struct(">cI")
SAMPLES, ERROR, DONE = b"S", b"E", b"D"
_MEMORY_BYTES = 1 << 30
_CPU_S = 30  # for one utterance


def main() -> None:
    """Serve until stdin ends."""
    limit_memory()
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while line := source.readline():
        limit_time()
        order = json.loads(line)
        serve_one(source, sink, order["container"], int(order["limit_bytes"]), float(order["limit_s"]))


def serve_one(source: BinaryIO, sink: BinaryIO, container: str, limit_bytes: int, limit_s: float) -> None:
    """Decode one utterance."""

    def more() -> bytes:
        (length,) = LENGTH.unpack(source.read(LENGTH.size))
        return source.read(length)

    feed = Feed(more, seekable=is_seekable(container), limit_bytes=limit_bytes)
    try:
        for piece in decode(feed, container, limit_s):
            _answer(sink, SAMPLES, piece)
    except AudioError as error:
        _answer(sink, ERROR, json.dumps([error.problem, str(error)]).encode())
    except Exception:  # MemoryError among them: what is left of FFmpeg's surprises
        text = "the audio cannot be decoded"
        _answer(sink, ERROR, json.dumps([AudioProblem.FORMAT, text]).encode())
    feed.drain()
    _answer(sink, DONE, b"")


def limit_memory() -> None:
    """No more address space than any honest file needs, and no core file."""
    try:
        import resource
    except ImportError:  # not a Unix
        return
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def limit_time() -> None:
    """So much processor time from now on; the system ends the process after it."""
    try:
        import resource
    except ImportError:  # not a Unix
        return
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(usage.ru_utime + usage.ru_stime) + _CPU_S, hard))


def _answer(sink: BinaryIO, kind: bytes, payload: bytes) -> None:
    sink.write(HEADER.pack(kind, len(payload)))
    sink.write(payload)
    sink.flush()


if __name__ == "__main__":
    main()
