"""The hard facts a text states, found by patterns and brought to one spelling: "three weeks" is 21 days. Pure.

English wording; digits, codes, links and addresses in any language. What a sentence says about its facts (negation,
who owes whom) is not looked at.
"""

from __future__ import annotations

from assistant.composition.grounding.amounts import find_quantities
from assistant.composition.grounding.codes import find_addresses, find_codes
from assistant.composition.grounding.dates import find_dates, find_times
from assistant.composition.grounding.durations import find_single_durations
from assistant.composition.grounding.names import find_names
from assistant.composition.grounding.scan import Fact, FactKind, Scan

__all__ = ["Fact", "FactKind", "facts_of"]


def facts_of(text: str) -> tuple[Fact, ...]:
    """The facts of a text in order of appearance. Citation markers must have been taken out before."""
    scan = Scan(text)
    for find in (
        find_addresses,
        find_dates,
        find_codes,
        find_times,
        find_single_durations,
        find_quantities,
        find_names,
    ):
        find(scan)
    return tuple(sorted(scan.found, key=lambda fact: (fact.start, fact.end)))
