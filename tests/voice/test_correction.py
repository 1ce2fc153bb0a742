"""A shop's own words: how they are said, and that they are put right where they were meant."""

from __future__ import annotations

import pytest

from assistant.records import HeardWord, Knowledge, Passage, PassageId, Product, Shop
from assistant.voice.correction import Corrector, Plain, build_corrector
from assistant.voice.phonetics import NameFinder
from assistant.voice.pronunciation import Pronouncer, spelling_to_phones
from assistant.voice.shop_words import shop_words, spoken_words

VOCABULARY = frozenset(
    "what does this the curry coffee table cost is it in stock search for my order read book case how much"
    " carry three seat sofa sofas can i return a check where order when you open auto more are".split()
)


def product(sku: str, name: str, category: str) -> Product:
    return Product(sku, name, 100.0, "EUR", "4006381333931", category=category)


SHOP = Knowledge(
    (
        Passage(PassageId("a"), "When is Ottermoor open?", "The shop in Ottermoor opens at nine."),
        Passage(PassageId("b"), "Where is my order?", "Search for it, or check the Keeper app."),
        Passage(PassageId("c"), "Parcels to other countries", "A Czech courier brings them."),
    ),
    Shop(name="Ottermoor"),
    products=(
        product("1", "Skerry coffee table", "tables"),
        product("2", "Sedge three-seat sofa", "sofas"),
        product("3", "Reed bookcase", "storage"),
        product("4", "Tarn bed 160", "beds"),
    ),
)


@pytest.fixture(scope="module")
def corrector() -> Corrector | Plain:
    return build_corrector(SHOP, VOCABULARY, "en")


def heard(text: str, confidence: float = 0.8) -> tuple[HeardWord, ...]:
    return tuple(
        HeardWord(word, number, number + 1.0, confidence) for number, word in enumerate(text.split())
    )


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("what does this curry coffee table cost", "Skerry coffee table cost"),
        ("is the search three seat sofa in stock", "is the Sedge three-seat sofa in stock"),
        ("how much is the read book case", "how much is the Reed bookcase"),
        ("when is the auto more open", "Ottermoor open"),
        ("what does the ton bed one sixty cost", "what does the Tarn bed 160 cost"),
    ],
)
def test_names_that_were_misheard_are_put_right(said: str, meant: str, corrector: Corrector | Plain) -> None:
    """Recognised for other words that sound alike, across the bounds of words too."""
    assert meant in corrector.correct(heard(said))


@pytest.mark.parametrize(
    "said",
    [
        "where is my order",
        "can i search for my order",
        "can i check my order",
        "how much is a sofa",
        "can i return it",
        "",
    ],
)
def test_other_sentences_stay_as_they_are(said: str, corrector: Corrector | Plain) -> None:
    """Also words that sound like a name, where nothing speaks for the name."""
    assert corrector.correct(heard(said, 1.0)) == said


def test_doubt_in_the_words_speaks_for_a_name(corrector: Corrector | Plain) -> None:
    """The less sure, the further a name may be away."""
    assert corrector.correct(heard("is the carry open", 1.0)) == "is the carry open"
    assert corrector.correct(heard("is the carry open", 0.3)) == "is the Skerry open"


def test_language_without_pronunciations_is_left_alone() -> None:
    """Chinese has other sounds."""
    assert build_corrector(SHOP, frozenset(), "zh").correct(heard("this curry table")) == "this curry table"


def test_shop_without_names_corrects_nothing() -> None:
    """No name, no harm."""
    empty = build_corrector(Knowledge(()), VOCABULARY, "en")
    assert empty.correct(heard("what does it cost")) == "what does it cost"


def test_names_are_found_in_catalogue_and_texts() -> None:
    """Products as a whole and in short, names within sentences; not what the recogniser can hear by itself."""
    found = shop_words(SHOP, VOCABULARY)
    names = {name.text for name in found.names}
    assert {"Skerry coffee table", "Skerry table", "Skerry", "Ottermoor", "Tarn bed 160", "Tarn bed"} <= names
    assert "order" not in names
    assert "order" in found.common


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Tarn bed 160", ["tarn", "bed", "one", "sixty"]),
        ("three-seat", ["three", "seat"]),
        ("E27", ["e", "twenty", "seven"]),
        ("300 or 2026", ["three", "hundred", "or", "two", "zero", "two", "six"]),
        ("It's", ["it's"]),
    ],
)
def test_text_becomes_spoken_words(text: str, words: list[str]) -> None:
    """Numbers as shops say them."""
    assert spoken_words(text) == words


@pytest.mark.parametrize(
    ("word", "phones"),
    [
        ("table", "T EY B AH L"),  # the dictionary's
        ("tables", "T EY B AH L Z"),
        ("dhl", "D IY EY CH EH L"),  # letter by letter
        ("marl", "M AA R L"),  # by its spelling
        ("petalwick", "P EH T AH L W IH K"),  # of two words
    ],
)
def test_pronunciation(word: str, phones: str) -> None:
    """Dictionary, ending, abbreviation, spelling, compound."""
    assert Pronouncer().usual(word) == tuple(phones.split())


def test_spelling_rules_come_near_the_dictionary() -> None:
    """At most every fourth phone is another one, over words with a regular and an irregular spelling alike."""
    pronouncer = Pronouncer()
    words = "lamp chair kitchen delivery garden mattress pillow winter market silver sofa river bottle jacket".split()
    wrong = total = 0
    for word in words:
        said, wanted = spelling_to_phones(word), pronouncer.usual(word)
        wrong += sum(phone not in wanted for phone in said) + abs(len(said) - len(wanted))
        total += len(wanted)
    assert wrong / total < 0.25


def test_finder_gives_stretch_and_distance() -> None:
    """The same sounds have distance 0, wherever they stand."""
    phones = {word: tuple(Pronouncer().usual(word)) for word in "where is the keeper keep her now".split()}
    finder = NameFinder([phones["keeper"]])
    exact = finder.find([phones[word] for word in "where is the keeper now".split()], 0.01)
    assert [(match.first, match.last, match.distance) for match in exact] == [(3, 3, 0.0)]
    near = finder.find([phones[word] for word in "where is the keep her now".split()], 0.3)
    assert (near[-1].first, near[-1].last) == (3, 4)
    assert 0 < near[-1].distance < 0.3
