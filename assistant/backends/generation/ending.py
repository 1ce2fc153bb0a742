"""Where a reply may end before its model ends it, and when it must. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from assistant.text import words

_SENTENCE_END = re.compile(r"(?:[.!?…]|(?P<wide>[。！？]))[\"'”’)\]]*(?:\s*\[\d{1,3}\])*\s*$")
_BELONGS = re.compile(r"\s*[\[.,;:!?)”’\]]")  # a citation or punctuation still to come
_TIMES = 3
_FEWEST_REPEATED = 12  # tokens that the repetitions cover in all; "10:00 to 10:00" is none
_LONGEST_PERIOD = 64
_FEWEST_WORDS = 4


def ends_sentence(text: str, following: str) -> bool:
    """Whether a sentence is complete, citations included, given the piece that would follow."""
    end = _SENTENCE_END.search(text)
    if end is None or _BELONGS.match(following):
        return False
    return end.group("wide") is not None or not following or following[0].isspace() or text[-1].isspace()


def goes_in_circles(tokens: Sequence[int]) -> bool:
    """Whether the last tokens are the same few three times over."""
    count = len(tokens)
    for period in range(1, min(_LONGEST_PERIOD, count // _TIMES) + 1):
        span = max(period * _TIMES, _FEWEST_REPEATED)
        if span <= count and all(
            tokens[-place] == tokens[-place - period] for place in range(1, span - period + 1)
        ):
            return True
    return False


def says_again(sentences: Sequence[str]) -> bool:
    """Whether the last sentence was said before, word for word."""
    if len(sentences) < 2:
        return False
    last = words(sentences[-1])
    return len(last) >= _FEWEST_WORDS and any(words(earlier) == last for earlier in sentences[:-1])
