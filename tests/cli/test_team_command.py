"""`assistant team`: agents come and go by command, and what they did can be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from assistant.cli.main import assistant
from assistant.storage.archive import Archive
from assistant.storage.team import Team
from tests.server.console.harness import Page
from tests.server.harness import Client, ScriptedRunner, make_settings, run, running


def team(data: Path, *arguments: str, code: int = 0) -> Result:
    """Run the command on a data folder."""
    result = CliRunner().invoke(assistant, ["team", *arguments, "--data", str(data)])
    assert result.exit_code == code, result.output
    return result


def test_secret_is_alone_on_stdout_and_opens(tmp_path: Path) -> None:
    """So that it can go straight into a password manager."""
    secret = team(tmp_path, "add", "Kim").stdout.strip()
    assert Team(tmp_path).check("Kim", secret)
    found = json.loads(team(tmp_path, "renew", "Kim", "--json").stdout)
    assert found["agent"] == "Kim"
    assert Team(tmp_path).check("Kim", found["credential"])
    assert not Team(tmp_path).check("Kim", secret)


def test_list_names_everybody_without_a_secret(tmp_path: Path) -> None:
    """In words and as JSON; an empty team says how to begin."""
    assert "assistant team add" in team(tmp_path, "list").stdout
    secret = team(tmp_path, "add", "Kim").stdout.strip()
    for arguments in (("list",), ("list", "--json")):
        shown = team(tmp_path, *arguments).stdout
        assert "Kim" in shown
        assert secret not in shown
    team(tmp_path, "remove", "Kim")
    assert json.loads(team(tmp_path, "list", "--json").stdout) == {"agents": []}


@pytest.mark.parametrize("arguments", [("add", "Kim"), ("renew", "Robin"), ("remove", "Robin")])
def test_refusals_end_with_code_1_and_a_reason(tmp_path: Path, arguments: tuple[str, str]) -> None:
    """On stderr; stdout stays empty."""
    Team(tmp_path).add("Kim")
    result = team(tmp_path, *arguments, code=1)
    assert result.stdout == ""
    assert arguments[1] in result.stderr


def test_log_tells_who_read_what_and_is_deleted_with_the_retention(tmp_path: Path) -> None:
    """Times, names and the conversation's key; no session id."""

    async def scenario() -> None:
        async with (
            running(make_settings(tmp_path), ScriptedRunner(pieces=1)) as server,
            Client(server) as client,
            Page(server) as page,
        ):
            await client.answer("hello")
            key = (await page.shows(state="assistant"))[0]["key"]
            await page.ask("transcript.open", key=key)
        entries = json.loads(team(tmp_path, "log", "--json").stdout)["entries"]
        assert [(one["agent"], one["action"], one["subject"]) for one in entries] == [("Kim", "read", key)]
        shown = team(tmp_path, "log").stdout
        assert key in shown
        assert str(client.session) not in shown
        later = entries[0]["at"] + 31 * 86_400
        async with running(make_settings(tmp_path), ScriptedRunner(), clock=lambda: later):
            pass
        with Archive(tmp_path) as archive:
            assert archive.log(0.0) == []

    run(scenario())
