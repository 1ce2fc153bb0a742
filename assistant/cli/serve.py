"""`assistant serve`: the chat page and the websocket on one port."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from assistant.cli.common import open_engine, open_voice, read_settings

if TYPE_CHECKING:
    from assistant.voice.service import Voice


@click.command("serve")
@click.option("--host", help="Address to listen on; 0.0.0.0 for all.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 takes a free one.")
@click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), help="Folder of snapshots and sessions."
)
@click.option("-v", "--verbose", count=True, help="Log more on stderr; twice for everything.")
def serve_command(host: str | None, port: int | None, data: Path | None, verbose: int) -> None:
    """Serve the chat page and the websocket on one port until Ctrl-C or SIGTERM."""
    started = time.perf_counter()
    settings = read_settings(verbose, service=True, host=host, port=port, data=data)
    raise_file_limit(settings.max_connections)
    from assistant.server import Server, serve

    with open_engine(settings) as engine:
        facts = engine.describe()
        voice = open_voice(settings, engine.knowledge)

        def announce(server: Server) -> None:
            shown = f"[{settings.host}]" if ":" in settings.host else settings.host
            click.echo(
                f"serving http://{shown}:{server.port}/ (websocket at /ws)\n"
                f"snapshot {facts['snapshot']} with {facts['passages']} passages\n"
                f"{facts['encoder']}\n"
                f"speech: {_spoken(voice)}\n"
                f"ready after {time.perf_counter() - started:.1f} s",
                err=True,
            )

        asyncio.run(serve(settings, engine, announce=announce, voice=voice))


def _spoken(voice: Voice | None) -> str:
    if voice is None:
        return "off, there is no model (setting voice.models)"
    return ", ".join(f"{language} by {name}" for language, name in voice.identities.items())


def raise_file_limit(connections: int) -> None:
    """Let the process hold so many sockets, as far as the system allows; without effect where it does not."""
    try:
        import resource
    except ImportError:  # not a Unix
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + 256  # files, database, models
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
