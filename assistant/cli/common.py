"""What the commands share: lazy loading, options, settings, log level, the engine, and output."""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from assistant.errors import AssistantError

if TYPE_CHECKING:
    from assistant.app import LiveEngine
    from assistant.config import Settings
    from assistant.records import Knowledge
    from assistant.voice.service import Voice

R = TypeVar("R")

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it: 128 + SIGINT."""


class Refusal(click.ClickException):
    """An `AssistantError` as the command line shows it: its message on stderr, exit code 1."""

    exit_code = 1

    def show(self, file: Any = None) -> None:
        """Print the message as it is; it already says what to do."""
        click.echo(self.message, err=True)


class LazyGroup(click.Group):
    """A group that knows name and summary of its commands but imports one only to run it."""

    def __init__(
        self, *args: Any, lazy_commands: Mapping[str, tuple[str, str]] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = dict(lazy_commands or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order they were given."""
        return [*self._lazy, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module, now that it is needed."""
        if cmd_name not in self._lazy:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = self._lazy[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)  # noqa: S101 - a slip in our own table, not input
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from their summaries, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in self._lazy.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; our errors become messages with an exit code."""
        try:
            return super().invoke(ctx)
        except AssistantError as error:
            raise Refusal(str(error)) from error
        except KeyboardInterrupt:
            click.echo(err=True)
            raise click.exceptions.Exit(INTERRUPTED) from None


def with_settings(function: Callable[..., R]) -> Callable[..., R]:
    """Give a command --data, --knowledge and -v, and call it with the settings made of them first."""

    @click.option(
        "--data", type=click.Path(path_type=Path, file_okay=False), help="Folder of snapshots and sessions."
    )
    @click.option("--knowledge", type=click.Path(path_type=Path), help="Folder of the knowledge files.")
    @click.option("-v", "--verbose", count=True, help="Log more on stderr; twice for everything.")
    @functools.wraps(function)
    def command(data: Path | None, knowledge: Path | None, verbose: int, **options: Any) -> R:
        return function(read_settings(verbose, data=data, knowledge=knowledge), **options)

    return command


def read_settings(verbose: int, *, service: bool = False, **flags: Any) -> Settings:
    """Settings from flags, environment and file; sets the log level on stderr.

    A service logs as the settings say; other commands only warnings, unless `log_level` was set or -v is given.

    Raises: ConfigError.
    """
    from assistant.config import load_settings

    settings = load_settings(**flags)
    level = logging.WARNING
    if service or "log_level" in settings.model_fields_set:
        level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    level = (level, min(level, logging.INFO), logging.DEBUG)[min(verbose, 2)]
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(level)  # some libraries set their own logger to DEBUG
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(handlers=[handler], level=level)
    for chatty in ("faiss", "bm25s"):  # they tell how they load and index, even without fault
        logging.getLogger(chatty).setLevel(logging.WARNING)
    return settings


@contextlib.contextmanager
def open_engine(settings: Settings, *, rehearsal: bool = False) -> Iterator[LiveEngine]:
    """The engine on the ingested base, closed afterwards; says on a terminal that it is loading.

    In a rehearsal nothing outside is read or changed: orders and devices are made up anew.

    Raises: ConfigError: nothing is ingested yet. BackendError: a model cannot be loaded.
    """
    with progress_line("loading the models"):
        from assistant.app import build_engine

        engine = build_engine(settings, rehearsal=rehearsal)
    try:
        yield engine
    finally:
        engine.close()


def open_voice(settings: Settings, knowledge: Knowledge) -> Voice | None:
    """Speech recognition that knows the shop's words, or None without a model.

    Raises: ConfigError: a folder holds no model. BackendError: a model cannot be loaded.
    """
    with progress_line("loading the speech model"):
        from assistant.app import build_voice

        voice = build_voice(settings)
        if voice is not None:
            voice.learn(knowledge)
    return voice


@contextlib.contextmanager
def progress_line(text: str) -> Iterator[None]:
    """A line on stderr while something takes time, gone when it is done; silent unless it is a terminal."""
    shown = sys.stderr.isatty()
    if shown:
        click.echo(f"{text} …\r", err=True, nl=False)
    try:
        yield
    finally:
        if shown:
            click.echo("\x1b[2K\r", err=True, nl=False)


def print_json(value: Mapping[str, Any]) -> None:
    """One JSON object on one line of stdout."""
    click.echo(json.dumps(value, ensure_ascii=False, allow_nan=False))
