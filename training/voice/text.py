"""Sentences: what customers ask and general English, as it is spoken, each with its weight in the language model."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import zstandard

from training.retrieval.corpus import Business, load_business, load_split, names
from training.retrieval.opentext import DIALOGUES, DOCUMENTS, QUESTIONS
from training.voice import books, packages, spoken
from training.voice.lexicon import Dictionary

# Books that tell and explain, for English that is not about help.
_BOOKS = (
    "openstax_psychology", "openstax_introduction_sociology", "openstax_writing_guide", "openstax_american_government",
    "openstax_entrepreneurship", "openstax_introduction_business", "openstax_principles_marketing",
)  # fmt: skip
_LITERATURE = (
    (packages.BOOKS, "src/big.txt"), (packages.NOVEL, "data/data.txt"), (packages.ADDRESSES, "data/*.txt"),
)  # fmt: skip
COMPOSER_DATA = Path(__file__).parents[1] / "composer" / "data"
INTENTS = ("banking77.train", "clinc150.train", "hwu64.train")
# How often a sentence of each source counts when words are chosen for the vocabulary.
_WEIGHTS = {
    "questions": 8, "replies": 2, "passages": 2, "intents": 3, "customers": 2, "agents": 1, "documents": 1,
    "books": 1, "literature": 1, "sayings": 1, "people": 1,
}  # fmt: skip
SAYINGS = 60_000
_LONGEST = 30  # words
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+|;\s|:\s")
_NOT_PROSE = re.compile(r"[|<>{}_\\]|\d{5,}.*\d{5,}")
_SURNAMES = (
    "smith johnson williams brown jones miller davis wilson anderson taylor moore jackson martin lee thompson "
    "white harris clark lewis walker hall young king wright scott green baker adams nelson hill campbell mitchell "
    "roberts carter phillips evans turner parker collins edwards stewart morris murphy cook rogers morgan cooper "
    "peterson reed bailey bell kelly howard ward cox richardson wood watson brooks bennett gray hughes price myers "
    "long foster sanders ross powell sullivan russell ortiz jenkins perry butler barnes fisher garcia lopez silva "
    "kowalski novak schmidt weber rossi ferrari dubois ivanov petrov chen wang zhang liu yang huang zhao wu zhou "
    "tanaka suzuki kim park nguyen tran singh kumar patel khan ali hassan ahmed mohamed okafor mensah jensen hansen"
).split()
_FIRST_NAMES = (
    "john mary david sarah michael anna james linda robert susan maria peter paul emma laura kevin brian karen lisa "
    "nancy daniel thomas helen alice george frank julia martin steven andrew rachel simon victoria oliver sophie "
    "charles henry kate jennifer jessica patricia barbara elizabeth richard joseph william mark donald anthony "
    "matthew edward wei li mei ming yuki hiro ana carlos luis sofia elena ivan olga natasha fatima omar aisha raj "
    "priya amit sven lars ingrid pierre claire marie hans greta marco giulia tom ben sam max leo mia zoe lily ella"
).split()
NAMES = _FIRST_NAMES + _SURNAMES


@dataclass(frozen=True, slots=True)
class Sentence:
    """What is said, and the source it is from."""

    source: str
    words: tuple[str, ...]


def shop_businesses(material: Path) -> list[Business]:
    """Businesses that may be trained on."""
    return load_split(material / "corpus", "train") + [
        load_business(COMPOSER_DATA, name) for name in names(COMPOSER_DATA)
    ]


def products(businesses: Sequence[Business]) -> list[str]:
    """Titles of passages, which name what a shop has and does, as far as they are short."""
    titles = {
        " ".join(spoken.words(passage.title)) for business in businesses for passage in business.passages
    }
    return sorted(title for title in titles if 1 <= len(title.split()) <= 5)


def questions(businesses: Iterable[Business]) -> list[str]:
    """Every question once, as it is spoken."""
    asked = [
        " ".join(spoken.words(question.text)) for business in businesses for question in business.questions
    ]
    return [text for text in dict.fromkeys(asked) if text]


def sentences(material: Path, human: Sequence[str], seed: int) -> Iterator[Sentence]:
    """All sentences; `human` are transcripts of the people that may be trained on."""
    businesses = shop_businesses(material)
    for business in businesses:
        for question in business.questions:
            yield from _spoken("questions", [question.text])
            yield from _spoken("questions", [said for role, said in question.history if role == "customer"])
            yield from _spoken("replies", [question.reply])
        for passage in business.passages:
            yield from _spoken("passages", [passage.title, passage.text])
    for name in INTENTS:
        for line in (
            (material / "data" / "intents" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        ):
            yield from _spoken("intents", [json.loads(line)["text"]])
    for name in DIALOGUES:
        for record in _records(material / "text", name):
            for line in record["text"].split("\n"):
                speaker, _, said = line.partition(": ")
                yield from _spoken("customers" if speaker == "Customer" else "agents", [said])
    for name in QUESTIONS:
        for record in _records(material / "text", name):
            yield from _spoken("agents", [record["title"], record["text"]])
    for source, listed in (("documents", DOCUMENTS), ("books", _BOOKS)):
        for name in listed:
            for record in _records(material / "text", name):
                pieces = [piece for piece in _SENTENCE.split(record["text"]) if 15 < len(piece) < 200]
                yield from _spoken(source, pieces)
    for name, files in _LITERATURE:
        for path in sorted(packages.place(name).glob(files)):
            yield from _spoken("literature", books.pieces(path.read_text(encoding="utf-8")))
    sayings = spoken.Sayings(random.Random(seed), NAMES, products(businesses))
    for _ in range(SAYINGS):
        yield from _spoken("sayings", [sayings.sentence()])
    for text in human:
        yield Sentence("people", tuple(text.split()))


def _spoken(source: str, texts: Sequence[str]) -> Iterator[Sentence]:
    for text in texts:
        for piece in _SENTENCE.split(text):
            if _NOT_PROSE.search(piece):
                continue
            said = spoken.words(piece)
            if 1 <= len(said) <= _LONGEST:
                yield Sentence(source, tuple(said))


def _records(folder: Path, name: str) -> list[dict[str, str]]:
    with zstandard.open(folder / f"{name}.jsonl.zst", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def vocabulary(
    found: Iterable[Sentence], dictionary: Dictionary, size: int, never: frozenset[str]
) -> list[str]:
    """The words to know.

    Words of the dictionary by how often they are said, first among them all that customers said or that stand in
    a shop's texts; and words it lacks (names of shops and products) that stand twice in a shop's texts or fifty
    times elsewhere, which misspellings do not. Names and letters are always in.
    Args: never: words that must not be taken from these texts.
    """
    shop: Counter[str] = Counter()
    written: Counter[str] = Counter()
    every: Counter[str] = Counter()
    for sentence in found:
        every.update(dict.fromkeys(sentence.words, _WEIGHTS[sentence.source]))
        if sentence.source in ("questions", "replies", "passages", "sayings"):
            shop.update(sentence.words)
        if sentence.source in ("replies", "passages"):
            written.update(sentence.words)
    chosen = set(NAMES) | set("abcdefghijklmnopqrstuvwxyz") | set(spoken.ONES)
    chosen |= {word for word in shop if word in dictionary}
    chosen |= {
        word
        for word, count in every.items()
        if word not in dictionary and len(word) > 2 and (written[word] >= 2 or count >= 50)
    }
    for word, _ in sorted(every.items(), key=lambda item: (-item[1], item[0])):
        if len(chosen) >= size:
            break
        if word in dictionary:
            chosen.add(word)
    return sorted(chosen - never)
