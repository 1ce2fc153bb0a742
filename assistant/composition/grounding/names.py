"""Names of products, places, brands and people: capitalised words inside sentences. Pure."""

from __future__ import annotations

import re

from assistant.composition.grounding.scan import FactKind, Scan
from assistant.text import words

_SMALL_WORDS = r"(?:of|the|de|la|le|du|von|van)"
_CAPITALISED = r"(?:[^\W\d_a-zà-ÿ][^\W_]*(?:['’.\-][^\W_]+)*\+?)"
_NAME = re.compile(
    rf"(?<![\w'’@/.])(?P<first>{_CAPITALISED})(?P<rest>(?:(?: & | {_SMALL_WORDS} |[ ]){_CAPITALISED}(?![\w])){{0,7}})"
)
_OWNER = re.compile(r"(?<='s) ")
_NO_NAMES = frozenset(
    "i i'm i'll i've i'd ok okay am pm a mr mrs ms dr please yes no hi hello sorry english christmas easter "
    "internet of the".split()
)


def find_names(scan: Scan) -> None:
    """Runs of capitalised words; the first word of a sentence is not counted, whatever it is."""
    for match in _NAME.finditer(scan.rest):
        start, run = match.span()[0], match.group()
        if scan.opens_sentence(start):
            run = match.group("rest").lstrip(" &")
            start = match.end() - len(run)
        for part in _OWNER.split(run):  # "Tamber's Harbour Road" is two names
            name = part
            while name and re.split(r"[\s,]", name)[0].lower() in _NO_NAMES:
                _, _, name = name.partition(" ")
            value = " ".join(re.sub(r"'s?$", "", word) for word in words(name))
            end = start + len(part)
            if value:
                scan.take(FactKind.NAME, value, end - len(name), end)
            start = end + 1
