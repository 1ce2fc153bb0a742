"""One utterance on its way through the server: bytes in, partial and final transcripts out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Executor
from dataclasses import dataclass

from assistant.errors import BackendError
from assistant.records import Transcript
from assistant.voice.decoder_pool import DecoderPool, Decoding
from assistant.voice.errors import AudioError, AudioProblem
from assistant.voice.listening import Listening
from assistant.voice.pcm import RATE_HZ, SAMPLE_BYTES
from assistant.voice.sniffing import AAC, HEAD_BYTES, MP3, sniff, sniff_raw

_LOGGER = logging.getLogger(__name__)
PCM, AUTO = "pcm_s16le", "auto"
WAITING_BYTES = 1 << 18  # of one utterance, before they are looked at; when full, the sender waits
_ROOM_S = 10.0  # for the sender to wait; then the utterance is given up
_STALLED_S = 15.0  # without any audio, though the utterance has not ended
_STEP_S = 0.4  # audio recognised in one go; more would hold up the other speakers
_PASSED_ON_BYTES = 8192  # to a decoder at once
LEEWAY_S = 1.0  # recorders that stop at the limit overshoot a little
_FAILED = "speech recognition failed; type the question instead"
_CONTAINERS = {"mp3": MP3, "aac": AAC}


@dataclass(frozen=True, slots=True)
class AudioLimits:
    """What one utterance may have."""

    seconds: float
    size_bytes: int


@dataclass(frozen=True, slots=True)
class AudioForm:
    """What the sender says about its audio: `format` is pcm_s16le, mp3, aac or auto."""

    format: str
    rate_hz: int
    channels: int


@dataclass(frozen=True, slots=True)
class Partial:
    """What an utterance sounds like so far."""

    text: str


UtteranceEvent = Partial | Transcript | AudioError
"""Any number of `Partial`, then one of the others."""


class Waiting:
    """Bytes on their way, bounded: the sender waits while there is no room."""

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._changed = asyncio.Event()
        self._ended = False

    async def put(self, data: bytes) -> None:
        """Add bytes once there is room.

        Raises: AudioError: there was none for too long.
        """
        try:
            async with asyncio.timeout(_ROOM_S):
                await self._until(lambda: self._size < WAITING_BYTES)
        except TimeoutError:
            raise AudioError(
                AudioProblem.TOO_FAST, "audio comes faster than it can be taken; send it as it is spoken"
            ) from None
        if not self._ended:
            self._pieces.append(data)
            self._size += len(data)
            self._tell()

    def end(self) -> None:
        """No more will come; what still does is dropped. May be called twice."""
        self._ended = True
        self._tell()

    async def get(self, most: int) -> bytes:
        """At least one and at most `most` bytes; b"" at the end.

        Raises: AudioError: nothing came for too long.
        """
        try:
            async with asyncio.timeout(_STALLED_S):
                await self._until(lambda: bool(self._pieces))
        except TimeoutError:
            raise AudioError(
                AudioProblem.STALLED,
                f"no audio came for {_STALLED_S:g} seconds; send audio.end after the last",
            ) from None
        taken = bytearray()
        while self._pieces and len(taken) < most:
            piece = self._pieces.popleft()
            room = most - len(taken)
            taken += piece[:room]
            if len(piece) > room:
                self._pieces.appendleft(piece[room:])
        self._size -= len(taken)
        self._tell()
        return bytes(taken)

    async def _until(self, true: Callable[[], bool]) -> None:
        while not self._ended and not true():
            self._changed.clear()
            await self._changed.wait()

    def _tell(self) -> None:
        self._changed.set()


class Utterance:
    """Takes the audio of one utterance as it comes, and tells what is heard.

    Args:
        form: what the sender says the audio is; its first bytes count for more.
        listen: makes the listening for PCM of a rate and a number of channels. Blocking.
        decoders: for everything but bare samples.
        executor: its threads run the recogniser.
        told: called on the event loop with each event; must not block.
    """

    def __init__(
        self,
        form: AudioForm,
        limits: AudioLimits,
        listen: Callable[[int, int], Listening],
        decoders: DecoderPool,
        executor: Executor,
        told: Callable[[UtteranceEvent], None],
    ) -> None:
        self._form = form
        self._limits = limits
        self._listen = listen
        self._decoders = decoders
        self._executor = executor
        self._told = told
        self._waiting = Waiting()
        self._size = 0
        self.complete = False  # all its audio is here, or its end was decided
        self.over = False
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def feed(self, data: bytes) -> None:
        """Take a piece of audio; waits while there is no room. Ignored once the utterance is over."""
        if self.complete or self.over or not data:
            return
        self._size += len(data)
        try:
            if self._size > self._limits.size_bytes:
                raise AudioError(
                    AudioProblem.TOO_LARGE,
                    f"the audio has more than {self._limits.size_bytes} bytes; send less",
                )
            await self._waiting.put(data)
        except AudioError as error:
            self._end(error)
            self._task.cancel()

    def finish(self) -> None:
        """All audio has come. May be called twice."""
        self.complete = True
        self._waiting.end()

    def abort(self) -> None:
        """Forget the utterance; nothing is told any more. May be called twice."""
        self.over = True
        self._task.cancel()

    async def closed(self) -> None:
        """Wait until its resources are free."""
        await asyncio.wait([self._task])

    def when_closed(self, call: Callable[[Utterance], object]) -> None:
        """Call this with the utterance once its resources are free."""
        self._task.add_done_callback(lambda _: call(self))

    def _end(self, event: Transcript | AudioError) -> None:
        if not self.over:
            self.over = True
            self._told(event)

    async def _run(self) -> None:
        try:
            self._end(await self._hear())
        except AudioError as error:
            self._end(error)
        except BackendError as error:
            _LOGGER.error("speech recognition failed: %s", error)
            self._end(AudioError(AudioProblem.FAILED, _FAILED))
        except Exception as error:  # its text may quote the customer
            _LOGGER.error("an utterance could not be handled: %s", type(error).__name__)
            self._end(AudioError(AudioProblem.FAILED, _FAILED))
        finally:
            self.over = True
            self._waiting.end()

    async def _hear(self) -> Transcript:
        head = await self._head()
        container = self._container(head)
        run = asyncio.get_running_loop().run_in_executor
        rate_hz, channels = (RATE_HZ, 1) if container else (self._form.rate_hz, self._form.channels)
        listening = await run(self._executor, self._listen, rate_hz, channels)
        text = ""
        async with contextlib.aclosing(self._pcm(head, container)) as pieces:
            async for piece in pieces:
                hearing = await run(self._executor, listening.push, piece)
                if hearing.seconds > self._limits.seconds + LEEWAY_S:
                    raise AudioError(
                        AudioProblem.TOO_LONG,
                        f"an utterance may have {self._limits.seconds:g} seconds; say it in shorter pieces",
                    )
                if hearing.text and hearing.text != text and not self.over:
                    text = hearing.text
                    self._told(Partial(text))
                if hearing.ended:
                    break
        self.complete = True
        self._waiting.end()
        transcript = await run(self._executor, listening.finish)
        if not transcript.text:
            raise AudioError(
                AudioProblem.NO_SPEECH, "no words could be heard; speak up, or nearer to the microphone"
            )
        return transcript

    async def _head(self) -> bytes:
        """The first bytes, as many as tell formats apart."""
        head = b""
        while len(head) < HEAD_BYTES:
            piece = await self._waiting.get(HEAD_BYTES - len(head))
            if not piece:
                break
            head += piece
        return head

    def _container(self, head: bytes) -> str:
        """FFmpeg's name of what has to be decoded; "" for samples.

        Raises: AudioError: nobody can say what it is.
        """
        if self._form.format == PCM:
            return sniff_raw(head)
        container = sniff(head) or _CONTAINERS.get(self._form.format, "")
        if not head:
            raise AudioError(AudioProblem.NO_SPEECH, "the utterance has no audio")
        if not container:
            raise AudioError(
                AudioProblem.FORMAT,
                "the audio is of no format that is taken; see docs/voice.md, or send pcm_s16le",
            )
        return container

    def _pcm(self, head: bytes, container: str) -> AsyncGenerator[bytes, None]:
        return self._decoded(head, container) if container else self._samples(head)

    async def _samples(self, head: bytes) -> AsyncGenerator[bytes, None]:
        """Samples as they come."""
        step = int(_STEP_S * self._form.rate_hz) * self._form.channels * SAMPLE_BYTES
        if head:
            yield head
        while piece := await self._waiting.get(step):
            yield piece

    async def _decoded(self, head: bytes, container: str) -> AsyncGenerator[bytes, None]:
        """Samples that a decoder makes of what comes."""
        decoding = await self._decoders.open(container)
        feeding: asyncio.Task[AudioError | None] | None = None
        try:
            feeding = asyncio.get_running_loop().create_task(self._feed_decoder(decoding, head))
            step = int(_STEP_S * RATE_HZ) * SAMPLE_BYTES
            while samples := await decoding.read():
                for at in range(0, len(samples), step):
                    yield samples[at : at + step]
            problem = await feeding
            if problem is not None:
                raise problem
        finally:
            if feeding is not None:
                feeding.cancel()
                await asyncio.wait([feeding])
            await decoding.close()

    async def _feed_decoder(self, decoding: Decoding, head: bytes) -> AudioError | None:
        """Pass on what comes, up to its end; returns what was wrong with it."""
        problem = None
        piece = head
        try:
            while piece:
                await decoding.feed(piece)
                piece = await self._waiting.get(_PASSED_ON_BYTES)
        except AudioError as error:
            problem = error
        await decoding.end()
        return problem
