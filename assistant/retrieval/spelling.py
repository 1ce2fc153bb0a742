"""Mistyped words of a question set right by the words of the base, before anything is searched.

Only a word that neither the base nor a general word list knows is looked at, and only words one slip away from it
(a letter left out, added, mistaken, or two letters swapped) can take its place: first those of the base, then
the commonest of the list. Figures: docs/decisions/2026-11-21-noise.md.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import Stemmer

from assistant.text import words

_SHORTEST = 4  # letters of a word that is looked at; shorter ones have too many neighbours
_SHORTEST_COMMON = 6  # letters from which a word of the general list, not of the base, may take its place
_ENDINGS = ("er", "ers", "y")  # that make a word of another; the stemmer leaves them on
# Written without their apostrophe so often that they are no slips.
_CONTRACTIONS = frozenset(
    (
        "aint arent cant couldnt didnt doesnt dont hadnt hasnt havent isnt mightnt mustnt shouldnt theyll theyre "
        "theyve wasnt werent weve whats wheres wont wouldnt youll youre youve"
    ).split()
)
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_WORD = re.compile(r"(?<![^\s\"'(])[^\W\d_]+(?=[.,;:!?\"')]*(?:\s|$))")  # not part of a code, link or address


class Spelling:
    """The words of one base, and what a word that is none of them was meant to be. Immutable; thread-safe."""

    def __init__(self, texts: Iterable[str], common: Sequence[str]) -> None:
        """Collect what is known.

        Args:
            texts: of the base; their words are right, however odd.
            common: general words in lower case, the most frequent first; without any nothing is corrected, as every
                word that the base does not use would then look mistyped.
        """
        counts = Counter(word for text in texts for word in words(text))
        self._base: Mapping[str, int] = counts
        self._common = {word: place for place, word in enumerate(common)}
        self._stems = set(Stemmer.Stemmer("english").stemWords([*counts, *common]))

    def corrected(self, text: str) -> str:
        """The text with its mistyped words replaced; everything else as it stands."""
        if not self._common:
            return text
        return _WORD.sub(lambda found: self._word(found[0]), text)

    def _word(self, word: str) -> str:
        """The word that was meant, or the word itself."""
        plain = word.casefold()
        if len(plain) < _SHORTEST or not plain.isascii() or self._knows(plain):
            return word
        near = set(_slips(plain))
        own = [other for other in near if other in self._base]
        if own:
            return max(own, key=lambda other: (self._base[other], other))
        if len(plain) < _SHORTEST_COMMON:
            return word
        known = [other for other in near if other in self._common]
        return min(known, key=self._common.__getitem__) if known else word

    def _knows(self, word: str) -> bool:
        """Whether it, another form of it, or what it is made from ("heater", "mouldy") is a known word."""
        if word in self._base or word in self._common or word in _CONTRACTIONS:
            return True
        made_from = [word.removesuffix(ending) for ending in _ENDINGS if word.endswith(ending)]
        if any(root in self._base or root in self._common for root in made_from):
            return True
        return Stemmer.Stemmer("english").stemWord(word) in self._stems


def _slips(word: str) -> Iterator[str]:
    """Every text that is one slip of the keyboard away; the first letter is taken as meant."""
    for at in range(1, len(word)):
        before, after = word[:at], word[at:]
        yield before + after[1:]
        if len(after) > 1:
            yield before + after[1] + after[0] + after[2:]
        for letter in _LETTERS:
            yield before + letter + after[1:]
            yield before + letter + after
    for letter in _LETTERS:
        yield word + letter
