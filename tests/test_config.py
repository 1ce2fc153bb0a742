"""Settings: precedence, strictness, and the page that describes them."""

from pathlib import Path

import pytest

from assistant.config import describe_settings, load_settings
from assistant.errors import ConfigError

PAGE = Path(__file__).parent.parent / "docs" / "settings.md"


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_flag_goes_before_environment_before_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each source overrules the one after it; a flag that is None was not given."""
    (tmp_path / "assistant.toml").write_text('port = 1111\nhost = "10.0.0.1"\ncredential = "file"\n')
    monkeypatch.setenv("ASSISTANT_PORT", "2222")
    monkeypatch.setenv("ASSISTANT_HOST", "10.0.0.2")
    settings = load_settings(port=3333, host=None)
    assert (settings.port, settings.host, settings.credential) == (3333, "10.0.0.2", "file")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "99999"),
        ("max_connections", "0"),
        ("heartbeat_s", "soon"),
        ("mode", "shouting"),
        ("origins", "["),
    ],
)
def test_wrong_value_is_refused_by_name(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the setting."""
    monkeypatch.setenv(f"ASSISTANT_{name.upper()}", value)
    with pytest.raises(ConfigError, match=name):
        load_settings()


def test_unknown_setting_in_the_file_is_refused(tmp_path: Path) -> None:
    """A misspelt name does not pass in silence."""
    (tmp_path / "assistant.toml").write_text("prot = 1\n")
    with pytest.raises(ConfigError, match="prot"):
        load_settings()


def test_broken_file_is_a_config_error(tmp_path: Path) -> None:
    """A file that is no TOML is named as such, not shown as a trace."""
    (tmp_path / "assistant.toml").write_text("port = = 1\n")
    with pytest.raises(ConfigError):
        load_settings()


def test_page_describes_every_setting() -> None:
    """docs/settings.md is what `describe_settings` writes."""
    assert PAGE.read_text(encoding="utf-8") == describe_settings()
