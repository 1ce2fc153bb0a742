"""What is embedded of a passage: the whole, each sentence alone, each sentence behind the title, the questions.

On the 51 businesses of the project's corpus a sentence behind its title is the best single view of a passage
(first-ranked right for 0.71 of the questions, the whole passage for 0.66, the bare sentence for 0.64), and the
views together are better than any alone; see docs/decisions/2026-11-21-untrained-fusion.md.
"""

from __future__ import annotations

from collections.abc import Sequence

from assistant.records import Passage, PassageKind, Unit, UnitKind
from assistant.text import sentences


def passage_sentences(passage: Passage) -> list[str]:
    """The pieces that a reply may quote: sentences, or the `key: value` pairs of facts."""
    if passage.kind is PassageKind.FACTS:
        return [pair.strip() for pair in passage.text.split(";") if pair.strip()]
    return sentences(passage.text)


def passage_units(passages: Sequence[Passage]) -> list[Unit]:
    """List the texts to embed; the units of one passage lie together, in the order of the passages."""
    units: list[Unit] = []
    for number, passage in enumerate(passages):
        pieces = passage_sentences(passage)
        units.append(Unit(number, UnitKind.BODY, f"{passage.title}. {passage.text}"))
        units.extend(Unit(number, UnitKind.SENTENCE, piece) for piece in pieces)
        units.extend(Unit(number, UnitKind.TITLED, f"{passage.title}. {piece}") for piece in pieces)
        asked = passage.questions
        if passage.title.rstrip().endswith(("?", "？")):
            asked = (passage.title, *asked)
        units.extend(Unit(number, UnitKind.QUESTION, question) for question in asked)
    return units
