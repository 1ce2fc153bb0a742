"""`assistant chat`: talk to the assistant in a terminal and look inside its decisions."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from assistant.cli.common import open_engine, with_settings

if TYPE_CHECKING:
    from rich.console import Console

    from assistant.app import LiveEngine
    from assistant.config import Settings
    from assistant.protocols import TurnRunner
    from assistant.records import Knowledge, Transcript, TurnResult

COMMANDS = {
    "/debug": "show or hide how each answer came about",
    "/sources": "the full text of the last sources shown",
    "/reset": "forget the conversation and start again",
    "/save-test": "NAME: append the conversation to the tests of the knowledge folder",
    "/help": "these commands",
    "/quit": "leave (also Ctrl-D, or Ctrl-C at the prompt)",
}
_PROMPT = "you ▸ "
_INDENT = "  "


@click.command("chat")
@click.option("--debug", is_flag=True, help="Show how each answer came about, from the start.")
@click.option(
    "--say",
    "files",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Say what is in this speech file; may be given several times.",
)
@click.option("--microphone", is_flag=True, help="Speak instead of typing, where there is a microphone.")
@with_settings
def chat_command(settings: Settings, debug: bool, files: tuple[Path, ...], microphone: bool) -> None:
    """Talk to the assistant in the terminal.

    Ctrl-C stops a reply, and leaves at the prompt; /help lists the commands. Lines from a pipe are answered
    one by one.
    """
    from rich.console import Console

    with open_engine(settings) as engine:
        console = Console(highlight=False)
        chat = Chat(engine, console, tests=settings.knowledge / "tests.yaml", debug=debug)
        lines: AsyncIterator[str | Transcript]
        if files or microphone:
            lines = _spoken(settings, engine.knowledge, files, microphone)
        elif sys.stdin.isatty():
            lines = _typed(settings.data / "chat-history")
        else:
            lines = _piped(console)
        asyncio.run(_hold(chat, lines, engine))


async def _spoken(
    settings: Settings, knowledge: Knowledge, files: Sequence[Path], microphone: bool
) -> AsyncIterator[Transcript]:
    """What is said in the files, then to the microphone.

    Raises: ConfigError: there is no speech model, or no microphone. AudioError: a file is no audio.
    """
    from assistant.app import turn_detection
    from assistant.cli.speaking import said_in, said_to_microphone
    from assistant.cli.transcribe import open_ear
    from assistant.voice.endpointing import TurnDetection

    ear = open_ear(settings, knowledge.shop.language, knowledge=knowledge)
    async for heard in said_in(files, ear, settings.voice.sure):
        yield heard
    if microphone:
        detection = turn_detection(settings) or TurnDetection()
        async for heard in said_to_microphone(ear, detection, settings.voice.sure):
            yield heard


async def _hold(chat: Chat, lines: AsyncIterator[str | Transcript], engine: LiveEngine) -> None:
    """Hold the conversation; knowledge that is ingested meanwhile is answered from."""
    watching = asyncio.create_task(engine.watch())
    try:
        await chat.hold(lines)
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching


@dataclass(frozen=True, slots=True)
class _Slash:
    """A slash command taken apart."""

    name: str
    argument: str


class Chat:
    """One conversation on a console.

    Args:
        tests: file that /save-test appends to.
        debug: whether the trace of each turn is shown from the start.
    """

    def __init__(self, runner: TurnRunner, console: Console, *, tests: Path, debug: bool = False) -> None:
        from assistant.evaluation.conversations import Conversation

        self._runner = runner
        self._conversation = Conversation(runner)
        self._console = console
        self._tests = tests
        self._debug = debug

    async def hold(self, lines: AsyncIterator[str | Transcript]) -> None:
        """Answer lines, typed or spoken, until there are no more or one says /quit."""
        self._welcome()
        async for line in lines:
            if not isinstance(line, str):
                self._console.out(f"{_PROMPT}{line.text}", highlight=False)
                await self._turn(line.text, line.alternatives)
                continue
            text = line.strip()
            if text == "/quit":
                break
            if text.startswith("/"):
                self._command(_slash(text))
            elif text:
                await self._turn(text)

    def _welcome(self) -> None:
        from rich.text import Text

        shop = self._runner.knowledge.shop
        self._console.print(Text.assemble((shop.name, "bold cyan"), ("  /help lists the commands", "dim")))
        self._say(shop.greeting)

    async def _turn(self, text: str, alternatives: tuple[str, ...] = ()) -> None:
        from rich.text import Text

        from assistant.records import TurnStatus

        stream = WrappedStream(self._console.width, self._write)
        cancel = asyncio.Event()
        with _on_interrupt(cancel.set):
            result = await self._conversation.say(
                text, cancel=cancel, on_delta=stream.write, alternatives=alternatives
            )
        if not stream.started:
            stream.write(result.text)
        stream.end()
        if result.status == TurnStatus.CANCELLED:
            self._console.print(Text(f"{_INDENT}stopped", style="yellow"))
        if result.status == TurnStatus.FAILED:
            self._console.print(Text(f"{_INDENT}the turn failed: {result.error}", style="red"))
        self._after(result)
        self._console.print()

    def _after(self, result: TurnResult) -> None:
        """What stands under a reply: sources, cards, choices and, when asked for, the trace."""
        from rich.text import Text

        from assistant.cli.panes import card_lines, debug_pane

        for number, source in enumerate(result.sources, start=1):
            where = f"  {source.document}" if source.document else ""
            self._console.print(
                Text.assemble(f"{_INDENT}", (f"[{number}] {source.title}", "blue"), (where, "dim")),
                soft_wrap=True,
            )
        for card in result.cards:
            self._console.print(Text(card_lines(card, _INDENT), style="magenta"), soft_wrap=True)
        if result.quick_replies:
            choices = "   ".join(f"‹{reply}›" for reply in result.quick_replies)
            self._console.print(Text(f"{_INDENT}{choices}", style="green"))
        if self._debug:
            self._console.print(debug_pane(result))

    def _command(self, command: _Slash) -> None:
        from rich.text import Text

        if command.name == "/debug":
            self._debug = not self._debug
            self._note(f"debug pane {'on' if self._debug else 'off'}")
        elif command.name == "/reset":
            self._conversation.reset()
            self._note("the conversation starts again")
        elif command.name == "/sources":
            self._show_sources()
        elif command.name == "/save-test":
            self._save(command.argument)
        elif command.name == "/help":
            for name, meaning in COMMANDS.items():
                self._console.print(Text.assemble(f"{_INDENT}", (f"{name:<11}", "cyan"), meaning))
            self._console.print()
        else:
            self._note(f"{command.name} is no command; /help lists them", "red")

    def _show_sources(self) -> None:
        from rich.padding import Padding
        from rich.text import Text

        with_sources = [result for _, result in self._conversation.turns if result.sources]
        if not with_sources:
            self._note("no reply had sources so far")
            return
        sources = with_sources[-1].sources
        for number, source in enumerate(sources, start=1):
            self._console.print(
                Text.assemble(f"{_INDENT}", (f"[{number}] {source.title}", "bold"), (f"  {source.id}", "dim"))
            )
            self._console.print(Padding(Text(source.text), (0, 0, 1, 6)))

    def _save(self, name: str) -> None:
        from assistant.errors import AssistantError
        from assistant.evaluation.conversations import save_test

        if not name:
            self._note("say which name: /save-test NAME", "red")
            return
        try:
            save_test(self._tests, name, self._conversation.turns)
        except AssistantError as error:
            self._note(str(error), "red")
        else:
            self._note(f"saved as {name!r} in {self._tests}; read its expectations before you rely on them")

    def _say(self, text: str) -> None:
        stream = WrappedStream(self._console.width, self._write)
        stream.write(text)
        stream.end()
        self._console.print()

    def _note(self, text: str, style: str = "dim") -> None:
        from rich.text import Text

        self._console.print(Text(f"{_INDENT}{text}", style=style), soft_wrap=True)
        self._console.print()

    def _write(self, text: str) -> None:
        self._console.file.write(text)
        self._console.file.flush()


class WrappedStream:
    """Writes streamed text with an indent, broken between words, without waiting for the end of a line.

    A word is written once it is complete. Wide characters count double and may be broken between.
    """

    def __init__(self, width: int, write: Callable[[str], None]) -> None:
        self._room = max(width - 1, 20)
        self._write = write
        self._column = 0
        self._word = ""
        self.started = False

    def write(self, piece: str) -> None:
        """Take a piece of any length, also an empty one or half a word."""
        from rich.cells import cell_len

        for character in piece:
            if character in " \n":
                self._flush()
                if character == "\n":
                    self._break()
                elif self._column > len(_INDENT):
                    self._word = " "
            else:
                self._word += character
                if cell_len(character) > 1:
                    self._flush()
        self.started = self.started or bool(piece)

    def end(self) -> None:
        """Write what is held back and end the line."""
        self._flush()
        if self._column:
            self._break()

    def _flush(self) -> None:
        from rich.cells import cell_len

        if not self._word:
            return
        if self._column and self._column + cell_len(self._word) > self._room:
            self._break()
            self._word = self._word.lstrip(" ")
        text = self._word if self._column else _INDENT + self._word
        self._write(text)
        self._column += cell_len(text)
        self._word = ""

    def _break(self) -> None:
        self._write("\n")
        self._column = 0


def _slash(text: str) -> _Slash:
    name, _, argument = text.partition(" ")
    return _Slash(name, argument.strip())


@contextlib.contextmanager
def _on_interrupt(action: Callable[[], None]) -> Iterator[None]:
    """While a reply streams, Ctrl-C calls `action` instead of ending the program."""
    loop = asyncio.get_running_loop()
    try:
        loop.add_signal_handler(signal.SIGINT, action)
    except (NotImplementedError, RuntimeError, ValueError):  # Windows, or not in the main thread
        yield
        return
    try:
        with _without_echo():
            yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)


@contextlib.contextmanager
def _without_echo() -> Iterator[None]:
    """What is typed during a reply waits for the prompt instead of appearing within the reply."""
    if not sys.stdin.isatty():
        yield
        return
    import termios

    before = termios.tcgetattr(sys.stdin)
    silent = [*before]
    silent[3] &= ~termios.ECHO
    termios.tcsetattr(sys.stdin, termios.TCSANOW, silent)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSANOW, before)


async def _piped(console: Console) -> AsyncIterator[str]:
    """Lines of standard input, each shown after the prompt as if it had been typed."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        if line.strip():
            console.out(f"{_PROMPT}{line.strip()}", highlight=False)
        yield line


async def _typed(history: Path) -> AsyncIterator[str]:
    """Lines typed at a prompt with editing keys, a history that is kept, and completed commands.

    Ends at Ctrl-D and at Ctrl-C.
    """
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import CompleteEvent, Completer, Completion
    from prompt_toolkit.document import Document
    from prompt_toolkit.formatted_text import FormattedText
    from prompt_toolkit.history import FileHistory

    class Commands(Completer):
        """Completes a slash command at the start of the line."""

        def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
            """The commands that begin with what stands before the cursor."""
            typed = document.text_before_cursor
            if typed.startswith("/"):
                for name, meaning in COMMANDS.items():
                    if name.startswith(typed):
                        yield Completion(name, start_position=-len(typed), display_meta=meaning)

    session: PromptSession[str] = PromptSession(
        FormattedText([("bold ansigreen", _PROMPT)]),
        history=FileHistory(str(_private(history))),
        completer=Commands(),
        complete_while_typing=True,
    )
    while True:
        try:
            line = await session.prompt_async()
        except (EOFError, KeyboardInterrupt):
            return
        yield line


def _private(path: Path) -> Path:
    """The file, made readable for its owner only: it holds what was typed.

    Raises: ConfigError: it cannot be written.
    """
    from assistant.errors import ConfigError

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error
    return path
