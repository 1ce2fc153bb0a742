"""Which model files are accepted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from assistant.backends import weights
from assistant.errors import ConfigError


def folder_with(tmp_path: Path, *names: str) -> Path:
    """A model folder with these files; safetensors ones are real."""
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".safetensors":
            save_file({"weight": np.zeros(2, np.float32)}, path)
        else:
            path.write_bytes(b"content of " + name.encode())
    return tmp_path


def test_safetensors_folder_is_accepted(tmp_path: Path) -> None:
    """A pickle beside the same weights as safetensors does no harm: it is not read."""
    folder = folder_with(tmp_path, "model.safetensors", "pytorch_model.bin", "config.json")
    assert weights.model_folder(str(folder)) == folder


@pytest.mark.parametrize(
    "names", [("pytorch_model.bin",), ("model.safetensors", "2_Dense/pytorch_model.bin"), ()]
)
def test_weights_that_are_not_safetensors_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    """Pickled weights, alone or of one module, and a folder without weights are refused."""
    with pytest.raises(ConfigError, match="safetensors"):
        weights.model_folder(str(folder_with(tmp_path, *names)))


def test_changed_weights_of_the_package_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The built-in weights must be the official ones."""
    monkeypatch.setattr(weights, "BUILTIN_SHA256", "0" * 64)
    with pytest.raises(ConfigError, match="reinstall"):
        weights.builtin_folder()


def test_digest_changes_with_weights_and_not_with_the_model_card(tmp_path: Path) -> None:
    """The digest follows what decides a vector, also when a file is written again in place."""
    folder = folder_with(tmp_path, "model.safetensors", "config.json")
    first = weights.folder_digest(folder)
    (folder / "README.md").write_text("new words")
    assert weights.folder_digest(folder) == first
    save_file({"weight": np.ones(2, np.float32)}, folder / "model.safetensors")
    assert weights.folder_digest(folder) != first
