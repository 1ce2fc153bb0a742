"""Agents' credentials: hashed, changed whole or not at all, read again when changed."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from assistant.errors import ConfigError
from assistant.storage.team import FILE, Team


def test_only_the_right_secret_of_the_right_name_counts(tmp_path: Path) -> None:
    """Neither another's, nor any for a name that nobody has."""
    team = Team(tmp_path)
    kim, robin = team.add("Kim"), team.add("Robin")
    assert kim != robin
    assert team.check("Kim", kim)
    assert team.check("Robin", robin)
    assert not team.check("Kim", robin)
    assert not team.check("Kim", "")
    assert not team.check("Nobody", kim)


def test_file_holds_no_secret_and_is_its_owners_alone(tmp_path: Path) -> None:
    """Equal secrets would not show either: each has its salt."""
    secret = Team(tmp_path).add("Kim")
    file = tmp_path / FILE
    assert secret not in file.read_text()
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
    assert set(json.loads(file.read_text())["agents"]["Kim"]) == {"salt", "hash", "since"}
    assert os.listdir(tmp_path) == [FILE], "neither lock nor half a file is left"


def test_changes_are_seen_by_who_has_read_before(tmp_path: Path) -> None:
    """A running server follows the command line."""
    command, server = Team(tmp_path), Team(tmp_path)
    assert server.members() == {}
    first = command.add("Kim")
    assert server.check("Kim", first)
    second = command.add("Kim", renew=True)
    assert not server.check("Kim", first)
    assert server.check("Kim", second)
    command.remove("Kim")
    assert not server.check("Kim", second)
    (tmp_path / FILE).unlink()
    assert server.members() == {}


@pytest.mark.parametrize("name", ["", " Kim", "Kim ", "a\nb", "x" * 41, "\x7f"])
def test_names_that_customers_could_not_see_are_refused(tmp_path: Path, name: str) -> None:
    """And nothing is written."""
    with pytest.raises(ConfigError, match="1 to 40 visible"):
        Team(tmp_path).add(name)
    assert not (tmp_path / FILE).exists()


def test_names_in_chinese_are_taken(tmp_path: Path) -> None:
    """As they are."""
    secret = Team(tmp_path).add("小李")
    assert Team(tmp_path).check("小李", secret)


def test_adding_twice_and_changing_nobody_are_refused(tmp_path: Path) -> None:
    """With what to do instead; the first secret stays."""
    team = Team(tmp_path)
    secret = team.add("Kim")
    with pytest.raises(ConfigError, match="team renew"):
        team.add("Kim")
    with pytest.raises(ConfigError, match="no agent 'Robin'"):
        team.add("Robin", renew=True)
    with pytest.raises(ConfigError, match="no agent 'Robin'"):
        team.remove("Robin")
    assert team.check("Kim", secret)


def test_two_commands_at_once_do_not_lose_an_agent(tmp_path: Path) -> None:
    """The second is refused while the first writes."""
    team = Team(tmp_path)
    with team._alone(), pytest.raises(ConfigError, match="another command"):
        Team(tmp_path).add("Robin")
    assert Team(tmp_path).add("Robin")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"agents": {"Kim": {"salt": "x"}}}', '{"agents": 1}'])
def test_damaged_file_is_said_and_lets_nobody_in(tmp_path: Path, content: str) -> None:
    """It is not taken for an empty team, which a new agent would overwrite."""
    (tmp_path / FILE).write_text(content)
    with pytest.raises(ConfigError, match="cannot be read"):
        Team(tmp_path).check("Kim", "x")
    with pytest.raises(ConfigError, match="cannot be read"):
        Team(tmp_path).add("Kim")
    assert (tmp_path / FILE).read_text() == content
