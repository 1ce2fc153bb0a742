"""Speech over the real websocket, through the real model, to an ordinary turn."""

from __future__ import annotations

from pathlib import Path

import pytest

from assistant.backends.vosk_recognizer import VoskRecognizer
from tests.server.harness import ScriptedRunner, run
from tests.voice.harness import RECORDED, SOFA, Speaker, samples, speaking_server


def test_spoken_question_is_answered_like_a_typed_one(tmp_path: Path, recognizer: VoskRecognizer) -> None:
    """Samples in, partial transcripts while they come, the final one, then a turn of the same id."""

    async def test() -> None:
        runner = ScriptedRunner()
        async with speaking_server(tmp_path, recognizer, runner) as server, Speaker(server) as client:
            assert client.ready["features"]["voice"]
            assert client.ready["features"]["binary"]
            await client.say(samples())
            final = await client.final()
            assert final["text"] == SOFA
            started = await client.wait_for("turn.started")
            assert (started["id"], started["text"]) == ("a1", SOFA)
            done = await client.wait_for("turn.done")
            assert done["status"] == "completed"
            assert started["seq"] > final["seq"]
            assert any(SOFA.startswith(partial) for partial in client.partials)
            assert runner.requests[0].text == SOFA

    run(test())


@pytest.mark.parametrize(
    ("name", "announced"),
    [
        ("return_sofa.wav", "auto"),
        ("return_sofa.wav", "pcm_s16le"),  # a recorder that puts a header before its samples
        ("return_sofa.mp3", "mp3"),
        ("return_sofa.aac", "aac"),
        ("return_sofa.m4a", "aac"),
        ("return_sofa.webm", "auto"),
        ("return_sofa.ogg", "auto"),
        ("return_sofa.mp3", "aac"),  # mislabelled
        ("return_sofa.webm", "pcm_s16le"),  # mislabelled
    ],
)
@pytest.mark.parametrize("piece", [700, 1 << 20], ids=["in pieces", "whole"])
def test_every_format_is_understood(
    name: str, announced: str, piece: int, tmp_path: Path, recognizer: VoskRecognizer
) -> None:
    """Whole or in pieces, under its own name or another one's; as strings where the socket takes no bytes."""

    async def test() -> None:
        async with (
            speaking_server(tmp_path, recognizer, ScriptedRunner()) as server,
            Speaker(server) as client,
        ):
            data = (RECORDED / name).read_bytes()
            await client.say(data, format=announced, piece=piece, as_text=piece > len(data))
            assert (await client.final())["text"] == SOFA
            assert (await client.wait_for("turn.done"))["status"] == "completed"

    run(test())
