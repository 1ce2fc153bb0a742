"""`assistant insights`: how customers were served, what was not answered, and drafts made of it."""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import click

from assistant.cli.common import print_json, progress_line, with_settings

if TYPE_CHECKING:
    from assistant.config import Settings
    from assistant.learning.figures import Figures
    from assistant.learning.grouping import Group
    from assistant.storage.archive import PastHandover, PastTurn

_DAY_S = 86_400.0
_SHOWN = 10  # groups and days in words; --json has them all
_WORDINGS = 3

_days = click.option(
    "--days", type=click.FloatRange(min=0, min_open=True), default=30.0, help="How far back; 30 by default."
)
_as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")


@click.group("insights", invoke_without_command=True)
@_days
@_as_json
@with_settings
@click.pass_context
def insights_group(ctx: click.Context, settings: Settings, days: float, as_json: bool) -> None:
    """Show what customers asked in vain, grouped by meaning, and how they were served.

    `draft` makes an FAQ entry of a group, with what a colleague answered; `approve` makes it knowledge. The
    questions are personal data: see docs/privacy.md.
    """
    if ctx.invoked_subcommand is not None:
        return
    from assistant.insights import draft_names, measure

    turns, handovers = _read(settings, days)
    groups = _groups(settings, turns)
    total, daily = measure(turns, handovers)
    drafts = draft_names(settings.knowledge)
    if as_json:
        print_json(
            {
                "days": days,
                "figures": asdict(total),
                "by_day": [{"day": day.isoformat(), **asdict(one)} for day, one in daily.items()],
                "groups": [_group_object(group) for group in groups],
                "drafts": drafts,
            }
        )
        return
    click.echo(_describe(total, days))
    click.echo(_table(daily))
    click.echo(_list(groups))
    if drafts:
        click.echo(f"\ndrafts to be read and approved: {', '.join(drafts)}")


@insights_group.command("draft")
@click.argument("group")
@click.option("--answer", default="", help="The answer; by default what a colleague wrote to a customer.")
@_days
@with_settings
def draft_command(settings: Settings, group: str, answer: str, days: float) -> None:
    """Write a draft FAQ entry for GROUP (its name, or its number in the list)."""
    from assistant.errors import ConfigError
    from assistant.insights import draft_file, save_draft
    from assistant.learning.drafts import build_draft

    turns, _ = _read(settings, days)
    groups = _groups(settings, turns)
    numbered = {str(number): found for number, found in enumerate(groups, 1)}
    chosen = next((found for found in groups if found.name == group), numbered.get(group))
    if chosen is None:
        raise ConfigError(
            f"there is no group {group!r} in the last {days:g} days; `assistant insights` lists them"
        )
    file = draft_file(settings.knowledge, chosen.name)
    if file.exists() and not answer:
        raise ConfigError(f"{file} exists; edit it, delete it, or give the answer with --answer")
    draft = build_draft(chosen.question, chosen.others, answer or chosen.answer)
    save_draft(settings.knowledge, chosen.name, draft)
    click.echo(f"{file} is written. Read it: no name and no case of a single customer may stay in it.")
    if not draft.answer:
        click.echo("It has no answer yet: no colleague wrote one. Add it, or repeat with --answer.")
    click.echo(f"Then: assistant insights approve {chosen.name} && assistant ingest {settings.knowledge}")


@insights_group.command("approve")
@click.argument("name")
@with_settings
def approve_command(settings: Settings, name: str) -> None:
    """Move the draft NAME into faq/learned.md, from where the next ingest takes it in."""
    from assistant.insights import approve_draft

    learned = approve_draft(settings.knowledge, name.removesuffix(".md")).learned
    click.echo(f"{learned} has it now. Next: assistant ingest {settings.knowledge}")


def _read(settings: Settings, days: float) -> tuple[list[PastTurn], list[PastHandover]]:
    from assistant.storage.archive import Archive

    since = time.time() - days * _DAY_S
    with Archive(settings.data) as archive:
        return archive.turns(since), archive.handovers(since)


def _groups(settings: Settings, turns: list[PastTurn]) -> tuple[Group, ...]:
    from assistant.insights import Grouper

    with progress_line("grouping by meaning"):
        return Grouper(settings).group(turns)


def _group_object(group: Group) -> dict[str, Any]:
    from assistant.insights import group_facts

    facts = group_facts(group)
    for moment in ("first", "latest"):
        facts[moment] = datetime.fromtimestamp(facts[moment]).isoformat(timespec="seconds")
    return facts


def _describe(total: Figures, days: float) -> str:
    lines = [f"Last {days:g} days: {total.turns} questions"]
    if total.turns:
        decisions = ", ".join(f"{name} {_percent(share)}" for name, share in total.decisions.items())
        lines.append(f"  decided: {decisions}")
        lines.append(f"  declined or failed: {_percent(total.unanswered)}")
        lines.append(
            f"  thumbs up: {_percent(total.thumbs_up)} of the {_percent(total.rated)} that were rated"
        )
    if total.handovers:
        causes = ", ".join(f"{count} {cause}" for cause, count in total.handovers.items())
        endings = ", ".join(f"{count} {ending}" for ending, count in total.endings.items())
        waited = "" if total.waited_median_s is None else f", after {total.waited_median_s:.0f} s (median)"
        lines.append(
            f"  to a person: {causes}; taken {_percent(total.taken)}{waited}; ended: {endings or 'none'}"
        )
    return "\n".join(lines)


def _table(daily: dict[date, Figures]) -> str:
    if not daily:
        return ""
    lines = ["", f"  {'day':<12}{'questions':>10}{'unanswered':>12}{'thumbs up':>11}{'to a person':>13}"]
    for day, one in list(daily.items())[-_SHOWN:]:
        lines.append(
            f"  {day.isoformat():<12}{one.turns:>10}{_percent(one.unanswered):>12}{_percent(one.thumbs_up):>11}"
            f"{sum(one.handovers.values()):>13}"
        )
    return "\n".join(lines)


def _list(groups: tuple[Group, ...]) -> str:
    if not groups:
        return "\nNothing was left unanswered."
    lines = ["", "Unanswered, grouped by meaning:"]
    for number, group in enumerate(groups[:_SHOWN], 1):
        counts = f"{len(group.members)}×"
        answered = "  (a colleague has answered it)" if group.answer else ""
        lines.append(f"{number:>3}. {counts:>4}  {group.question}{answered}")
        lines += [f"           {other}" for other in group.others[:_WORDINGS]]
        lines.append(f"           → assistant insights draft {group.name}")
    if len(groups) > _SHOWN:
        lines.append(f"  … and {len(groups) - _SHOWN} more, all with --json")
    return "\n".join(lines)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"
