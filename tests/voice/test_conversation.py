"""Speech in a conversation: many speakers, barge-in, doubts, lost connections."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from assistant.backends.vosk_recognizer import VoskRecognizer
from assistant.records import Knowledge, Product
from assistant.voice.endpointing import TurnDetection
from tests.server.harness import ScriptedRunner, eventually, run
from tests.voice.harness import RECORDED, SECOND, SOFA, Speaker, cut, samples, speaking_server


@pytest.mark.parametrize("piece", [1, 7, 333, 3199, 100_000])
def test_pieces_may_be_cut_anywhere(piece: int, tmp_path: Path, recognizer: VoskRecognizer) -> None:
    """Within a sample too; one byte at a time only for a short stretch, as each piece is a message."""

    async def test() -> None:
        async with (
            speaking_server(tmp_path, recognizer, ScriptedRunner()) as server,
            Speaker(server) as client,
        ):
            data = samples()
            await client.start()
            for part in cut(data[:501], piece) if piece < 100 else []:
                await client.socket.send(part)
            for part in cut(data[501:] if piece < 100 else data, max(piece, 333)):
                await client.socket.send(part)
            await client.send(type="audio.end", id="a1")
            assert (await client.final())["text"] == SOFA

    run(test())


@pytest.mark.parametrize(("rate_hz", "channels"), [(8000, 1), (22_050, 1), (44_100, 2), (48_000, 1)], ids=str)
def test_other_rates_and_channels_are_understood(
    rate_hz: int, channels: int, tmp_path: Path, recognizer: VoskRecognizer
) -> None:
    """Resampled here by another implementation (FFmpeg's), and back by the server."""
    import av

    with av.open(str(RECORDED / "return_sofa.wav")) as file:
        layout = "stereo" if channels == 2 else "mono"
        resampler = av.AudioResampler(format="s16", layout=layout, rate=rate_hz)
        frames = [part for frame in [*file.decode(audio=0), None] for part in resampler.resample(frame)]
    data = b"".join(bytes(frame.planes[0])[: frame.samples * 2 * channels] for frame in frames)

    async def test() -> None:
        async with (
            speaking_server(tmp_path, recognizer, ScriptedRunner()) as server,
            Speaker(server) as client,
        ):
            await client.say(data, piece=5000, rate_hz=rate_hz, channels=channels)
            assert (await client.final())["text"] == SOFA

    run(test())


def test_final_transcript_carries_raw_words_and_times(tmp_path: Path, recognizer: VoskRecognizer) -> None:
    """In order, within the audio."""

    async def test() -> None:
        async with (
            speaking_server(tmp_path, recognizer, ScriptedRunner()) as server,
            Speaker(server) as client,
        ):
            await client.say(samples())
            final = await client.final()
            assert [word["text"] for word in final["words"]] == final["raw"].split() == SOFA.split()
            times = [time for word in final["words"] for time in (word["start_s"], word["end_s"])]
            assert times == sorted(times)
            assert 0 <= times[0] < times[-1] <= len(samples()) / SECOND + 0.2
            assert 0 < final["confidence"] <= 1

    run(test())


def test_utterance_ends_by_itself_when_the_customer_has_finished(
    tmp_path: Path, recognizer: VoskRecognizer
) -> None:
    """Silence ends it without `audio.end`; late audio and a late end do no harm."""

    async def test() -> None:
        detection = TurnDetection(silence_duration_ms=400)
        async with (
            speaking_server(tmp_path, recognizer, ScriptedRunner(), detection=detection) as server,
            Speaker(server) as client,
        ):
            await client.say(bytes(SECOND) + samples() + bytes(2 * SECOND), end=False)
            final = await client.final()
            assert final["text"] == SOFA
            assert final["words"][0]["start_s"] > 0.8, "the time before the speech counts"
            await client.socket.send(bytes(3200))
            await client.send(type="audio.end", id="a1")
            await client.wait_for("turn.done")
            assert not client.errors

    run(test())


def test_null_turn_detection_waits_for_the_end(tmp_path: Path, recognizer: VoskRecognizer) -> None:
    """A client that holds the microphone open decides by itself."""

    async def test() -> None:
        async with (
            speaking_server(tmp_path, recognizer, ScriptedRunner(), detection=TurnDetection()) as server,
            Speaker(server) as client,
        ):
            await client.say(
                samples() + bytes(2 * SECOND) + samples("where_order"), turn_detection=None, end=False
            )
            await client.settle()
            assert not client.finals
            await client.send(type="audio.end", id="a1")
            assert (await client.final())["text"] == f"{SOFA} where is my order"

    run(test())


def test_twenty_speakers_at_once_are_all_understood(tmp_path: Path, recognizer: VoskRecognizer) -> None:
    """Half of them send samples, half compressed audio; each is answered once, with their own words."""

    async def test() -> None:
        runner = ScriptedRunner()
        webm = (RECORDED / "return_sofa.webm").read_bytes()
        async with speaking_server(tmp_path, recognizer, runner) as server:

            async def speak(number: int) -> None:
                async with Speaker(server) as client:
                    if number % 2:
                        await client.say(webm, f"u{number}", "auto", piece=2000)
                        expected = SOFA
                    else:
                        await client.say(samples("where_order"), f"u{number}")
                        expected = "where is my order"
                    assert (await client.final(f"u{number}"))["text"] == expected
                    done = await client.wait_for("turn.done")
                    assert done["status"] == "completed"
                    assert expected in done["text"]

            await asyncio.gather(*(speak(number) for number in range(20)))
            assert len(runner.requests) == 20
            voice = server._voice
            assert voice is not None
            await eventually(lambda: voice.speakers == 0)

    run(test())


def test_barge_in_stops_the_reply(tmp_path: Path, recognizer: VoskRecognizer) -> None:
    """The customer begins to speak while the assistant still does; then the new question is answered."""

    async def test() -> None:
        runner = ScriptedRunner()
        async with speaking_server(tmp_path, recognizer, runner) as server, Speaker(server) as client:
            await client.ask("a slow question", "m1")
            await client.wait_for("delta")
            await client.say(samples())
            done = await client.wait_for("turn.done")
            assert done["status"] == "cancelled"
            done = await client.wait_for("turn.done")
            assert (done["status"], SOFA in done["text"]) == ("completed", True)

    run(test())


def test_cancelled_utterance_is_never_answered(tmp_path: Path, recognizer: VoskRecognizer) -> None:
    """In the middle, and after its end; what follows is."""

    async def test() -> None:
        runner = ScriptedRunner()
        async with speaking_server(tmp_path, recognizer, runner) as server, Speaker(server) as client:
            await client.say(samples(), end=False)
            await client.wait_for("transcript.partial")
            await client.send(type="audio.cancel", id="a1")
            await client.say(samples("where_order"), "a2", "auto", end=False)  # no file: would be an error
            await client.send(type="audio.cancel", id="a2")
            await client.say(samples("cancel_order"), "a3")
            assert (await client.final("a3"))["text"] == "can i cancel my order"
            await client.wait_for("turn.done")
            assert [request.text for request in runner.requests] == ["can i cancel my order"]
            assert set(client.finals) == {"a3"}

    run(test())


def test_new_utterance_takes_the_place_of_an_open_one(tmp_path: Path, recognizer: VoskRecognizer) -> None:
    """The first one is dropped with an error of its own."""

    async def test() -> None:
        async with (
            speaking_server(tmp_path, recognizer, ScriptedRunner()) as server,
            Speaker(server) as client,
        ):
            await client.say(samples(), "a1", end=False)
            await client.say(samples("where_order"), "a2")
            assert (await client.refusal("a1"))["code"] == "audio_interrupted"
            assert (await client.final("a2"))["text"] == "where is my order"

    run(test())


def test_same_utterance_again_is_not_answered_twice(tmp_path: Path, recognizer: VoskRecognizer) -> None:
    """It repeats the end of its turn, as a text of the same id does."""

    async def test() -> None:
        runner = ScriptedRunner()
        async with speaking_server(tmp_path, recognizer, runner) as server, Speaker(server) as client:
            await client.say(samples())
            done = await client.wait_for("turn.done")
            await client.say(samples())
            again = await client.wait_for("turn.done")
            assert again == done
            assert len(runner.requests) == 1

    run(test())


def test_lost_connection_drops_half_an_utterance_and_says_so(
    tmp_path: Path, recognizer: VoskRecognizer
) -> None:
    """Half a question is not answered; the error comes with the resumption, once."""

    async def test() -> None:
        runner = ScriptedRunner()
        async with speaking_server(tmp_path, recognizer, runner) as server, Speaker(server) as client:
            await client.say(samples(), end=False)
            await client.wait_for("transcript.partial")
            client.cut()
            await eventually(lambda: not server._connections)
            await client.connect()
            assert (await client.refusal())["code"] == "audio_interrupted"
            client.cut()
            await eventually(lambda: not server._connections)
            await client.connect()
            await client.settle()
            assert len(client.errors) == 1
            assert not runner.requests

    run(test())


def test_lost_connection_after_the_end_loses_nothing(tmp_path: Path, recognizer: VoskRecognizer) -> None:
    """The utterance is recognised and answered meanwhile; transcript and turn are replayed."""

    async def test() -> None:
        runner = ScriptedRunner()
        async with speaking_server(tmp_path, recognizer, runner) as server, Speaker(server) as client:
            await client.say(samples())
            await client.settle()
            client.cut()
            await asyncio.wait_for(runner.begun.wait(), 60)
            await client.connect()
            if not client.finals:
                await client.final()
            done = await client.wait_for("turn.done")
            assert SOFA in done["text"]
            assert len(runner.requests) == 1

    run(test())


class Doubtful:
    """A recogniser that is never sure; the real one does the hearing."""

    def __init__(self, inner: VoskRecognizer) -> None:
        self._inner = inner
        self.identity = inner.identity
        self.vocabulary = inner.vocabulary
        self.start = inner.start

    def alternatives(self, samples: bytes, count: int) -> tuple[str, ...]:
        assert self._inner.alternatives(samples, count)[0] == SOFA
        return (SOFA, "how long can i rent a sofa")


def test_utterance_heard_unsurely_reaches_the_turn_with_alternatives(
    tmp_path: Path, recognizer: VoskRecognizer
) -> None:
    """What it may have been goes with it; the engine then asks."""

    async def test() -> None:
        runner = ScriptedRunner()
        doubtful: Any = Doubtful(recognizer)
        async with (
            speaking_server(tmp_path, doubtful, runner, sure=1.01) as server,
            Speaker(server) as client,
        ):
            await client.say(samples())
            await client.wait_for("turn.done")
            assert runner.requests[0].text == SOFA
            assert runner.requests[0].alternatives == ("how long can i rent a sofa",)

    run(test())


class Shop(ScriptedRunner):
    """A shop whose products no recogniser knows."""

    @property
    def knowledge(self) -> Knowledge:
        table = Product("T-1", "Skerry coffee table", 260.0, "EUR", "4006381333931", category="tables")
        return replace(super().knowledge, products=(table,))


def test_shops_own_words_are_put_right(tmp_path: Path, recognizer: VoskRecognizer) -> None:
    """The event carries both; the corrected text is answered."""

    async def test() -> None:
        runner = Shop()
        async with speaking_server(tmp_path, recognizer, runner) as server, Speaker(server) as client:
            await client.say(samples("skerry_table"))
            final = await client.final()
            assert "Skerry coffee table" in final["text"]
            assert final["raw"] == final["raw"].lower()
            await client.wait_for("turn.done")
            assert runner.requests[0].text == final["text"]

    run(test())
