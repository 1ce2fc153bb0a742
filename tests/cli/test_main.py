"""The command itself: lazy, with exit codes that scripts can rely on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from assistant import __version__
from assistant.cli.common import LazyGroup
from assistant.cli.main import COMMANDS, assistant
from assistant.errors import ConfigError, KnowledgeError, KnowledgeProblem

DOCS = Path(__file__).resolve().parents[2] / "docs"
HEAVY = ("torch", "transformers", "sentence_transformers", "onnxruntime", "faiss", "numpy", "pydantic")


def test_help_loads_no_library_of_the_engine() -> None:
    """In a process of its own: the list of commands comes from a table."""
    code = (
        "import sys\n"
        "from assistant.cli.main import assistant\n"
        "try:\n    assistant(['--help'])\nexcept SystemExit: pass\n"
        f"print('loaded:', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded: []"
    assert all(name in done.stdout for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_exists_and_explains_itself(name: str) -> None:
    """The table names no module that is not there."""
    result = CliRunner().invoke(assistant, [name, "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.stdout


def test_version_is_the_packages() -> None:
    """On stdout, for scripts."""
    assert CliRunner().invoke(assistant, ["--version"]).stdout == f"assistant {__version__}\n"


@pytest.mark.parametrize(
    "words", [["dance"], ["ask"], ["ask", "hi", "--frobnicate"], ["evaluate", "gone.jsonl"]]
)
def test_wrong_usage_ends_with_2(words: list[str]) -> None:
    """Unknown command, missing argument, unknown option, missing file; said on stderr."""
    result = CliRunner().invoke(assistant, words)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Usage:" in result.stderr


def test_question_without_a_base_ends_with_1_and_says_what_to_do(tmp_path: Path) -> None:
    """And stdout stays empty, also with --json."""
    result = CliRunner().invoke(assistant, ["ask", "hi", "--json", "--data", str(tmp_path)])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "assistant ingest" in result.stderr


def test_wrong_setting_ends_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """Named as the operator wrote it."""
    monkeypatch.setenv("ASSISTANT_PORT", "many")
    result = CliRunner().invoke(assistant, ["models", "list"])
    assert result.exit_code == 1
    assert "setting port" in result.stderr


def group_of(error: BaseException) -> LazyGroup:
    """A group with one command that fails."""
    group = LazyGroup("test")

    @group.command("fail")
    def fail() -> None:
        raise error

    return group


def test_our_errors_become_a_message_and_1() -> None:
    """Every problem on a line of its own, without a trace."""
    problems = [KnowledgeProblem("a.md", 3, "answer is empty"), KnowledgeProblem("b.csv", 0, "no columns")]
    result = CliRunner().invoke(group_of(KnowledgeError(problems)), ["fail"])
    assert result.exit_code == 1
    assert result.stderr == "2 problems in the knowledge files\na.md:3: answer is empty\nb.csv: no columns\n"
    assert CliRunner().invoke(group_of(ConfigError("no")), ["fail"]).stderr == "no\n"


def test_interrupt_ends_quietly_with_130() -> None:
    """As shells report a process that Ctrl-C ended."""
    result = CliRunner().invoke(group_of(KeyboardInterrupt()), ["fail"])
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "\n")


def test_usage_error_of_a_command_keeps_its_code() -> None:
    """What click raises is not ours to translate."""
    assert CliRunner().invoke(group_of(click.UsageError("so not")), ["fail"]).exit_code == 2


def test_console_page_explains_every_command() -> None:
    """Commands and slash commands are in docs/console.md."""
    from assistant.cli.chat import COMMANDS as SLASH_COMMANDS

    page = (DOCS / "console.md").read_text()
    assert [name for name in COMMANDS if f"assistant {name}" not in page] == []
    assert [name for name in SLASH_COMMANDS if f"| `{name}" not in page] == []
