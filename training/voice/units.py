"""The sounds: acoustic units, the pdfs that score them, and Kaldi's numbering of phones and transitions.

A unit is one of the 39 phones of the CMU dictionary or silence. Its first frame is scored by a pdf that knows the
class of the unit before (12 classes by place and manner), all later frames by one pdf of its own: 520 pdfs, no
decision tree. Kaldi's phones are silence and four word-position variants of each unit, which share the pdfs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PHONES_39 = tuple(
    "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH".split()
)
SILENCE = "SIL"
UNITS = (SILENCE, *PHONES_39)
UNIT = {name: number for number, name in enumerate(UNITS)}
UNIT_COUNT = len(UNITS)

_CLASSES = tuple(
    names.split()
    for names in (
        "SIL", "P B M F V W", "T D TH DH S Z", "N", "SH ZH CH JH Y", "K G NG HH", "L", "R ER", "IY IH EY AY OY",
        "EH AE", "AH AA AO", "UW UH OW AW",
    )
)  # fmt: skip
CLASS_COUNT = len(_CLASSES)
CLASS_OF = tuple(next(i for i, names in enumerate(_CLASSES) if unit in names) for unit in UNITS)

FIRST_PDFS = CLASS_COUNT * UNIT_COUNT
PDF_COUNT = FIRST_PDFS + UNIT_COUNT

POSITIONS = ("B", "E", "I", "S")  # begin, end, inside, single
PHONES = (SILENCE, *(f"{phone}_{position}" for phone in PHONES_39 for position in POSITIONS))
SILENCE_PHONE = 1
PHONE_COUNT = len(PHONES)


def first_pdf(before: int, unit: int) -> int:
    """The pdf of a unit's first frame, after a unit of class `before`."""
    return before * UNIT_COUNT + unit


def later_pdf(unit: int) -> int:
    """The pdf of a unit's other frames."""
    return FIRST_PDFS + unit


def phone(unit: int, position: str) -> int:
    """Kaldi's number, from 1, of a unit at a position in its word."""
    return SILENCE_PHONE if unit == 0 else 2 + 4 * (unit - 1) + POSITIONS.index(position)


def unit_of(number: int) -> int:
    """The unit of a Kaldi phone."""
    return 0 if number == SILENCE_PHONE else 1 + (number - 2) // 4


def tuples() -> NDArray[np.int32]:
    """The transition model's (phone, HMM state, first pdf, later pdf), one for each phone and class before it.

    Kaldi wants them sorted; tuple i, from 0, owns the transitions 2i + 1 (stay) and 2i + 2 (enter).
    """
    rows = [
        (number, 0, first_pdf(before, unit_of(number)), later_pdf(unit_of(number)))
        for number in range(1, PHONE_COUNT + 1)
        for before in range(CLASS_COUNT)
    ]
    return np.array(rows, np.int32)


def entering(before: int, number: int) -> int:
    """The transition into a phone, after a unit of class `before`."""
    return 2 * ((number - 1) * CLASS_COUNT + before) + 2


def staying(number: int) -> int:
    """The transition that stays in a phone."""
    return 2 * (number - 1) * CLASS_COUNT + 1


def boundary(number: int) -> str:
    """What Kaldi's word_boundary.int says of a phone."""
    if number == SILENCE_PHONE:
        return "nonword"
    return {"B": "begin", "E": "end", "I": "internal", "S": "singleton"}[PHONES[number - 1][-1]]
