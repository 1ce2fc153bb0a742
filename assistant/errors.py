"""Every exception this project raises, branched by who can act on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class AssistantError(Exception):
    """Base of all errors raised here; the message says what arrived, what was expected and what to do."""


class ConfigError(AssistantError):
    """A setting is wrong or a needed file is missing; the operator can act."""


@dataclass(frozen=True, slots=True)
class KnowledgeProblem:
    """One thing wrong in a knowledge file, as its author should read it.

    Attributes:
        path: file as the author named it, relative to the knowledge folder where possible.
        line: 1-based line, row or page; 0 when the file as a whole is meant.
        message: what is wrong and what to do, without the location.
    """

    path: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}" if self.line else f"{self.path}: {self.message}"


class KnowledgeError(AssistantError):
    """Knowledge files cannot be taken in; carries every problem found in one run."""

    def __init__(self, problems: Sequence[KnowledgeProblem], where: str = "the knowledge files") -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        head = f"{count} problem{'s' if count != 1 else ''} in {where}"
        super().__init__("\n".join([head, *(str(problem) for problem in self.problems)]))


class BackendError(AssistantError):
    """A model or an engine behind a protocol failed."""

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        self.retryable = retryable
        super().__init__(message)


class ProtocolError(AssistantError):
    """A client broke the wire protocol.

    Attributes:
        code: stable error code of docs/protocol.md.
        fatal: whether the connection is closed after the error is sent.
        close_code: WebSocket close code (RFC 6455, section 7.4) used when fatal.
        retryable: whether the same message may be sent again later.
    """

    def __init__(
        self, code: str, message: str, *, fatal: bool = False, close_code: int = 1008, retryable: bool = False
    ) -> None:
        self.code = code
        self.fatal = fatal
        self.close_code = close_code
        self.retryable = retryable
        super().__init__(message)


class SessionError(AssistantError):
    """A session is busy, expired, unknown, or there are too many."""

    def __init__(self, code: str, message: str, *, retryable: bool = False) -> None:
        self.code = code
        self.retryable = retryable
        super().__init__(message)
