"""The words of a shop that a recogniser is likely to miss: names of products, brands, places. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Set
from dataclasses import dataclass

from assistant.records import Knowledge, Product
from assistant.text import words

_TOKEN = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_WITHIN = re.compile(r"[a-z,’'] $")  # before a capital that does not begin a sentence
_SHORTEST = 3  # letters; a shorter word sounds like too many others
_SHORTEST_PLAIN = 5
_TENS = "zero ten twenty thirty forty fifty sixty seventy eighty ninety".split()
_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()


@dataclass(frozen=True, slots=True)
class ShopName:
    """A name that may be said.

    Attributes:
        text: as the shop writes it.
        spoken: lower-case words as they are said.
        plain: an ordinary word that the recogniser lacks, no name.
    """

    text: str
    spoken: tuple[str, ...]
    plain: bool = False


@dataclass(frozen=True, slots=True)
class ShopWords:
    """What a shop talks about.

    Attributes:
        names: single words and phrases.
        common: lower-case words of its texts that are no names.
        company: for each word of a product's name, the words that it is often said with.
    """

    names: tuple[ShopName, ...]
    common: frozenset[str]
    company: dict[str, frozenset[str]]


def shop_words(knowledge: Knowledge, vocabulary: Set[str]) -> ShopWords:
    """Collect the names in a shop's knowledge.

    Args:
        knowledge: catalogue, passages, intents, devices, and the shop's own name.
        vocabulary: what the recogniser can hear; empty if that is not known.
    """
    written, lower, named = _count(_texts(knowledge))
    names: dict[tuple[str, ...], ShopName] = {}

    def add(text: str, plain: bool = False) -> None:
        spoken = tuple(spoken_words(text))
        if spoken and any(len(word) >= _SHORTEST for word in spoken):
            names.setdefault(spoken, ShopName(text, spoken, plain))

    company: dict[str, set[str]] = {}
    for product in knowledge.products:
        for phrase in _phrases(product):
            add(phrase)
        around = {*spoken_words(product.name), *spoken_words(product.category)}
        for word in around:
            company.setdefault(word, set()).update(around - {word})
        if (first := words(product.name)[:1]) and first[0] not in vocabulary:
            add(product.name.split()[0])
    for token in words(knowledge.shop.name):
        if not lower[token]:
            add(written.get(token, token))
    asked = {token for text in _asked(knowledge) for token in words(text)}
    for token, spelling in written.items():
        if named[token] and not lower[token] and (token in company or token not in vocabulary):
            add(spelling)
        elif vocabulary and token in asked and token not in vocabulary and len(token) >= _SHORTEST_PLAIN:
            add(token, plain=True)
    common = frozenset(token for token, count in lower.items() if count)
    return ShopWords(
        tuple(names.values()), common, {word: frozenset(others) for word, others in company.items()}
    )


def spoken_words(text: str) -> list[str]:
    """Words as they are said: numbers below a thousand become words."""
    found: list[str] = []
    for token in words(text):
        if token.isascii() and token.isdigit():
            found += _number(int(token)) if len(token) <= 3 else [_SMALL[int(digit)] for digit in token]
        else:
            found += [part for part in re.split(r"(?<=[a-z])(?=[0-9])|(?<=[0-9])(?=[a-z])|-", token) if part]
    return [
        said
        for word in found
        for said in (_number(int(word)) if word.isdigit() and len(word) <= 3 else [word])
    ]


def _number(value: int) -> list[str]:
    """As shops say sizes: 160 is "one sixty"."""
    if value < 20:
        return [_SMALL[value]]
    if value < 100:
        return [_TENS[value // 10], *([_SMALL[value % 10]] if value % 10 else [])]
    rest = value % 100
    return [_SMALL[value // 100], *(_number(rest) if rest else ["hundred"])]


def _phrases(product: Product) -> Iterator[str]:
    """The ways a product is called: its name, the name without sizes, its first word with its last one."""
    name = product.name
    yield name
    tokens = name.split()
    plain = [token for token in tokens if not any(letter.isdigit() for letter in token)]
    if len(plain) > 1:
        yield " ".join(plain)
        yield f"{plain[0]} {plain[-1]}"
        yield " ".join(plain[:2])


def _asked(knowledge: Knowledge) -> Iterator[str]:
    """What customers are likely to say."""
    for passage in knowledge.passages:
        yield passage.title
        yield from passage.questions
    for intent in knowledge.intents:
        yield from intent.examples


def _texts(knowledge: Knowledge) -> Iterator[str]:
    yield from _asked(knowledge)
    for passage in knowledge.passages:
        yield passage.text
    for device in knowledge.devices:
        yield from (device.name, device.room)
    yield knowledge.shop.name
    for product in knowledge.products:
        yield from (product.name, product.category, product.description)


def _count(texts: Iterator[str]) -> tuple[dict[str, str], Counter[str], Counter[str]]:
    """The most usual spelling of each word, how often it is in lower case, and how often a capital is a name's."""
    spellings: dict[str, Counter[str]] = {}
    lower: Counter[str] = Counter()
    named: Counter[str] = Counter()
    for text in texts:
        for match in _TOKEN.finditer(text):
            spelling = match.group().replace("’", "'")
            token = spelling.casefold()
            if token.endswith("'s"):
                token, spelling = token[:-2], spelling[:-2]
            spellings.setdefault(token, Counter())[spelling] += 1
            lower[token] += spelling == token
            named[token] += spelling != token and bool(_WITHIN.search(text[: match.start()][-2:]))
    usual = {token: counts.most_common(1)[0][0] for token, counts in spellings.items()}
    return usual, lower, named
