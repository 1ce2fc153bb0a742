"""What is said to `assistant chat`: speech from files, or from the microphone."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from assistant.errors import ConfigError

if TYPE_CHECKING:
    from assistant.cli.transcribe import Ear
    from assistant.records import Transcript
    from assistant.voice.endpointing import TurnDetection
    from assistant.voice.listening import Listening

_RECORDERS = {
    "arecord": "-q -t raw -f S16_LE -r 16000 -c 1".split(),
    "parec": "--raw --format=s16le --rate=16000 --channels=1 --latency-msec=100".split(),
    "rec": "-q -t raw -e signed -b 16 -r 16000 -c 1 -".split(),
}
"""Programs that give the microphone's samples on stdout: ALSA, PulseAudio or PipeWire, SoX."""
_CHUNK_BYTES = 3200  # 100 ms


async def said_in(files: Sequence[Path], ear: Ear, sure: float) -> AsyncGenerator[Transcript, None]:
    """What is said in each file; silence is passed over with a note."""
    for path in files:
        heard = (
            await asyncio.to_thread(lambda file: ear.transcribe(file.read_bytes(), sure=sure), path)
        ).transcript
        if heard.text:
            yield heard
        else:
            click.echo(f"{path}: no words could be heard", err=True)


async def said_to_microphone(
    ear: Ear, detection: TurnDetection, sure: float
) -> AsyncGenerator[Transcript, None]:
    """What is said, utterance by utterance, until the recorder ends. While a reply is given nobody listens.

    Raises: ConfigError: there is no microphone, or nothing that records from it.
    """
    command = recorder()
    while True:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        assert process.stdout is not None  # noqa: S101 - asked for
        heard, ended = None, False
        try:
            heard, ended = await _one(ear, detection, sure, process.stdout)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.communicate()  # reads what is left, else the pipe stays open
        if heard is None:
            raise ConfigError(f"{command[0]} gives no sound; is there a microphone?")
        if heard.text:
            yield heard
        if ended:
            return


def recorder() -> list[str]:
    """The command that records here.

    Raises: ConfigError: there is none.
    """
    for name, options in _RECORDERS.items():
        if shutil.which(name):
            return [name, *options]
    raise ConfigError(
        f"--microphone needs one of {', '.join(_RECORDERS)}; on Debian: apt-get install alsa-utils"
    )


async def _one(
    ear: Ear, detection: TurnDetection, sure: float, stream: asyncio.StreamReader
) -> tuple[Transcript | None, bool]:
    """One utterance, and whether the stream has ended; None if it had not even one sample."""
    from assistant.voice.listening import Listening
    from assistant.voice.pcm import RATE_HZ

    click.echo("listening …", err=True)
    listening: Listening = Listening(
        ear.recognizer,
        RATE_HZ,
        1,
        detection=detection,
        language=ear.language,
        correct=ear.correct,
        sure=sure,
    )
    while chunk := await stream.read(_CHUNK_BYTES):
        if (await asyncio.to_thread(listening.push, chunk)).ended:
            return await asyncio.to_thread(listening.finish), False
    if not listening.seconds:
        return None, True
    return await asyncio.to_thread(listening.finish), True
