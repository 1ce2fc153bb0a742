"""`assistant ingest` and `assistant knowledge`: build, look at and switch the knowledge base."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from assistant.cli.common import open_engine, print_json, with_settings

if TYPE_CHECKING:
    from assistant.config import Settings
    from assistant.ingestion.pipeline import IngestReport
    from assistant.records import Passage
    from assistant.storage.snapshots import SnapshotStore

_SHOWN = 10  # ids or remarks of one sort in a report in words; --json has them all

as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")


@click.command("ingest")
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Say what would change; change nothing.")
@click.option(
    "--force", is_flag=True, help="Build again even if nothing changed, and overrule the self-test."
)
@as_json
@with_settings
def ingest_command(
    settings: Settings, paths: tuple[Path, ...], dry_run: bool, force: bool, as_json: bool
) -> None:
    """Build a base from exactly these folders and files, and serve it.

    Without PATHS the knowledge folder of the settings is read.
    """
    from assistant.app import run_ingest

    chosen = paths or (settings.knowledge,)
    if not paths and not settings.knowledge.exists():
        raise click.UsageError(f"{settings.knowledge} does not exist; name the folder to ingest")
    with _progress_bars() as progress:
        report = run_ingest(settings, chosen, dry_run=dry_run, force=force, progress=progress)
    if as_json:
        print_json(report.to_json())
    else:
        click.echo(describe(report))


class _Bars:
    """Steps of a run as progress bars on stderr."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.display = Progress(
            TextColumn("{task.description:<24}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self.display.add_task("loading the models", total=None)

    def step(self, name: str, total: int | None) -> None:
        """Show the next step in place of the last."""
        self.display.remove_task(self._task)
        self._task = self.display.add_task(name, total=total)

    def advance(self, amount: int) -> None:
        """Move the bar."""
        self.display.advance(self._task, amount)


@contextlib.contextmanager
def _progress_bars() -> Iterator[_Bars | None]:
    if not sys.stderr.isatty():
        yield None
        return
    bars = _Bars()
    with bars.display:
        yield bars


def describe(report: IngestReport) -> str:
    """A report in words."""
    if report.up_to_date:
        head = f"Nothing changed; {report.snapshot} is served."
    elif report.dry_run:
        head = "Dry run: nothing was changed."
    else:
        head = f"{report.snapshot} is served now."
    counts = ", ".join(f"{number} {name}" for name, number in report.counts.items())
    lines = [head, f"It holds {counts}." if not report.dry_run else f"It would hold {counts}."]
    for name in ("added", "changed", "removed", "rejected"):
        lines += _listing(name, getattr(report, name))
    lines.append(f"unchanged: {len(report.unchanged)}")
    lines += _listing("left out, repeats another", [f"{one} = {other}" for one, other in report.duplicates])
    lines += _listing(
        "warning: say nearly the same",
        [f"{item.first} ~ {item.second} ({item.similarity:.2f})" for item in report.near_duplicates],
    )
    lines += _listing(
        "warning: contradict each other",
        [
            f"{item.first}: {item.first_text}\n    {item.second}: {item.second_text}"
            for item in report.contradictions
        ],
    )
    lines += _listing("skipped", report.skipped)
    lines += _listing("warning: self-test overruled", report.self_test)
    lines.append(f"{sum(report.seconds.values()):.1f} s, {report.embedded} texts embedded")
    return "\n".join(lines)


def _listing(title: str, items: Sequence[str]) -> list[str]:
    if not items:
        return []
    more = [f"  … and {len(items) - _SHOWN} more, all with --json"] if len(items) > _SHOWN else []
    return [f"{title}: {len(items)}", *(f"  {item}" for item in items[:_SHOWN]), *more]


# --- knowledge ---------------------------------------------------------------------------------------------


@click.group("knowledge")
def knowledge_group() -> None:
    """List, compare, switch and search the ingested bases."""


def _open_store(settings: Settings) -> SnapshotStore:
    from assistant.storage.snapshots import SnapshotStore

    return SnapshotStore(settings.data)


@knowledge_group.command("list")
@as_json
@with_settings
def list_command(settings: Settings, as_json: bool) -> None:
    """Show all snapshots, oldest first; the one being served has a star."""
    found = _open_store(settings).list()
    if as_json:
        print_json({"snapshots": [asdict(info) for info in found]})
        return
    if not found:
        click.echo(f"nothing is ingested in {settings.data} yet; run `assistant ingest PATH`")
    for info in found:
        content = info.damaged or ", ".join(f"{number} {name}" for name, number in info.counts.items())
        size = f"{info.size_bytes / 1e6:.1f} MB"
        click.echo(
            f"{'*' if info.current else ' '} {info.id}  {size:>9}  {content}  from {' '.join(info.sources)}"
        )


@knowledge_group.command("diff")
@click.argument("first", required=False, metavar="[A")
@click.argument("second", required=False, metavar="B]")
@as_json
@with_settings
def diff_command(settings: Settings, first: str | None, second: str | None, as_json: bool) -> None:
    """Show what changed between two snapshots; by default from the previous to the current one."""
    from assistant.errors import ConfigError
    from assistant.ingestion.comparing import compare_with

    store = _open_store(settings)
    current = store.current_id()
    if first and not second:
        second = current
    elif not first:
        second = current
        older = [info.id for info in store.list() if current and info.id < current]
        first = older[-1] if older else None
    if not first or not second:
        raise ConfigError(
            "there are no two snapshots to compare; `assistant knowledge list` shows which there are"
        )
    before = {passage.id: passage for passage in store.passages(first)}
    after = {passage.id: passage for passage in store.passages(second)}
    changes = compare_with(before.values(), after.values())
    if as_json:
        print_json({"from": first, "to": second, **asdict(changes)})
        return
    click.echo(f"from {first} to {second}: {len(changes.unchanged)} unchanged")
    for passage in before.values():
        if passage.id in changes.removed:
            _show("-", passage)
    for passage in after.values():
        if passage.id in changes.changed:
            _show("-", before[passage.id])
            _show("+", passage)
        elif passage.id in changes.added:
            _show("+", passage)


def _show(sign: str, passage: Passage) -> None:
    click.echo(f"{sign} {passage.id}: {passage.title}")
    for line in [
        *passage.text.splitlines(),
        *([f"({' | '.join(passage.questions)})"] if passage.questions else []),
    ]:
        click.echo(f"{sign}   {line}")


@knowledge_group.command("rollback")
@click.argument("snapshot", required=False, metavar="[ID]")
@as_json
@with_settings
def rollback_command(settings: Settings, snapshot: str | None, as_json: bool) -> None:
    """Serve an earlier snapshot: ID, or the newest one before the current."""
    served = _open_store(settings).rollback(snapshot)
    if as_json:
        print_json({"snapshot": served})
    else:
        click.echo(f"{served} is served now.")


@knowledge_group.command("search")
@click.argument("text")
@as_json
@with_settings
def search_command(settings: Settings, text: str, as_json: bool) -> None:
    """Show the passages found for a question, with their scores."""
    with open_engine(settings) as engine:
        found = engine.retrieve(text)
    if as_json:
        print_json(
            {
                "query": found.query,
                "probability": found.probability,
                "threshold": found.threshold,
                "passages": [
                    {
                        **{key: value for key, value in asdict(scored).items() if key != "passage"},
                        "id": scored.passage.id,
                        "title": scored.passage.title,
                        "text": scored.passage.text,
                        "document": scored.passage.document,
                    }
                    for scored in found.ranked
                ],
            }
        )
        return
    verdict = "would be answered" if found.probability >= found.threshold else "would be declined"
    click.echo(f"probability {found.probability:.2f}, threshold {found.threshold:.2f}: {verdict}")
    for place, scored in enumerate(found.ranked[:_SHOWN], 1):
        click.echo(f"{place:>2}. {scored.score:6.3f}  {scored.passage.title}  ({scored.passage.id})")
