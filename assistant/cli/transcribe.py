"""`assistant transcribe`: speech files → text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from assistant.cli.common import print_json, progress_line, with_settings
from assistant.errors import ConfigError

if TYPE_CHECKING:
    from assistant.config import Settings
    from assistant.protocols import Recognizer
    from assistant.records import HeardWord, Knowledge
    from assistant.voice.files import FileTranscript


@click.command("transcribe")
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False)
)
@click.option("--language", default="en", show_default=True, help="Language that is spoken.")
@click.option("--raw", is_flag=True, help="As it was recognised, without putting the shop's own words right.")
@click.option(
    "--json", "as_json", is_flag=True, help="One JSON object a file on stdout, with words and times."
)
@with_settings
@click.pass_context
def transcribe_command(
    ctx: click.Context, settings: Settings, files: tuple[Path, ...], language: str, raw: bool, as_json: bool
) -> None:
    """Turn speech files into text: WAV, MP3, AAC, M4A, Ogg, WebM, FLAC, AMR.

    The names of the ingested shop are put right. Exit code 1 if a file could not be read; the others are.
    """
    from assistant.voice.errors import AudioError

    ear = open_ear(settings, language, raw=raw)
    failed = False
    for path in files:
        try:
            with progress_line(f"listening to {path}"):
                heard = ear.transcribe(path.read_bytes())
        except (AudioError, OSError) as error:
            failed = True
            click.echo(f"{path}: {error}", err=True)
            continue
        if as_json:
            print_json(described(path, heard, ear))
        elif len(files) > 1:
            click.echo(f"{path}: {heard.transcript.text}")
        else:
            click.echo(heard.transcript.text)
    if failed:
        ctx.exit(1)


@dataclass(frozen=True, slots=True)
class Ear:
    """A speech model and what puts a shop's words right."""

    recognizer: Recognizer
    language: str
    correct: Callable[[tuple[HeardWord, ...]], str]

    def transcribe(self, content: bytes, *, sure: float = 0.0) -> FileTranscript:
        """Recognise a file's content. Blocking.

        Raises: AudioError: it cannot be decoded.
        """
        from assistant.voice.files import transcribe

        return transcribe(content, self.recognizer, self.language, self.correct, sure=sure)


def open_ear(
    settings: Settings, language: str, *, raw: bool = False, knowledge: Knowledge | None = None
) -> Ear:
    """The speech model of a language, with the words of the ingested shop if there is one.

    Raises: ConfigError: there is no such model. BackendError: a model is damaged.
    """
    with progress_line("loading the speech model"):
        from assistant.app import speech_models
        from assistant.backends.vosk_recognizer import VoskRecognizer
        from assistant.voice.correction import Plain, build_corrector

        folders = speech_models(settings)
        if language not in folders:
            known = ", ".join(sorted(folders)) or "none"
            raise ConfigError(
                f"there is no speech model for {language!r} (there is: {known}); set voice.models, see docs/voice.md"
            )
        recognizer = VoskRecognizer(folders[language])
        if raw:
            return Ear(recognizer, language, Plain().correct)
        shop = knowledge or _ingested(settings)
        return Ear(recognizer, language, build_corrector(shop, recognizer.vocabulary(), language).correct)


def _ingested(settings: Settings) -> Knowledge:
    """The shop's knowledge; empty if nothing is ingested yet."""
    from assistant.records import Knowledge
    from assistant.storage.snapshots import SnapshotStore

    store = SnapshotStore(settings.data)
    return store.load().knowledge if store.current_id() else Knowledge(())


def described(path: Path, heard: FileTranscript, ear: Ear) -> dict[str, Any]:
    """A transcript as docs/console.md lists it."""
    said = heard.transcript
    return {
        "file": str(path),
        "text": said.text,
        "raw": said.raw,
        "confidence": round(said.confidence, 3),
        "words": [asdict(word) for word in said.words],
        "seconds": round(said.seconds, 2),
        "took_s": round(heard.took_s, 3),
        "language": ear.language,
        "model": ear.recognizer.identity,
    }
