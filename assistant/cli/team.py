"""`assistant team`: the shop's agents, their credentials, and what they read."""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING

import click

from assistant.cli.common import print_json, with_settings

if TYPE_CHECKING:
    from assistant.config import Settings

_DAY_S = 86_400.0
_as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")


@click.group("team")
def team_group() -> None:
    """Who may speak with customers and see their conversations: at /console, and with `assistant agent`.

    Each agent has an own credential; the data folder keeps only a hash of it. While there is no agent both stay closed.
    """


@team_group.command("add")
@click.argument("name")
@_as_json
@with_settings
def add_command(settings: Settings, name: str, as_json: bool) -> None:
    """Add an agent, and print the credential: it is shown only now. Customers see NAME."""
    from assistant.storage.team import Team

    _show(name, Team(settings.data).add(name), as_json)


@team_group.command("renew")
@click.argument("name")
@_as_json
@with_settings
def renew_command(settings: Settings, name: str, as_json: bool) -> None:
    """Give an agent a new credential; the old one, and whoever is signed in with it, is out within seconds."""
    from assistant.storage.team import Team

    _show(name, Team(settings.data).add(name, renew=True), as_json)


def _show(name: str, secret: str, as_json: bool) -> None:
    if as_json:
        print_json({"agent": name, "credential": secret})
        return
    click.echo(secret)
    click.echo(f"This is the credential of {name}. Hand it over safely; it cannot be shown again.", err=True)


@team_group.command("remove")
@click.argument("name")
@with_settings
def remove_command(settings: Settings, name: str) -> None:
    """Remove an agent, who is out within seconds; open conversations go back to the queue."""
    from assistant.storage.team import Team

    Team(settings.data).remove(name)
    click.echo(f"{name} is removed.")


@team_group.command("list")
@_as_json
@with_settings
def list_command(settings: Settings, as_json: bool) -> None:
    """Name the agents."""
    from assistant.storage.team import Team

    members = Team(settings.data).members()
    if as_json:
        print_json({"agents": [{"agent": name, "since": one.since} for name, one in members.items()]})
        return
    if not members:
        click.echo("there are no agents yet; `assistant team add NAME` adds one")
    for name, one in members.items():
        click.echo(f"{name:<40} since {_moment(one.since)}")


@team_group.command("log")
@click.option("--days", type=click.FloatRange(min=0, min_open=True), default=30.0, help="How far back.")
@_as_json
@with_settings
def log_command(settings: Settings, days: float, as_json: bool) -> None:
    """Show who read or took which conversation, and who wrote or approved which draft, oldest first."""
    from assistant.storage.archive import Archive

    with Archive(settings.data) as archive:
        entries = archive.log(time.time() - days * _DAY_S)
    if as_json:
        print_json({"entries": [asdict(entry) for entry in entries]})
        return
    if not entries:
        click.echo("nothing was read or changed")
    for entry in entries:
        click.echo(f"{_moment(entry.at)}  {entry.agent:<20} {entry.action:<10} {entry.subject}")


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at).strftime("%Y-%m-%d %H:%M:%S")
