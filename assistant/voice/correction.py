"""Puts a shop's own words right: where what was heard sounds like a name of the shop, the name was meant."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

from assistant.records import HeardWord, Knowledge
from assistant.voice.phonetics import Match, NameFinder
from assistant.voice.pronunciation import Phones, Pronouncer
from assistant.voice.shop_words import ShopName, ShopWords, shop_words

_LANGUAGES = frozenset({"en"})  # whose pronunciation is known
_LIMIT = 0.42  # no name further away than this is looked at
_FEWEST_PHONES = 3
_SURE = 0.6


@dataclass(frozen=True, slots=True)
class Weights:
    """How near a name has to sound; fitted by benchmarks/shop_words.py.

    Attributes:
        near: distance that is accepted without further signs.
        phrase: more for a name of several words.
        unsure: more, times the lack of confidence in the words that were heard.
        company: more if a word nearby is often said with the name.
        plain: less for an ordinary word that is no name.
        strange: more if a word of the stretch does not stand in the shop's texts.
        common: less if all its words do.
        long: more for each phone of the name above five, up to five of them.
        short: less for each phone below five.
    """

    near: float = 0.21
    phrase: float = 0.0
    unsure: float = 0.3
    company: float = 0.08
    plain: float = 0.1
    strange: float = 0.03
    common: float = 0.05
    long: float = 0.01
    short: float = 0.05


class Corrector:
    """Corrects transcripts for one shop. Safe from several threads."""

    def __init__(self, found: ShopWords, pronouncer: Pronouncer, weights: Weights = Weights()) -> None:
        self._pronouncer = pronouncer
        self._weights = weights
        self._company = found.company
        self._common = found.common
        self._names: list[ShopName] = []
        phones: list[Phones] = []
        for name in found.names:
            said = self._said(name.spoken)
            if len(said) >= _FEWEST_PHONES:
                self._names.append(name)
                phones.append(said)
        self._lengths = [len(said) for said in phones]
        self._finder = NameFinder(phones)

    def correct(self, words: tuple[HeardWord, ...]) -> str:
        """The text of words that were heard, with the shop's names put in."""
        if not words:
            return ""
        chosen: list[tuple[float, Match]] = []
        for match in self._finder.find([self._said((word.text,)) for word in words], _LIMIT):
            margin = self._margin(match, words)
            if margin > 0:
                chosen.append((margin * self._lengths[match.name], match))
        chosen.sort(key=lambda one: (-one[0], one[1].first))
        taken: dict[int, Match] = {}
        for _, match in chosen:
            stretch = range(match.first, match.last + 1)
            if not any(place in taken for place in stretch):
                taken.update(dict.fromkeys(stretch, match))
        said: list[str] = []
        for place, word in enumerate(words):
            match_here = taken.get(place)
            if match_here is None:
                said.append(word.text)
            elif match_here.first == place:
                said.append(self._names[match_here.name].text)
        return " ".join(said)

    def _margin(self, match: Match, words: tuple[HeardWord, ...]) -> float:
        """How far below the accepted distance a match lies; negative: it is not accepted."""
        weights, name = self._weights, self._names[match.name]
        heard = words[match.first : match.last + 1]
        texts = [word.text for word in heard]
        if tuple(texts) == name.spoken:
            return 1.0  # only its spelling changes
        phones = self._lengths[match.name]
        accepted = weights.near + weights.unsure * (1 - min(word.confidence for word in heard))
        accepted += weights.long * min(max(phones - 5, 0), 5) - weights.short * max(5 - phones, 0)
        if len(name.spoken) > 1:
            accepted += weights.phrase
        elif self._in_company(name, match, words):
            accepted += weights.company
        elif len(heard) == 1 and texts[0] in self._common and heard[0].confidence > _SURE:
            return -1.0  # "check" is no "Czech", without any other sign
        elif name.plain:
            accepted -= weights.plain
        if all(text in self._common for text in texts):
            accepted -= weights.common
        elif any(text not in self._common for text in texts):
            accepted += weights.strange
        return accepted - match.distance

    def _in_company(self, name: ShopName, match: Match, words: tuple[HeardWord, ...]) -> bool:
        friends: Set[str] = self._company.get(name.spoken[0], frozenset())
        near = (*words[max(0, match.first - 2) : match.first], *words[match.last + 1 : match.last + 4])
        return any(word.text in friends for word in near)

    def _said(self, spoken: tuple[str, ...]) -> Phones:
        """The phones of words, each said the usual way."""
        return tuple(phone for word in spoken for phone in self._pronouncer.usual(word))


class Plain:
    """Corrects nothing: for languages whose pronunciation is not known."""

    def correct(self, words: tuple[HeardWord, ...]) -> str:
        """The text of the words."""
        return " ".join(word.text for word in words)


def build_corrector(knowledge: Knowledge, vocabulary: Set[str], language: str) -> Corrector | Plain:
    """What puts the words of a shop right. Blocking, a second."""
    if language not in _LANGUAGES:
        return Plain()
    return Corrector(shop_words(knowledge, vocabulary), Pronouncer())
