"""`assistant ingest` and `assistant knowledge` with the real encoder: words, JSON, exit codes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from assistant.cli.main import assistant

Command = Callable[..., Result]
FAQ = """## How long does delivery take?
Also asked: when will my sofa come?
Parcels take 2 to 3 working days. Large furniture takes 6 to 9 working days.

## What does delivery cost?
Parcels cost €4.50 per order.

## Can I return a sofa?
You can return furniture within 30 days of delivery, if it is unused.
"""


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a command line on a data folder of its own."""
    monkeypatch.setenv("ASSISTANT_ENCODER_BACKEND", "onnx-int8")
    monkeypatch.setenv("ASSISTANT_RERANKER", "none")

    def call(*words: str | Path) -> Result:
        return CliRunner().invoke(assistant, [*map(str, words), "--data", str(tmp_path / "data")])

    return call


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A knowledge folder with one FAQ file."""
    (tmp_path / "shop" / "faq").mkdir(parents=True)
    (tmp_path / "shop" / "faq" / "help.md").write_text(FAQ, encoding="utf-8")
    return tmp_path / "shop"


def test_ingest_list_diff_rollback_and_search(command: Command, folder: Path) -> None:
    """The life of a base: ingested, changed, compared, rolled back, searched."""
    first = command("ingest", folder, "--json")
    assert first.exit_code == 0, first.output
    one = json.loads(first.stdout)
    assert (one["switched"], one["counts"]["passages"], len(one["added"])) == (True, 3, 3)
    assert first.stdout.count("\n") == 1

    again = command("ingest", folder)
    assert again.exit_code == 0
    assert f"Nothing changed; {one['snapshot']} is served." in again.stdout

    (folder / "faq" / "help.md").write_text(FAQ.replace("€4.50", "€5.50"), encoding="utf-8")
    two = json.loads(command("ingest", folder, "--json").stdout)
    assert two["changed"] == ["faq/help.md#what-does-delivery-cost"]

    listed = json.loads(command("knowledge", "list", "--json").stdout)["snapshots"]
    assert [(item["id"], item["current"]) for item in listed] == [
        (one["snapshot"], False),
        (two["snapshot"], True),
    ]
    assert f"* {two['snapshot']}" in command("knowledge", "list").stdout

    shown = command("knowledge", "diff").stdout
    assert "-   Parcels cost €4.50 per order." in shown
    assert "+   Parcels cost €5.50 per order." in shown
    assert "sofa" not in shown
    compared = json.loads(command("knowledge", "diff", two["snapshot"], one["snapshot"], "--json").stdout)
    assert (compared["from"], compared["changed"]) == (two["snapshot"], two["changed"])

    assert json.loads(command("knowledge", "rollback", "--json").stdout) == {"snapshot": one["snapshot"]}
    found = json.loads(
        command("knowledge", "search", "what is the price of shipping a parcel", "--json").stdout
    )
    assert found["passages"][0]["id"] == "faq/help.md#what-does-delivery-cost"
    assert "€4.50" in found["passages"][0]["text"]
    assert "What does delivery cost?" in command("knowledge", "search", "delivery price").stdout


def test_every_problem_is_a_line_on_stderr(command: Command, folder: Path) -> None:
    """A refused base exits with 1, says file and line, and prints nothing on stdout."""
    (folder / "faq" / "help.md").write_text("## One?\n\n## Two?\n", encoding="utf-8")
    (folder / "table.csv").write_text("question\nq\n", encoding="utf-8")
    result = command("ingest", folder, "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "faq/help.md:1: answer is empty; add text under the heading" in result.stderr.splitlines()
    assert "faq/help.md:3: answer is empty; add text under the heading" in result.stderr.splitlines()
    assert any(line.startswith("table.csv:1: column answer missing") for line in result.stderr.splitlines())


@pytest.mark.parametrize("words", [("ingest", "nowhere"), ("ingest", "--nonsense"), ("knowledge", "search")])
def test_wrong_usage_exits_with_2(command: Command, words: tuple[str, ...]) -> None:
    """A path that does not exist, an unknown option, a missing argument."""
    assert command(*words).exit_code == 2


def test_dry_run_says_what_would_change(command: Command, folder: Path) -> None:
    """A dry run reports in words and leaves nothing to serve."""
    result = command("ingest", folder, "--dry-run")
    assert result.exit_code == 0
    assert "Dry run: nothing was changed." in result.stdout
    assert "added: 3" in result.stdout
    assert json.loads(command("knowledge", "list", "--json").stdout) == {"snapshots": []}


@pytest.mark.parametrize("words", [("rollback",), ("rollback", "x"), ("diff",), ("diff", "x")])
def test_nothing_to_switch_or_compare_exits_with_1(command: Command, words: tuple[str, ...]) -> None:
    """Without snapshots the commands say so."""
    result = command("knowledge", *words)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "`assistant knowledge list`" in result.stderr
