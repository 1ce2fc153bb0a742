"""What the tests of speech share: recordings, and a client that speaks."""

from __future__ import annotations

import base64
import contextlib
import wave
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from assistant.protocols import Recognizer
from assistant.server import Server
from assistant.voice.endpointing import TurnDetection
from assistant.voice.service import Voice, VoiceRules
from tests.server.harness import Client, make_settings, running

RECORDED = Path(__file__).parents[1] / "data" / "voice"
SECOND = 32_000  # bytes of 16 kHz mono samples
SOFA = "how long can i return the sofa"


def samples(name: str = "return_sofa") -> bytes:
    """A recording as bare samples, 16 kHz mono."""
    with wave.open(str(RECORDED / f"{name}.wav")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
        return file.readframes(file.getnframes())


def cut(data: bytes, size: int) -> Sequence[bytes]:
    """Pieces of a size, the last one shorter."""
    return [data[at : at + size] for at in range(0, len(data), size)]


@contextlib.asynccontextmanager
async def speaking_server(
    data: Path,
    recognizer: Recognizer,
    runner: Any,
    *,
    detection: TurnDetection | None = None,
    sure: float = 0.0,
    speakers: int = 64,
    **values: Any,
) -> AsyncIterator[Server]:
    """A server that takes speech; utterances end with `audio.end` unless a detection is given."""
    voice = Voice(
        {"en": recognizer}, VoiceRules(threads=2, speakers=speakers, detection=detection, sure=sure)
    )
    async with running(make_settings(data, **values), runner, voice=voice) as server:
        yield server


class Speaker(Client):
    """A client that speaks; keeps what was understood."""

    def __init__(self, server: Server, **hello: Any) -> None:
        super().__init__(server, **hello)
        self.partials: list[str] = []
        self.finals: dict[str, dict[str, Any]] = {}

    def _note(self, message: dict[str, Any]) -> None:
        super()._note(message)
        if message["type"] == "transcript.partial":
            self.partials.append(message["text"])
        elif message["type"] == "transcript.final":
            assert message["id"] not in self.finals, "a second final transcript"
            self.finals[message["id"]] = message

    async def start(self, utterance: str = "a1", format: str = "pcm_s16le", **fields: Any) -> None:
        await self.send(type="audio.start", id=utterance, format=format, **fields)

    async def say(
        self,
        data: bytes,
        utterance: str = "a1",
        format: str = "pcm_s16le",
        *,
        piece: int = 3200,
        as_text: bool = False,
        end: bool = True,
        **fields: Any,
    ) -> None:
        """Send a whole utterance, piece by piece."""
        await self.start(utterance, format, **fields)
        for part in cut(data, piece):
            if as_text:
                await self.send(type="audio.chunk", id=utterance, b64=base64.b64encode(part).decode())
            else:
                await self.socket.send(part)
        if end:
            await self.send(type="audio.end", id=utterance)

    async def final(self, utterance: str = "a1") -> dict[str, Any]:
        """Wait for what was understood of an utterance."""
        return await self.wait_for("transcript.final", lambda event: event["id"] == utterance)

    async def refusal(self, utterance: str = "a1") -> dict[str, Any]:
        """Wait for the error of an utterance."""
        return await self.wait_for("error", lambda event: event.get("id") == utterance)
