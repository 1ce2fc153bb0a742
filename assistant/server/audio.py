"""What a customer says, on its way from a connection to the session: utterances, their transcripts, their errors."""

from __future__ import annotations

import asyncio
import base64
import re
from collections import deque
from dataclasses import replace

from assistant.server.metrics import Metrics
from assistant.server.peer import TokenBucket
from assistant.server.sessions import Session
from assistant.server.wire import AudioChunk, AudioStart, ErrorCode, ErrorEvent, WireError, encode
from assistant.voice.endpointing import TurnDetection
from assistant.voice.errors import AudioError, AudioProblem
from assistant.voice.service import Voice
from assistant.voice.utterance import AudioForm, Partial, Utterance, UtteranceEvent

MESSAGES_PER_SECOND = 100.0  # of audio; a recorder sends 10 to 50
MESSAGE_BYTES = 1_000_000  # of audio in one message, before base64
_BASE64 = 4 / 3  # characters for a byte
_AROUND_AUDIO = 1024  # bytes of an audio.chunk besides its audio
KEPT_IDS = 16  # utterances of a connection whose late audio is ignored without an error
_CHUNK = re.compile(r'"type"\s*:\s*"audio\.chunk"')
_LOOKED_AT = 256  # characters at either end of a message
_CODES = {
    AudioProblem.FORMAT: ErrorCode.AUDIO_FORMAT,
    AudioProblem.TOO_LONG: ErrorCode.AUDIO_TOO_LONG,
    AudioProblem.TOO_LARGE: ErrorCode.AUDIO_TOO_LARGE,
    AudioProblem.TOO_FAST: ErrorCode.AUDIO_TOO_FAST,
    AudioProblem.STALLED: ErrorCode.AUDIO_STALLED,
    AudioProblem.NO_SPEECH: ErrorCode.NO_SPEECH,
    AudioProblem.BUSY: ErrorCode.AUDIO_BUSY,
    AudioProblem.FAILED: ErrorCode.BACKEND,
}
LARGEST_MESSAGE_BYTES = int(MESSAGE_BYTES * _BASE64) + _AROUND_AUDIO


def is_audio(frame: str | bytes) -> bool:
    """Whether a frame seems to be a piece of audio; these have a rate of their own."""
    if isinstance(frame, bytes):
        return True
    return bool(_CHUNK.search(frame[:_LOOKED_AT]) or _CHUNK.search(frame[-_LOOKED_AT:]))


class SpokenSide:
    """The utterances of one connection: at most one takes audio, others may still be recognised."""

    def __init__(
        self,
        voice: Voice,
        session: Session,
        language: str,
        metrics: Metrics,
    ) -> None:
        self._voice = voice
        self._session = session
        self._language = language
        self._metrics = metrics
        self._utterances: dict[str, Utterance] = {}
        self._current = ""
        self._known: deque[str] = deque(maxlen=KEPT_IDS)
        self._bucket = TokenBucket(int(MESSAGES_PER_SECOND * 60), asyncio.get_running_loop().time())

    def start(self, message: AudioStart) -> None:
        """Begin an utterance; the reply that is being given stops.

        Raises: WireError: audio_busy or duplicate.
        """
        session = self._session
        self._drop_current()
        self._known.append(message.id)
        if session.knows(message.id):
            session.repeat(message.id)
            return
        session.interrupt()

        def told(event: UtteranceEvent) -> None:
            self._told(message.id, event)

        form = AudioForm(message.format, message.rate_hz, message.channels)
        try:
            utterance = self._voice.begin(
                form, self._language, session.knowledge, told, detection=self._detection(message)
            )
        except AudioError as error:
            raise _as_wire(error, message.id) from None
        self._utterances[message.id] = utterance
        self._current = message.id

    async def feed(self, data: bytes, utterance_id: str = "") -> None:
        """Take a piece of audio; waits while there is no room. Audio that comes late is ignored.

        Args:
            data: the bytes.
            utterance_id: of the utterance; "" for the one begun last, as binary messages have it.

        Raises: WireError: unknown_audio, or audio_too_fast for too many messages.
        """
        utterance_id = utterance_id or self._current
        if utterance_id not in self._known:
            raise WireError(ErrorCode.UNKNOWN_AUDIO, "send audio.start first", id=utterance_id or None)
        utterance = self._utterances.get(utterance_id)
        if utterance is None:
            return
        if self._bucket.take(asyncio.get_running_loop().time()):
            self._forget(utterance_id)
            raise WireError(
                ErrorCode.AUDIO_TOO_FAST,
                f"at most {MESSAGES_PER_SECOND:g} pieces of audio a second are taken; send larger ones",
                id=utterance_id,
            )
        await utterance.feed(data)

    def end(self, utterance_id: str) -> None:
        """All audio of an utterance has come.

        Raises: WireError: unknown_audio.
        """
        if utterance_id not in self._known:
            raise WireError(ErrorCode.UNKNOWN_AUDIO, "send audio.start first", id=utterance_id)
        utterance = self._utterances.get(utterance_id)
        if utterance is not None:
            utterance.finish()

    def cancel(self, utterance_id: str) -> None:
        """Drop an utterance; harmless if it is over."""
        self._forget(utterance_id)

    def leave(self) -> None:
        """The connection is gone: an utterance whose audio is complete goes on, another one is lost."""
        for utterance_id, utterance in tuple(self._utterances.items()):
            if not utterance.complete:
                self._forget(utterance_id)
                self._session.lost_speech.append(utterance_id)

    def _drop_current(self) -> None:
        """A new utterance takes the place of one that has not come to its end."""
        utterance = self._utterances.get(self._current)
        if utterance is not None and not utterance.complete:
            self._forget(self._current)
            self._refuse(interrupted(self._current))

    def _forget(self, utterance_id: str) -> None:
        utterance = self._utterances.pop(utterance_id, None)
        if utterance is not None:
            utterance.abort()

    def _detection(self, message: AudioStart) -> TurnDetection | None:
        """What the client says about the end of its utterance, completed by what the server has."""
        if "turn_detection" not in message.model_fields_set:
            return self._voice.rules.detection
        if message.turn_detection is None:
            return None
        given = message.turn_detection.model_dump(exclude={"type"}, exclude_none=True)
        return replace(self._voice.rules.detection or TurnDetection(), **given)

    def _told(self, utterance_id: str, event: UtteranceEvent) -> None:
        """Pass on what an utterance tells, to whatever connection the session has by then."""
        if isinstance(event, Partial):
            self._session.guess(utterance_id, event.text)
            return
        self._utterances.pop(utterance_id, None)
        if isinstance(event, AudioError):
            self._refuse(_as_wire(event, utterance_id))
            return
        self._metrics.speech_seconds.observe(event.seconds)
        try:
            self._session.hear(utterance_id, event)
        except WireError as error:
            self._refuse(error)

    def _refuse(self, error: WireError) -> None:
        self._metrics.errors.labels(error.kind).inc()
        self._session.send(describe(error, self._session.seq))


def interrupted(utterance_id: str) -> WireError:
    """The error for an utterance that was cut off."""
    return WireError(
        ErrorCode.AUDIO_INTERRUPTED, "the utterance was cut off before its end; say it again", id=utterance_id
    )


def describe(error: WireError, seq: int) -> str:
    """An error as a frame."""
    return encode(
        ErrorEvent(
            seq=seq,
            code=error.code,
            message=str(error),
            id=error.id,
            retryable=error.retryable,
            fatal=error.fatal,
        )
    )


def decode_base64(chunk: AudioChunk) -> bytes:
    """The audio of an `audio.chunk`.

    Raises: WireError: invalid, or message_too_large.
    """
    try:
        data = base64.b64decode(chunk.b64, validate=True)
    except ValueError:
        raise WireError(ErrorCode.INVALID, "audio.chunk: field b64 is not base64", id=chunk.id) from None
    return data


def _as_wire(error: AudioError, utterance_id: str) -> WireError:
    return WireError(_CODES[error.problem], str(error), id=utterance_id)
