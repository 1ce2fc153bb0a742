"""How much of a sentence's wording stands in a text: content words, cut to their stems. Pure."""

from __future__ import annotations

from assistant.text import words

_FUNCTION_WORDS = frozenset(
    (
        "the and but for with from without into onto over under about after before until while because as is are was "
        "were been being its it's this that that's these those you you'd you'll you're your yours our they them their "
        "his her she him who what how when where which why does did has had have having can can't could will won't "
        "would shall should may might must not don't doesn't isn't aren't yes then than there here also only just "
        "still already more most any all each every other own one out please sorry need get got use make made we'll "
        "we're i'm i'll very too both either neither such some same again"
    ).split()
)
_ENDINGS = ("ing", "ies", "ied", "ed", "es", "s", "ly")
_SHORTEST = 3


def content_words(text: str) -> frozenset[str]:
    """The words that say what a text is about, without their endings."""
    return frozenset(
        _stem(word) for word in words(text) if len(word) >= _SHORTEST and word not in _FUNCTION_WORDS
    )


def _stem(word: str) -> str:
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _SHORTEST:
            return word.removesuffix(ending)
    return word
