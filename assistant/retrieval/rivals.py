"""How near questions that belong to the passages come to the intents: the floor for taking an intent seriously."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from assistant.protocols import Vectors
from assistant.records import IntentReading, Unit, UnitKind

_ACCEPTED = 0.1  # share of passages' own questions that may still be read as an intent
_MOST_QUESTIONS = 400
_CEILING = 0.4  # plain intent utterances lie above; a base full of look-alikes must not mute them


def intent_floor(
    units: Sequence[Unit], vectors: Vectors, read: Callable[[str, NDArray[np.float32]], IntentReading]
) -> float:
    """Gate value that all but a few of the questions given by the passages' authors stay below.

    Args:
        units: of the base; those of kind QUESTION are asked.
        vectors: of the units, row for row.
        read: the intent classifier.

    Returns: the value, at most 0.4; 0 for a base without questions of its own.
    """
    rows = [row for row, unit in enumerate(units) if unit.kind is UnitKind.QUESTION]
    rows = rows[:: max(1, -(-len(rows) // _MOST_QUESTIONS))]
    if not rows:
        return 0.0
    gates = [read(units[row].text, np.asarray(vectors[row])).gate for row in rows]
    return min(_CEILING, float(np.quantile(gates, 1.0 - _ACCEPTED)))
