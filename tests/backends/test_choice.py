"""Choosing an encoder back-end, and opening the chosen one again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from assistant.backends import choice
from assistant.backends.choice import Measured, choose_encoder, describe_encoder, open_encoder
from assistant.config import Settings
from assistant.errors import ConfigError


def settings(tmp_path: Path, **changes: Any) -> Settings:
    """Settings with a data folder of the test's own."""
    return Settings(data=tmp_path, **changes)


def figures(onnx_ms: float, likeness: float, identity: str = "x") -> list[Measured]:
    """Measurements of two candidates."""
    return [
        Measured(choice.FLOAT32, "minilm-l6/torch-float32/f", 5.0, 100.0, 1.0),
        Measured(choice.ONNX, identity, onnx_ms, 500.0, likeness),
    ]


def test_measuring_chooses_and_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real measurement runs once; the second choice reads its file and gives the same encoder."""
    wanted = settings(tmp_path)
    monkeypatch.setattr(choice, "_BFLOAT16_FLAGS", frozenset())  # one torch model to load is enough here
    file = tmp_path / choice.MEASUREMENTS
    first = choose_encoder(wanted, file)
    written = file.stat().st_mtime_ns
    stored = {figure["backend"]: figure for figure in json.loads(file.read_text())["figures"]}
    assert set(stored) == {choice.ONNX, choice.FLOAT32}
    assert all(figure["query_ms"] > 0 for figure in stored.values())
    assert stored[first.identity.split("/")[1]]["identity"] == first.identity
    assert choose_encoder(wanted, file).identity == first.identity
    assert file.stat().st_mtime_ns == written
    line = describe_encoder(wanted, first)
    assert line.startswith("encoder: minilm-l6 ")
    assert "ms per query (measured " in line


def test_quickest_candidate_wins_when_weights_are_the_same() -> None:
    """Between two forms of the same weights, speed decides."""
    assert choice._best(figures(onnx_ms=2.0, likeness=0.99)).backend == choice.ONNX
    assert choice._best(figures(onnx_ms=9.0, likeness=0.99)).backend == choice.FLOAT32


def test_trained_onnx_weights_win_over_quicker_plain_ones() -> None:
    """Other weights are not another form of the same encoder: the trained ones are taken."""
    assert choice._best(figures(onnx_ms=9.0, likeness=0.7)).backend == choice.ONNX


def test_explicit_backend_is_not_measured(tmp_path: Path) -> None:
    """The operator's word needs no figures."""
    encoder = choose_encoder(settings(tmp_path, encoder_backend="onnx-int8"), tmp_path / "figures.json")
    assert encoder.identity.split("/")[1] == "onnx-int8"
    assert not (tmp_path / "figures.json").exists()


def test_figures_of_another_machine_are_not_used(tmp_path: Path) -> None:
    """A data folder copied to another processor is measured again."""
    file = tmp_path / choice.MEASUREMENTS
    choice._write(file, {"cpu": "another"}, figures(1.0, 0.99))
    assert choice._read(file, {"cpu": "this"}) == []
    assert choice._read(file, {"cpu": "another"}) == figures(1.0, 0.99)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"figures": [{"speed": 1}], "machine": {}}'])
def test_unreadable_figures_count_as_none(tmp_path: Path, content: str) -> None:
    """A damaged or foreign file is measured again, not an error."""
    file = tmp_path / choice.MEASUREMENTS
    file.write_text(content)
    assert choice._read(file, {}) == []


def test_snapshot_opens_exactly_its_encoder(tmp_path: Path) -> None:
    """The identity kept at ingest opens the same encoder."""
    wanted = settings(tmp_path)
    identity = choose_encoder(settings(tmp_path, encoder_backend="onnx-int8"), tmp_path / "f.json").identity
    assert open_encoder(wanted, identity).identity == identity


@pytest.mark.parametrize(
    "identity", ["minilm-l6/onnx-int8/000000000000", "other/onnx-int4/1", "nonsense", ""]
)
def test_encoder_that_is_gone_asks_for_a_new_ingest(tmp_path: Path, identity: str) -> None:
    """Vectors of other weights are never mixed with these."""
    with pytest.raises(ConfigError, match="assistant ingest"):
        open_encoder(settings(tmp_path, encoder_backend="onnx-int8"), identity)


def test_onnx_for_a_model_of_ones_own_is_refused(tmp_path: Path) -> None:
    """Only the built-in encoder exists as ONNX."""
    with pytest.raises(ConfigError, match="built-in encoder only"):
        choose_encoder(
            settings(tmp_path, encoder="my/model", encoder_backend="onnx-int8"), tmp_path / "f.json"
        )


def test_unmeasured_encoder_is_described_without_figures(tmp_path: Path) -> None:
    """The start log never shows figures of another encoder."""
    wanted = settings(tmp_path, encoder_backend="onnx-int8")
    encoder = choose_encoder(wanted, tmp_path / choice.MEASUREMENTS)
    choice._write(tmp_path / choice.MEASUREMENTS, {}, figures(1.0, 0.99, identity="minilm-l6/onnx-int8/old"))
    assert describe_encoder(wanted, encoder) == "encoder: minilm-l6 onnx-int8"
