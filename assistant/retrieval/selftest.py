"""A self-test at ingest: each passage must be found by its own title."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from assistant.protocols import Vectors
from assistant.records import Passage, Unit, UnitKind
from assistant.retrieval.search import PassageSearch

_AMONG_FIRST = 3
_MOST_PASSAGES = 500  # tested at most, spread evenly; enough to notice a broken index


def titles_not_found(
    search: PassageSearch, passages: Sequence[Passage], units: Sequence[Unit], vectors: Vectors
) -> list[str]:
    """Search for passages by their whole text.

    Returns: a line for each tested passage that is not among the first three for its own words; such passages
    are hidden by others and cannot be found by customers either.
    """
    bodies = [row for row, unit in enumerate(units) if unit.kind is UnitKind.BODY]
    step = max(1, -(-len(bodies) // _MOST_PASSAGES))
    problems = []
    for row in bodies[::step]:
        passage = passages[units[row].passage]
        found = search.search(passage.title, np.asarray(vectors[row]))
        if passage.id not in {item.passage.id for item in found.ranked[:_AMONG_FIRST]}:
            problems.append(f'passage {passage.id} ("{passage.title}") is not found by its own words')
    return problems
