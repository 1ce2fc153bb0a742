"""Compressed audio → 16 kHz mono samples, with FFmpeg through PyAV, as it comes in or from a file.

FFmpeg's parsers read what strangers send: the server runs this in processes of its own (decoder_pool.py).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from assistant.voice.errors import AudioError, AudioProblem
from assistant.voice.pcm import RATE_HZ, SAMPLE_BYTES, SECOND_BYTES
from assistant.voice.sniffing import MP4

if TYPE_CHECKING:
    from av.container import InputContainer

READ_BYTES = 2048  # what FFmpeg asks for at once; small, so that it starts on the first piece
_BAD_PACKETS = 200  # damaged packets after which the rest is given up
_OPTIONS = {"probesize": "4096", "analyzeduration": "200000"}
_OPTIONS_OF = {"wav": {"max_size": "2048"}}  # else it waits for seconds of samples
_DAMAGED = "the audio cannot be decoded: it is damaged, or of a kind that is not taken; see docs/voice.md"


class Feed(io.RawIOBase):
    """Audio that is still coming in, as a file: reading waits for more.

    Args:
        more: gives the next piece, or b"" at the end; waits for it.
        seekable: whether FFmpeg may jump; it then may wait for the end to come in (MP4 keeps its table there).
        limit_bytes: how much is taken at most.
    """

    def __init__(self, more: Callable[[], bytes], *, seekable: bool, limit_bytes: int) -> None:
        super().__init__()
        self._more = more
        self._seekable = seekable
        self._limit_bytes = limit_bytes
        self._data = bytearray()
        self._at = 0
        self._dropped = 0  # bytes that were read and will not be asked for again
        self._ended = False

    def readable(self) -> bool:
        """It can be read."""
        return True

    def seekable(self) -> bool:
        """Whether it can be jumped in."""
        return self._seekable

    def tell(self) -> int:
        """Where the next byte is read."""
        return self._at

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, at least one unless the end is reached."""
        self._fill(self._at + 1)
        begin = self._at - self._dropped
        piece = bytes(self._data[begin : begin + size] if size >= 0 else self._data[begin:])
        self._at += len(piece)
        if not self._seekable:
            del self._data[: begin + len(piece)]
            self._dropped = self._at
        return piece

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Jump; from the end only once all has come in."""
        if not self._seekable:
            raise io.UnsupportedOperation("seek")
        if whence == io.SEEK_END:
            self._fill(self._limit_bytes + 1)
            offset += len(self._data)
        elif whence == io.SEEK_CUR:
            offset += self._at
        self._at = max(offset, 0)
        return self._at

    def drain(self) -> None:
        """Take what is still coming and drop it."""
        while not self._ended:
            self._ended = not self._more()

    def _fill(self, until: int) -> None:
        """Wait until so many bytes are there, or the end is reached."""
        while not self._ended and self._dropped + len(self._data) < until:
            piece = self._more()
            self._ended = not piece
            self._data += piece
            if self._dropped + len(self._data) > self._limit_bytes:
                raise AudioError(
                    AudioProblem.TOO_LARGE, f"the audio has more than {self._limit_bytes} bytes; send less"
                )


def decode(feed: Feed, container: str, limit_s: float) -> Iterator[bytes]:
    """Decode audio as it comes in.

    Args:
        feed: the audio.
        container: FFmpeg's name of the demuxer.
        limit_s: length at which decoding stops; a little more may be given.

    Yields: 16 kHz mono 16-bit PCM, in pieces of a few milliseconds to a few seconds.
    Raises: AudioError: it cannot be decoded, or has too many bytes.
    """
    import av

    av.logging.set_level(None)
    problem: list[AudioError] = []  # PyAV replaces what is raised while it reads
    given = 0
    options = _OPTIONS | _OPTIONS_OF.get(container, {})
    try:
        opened = av.open(
            _Guarded(feed, problem), mode="r", format=container, options=options, buffer_size=READ_BYTES
        )
        with opened:
            for piece in _decoded(opened):
                yield piece
                given += len(piece)
                if given > limit_s * SECOND_BYTES:
                    return
    except (av.error.FFmpegError, ValueError, OverflowError, EOFError, OSError) as error:
        if not problem and not given:
            raise AudioError(AudioProblem.FORMAT, _DAMAGED) from error
    if problem:
        raise problem[0]
    if not given:
        raise AudioError(AudioProblem.FORMAT, _DAMAGED)


def is_seekable(container: str) -> bool:
    """Whether a container has to be jumped in."""
    return container == MP4


class _Guarded:
    """A feed as PyAV reads it; keeps what the feed raises."""

    def __init__(self, feed: Feed, problem: list[AudioError]) -> None:
        self._feed = feed
        self._problem = problem
        self.name = ""
        if feed.seekable():
            self.seek = feed.seek
            self.tell = feed.tell

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._feed.seekable()

    def read(self, size: int) -> bytes:
        if self._problem:
            return b""
        try:
            return self._feed.read(size)
        except AudioError as error:
            self._problem.append(error)
            return b""


def _decoded(container: InputContainer) -> Iterator[bytes]:
    """The first audio stream, packet by packet; damaged packets are left out."""
    import av

    if not container.streams.audio:
        return
    stream = container.streams.audio[0]
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE_HZ)
    bad = 0
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            bad += 1
            if bad > _BAD_PACKETS:
                return
            continue
        for frame in frames:
            for part in resampler.resample(frame):
                yield bytes(part.planes[0])[: part.samples * SAMPLE_BYTES]
    for part in resampler.resample(None):
        yield bytes(part.planes[0])[: part.samples * SAMPLE_BYTES]
