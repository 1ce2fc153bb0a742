"""Broken, huge, empty and mislabelled audio: a typed error, the connection lives, nothing is lost."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from assistant.backends.vosk_recognizer import VoskRecognizer
from assistant.errors import BackendError
from assistant.protocols import Recognition
from assistant.server.audio import MESSAGES_PER_SECOND
from assistant.voice import utterance as utterance_module
from assistant.voice.service import AUDIO_LIMITS
from tests.server.harness import ScriptedRunner, run
from tests.voice.harness import RECORDED, SECOND, SOFA, Speaker, samples, speaking_server

MP3 = (RECORDED / "return_sofa.mp3").read_bytes()
M4A = (RECORDED / "return_sofa.m4a").read_bytes()
OGG = (RECORDED / "return_sofa.ogg").read_bytes()
WEBM = (RECORDED / "return_sofa.webm").read_bytes()
NOISE = random.Random(5).randbytes(20_000)


def refused(
    tmp_path: Path, recognizer: VoskRecognizer, data: bytes, announced: str, **fields: object
) -> dict[str, object]:
    """The error that audio leads to; a typed question and a spoken one are answered on the same connection after it."""
    found: dict[str, object] = {}

    async def test() -> None:
        runner = ScriptedRunner()
        async with speaking_server(tmp_path, recognizer, runner) as server, Speaker(server) as client:
            await client.say(data, format=announced, piece=50_000, **fields)
            found.update(await client.refusal())
            assert not found["fatal"]
            assert (await client.answer("still there?"))["status"] == "completed"
            await client.say(samples(), "a2")
            assert (await client.final("a2"))["text"] == SOFA
            await client.wait_for("turn.done")
            assert [request.text for request in runner.requests] == ["still there?", SOFA]

    run(test())
    return found


@pytest.mark.parametrize(
    ("data", "announced"),
    [
        (NOISE, "auto"),
        (NOISE, "mp3"),
        (NOISE, "aac"),
        (b"ID3" + NOISE, "mp3"),
        (b"OggS" + NOISE, "auto"),
        (b"\x1a\x45\xdf\xa3" + NOISE, "auto"),
        (b"\x00\x00\x00\x20ftypM4A " + NOISE, "aac"),
        (b"RIFF\xff\xff\xff\xffWAVEfmt " + NOISE, "auto"),
        (b"fLaC" + NOISE, "auto"),
        (b"#!AMR\n", "auto"),
        (M4A[: len(M4A) // 2], "aac"),  # its table of contents is at the end
        (OGG[:60], "auto"),
        (WEBM[:300], "auto"),
        (b"%PDF-1.7 is no audio", "auto"),
        (b"x", "mp3"),
    ],
    ids="noise mp3 aac id3 ogg webm m4a wav flac amr half-m4a short-ogg short-webm pdf byte".split(),
)
def test_damaged_audio_is_refused_as_such(
    data: bytes, announced: str, tmp_path: Path, recognizer: VoskRecognizer
) -> None:
    """Whatever its first bytes promise."""
    assert refused(tmp_path, recognizer, data, announced)["code"] == "audio_format"


@pytest.mark.parametrize(
    ("data", "announced"),
    [
        (b"", "pcm_s16le"),
        (b"", "auto"),
        (b"\x01", "pcm_s16le"),
        (bytes(3 * SECOND), "pcm_s16le"),
        (bytes(44), "pcm_s16le"),
    ],
    ids=["nothing", "no file", "half a sample", "silence", "a moment"],
)
@pytest.mark.parametrize("detection", [{}, {"turn_detection": {"type": "server_vad"}}], ids=["", "vad"])
def test_silence_leads_to_a_clear_message_and_no_turn(
    data: bytes, announced: str, detection: dict[str, object], tmp_path: Path, recognizer: VoskRecognizer
) -> None:
    """Nothing said is nothing asked."""
    error = refused(tmp_path, recognizer, data, announced, **detection)
    assert error["code"] == "no_speech"
    assert error["retryable"]


def test_truncated_stream_is_understood_as_far_as_it_goes(tmp_path: Path, recognizer: VoskRecognizer) -> None:
    """A recording that breaks off has a beginning."""

    async def test() -> None:
        async with (
            speaking_server(tmp_path, recognizer, ScriptedRunner()) as server,
            Speaker(server) as client,
        ):
            await client.say(MP3[: len(MP3) * 3 // 5], format="mp3")
            said = (await client.final())["text"]
            assert said.startswith("how long can")
            assert len(said) < len(SOFA)

    run(test())


@pytest.mark.parametrize("announced", ["pcm_s16le", "auto"])
def test_more_than_a_minute_is_refused(announced: str, tmp_path: Path, recognizer: VoskRecognizer) -> None:
    """Samples and a compressed file alike; silence, so that the test need not recognise a minute."""
    import av

    seconds = AUDIO_LIMITS.seconds + 5
    data = bytes(int(seconds * SECOND))
    if announced == "auto":
        file = tmp_path / "silence.flac"
        with av.open(str(file), "w", format="flac") as container:
            stream = container.add_stream("flac", rate=16_000, layout="mono")
            frame = av.AudioFrame(format="s16", layout="mono", samples=16_000)
            frame.sample_rate = 16_000
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            for _ in range(int(seconds)):
                frame.pts = None
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        data = file.read_bytes()
        assert len(data) < 100_000
    error = refused(tmp_path, recognizer, data, announced, turn_detection={"type": "server_vad"})
    assert error["code"] == "audio_too_long"


def test_too_many_bytes_are_refused(
    tmp_path: Path, recognizer: VoskRecognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However little they would decode to; what is sent after the error is ignored."""
    monkeypatch.setattr("assistant.voice.service.AUDIO_LIMITS", utterance_module.AudioLimits(60.0, 100_000))
    assert refused(tmp_path, recognizer, MP3 * 40, "mp3")["code"] == "audio_too_large"


def test_too_many_pieces_are_refused(
    tmp_path: Path, recognizer: VoskRecognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their rate is measured apart from that of messages."""
    monkeypatch.setattr("assistant.server.audio.MESSAGES_PER_SECOND", 1)
    assert MESSAGES_PER_SECOND > 50

    async def test() -> None:
        async with (
            speaking_server(tmp_path, recognizer, ScriptedRunner(), max_messages_per_minute=20) as server,
            Speaker(server) as client,
        ):
            await client.say(samples(), piece=700)
            assert (await client.refusal())["code"] == "audio_too_fast"
            assert (await client.answer("still there?"))["status"] == "completed"

    run(test())


def test_audio_that_stalls_is_given_up(
    tmp_path: Path, recognizer: VoskRecognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Samples and compressed audio alike."""
    monkeypatch.setattr(utterance_module, "_STALLED_S", 0.3)

    async def test() -> None:
        async with (
            speaking_server(tmp_path, recognizer, ScriptedRunner()) as server,
            Speaker(server) as client,
        ):
            for number, (data, announced) in enumerate([(samples(), "pcm_s16le"), (MP3, "mp3")]):
                await client.say(data[:4000], f"a{number}", announced, end=False)
                assert (await client.refusal(f"a{number}"))["code"] == "audio_stalled"

    run(test())


def test_sender_waits_while_there_is_no_room(
    tmp_path: Path, recognizer: VoskRecognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fast sender is slowed down, and all it sent is understood."""
    monkeypatch.setattr(utterance_module, "WAITING_BYTES", 3200)

    async def test() -> None:
        async with (
            speaking_server(tmp_path, recognizer, ScriptedRunner()) as server,
            Speaker(server) as client,
        ):
            await client.say(samples(), piece=1600)
            assert (await client.final())["text"] == SOFA

    run(test())


def test_sender_that_finds_no_room_is_given_up(
    tmp_path: Path, recognizer: VoskRecognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is not held up for ever."""
    monkeypatch.setattr(utterance_module, "WAITING_BYTES", 1600)
    monkeypatch.setattr(utterance_module, "_ROOM_S", 0.0)
    assert refused_while_full(tmp_path, recognizer) == "audio_too_fast"


def refused_while_full(tmp_path: Path, recognizer: VoskRecognizer) -> str:
    code = ""

    async def test() -> None:
        nonlocal code
        async with (
            speaking_server(tmp_path, recognizer, ScriptedRunner()) as server,
            Speaker(server) as client,
        ):
            await client.say(samples() * 4, piece=32_000)
            code = (await client.refusal())["code"]
            assert (await client.answer("still there?"))["status"] == "completed"

    run(test())
    return code


def test_audio_without_a_beginning_is_refused(tmp_path: Path, recognizer: VoskRecognizer) -> None:
    """As bytes, as text, and its end; base64 that is none; and everything before hello."""

    async def test() -> None:
        async with (
            speaking_server(tmp_path, recognizer, ScriptedRunner()) as server,
            Speaker(server) as client,
        ):
            await client.socket.send(b"\x00\x01")
            assert (await client.wait_for("error"))["code"] == "unknown_audio"
            await client.send(type="audio.chunk", id="b", b64="AAA=")
            assert (await client.refusal("b"))["code"] == "unknown_audio"
            await client.send(type="audio.end", id="b")
            assert (await client.refusal("b"))["code"] == "unknown_audio"
            await client.send(type="audio.cancel", id="b")
            await client.start("c")
            await client.send(type="audio.chunk", id="c", b64="not base64!")
            assert (await client.refusal("c"))["code"] == "invalid"
            stranger = Speaker(server)
            await stranger.connect(greet=False)
            await stranger.start("d")
            assert (await stranger.refusal("d"))["code"] == "hello_required"
            await stranger.close()

    run(test())


def test_too_many_speakers_are_told_to_wait(tmp_path: Path, recognizer: VoskRecognizer) -> None:
    """One more than the setting; once the first is done, the next may speak."""

    async def test() -> None:
        async with (
            speaking_server(tmp_path, recognizer, ScriptedRunner(), speakers=1) as server,
            Speaker(server) as one,
            Speaker(server) as other,
        ):
            await one.say(samples(), end=False)
            await one.wait_for("transcript.partial")
            await other.start()
            error = await other.refusal()
            assert (error["code"], error["retryable"]) == ("audio_busy", True)
            await one.send(type="audio.end", id="a1")
            await one.wait_for("turn.done")
            await other.say(samples(), "a2")
            assert (await other.final("a2"))["text"] == SOFA

    run(test())


def test_server_without_a_model_says_that_voice_is_off(tmp_path: Path) -> None:
    """It is not announced, and every audio message is answered so."""
    from tests.server.harness import make_settings, running

    async def test() -> None:
        async with running(make_settings(tmp_path), ScriptedRunner()) as server, Speaker(server) as client:
            assert not client.ready["features"]["voice"]
            await client.start()
            assert (await client.refusal())["code"] == "unsupported"
            await client.socket.send(b"\x00\x00")
            assert (await client.wait_for("error"))["code"] == "unsupported"

    run(test())


class Broken:
    """A recogniser that fails."""

    identity = "broken"

    def __init__(self, error: Exception) -> None:
        self._error = error

    def vocabulary(self) -> frozenset[str]:
        return frozenset()

    def start(self) -> Recognition:
        raise self._error

    def alternatives(self, samples: bytes, count: int) -> tuple[str, ...]:
        return ()


@pytest.mark.parametrize("error", [BackendError("no memory"), RuntimeError("a slip")], ids=str)
def test_model_that_fails_is_told_and_the_conversation_goes_on(tmp_path: Path, error: Exception) -> None:
    """Typing still works."""

    async def test() -> None:
        async with (
            speaking_server(tmp_path, Broken(error), ScriptedRunner()) as server,
            Speaker(server) as client,
        ):
            await client.say(samples())
            refusal = await client.refusal()
            assert (refusal["code"], refusal["retryable"]) == ("backend", True)
            assert (await client.answer("still there?"))["status"] == "completed"

    run(test())
