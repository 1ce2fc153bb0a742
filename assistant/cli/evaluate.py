"""`assistant evaluate`: files of labelled items → figures, as tables or JSON."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from assistant.cli.common import open_engine, print_json, progress_line, read_settings
from assistant.errors import ConfigError

if TYPE_CHECKING:
    from assistant.app import LiveEngine
    from assistant.config import Settings
    from assistant.evaluation.files import FileKind
    from assistant.evaluation.over_wire import Server
    from assistant.records import Intent, Knowledge, Transcript


# Figures by which the encoder was chosen; taken along so that an evaluation runs the encoder that serves.
_MEASURED = "encoder-choice.json"
_TOKEN_S = 3600  # how long a customer's token for a running server is good


@dataclass(frozen=True, slots=True)
class Task:
    """A file that was read: its kind and its items."""

    path: Path
    kind: FileKind
    items: Sequence[Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Figures of one file, and the items they were made of."""

    name: str
    kind: FileKind
    figures: dict[str, Any]
    items: Sequence[Any]


@click.command("evaluate")
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False)
)
@click.option("--data", type=click.Path(path_type=Path, file_okay=False), help="Folder of the ingested base.")
@click.option(
    "--knowledge",
    metavar="PATH",
    help="Ingest this file or folder for the evaluation instead; {name} stands for the evaluated file's "
    "name up to its first dot.",
)
@click.option(
    "--url",
    metavar="ws://HOST:PORT/ws",
    help="Hold conversations with this running server instead of one started for them. What they order, cancel and "
    "switch is then real.",
)
@click.option(
    "--train",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Examples to fit intents on, instead of the base's own.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Take this many items, spread over each file.")
@click.option(
    "--reply/--no-reply", default=True, help="Compare whole replies too (default), or retrieval only."
)
@click.option(
    "--noise",
    type=click.Choice(["typos", "speech"]),
    help="Questions only: ask them mistyped, or as a speech recogniser would write them.",
)
@click.option("--seed", default=0, help="Seed of the noise.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a file on stdout.")
@click.option(
    "--predictions",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write one JSON line per item with all the figures were made of.",
)
@click.option("-v", "--verbose", count=True, help="Log more on stderr; twice for everything.")
@click.pass_context
def evaluate_command(
    ctx: click.Context,
    files: tuple[Path, ...],
    data: Path | None,
    knowledge: str | None,
    url: str | None,
    train: Path | None,
    limit: int | None,
    reply: bool,
    noise: str | None,
    seed: int,
    as_json: bool,
    predictions: Path | None,
    verbose: int,
) -> None:
    """Turn labelled questions, intents or conversation tests into figures (docs/evaluation.md).

    A FILE is recognised by its content: JSON lines with "question" or with "text" and "intent", or YAML
    conversations, or a speech manifest (tab-separated, with the columns "file" and "transcript"; the files lie beside
    it or in a .tar). Questions are put to the ingested base, conversations are held with a server over its websocket.
    Exit code 1 if a conversation fails.
    """
    settings = read_settings(verbose, data=data)
    tasks = [_read(path, limit) for path in files]
    if noise:
        tasks = [_with_noise(task, noise, seed) for task in tasks]
    intents = _training(train)
    with contextlib.ExitStack() as stack:
        lines = stack.enter_context(_writer(predictions)) if predictions else None
        bases = stack.enter_context(contextlib.closing(Bases(settings, knowledge)))

        def show(outcome: Outcome) -> None:
            if lines:
                for item in outcome.items:
                    record = {"file": outcome.name, "type": outcome.kind, **item.as_line()}
                    lines.write(json.dumps(record, ensure_ascii=False) + "\n")
            _show(outcome, as_json)

        outcomes = asyncio.run(_evaluate(tasks, bases, intents, reply, show, url))
    for pooled in _pool(outcomes):
        _show(pooled, as_json)
    if any(outcome.figures.get("conversations", {}).get("failed") for outcome in outcomes):
        ctx.exit(1)


class Bases:
    """The engine for each evaluated file: on the ingested base, or on one ingested just for it.

    Keeps one engine open at a time; files that share a base share its engine.
    """

    def __init__(self, settings: Settings, knowledge: str | None) -> None:
        self.settings = settings
        self._knowledge = knowledge
        self._open: tuple[str, LiveEngine] | None = None
        self._engines = contextlib.ExitStack()
        self._folders = contextlib.ExitStack()
        self._temporary: Settings | None = None

    def engine(self, path: Path) -> LiveEngine:
        """The engine on the base that belongs to an evaluated file.

        Raises: ConfigError: there is no such base. KnowledgeError: its files are not in order.
        """
        source = (self._knowledge or "").replace("{name}", path.name.partition(".")[0])
        if self._open and self._open[0] == source:
            return self._open[1]
        self._engines.close()
        settings = self._ingested(source) if source else self.settings
        engine = self._engines.enter_context(open_engine(settings, rehearsal=True))
        self._open = (source, engine)
        return engine

    def given(self, path: Path) -> Knowledge | None:
        """The knowledge that --knowledge names; None without that option."""
        return self.engine(path).knowledge if self._knowledge else None

    def _ingested(self, source: str) -> Settings:
        """Settings of the temporary data folder, which holds the base of `source` from now on."""
        if not Path(source).exists():
            raise ConfigError(f"--knowledge: {source} does not exist")
        from assistant.app import run_ingest

        if self._temporary is None:
            folder = Path(
                self._folders.enter_context(tempfile.TemporaryDirectory(prefix="assistant-evaluate-"))
            )
            self._temporary = self.settings.model_copy(update={"data": folder})
            measured = self.settings.data / _MEASURED
            if measured.is_file():
                shutil.copy(measured, folder / _MEASURED)
        with progress_line(f"ingesting {source}"):
            run_ingest(self._temporary, [Path(source)])
        return self._temporary

    def close(self) -> None:
        """Close the open engine and remove the temporary base; may be called twice."""
        self._open = None
        self._engines.close()
        self._folders.close()


def _read(path: Path, limit: int | None) -> Task:
    from assistant.evaluation.conversations import parse_conversations
    from assistant.evaluation.files import (
        FileKind,
        parse_questions,
        parse_utterances,
        read_text,
        recognise,
        spread,
    )
    from assistant.evaluation.speech import parse_manifest

    text = read_text(path)
    kind = recognise(text, path)
    parse: dict[FileKind, Callable[[str, Path], Sequence[Any]]] = {
        FileKind.QUESTIONS: parse_questions,
        FileKind.INTENTS: parse_utterances,
        FileKind.CONVERSATIONS: parse_conversations,
        FileKind.SPEECH: parse_manifest,
    }
    return Task(path, kind, spread(parse[kind](text, path), limit))


def _with_noise(task: Task, noise: str, seed: int) -> Task:
    """The same questions, disturbed.

    Raises: ConfigError: the file holds something else than questions.
    """
    from assistant.evaluation.files import FileKind
    from assistant.evaluation.noise import Noise, noised

    if task.kind != FileKind.QUESTIONS:
        raise ConfigError(f"--noise {noise}: {task.path} holds {task.kind}; noise is for labelled questions")
    return replace(task, items=noised(task.items, Noise(noise), seed))


def _training(path: Path | None) -> Sequence[Intent] | None:
    if path is None:
        return None
    from assistant.evaluation.files import FileKind
    from assistant.evaluation.intents import intents_of

    task = _read(path, None)
    if task.kind != FileKind.INTENTS:
        raise ConfigError(f'--train {path}: holds {task.kind}; expected JSON lines with "text" and "intent"')
    return intents_of(task.items)


async def _evaluate(
    tasks: Sequence[Task],
    bases: Bases,
    intents: Sequence[Intent] | None,
    replies: bool,
    show: Callable[[Outcome], None],
    url: str | None,
) -> list[Outcome]:
    from assistant.evaluation.files import FileKind

    outcomes = []
    for task in tasks:
        if task.kind == FileKind.INTENTS:
            outcome = _intents(task, bases.engine(task.path), intents)
        else:
            with _progress(task) as step:
                if task.kind == FileKind.QUESTIONS:
                    engine = bases.engine(task.path)
                    outcome = await _questions(task, engine, bases.settings, replies, step)
                elif task.kind == FileKind.SPEECH:
                    outcome = _speech(task, bases, step)
                else:
                    outcome = await _conversations(task, bases, url, step)
        show(outcome)
        outcomes.append(outcome)
    return outcomes


async def _questions(
    task: Task, engine: LiveEngine, settings: Settings, replies: bool, step: Callable[[], None]
) -> Outcome:
    from assistant.evaluation.questions import ask_all, question_figures

    accepted = settings.accepted_wrong_answers
    if accepted is None:
        accepted = engine.knowledge.shop.accepted_wrong_answers
    items = await ask_all(engine, task.items, accepted, replies=replies, path=task.path, step=step)
    return Outcome(str(task.path), task.kind, question_figures(items), items)


async def _conversations(task: Task, bases: Bases, url: str | None, step: Callable[[], None]) -> Outcome:
    from assistant.cli.rehearsal import rehearsal_server
    from assistant.evaluation.conversations import conversation_figures
    from assistant.evaluation.over_wire import hold

    held = []
    async with contextlib.AsyncExitStack() as stack:
        if url:
            server = _running_server(url, bases.settings)
        else:
            engine = bases.engine(task.path)
            server = await stack.enter_async_context(rehearsal_server(engine, bases.settings))
        for test in task.items:
            held.append(await hold(server, test))
            step()
    return Outcome(str(task.path), task.kind, conversation_figures(held), held)


def _running_server(url: str, settings: Settings) -> Server:
    """A server that runs somewhere; what it shares with its clients stands in the settings."""
    from assistant.evaluation.over_wire import Server
    from assistant.server.customers import sign_customer

    key = settings.customer_key

    def token(customer: str) -> str:
        return sign_customer(customer, int(time.time()) + _TOKEN_S, key)

    return Server(url, settings.credential, token if key else None)


def _intents(task: Task, engine: LiveEngine, intents: Sequence[Intent] | None) -> Outcome:
    from assistant.evaluation.intents import intent_figures, read_all

    with progress_line(f"reading the intents of {task.path.name}"):
        items, fit_seconds = read_all(
            engine.embedder, engine.knowledge.intents if intents is None else intents, task.items, task.path
        )
    return Outcome(str(task.path), task.kind, intent_figures(items, fit_seconds), items)


def _speech(task: Task, bases: Bases, step: Callable[[], None]) -> Outcome:
    """Recognise every recording of a manifest, one after the other on one thread."""
    from assistant.cli.transcribe import open_ear
    from assistant.evaluation.speech import Recordings, hear, speech_figures, unheard
    from assistant.voice.errors import AudioError
    from assistant.voice.shop_words import spoken_words

    ear = open_ear(bases.settings, "en", knowledge=bases.given(task.path))

    def transcribe(content: bytes) -> tuple[Transcript, float]:
        heard = ear.transcribe(content)
        return heard.transcript, heard.took_s

    items = []
    with Recordings(task.path) as recordings:
        for recording in task.items:
            try:
                items.append(hear(recording, recordings.read(recording.file), transcribe, spoken_words))
            except (AudioError, ConfigError) as error:
                click.echo(f"{task.path}:{recording.line}: {error}", err=True)
                items.append(unheard(recording, str(error), spoken_words))
            step()
    return Outcome(str(task.path), task.kind, speech_figures(items), items)


def _pool(outcomes: Sequence[Outcome]) -> Iterator[Outcome]:
    """All files of a kind taken together, where there are several; intents of different sets do not mix."""
    from assistant.evaluation.conversations import conversation_figures
    from assistant.evaluation.files import FileKind
    from assistant.evaluation.questions import question_figures
    from assistant.evaluation.speech import speech_figures

    pooled: dict[FileKind, Callable[[Sequence[Any]], dict[str, Any]]] = {
        FileKind.QUESTIONS: question_figures,
        FileKind.CONVERSATIONS: conversation_figures,
        FileKind.SPEECH: speech_figures,
    }
    for kind, figures in pooled.items():
        parts = [outcome for outcome in outcomes if outcome.kind == kind]
        if len(parts) > 1:
            items = [item for outcome in parts for item in outcome.items]
            yield Outcome("all", kind, figures(items), items)


def _show(outcome: Outcome, as_json: bool) -> None:
    if as_json:
        print_json({"file": outcome.name, "type": str(outcome.kind), **_rounded(outcome.figures)})
        return
    from rich.console import Console

    from assistant.evaluation.report import render

    Console().print(render(outcome.name, outcome.figures))


def _rounded(value: Any) -> Any:
    """Floats with six decimals: finer is noise of the arithmetic."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return round(value, 6) if isinstance(value, float) else value


@contextlib.contextmanager
def _writer(path: Path) -> Iterator[TextIO]:
    try:
        file = path.open("w", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--predictions {path}: cannot be written: {error.strerror}") from error
    with file:
        yield file


@contextlib.contextmanager
def _progress(task: Task) -> Iterator[Callable[[], None]]:
    """A bar on stderr, where that is a terminal; gives the function that moves it on by one item."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(task.path.name, total=len(task.items))
        yield lambda: progress.advance(bar)
