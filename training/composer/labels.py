"""Which sentences a written reply was made from.

A sentence counts if it is the one most like a sentence of the reply among those of the passages which that one cites.
"""

from __future__ import annotations

import re

from assistant.evaluation.figures import token_f1
from training.composer.augment import Base
from training.composer.corpus import Example

_LEAST_LIKE = 0.2  # a sentence of a reply that is less like any of its sources' is nobody's
_CITED = re.compile(r"([^.!?]*?)((?:\s*\[[a-z0-9]+-[a-z0-9]+\])+)")


def gold(base: Base, example: Example) -> dict[str, frozenset[int]]:
    """Sentences (positions) of each passage that the reply was made from."""
    found: dict[str, set[int]] = {}
    for said, cited in _CITED.findall(example.reply):
        likeness = [
            (token_f1(piece, said), id_, place)
            for id_ in re.findall(r"\[([a-z0-9-]+)\]", cited)
            for place, piece in enumerate(base.pieces.get(id_, ()))
        ]
        if likeness and max(likeness)[0] >= _LEAST_LIKE:
            _, id_, place = max(likeness)
            found.setdefault(id_, set()).add(place)
    return {id_: frozenset(places) for id_, places in found.items()}
