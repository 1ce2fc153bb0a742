"""The settings' composer: which generator it is, and that it is made safe."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from assistant.composer import Composer
from assistant.composition.extractive import ExtractiveGenerator
from assistant.config import load_settings
from assistant.errors import ConfigError
from assistant.evaluation.figures import ungrounded_values
from assistant.protocols import GenerationReport, Generator
from tests.backends.generation.conftest import REQUEST, save_model


def run(generator: Generator) -> tuple[str, GenerationReport]:
    """Text and report of a reply."""
    *items, report = generator.generate(REQUEST, threading.Event())
    assert isinstance(report, GenerationReport)
    return "".join(item for item in items if isinstance(item, str)), report


def test_approved_mode_loads_nothing() -> None:
    """No model, no server: the passages' own sentences."""
    composer = Composer(load_settings(mode="approved", composer="nobody/nothing", composer_url="http://x/v1"))
    assert isinstance(composer.generator, ExtractiveGenerator)
    composer.close()


def test_composed_mode_constrains_and_checks_a_local_model(tmp_path: Path) -> None:
    """Whatever a model with random weights writes, no number comes out that stands nowhere, and the check ran."""
    composer = Composer(load_settings(mode="composed", composer=str(save_model("gpt2", tmp_path))))
    try:
        text, report = run(composer.generator)
    finally:
        composer.close()
        composer.close()
    assert "grounding" in report.detail
    assert report.detail["tokens"]
    assert composer.identity.startswith(tmp_path.name)
    assert not ungrounded_values(text, [f"{source.title} {source.text}" for source in REQUEST.sources])


def test_composed_mode_with_a_server_falls_back_while_it_is_down() -> None:
    """Nothing is asked at the start; a customer gets the quotes; the credential shows nowhere."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        composer = Composer(
            load_settings(
                mode="composed", composer_url=url, composer_model="m", composer_credential="secret-key"
            )
        )
        try:
            text, report = run(composer.generator)
        finally:
            composer.close()
    assert (text, report.generated) == ("Sofas take ten days. [1]", False)
    assert "secret-key" not in f"{report}{composer.identity}"


def test_builtin_composer_that_is_missing_is_named(tmp_path: Path) -> None:
    """At the start, not at the first question."""
    with pytest.raises(ConfigError, match="make train-composer"):
        Composer(load_settings(mode="composed", models=tmp_path))
