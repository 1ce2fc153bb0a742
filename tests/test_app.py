"""Joining the parts: what is refused, and in which words."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from assistant.app import LiveEngine, run_ingest
from assistant.config import Settings
from assistant.errors import ConfigError
from assistant.storage.snapshots import SnapshotStore


def test_snapshot_of_another_version_is_refused_with_the_command_that_helps(tmp_path: Path) -> None:
    """Calibrations for other features cannot be used; the operator hears to ingest again."""
    passages = [
        {"id": "a", "title": "Opening hours", "text": "The shop is open from nine to five."},
        {"id": "b", "title": "Parking", "text": "There are ten free places behind the house."},
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, passages)), encoding="utf-8")
    settings = Settings(data=tmp_path / "data", knowledge=tmp_path)
    run_ingest(settings, [tmp_path / "a.jsonl"])
    store = SnapshotStore(settings.data)
    snapshot = store.load()
    older = {**snapshot.calibration["passages"], "features": ["best"]}
    with pytest.raises(ConfigError, match=r"another version .*assistant ingest .* again"):
        LiveEngine(
            settings, store, replace(snapshot, calibration={**snapshot.calibration, "passages": older})
        )
