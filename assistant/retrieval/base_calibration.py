"""The correction of the general calibration for one base, from its own text alone ("leave passages out")."""

from __future__ import annotations

from collections.abc import Sequence

from assistant.protocols import Embedder
from assistant.records import Unit
from assistant.retrieval.calibration import Calibration
from assistant.retrieval.search import PassageSearch


def calibrate_base(
    search: PassageSearch, units: Sequence[Unit], embedder: Embedder, general: Calibration
) -> Calibration:
    """Correct the general calibration for a base."""
    return general
