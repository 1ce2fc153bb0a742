"""Decoders: processes that turn strangers' compressed audio into samples, one utterance each at a time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from dataclasses import dataclass

from assistant.voice.decoder_process import DONE, ERROR, HEADER, LENGTH, SAMPLES
from assistant.voice.errors import AudioError, AudioProblem

_KEPT = 2  # processes kept for the next utterance; about 40 MB each
_PIECE_BYTES = 16_384  # what is written at once; the pipe holds four of them
_LET_GO_S = 2.0  # for a process to come to the end of an utterance that is given up
_DIED = "the audio cannot be decoded: it took more memory or time than any speech needs, or broke the decoder"


@dataclass(frozen=True, slots=True)
class DecodingLimits:
    """What one utterance may take."""

    size_bytes: int
    seconds: float


class DecoderPool:
    """Starts processes as they are needed, at most `most`; keeps a few for the next utterance."""

    def __init__(self, most: int, limits: DecodingLimits) -> None:
        self._limits = limits
        self._room = asyncio.Semaphore(most)
        self._idle: list[asyncio.subprocess.Process] = []
        self._closed = False

    async def open(self, container: str) -> Decoding:
        """A decoder for one utterance; waits while all are in use."""
        await self._room.acquire()
        try:
            process = self._idle.pop() if self._idle else await _start()
        except BaseException:
            self._room.release()
            raise
        order = {
            "container": container,
            "limit_bytes": self._limits.size_bytes,
            "limit_s": self._limits.seconds,
        }
        _write(process, json.dumps(order).encode() + b"\n")
        return Decoding(process, self)

    async def take_back(self, process: asyncio.subprocess.Process, reusable: bool) -> None:
        """Keep a process for the next utterance, or end it."""
        self._room.release()
        if reusable and not self._closed and len(self._idle) < _KEPT:
            self._idle.append(process)
        else:
            await _end(process)

    async def close(self) -> None:
        """End the processes that wait; those in use end when their utterances do. May be called twice."""
        self._closed = True
        while self._idle:
            await _end(self._idle.pop())


class Decoding:
    """The compressed audio of one utterance on its way through a process. `async with`, or `close()`."""

    def __init__(self, process: asyncio.subprocess.Process, pool: DecoderPool) -> None:
        self._process = process
        self._pool = pool
        self._done = False
        self._ended = False
        self._closed = False
        self._amid = False  # in the middle of an answer; what follows cannot be read if that was given up

    @property
    def process_id(self) -> int:
        """Of the process that decodes."""
        return self._process.pid

    def kill(self) -> None:
        """End the process at once; what is read next says so. May be called twice."""
        _kill(self._process)

    async def feed(self, data: bytes) -> None:
        """Pass on a piece; waits while the process has not taken what came before."""
        for at in range(0, len(data), _PIECE_BYTES):
            piece = data[at : at + _PIECE_BYTES]
            _write(self._process, LENGTH.pack(len(piece)) + piece)
            await self._drain()

    async def end(self) -> None:
        """All audio was passed on."""
        if not self._ended:
            self._ended = True
            _write(self._process, LENGTH.pack(0))
            await self._drain()

    async def read(self) -> bytes:
        """The next samples, 16 kHz mono 16-bit PCM; b"" at the end.

        Raises: AudioError: the audio cannot be decoded.
        """
        if self._done:
            return b""
        stream = self._process.stdout
        assert stream is not None  # noqa: S101 - asked for when the process was started
        self._amid = True
        try:
            kind, length = HEADER.unpack(await stream.readexactly(HEADER.size))
            payload = await stream.readexactly(length)
            self._amid = False
        except (asyncio.IncompleteReadError, ConnectionError):
            raise AudioError(AudioProblem.FORMAT, _DIED) from None
        if kind == SAMPLES:
            return payload
        if kind == ERROR:
            problem, text = json.loads(payload)
            raise AudioError(AudioProblem(problem), text)
        self._done = kind == DONE
        return b""

    async def close(self) -> None:
        """Give the process back; one that does not come to an end is ended. May be called twice."""
        if self._closed:
            return
        self._closed = True
        reusable = False
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LET_GO_S):
                    reusable = await self._finish()
        finally:
            if not reusable:
                self.kill()
            await self._pool.take_back(self._process, reusable)

    async def _finish(self) -> bool:
        """Come to the end of the utterance; whether the process can take another one."""
        if self._amid:
            return False
        if not self._ended:
            self._ended = True
            _write(self._process, LENGTH.pack(0))
        while not self._done:
            try:
                await self.read()
            except AudioError:
                if self._process.stdout is None or self._process.stdout.at_eof():
                    return False
        return self._process.returncode is None

    async def _drain(self) -> None:
        assert self._process.stdin is not None  # noqa: S101 - asked for when the process was started
        with contextlib.suppress(ConnectionError):  # it died: reading tells
            await self._process.stdin.drain()


async def _start() -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "assistant.voice.decoder_process",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is the server's
    )


def _write(process: asyncio.subprocess.Process, data: bytes) -> None:
    assert process.stdin is not None  # noqa: S101 - asked for when the process was started
    process.stdin.write(data)


def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()


async def _end(process: asyncio.subprocess.Process) -> None:
    _kill(process)
    with contextlib.suppress(ConnectionError):
        await process.communicate()  # reads what is left, else the pipe stays open
