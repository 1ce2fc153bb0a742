"""`assistant customer`: what is kept of one customer, and its deletion."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from assistant.cli.common import print_json, with_settings

if TYPE_CHECKING:
    from assistant.config import Settings

_NAMES = {"ignore_unknown_options": True}  # a shop's own customer ids may begin with a dash
_as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")


@click.group("customer")
def customer_group() -> None:
    """Export or delete what is kept of one customer (docs/privacy.md)."""


@customer_group.command("export", context_settings=_NAMES)
@click.argument("name", metavar="ID|SESSION")
@_as_json
@with_settings
def export_command(settings: Settings, name: str, as_json: bool) -> None:
    """Show everything kept of a signed-in customer (ID), or of one conversation (SESSION)."""
    from assistant.storage.archive import Archive

    with Archive(settings.data) as archive:
        found = archive.export(_sessions(archive.sessions_of(name)))
    if as_json:
        print_json({"name": name, "sessions": found})
        return
    for session in found:
        click.echo(
            f"{session['session']}: {len(session['turns'])} questions, {len(session['feedback'])} opinions, "
            f"{len(session['events'])} product events, {len(session['handovers'])} hand-overs with "
            f"{len(session['handover_messages'])} messages"
        )
    click.echo("with --json: all of it")


@customer_group.command("delete", context_settings=_NAMES)
@click.argument("name", metavar="ID|SESSION")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_as_json
@with_settings
def delete_command(settings: Settings, name: str, yes: bool, as_json: bool) -> None:
    """Delete everything kept of a signed-in customer (ID), or of one conversation (SESSION), for good.

    A running server forgets it within seconds.
    """
    from assistant.storage.archive import Archive

    with Archive(settings.data) as archive:
        sessions = _sessions(archive.sessions_of(name))
        if not yes:
            click.confirm(f"Delete {len(sessions)} conversations for good?", abort=True, err=True)
        count = archive.delete(sessions)
    if as_json:
        print_json({"name": name, "deleted": count})
    else:
        click.echo(f"{count} conversations are deleted.")


def _sessions(found: list[str]) -> list[str]:
    if not found:
        from assistant.errors import ConfigError

        raise ConfigError("nothing is kept under this customer id or session")
    return found
