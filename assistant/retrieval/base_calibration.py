"""The correction of the general calibration for one base, from its own text alone ("leave passages out").

Each title or author's question is asked with its own passage hidden: a question about this shop, in its words, that
the rest of the base cannot answer. How sure the search then is of a wrong passage says how confusable the base
is. The general calibration knows the usual value (`reference`); a base is shifted by part of its distance to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from assistant.protocols import Embedder
from assistant.records import Passage
from assistant.retrieval.calibration import Calibration
from assistant.retrieval.search import PassageSearch

_MOST_QUESTIONS = 100  # asked at most, spread evenly over the base: about 3 s with the cross-encoder
_LEAST_QUESTIONS = 10  # fewer say too little about a base


def calibrate_base(
    search: PassageSearch, passages: Sequence[Passage], embedder: Embedder, general: Calibration
) -> Calibration:
    """Shift the general calibration to fit a base; `search` must use the general one. Blocking."""
    if general.follow == 0.0:
        return general
    found = hidden_log_odds(search, passages, embedder)
    if len(found) < _LEAST_QUESTIONS:
        return general
    return replace(general, shift=general.follow * (general.reference - float(np.mean(found))))


def hidden_log_odds(search: PassageSearch, passages: Sequence[Passage], embedder: Embedder) -> list[float]:
    """Log-odds the search gives to questions whose own passage is hidden."""
    asked = [
        (number, text)
        for number, passage in enumerate(passages)
        for text in (passage.title, *passage.questions[:1])
    ]
    asked = asked[:: max(1, -(-len(asked) // _MOST_QUESTIONS))]
    vectors = embedder.embed([text for _, text in asked])
    found = []
    for (number, text), vector in zip(asked, vectors, strict=True):
        probability = search.search(text, vector, hidden=frozenset({number})).probability
        clipped = float(np.clip(probability, 1e-6, 1.0 - 1e-6))
        found.append(float(np.log(clipped / (1.0 - clipped))))
    return found
