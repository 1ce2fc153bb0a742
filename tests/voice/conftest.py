"""The speech model: the project's own, or the trial's; without either, the tests that need it are skipped."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from assistant.backends.vosk_recognizer import VoskRecognizer

ROOT = Path(__file__).parents[2]
OWN = ROOT / "models" / "vosk-en"
TRIAL = ROOT.parent / "shared" / "prototypes" / "voice" / "M4.tar"


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a Vosk model for English."""
    if OWN.is_dir():
        return OWN
    if not TRIAL.is_file():
        pytest.skip(f"no speech model: neither {OWN.relative_to(ROOT)} nor the trial's archive is there")
    folder = tmp_path_factory.mktemp("vosk")
    with tarfile.open(TRIAL) as archive:
        archive.extractall(folder, filter="data")
    return next(path for path in folder.iterdir() if path.is_dir())


@pytest.fixture(scope="session")
def recognizer(model_folder: Path) -> VoskRecognizer:
    """The model, loaded once."""
    return VoskRecognizer(model_folder)
