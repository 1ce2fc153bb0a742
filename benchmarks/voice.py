"""Speech: processor time for a second of audio, and how soon words, transcript and reply come. JSON lines.

    python -m benchmarks.voice [--model DIR] [--data DIR] [--speakers 1 5 10 20] [--rounds 3] [--manifest FILE.tsv]

Recordings are those of a speech manifest (tests/data/voice by default). Customers speak them in real time, 100 ms a
message, to the real server in a process of its own, and stop sending once they are understood: the server notices the
end by itself. `speech start` and `speech end` are where the level of the recording says so.

Beside it, `plain loop`: a websocket server that does nothing but hand each message to a Vosk recogniser in a thread
and send back its partial and final results, with the same model, in a process of its own; its clients say when they
are done.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from assistant.app import speech_models
from assistant.backends.vosk_recognizer import RATE_HZ, VoskRecognizer
from assistant.config import Settings
from assistant.evaluation.speech import Recordings, parse_manifest
from assistant.voice.activity import FRAME_MS, SpeechActivity
from assistant.voice.correction import Plain
from assistant.voice.endpointing import TurnDetection
from assistant.voice.files import samples_of
from assistant.voice.listening import Listening
from assistant.voice.pcm import SECOND_BYTES
from benchmarks.server import greet, ingest_example, percentiles, started_server
from benchmarks.signature import signature

PIECE_BYTES = SECOND_BYTES // 10
PIECE_S = PIECE_BYTES / SECOND_BYTES
GUARD_S = 60.0
MANIFEST = Path(__file__).parents[1] / "tests" / "data" / "voice" / "manifest.tsv"


@dataclass(frozen=True, slots=True)
class Clip:
    """A recording as samples, and where in it somebody speaks."""

    samples: bytes
    start_s: float
    end_s: float

    @property
    def seconds(self) -> float:
        """Its length."""
        return len(self.samples) / SECOND_BYTES


@dataclass
class Tally:
    """What speakers saw, in milliseconds."""

    partial_ms: list[float] = field(default_factory=list)
    final_ms: list[float] = field(default_factory=list)
    delta_ms: list[float] = field(default_factory=list)
    lost: int = 0

    def line(self, name: str, speakers: int) -> dict[str, object]:
        """The figures as one JSON object."""
        return {
            "benchmark": f"voice, {name}",
            "speakers": speakers,
            "utterances": len(self.final_ms) + self.lost,
            "lost": self.lost,
            "speech_start_to_partial_ms": percentiles(self.partial_ms),
            "speech_end_to_final_ms": percentiles(self.final_ms),
            "speech_end_to_first_delta_ms": percentiles(self.delta_ms),
        }


def read_clips(manifest: Path) -> list[Clip]:
    """The recordings of a manifest that can be read."""
    clips = []
    with Recordings(manifest) as recordings:
        for recording in parse_manifest(manifest.read_text("utf-8"), manifest):
            samples = b"".join(samples_of(recordings.read(recording.file)))
            levels = SpeechActivity().push(np.frombuffer(samples, "<i2").astype(np.float32))
            spoken = [number for number, level in enumerate(levels) if level >= 0.5]
            if spoken:
                clips.append(Clip(samples, spoken[0] * FRAME_MS / 1000, (spoken[-1] + 1) * FRAME_MS / 1000))
    return clips


# --- processor time ----------------------------------------------------------------------------------------


def processor_time(recognizer: VoskRecognizer, clips: Sequence[Clip], rounds: int) -> dict[str, object]:
    """Seconds of one core for a second of audio, and the milliseconds that the end takes."""

    def ours(clip: Clip) -> float:
        listening = Listening(
            recognizer,
            RATE_HZ,
            1,
            detection=TurnDetection(silence_duration_ms=10_000),
            language="en",
            correct=Plain().correct,
        )
        for piece in pieces(clip.samples):
            listening.push(piece)
        before = time.thread_time()
        listening.finish()
        return time.thread_time() - before

    def plain(clip: Clip) -> float:
        recognition = recognizer.start()
        for piece in pieces(clip.samples):
            recognition.accept(piece)
        before = time.thread_time()
        recognition.finish()
        return time.thread_time() - before

    line: dict[str, object] = {"benchmark": "voice, processor time", "rounds": rounds}
    audio = sum(clip.seconds for clip in clips) * rounds
    for name, run in (("assistant", ours), ("vosk", plain)):
        before = time.thread_time()
        ends = [run(clip) for _ in range(rounds) for clip in clips]
        line[name] = {
            "real_time_factor": round((time.thread_time() - before) / audio, 4),
            "end_ms": percentiles([end * 1000 for end in ends]),
        }
    return line


def pieces(samples: bytes) -> Iterator[bytes]:
    """100 ms each."""
    for at in range(0, len(samples), PIECE_BYTES):
        yield samples[at : at + PIECE_BYTES]


# --- in real time ------------------------------------------------------------------------------------------


async def in_real_time(clip: Clip, send: Callable[[bytes], Awaitable[None]], heard: asyncio.Event) -> None:
    """Send a recording as it would be spoken, then silence until it was understood."""
    began = time.perf_counter()
    silence = bytes(PIECE_BYTES)
    stream = [*pieces(clip.samples), *[silence] * int(GUARD_S / PIECE_S)]
    for number, piece in enumerate(stream, start=1):
        await asyncio.sleep(max(0.0, began + number * PIECE_S - time.perf_counter()))
        if heard.is_set():
            return
        await send(piece)


async def speak(url: str, clips: Sequence[Clip], tally: Tally, offset: int) -> None:
    """One customer: says every recording, each after the reply to the one before."""
    socket = await greet(url)
    for number in range(len(clips)):
        clip = clips[(number + offset) % len(clips)]
        heard = asyncio.Event()
        start = {"type": "audio.start", "id": f"u{number}", "format": "pcm_s16le", "rate_hz": RATE_HZ}
        await socket.send(json.dumps(start))
        began = time.perf_counter()
        sending = asyncio.create_task(in_real_time(clip, socket.send, heard))
        ended, first = False, True
        try:
            async with asyncio.timeout(GUARD_S):
                while not ended:
                    event = json.loads(await socket.recv())
                    since = time.perf_counter() - began
                    if event["type"] == "transcript.partial" and first:
                        first = False
                        tally.partial_ms.append((since - clip.start_s) * 1000)
                    elif event["type"] == "transcript.final":
                        heard.set()
                        tally.final_ms.append((since - clip.end_s) * 1000)
                    elif event["type"] == "delta" and len(tally.delta_ms) < len(tally.final_ms):
                        tally.delta_ms.append((since - clip.end_s) * 1000)
                    ended = event["type"] in {"turn.done", "error"}
                    tally.lost += event["type"] == "error"
        except TimeoutError:
            tally.lost += 1
        heard.set()
        await sending
    await socket.close()


async def speak_plainly(url: str, clips: Sequence[Clip], tally: Tally, offset: int) -> None:
    """The same with the plain loop; its client says when it is done."""
    for number in range(len(clips)):
        clip = clips[(number + offset) % len(clips)]
        async with connect(url, compression=None, proxy=None) as socket:
            began = time.perf_counter()
            stream = list(pieces(clip.samples))
            first = True
            for place, piece in enumerate(stream, start=1):
                await asyncio.sleep(max(0.0, began + place * PIECE_S - time.perf_counter()))
                await socket.send(piece)
                result = json.loads(await socket.recv())
                if first and (result.get("partial") or result.get("text")):
                    first = False
                    tally.partial_ms.append((time.perf_counter() - began - clip.start_s) * 1000)
            await socket.send("eof")
            await socket.recv()
            tally.final_ms.append((time.perf_counter() - began - clip.seconds) * 1000)


async def crowd(
    customer: Callable[[str, Sequence[Clip], Tally, int], Awaitable[None]],
    url: str,
    clips: Sequence[Clip],
    speakers: int,
) -> Tally:
    """So many customers at once, who begin at different moments."""
    tally = Tally()

    async def one(number: int) -> None:
        await asyncio.sleep(number * 0.37 % 2)
        await customer(url, clips, tally, number)

    await asyncio.gather(*(one(number) for number in range(speakers)))
    return tally


# --- the plain loop ----------------------------------------------------------------------------------------


def plain_loop(model: str, threads: int, told: Connection) -> None:
    """Serve until the process is ended."""
    import vosk

    vosk.SetLogLevel(-1)
    loaded = vosk.Model(model)
    pool = ThreadPoolExecutor(threads)

    def process(recognizer: vosk.KaldiRecognizer, message: bytes | str) -> tuple[str, bool]:
        if isinstance(message, str):
            return recognizer.FinalResult(), True
        if recognizer.AcceptWaveform(message):
            return recognizer.Result(), False
        return recognizer.PartialResult(), False

    async def handle(socket: ServerConnection) -> None:
        recognizer = vosk.KaldiRecognizer(loaded, RATE_HZ)
        recognizer.SetWords(True)
        async for message in socket:
            answer, ended = await asyncio.get_running_loop().run_in_executor(
                pool, process, recognizer, message
            )
            await socket.send(answer)
            if ended:
                return

    async def run() -> None:
        async with serve(handle, "127.0.0.1", 0, compression=None) as server:
            told.send(next(iter(server.sockets)).getsockname()[1])
            await asyncio.Event().wait()

    asyncio.run(run())


@contextlib.contextmanager
def started_plain_loop(model: Path, threads: int) -> Iterator[str]:
    """The plain loop in a process of its own: its address."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=plain_loop, args=(str(model), threads, there), daemon=True)
    process.start()
    try:
        yield f"ws://127.0.0.1:{here.recv()}"
    finally:
        process.terminate()
        process.join()


def main() -> None:
    """Measure and print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, help="Vosk model folder; by default the one of the settings")
    parser.add_argument("--data", type=Path, help="data folder with an ingested base")
    parser.add_argument("--speakers", type=int, nargs="+", default=[1, 5, 10, 20])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--manifest", type=Path, default=MANIFEST)
    arguments = parser.parse_args()
    settings = Settings()
    model = arguments.model or speech_models(settings).get("en")
    if model is None:
        parser.error("there is no speech model; name one with --model")
    os.environ["ASSISTANT_VOICE__MODELS"] = json.dumps({"en": str(model)})
    clips = read_clips(arguments.manifest)
    machine = signature()

    def report(line: dict[str, object]) -> None:
        shown = {**line, "model": model.name, "clips": len(clips), "signature": machine}
        print(json.dumps(shown), flush=True)

    before = time.perf_counter()
    recognizer = VoskRecognizer(model)
    load_s = time.perf_counter() - before
    report({"benchmark": "voice, model load", "seconds": round(load_s, 3)})
    report(processor_time(recognizer, clips, arguments.rounds))
    with tempfile.TemporaryDirectory() as folder:
        data = arguments.data or Path(folder)
        if arguments.data is None:
            ingest_example(data)
        with started_server(data) as (url, _, _):
            for speakers in arguments.speakers:
                tally = asyncio.run(crowd(speak, url, clips, speakers))
                report(tally.line("assistant", speakers))
    with started_plain_loop(model, settings.voice.threads) as url:
        for speakers in arguments.speakers:
            tally = asyncio.run(crowd(speak_plainly, url, clips, speakers))
            report(tally.line("plain loop (end as the client says it)", speakers))


if __name__ == "__main__":
    main()
