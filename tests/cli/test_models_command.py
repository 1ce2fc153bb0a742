"""`assistant models`: what is there, whether it is intact, adding one."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from safetensors.numpy import save_file

from assistant.backends.weights import BUILTIN_SHA256
from assistant.cli.main import assistant
from assistant.config import load_settings


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A models folder with one model of two files, and an empty data folder, both set in the environment."""
    folder = tmp_path / "models"
    model = make_model(folder / "small")
    (model / "README.md").write_text("# Small\n")
    files = {name: hashlib.sha256((model / name).read_bytes()).hexdigest() for name in FILES}
    entry = {
        "name": "small",
        "kind": "encoder",
        "path": "small",
        "files": files,
        "licence": "MIT",
        "source": "here",
    }
    (folder / "models.json").write_text(json.dumps({"models": [entry]}))
    monkeypatch.setenv("ASSISTANT_MODELS", str(folder))
    monkeypatch.setenv("ASSISTANT_DATA", str(tmp_path / "data"))
    return folder


FILES = ("model.safetensors", "config.json")


def make_model(folder: Path, architecture: str = "BertModel") -> Path:
    """A transformers folder with weights of two numbers."""
    folder.mkdir(parents=True)
    save_file({"weight": np.zeros(2, dtype=np.float32)}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"architectures": [architecture]}))
    return folder


def run(*words: object) -> Result:
    """Run the command."""
    return CliRunner().invoke(assistant, ["models", *map(str, words)])


def findings(result: Result) -> list[dict[str, Any]]:
    """What `check --json` found."""
    found = json.loads(result.stdout)
    assert found["ok"] == (not found["findings"])
    return list(found["findings"])


def test_intact_models_pass(models: Path) -> None:
    """Exit code 0, each by name."""
    result = run("check")
    assert (result.exit_code, result.stdout) == (0, "small: ok, 2 files\n")


def test_wrong_and_missing_files_are_found(models: Path) -> None:
    """Exit code 1; the file and both checksums are named."""
    (models / "small" / "config.json").write_text("{}")
    (models / "small" / "model.safetensors").unlink()
    result = run("check", "--json")
    assert result.exit_code == 1
    missing, wrong = findings(result)
    assert missing["problem"] == "is missing"
    assert hashlib.sha256(b"{}").hexdigest() in wrong["problem"]
    assert run("check").stdout == "small: wrong\n"


def test_weights_that_no_manifest_names_are_found(models: Path) -> None:
    """Something may have been put there."""
    make_model(models / "stray")
    result = run("check", "--json")
    assert result.exit_code == 1
    assert [Path(item["file"]).parent.name for item in findings(result)] == ["stray"]


def test_package_that_is_not_installed_is_missing(models: Path) -> None:
    """A model may lie in a Python package."""
    manifest = json.loads((models / "models.json").read_text())
    manifest["models"][0]["path"] = "package:no_such_package/model"
    (models / "models.json").write_text(json.dumps(manifest))
    assert "not installed" in findings(run("check", "--json"))[0]["problem"]


def test_manifest_that_is_not_in_order_is_refused(models: Path) -> None:
    """Names the file and what is missing."""
    (models / "models.json").write_text('{"models": [{"name": "x"}]}')
    result = run("check")
    assert result.exit_code == 1
    assert "models.json: an entry has no 'kind'" in result.stderr


def test_list_shows_size_card_and_what_else_can_be_used(models: Path) -> None:
    """With settings to use it."""
    shown = run("list").stdout
    assert "small" in shown
    assert "ASSISTANT_ENCODER=" in shown
    listed = json.loads(run("list", "--json").stdout)
    (model,) = listed["models"]
    assert model["size_bytes"] == sum((models / "small" / name).stat().st_size for name in FILES)
    assert model["card"] == str(models / "small" / "README.md")


@pytest.mark.parametrize(
    ("architecture", "kind"),
    [
        ("BertModel", "encoder"),
        ("BertForSequenceClassification", "reranker"),
        ("Qwen2ForCausalLM", "generator"),
        ("BertLMHeadModel", "generator"),
    ],
)
def test_added_model_is_listed_and_checked(
    models: Path, tmp_path: Path, architecture: str, kind: str
) -> None:
    """Its kind shows in its configuration; a file changed afterwards is found."""
    folder = make_model(tmp_path / "mine", architecture)
    result = run("add", folder)
    assert result.exit_code == 0, result.stderr
    added = json.loads(run("list", "--json").stdout)["models"][1]
    assert (added["name"], added["kind"]) == ("mine", kind)
    assert run("check").exit_code == 0
    (folder / "config.json").write_text("{}")
    assert run("check").exit_code == 1


def test_added_vosk_folder_is_speech(models: Path, tmp_path: Path) -> None:
    """It has neither safetensors nor ONNX."""
    folder = tmp_path / "vosk-small"
    for name in ("am/final.mdl", "conf/model.conf", "graph/HCLr.fst"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    assert "vosk-small (speech" in run("add", folder).stdout


def test_model_in_the_project_folder_goes_into_the_projects_manifest(models: Path) -> None:
    """By a relative path, so that it holds on every machine; --replace takes the new checksums."""
    folder = make_model(models / "own" / "new")
    assert run("add", folder).exit_code == 0
    (folder / "config.json").write_text('{"architectures": ["RobertaModel"]}')
    assert "--replace" in run("add", folder).stderr
    assert run("add", folder, "--replace").exit_code == 0
    entries = json.loads((models / "models.json").read_text())["models"]
    assert [entry["path"] for entry in entries] == ["small", "own/new"]
    assert run("check").exit_code == 0


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("pytorch_model.bin", b"\x80\x04", "pickled weights (pytorch_model.bin)"),
        ("deep/weights.pt", b"PK", "pickled weights (deep/weights.pt)"),
        ("model.safetensors", b"not really", "is not a safetensors file"),
        ("notes.txt", b"", "holds no weights"),
    ],
)
def test_unsafe_broken_or_empty_folder_is_refused(
    models: Path, tmp_path: Path, name: str, content: bytes, part: str
) -> None:
    """Nothing is registered."""
    file = tmp_path / "theirs" / name
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    result = run("add", tmp_path / "theirs")
    assert result.exit_code == 1
    assert part in result.stderr
    assert not (tmp_path / "data" / "models.json").exists()


def test_folder_whose_kind_does_not_show_needs_it_said(models: Path, tmp_path: Path) -> None:
    """ONNX alone says nothing of its use."""
    folder = tmp_path / "mystery"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"x")
    assert "--kind" in run("add", folder).stderr
    assert "mystery (reranker" in run("add", folder, "--kind", "reranker").stdout


def test_projects_own_models_are_intact() -> None:
    """The manifest names the built-in encoder's official checksum, and every file is as it says."""
    manifest = json.loads((load_settings().models / "models.json").read_text())
    assert BUILTIN_SHA256 in {sum256 for entry in manifest["models"] for sum256 in entry["files"].values()}
    assert findings(run("check", "--json")) == []
