"""Why an utterance in speech could not be taken; the codes are those of the wire protocol."""

from __future__ import annotations

from enum import StrEnum

from assistant.errors import AssistantError


class AudioProblem(StrEnum):
    """What is wrong with an utterance's audio."""

    FORMAT = "audio_format"
    TOO_LONG = "audio_too_long"
    TOO_LARGE = "audio_too_large"
    TOO_FAST = "audio_too_fast"
    STALLED = "audio_stalled"
    NO_SPEECH = "no_speech"
    BUSY = "busy"
    FAILED = "backend"


class AudioError(AssistantError):
    """The audio of an utterance is refused; its text says what to do."""

    def __init__(self, problem: AudioProblem, message: str) -> None:
        self.problem = problem
        super().__init__(message)
