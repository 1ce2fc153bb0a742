"""Checks a sentence of a reply against the sources it cites. Pure.

Every hard fact (grounding/facts.py) must stand in a cited source or in the conversation. A sentence whose wording
stands far more in another source than in the cited ones cites wrongly; one without citation whose wording stands in a
source lacks it. Whether the sentence says the same about its facts is not checked: a dropped "not" or two prices
swapped within one source pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from assistant.composition.chunks import cited_numbers, without_citations
from assistant.composition.grounding.facts import Fact, facts_of
from assistant.composition.grounding.support import fact_index
from assistant.composition.grounding.wording import content_words
from assistant.protocols import GenerationRequest
from assistant.records import Source

_QUESTION = ("?", "？")
# Chosen on businesses a to m of the corpus (docs/decisions/2026-11-21-grounding.md):
_FEWEST_WORDS = 3  # content words below which wording proves nothing
_LEAD = 0.3  # by which share of the sentence's content words another source must be ahead of the cited ones
_SHARE = 0.5  # of the content words that stand in a source, for a sentence without citation


class ViolationKind(StrEnum):
    """What is wrong with a sentence."""

    NO_SUCH_SOURCE = "no_such_source"  # cites a number that no source has
    UNGROUNDED = "ungrounded"  # a fact that stands nowhere
    MISCITED = "miscited"  # a fact, or the wording, stands only in sources that are not cited
    UNCITED = "uncited"  # a fact, or the wording, of a source, and no citation at all


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing wrong with a sentence.

    Attributes:
        fact: the fact meant; None for NO_SUCH_SOURCE and for wording.
        citation: the number cited, for NO_SUCH_SOURCE; else 0.
        stated_by: numbers of the sources that state the fact, or have the wording.
    """

    kind: ViolationKind
    fact: Fact | None = None
    citation: int = 0
    stated_by: tuple[int, ...] = ()


class GroundingCheck:
    """Checks sentences against numbered sources and a conversation.

    Args:
        sources: as cited, the first is number 1.
        conversation: messages so far, the question included; what stands there needs no citation.
        also: other texts that may be repeated without citation, such as the shop's name.
    """

    def __init__(
        self, sources: Sequence[Source], conversation: Sequence[str], also: Sequence[str] = ()
    ) -> None:
        self._sources = tuple(fact_index(f"{source.title}\n{source.text}") for source in sources)
        self._said = tuple(fact_index(text) for text in (*conversation, *also) if text)

    @classmethod
    def of(cls, request: GenerationRequest) -> GroundingCheck:
        """The check for the reply to a request."""
        conversation = [message.text for message in request.history]
        return cls(request.sources, [*conversation, request.question], (request.shop,))

    def check(self, sentence: str) -> tuple[Violation, ...]:
        """What is wrong with a sentence, citation markers included; nothing if it may be sent."""
        cited = cited_numbers(sentence)
        found = [
            Violation(ViolationKind.NO_SUCH_SOURCE, citation=number)
            for number in cited
            if not self.exists(number)
        ]
        text = without_citations(sentence)
        asks = text.rstrip().endswith(_QUESTION)  # a question states nothing
        for fact in facts_of(text):
            stated_by = self.stated_by(fact)
            if self.is_said(fact) or set(stated_by) & set(cited):
                continue
            if not stated_by:
                found.append(Violation(ViolationKind.UNGROUNDED, fact))
            elif cited:
                found.append(Violation(ViolationKind.MISCITED, fact, stated_by=stated_by))
            elif not asks:
                found.append(Violation(ViolationKind.UNCITED, fact, stated_by=stated_by))
        if not found and not asks:
            found.extend(self._wording(text, [number for number in cited if self.exists(number)]))
        return tuple(found)

    def exists(self, number: int) -> bool:
        """Whether a citation names a source."""
        return 0 < number <= len(self._sources)

    def is_said(self, fact: Fact) -> bool:
        """Whether a fact stands in the conversation or in what may be repeated freely."""
        return any(said.states(fact) for said in self._said)

    def is_grounded(self, fact: Fact) -> bool:
        """Whether a fact stands anywhere."""
        return self.is_said(fact) or bool(self.stated_by(fact))

    def needs(self, fact: Fact) -> tuple[int, ...]:
        """Numbers of the sources one of which must be cited for a fact; none for what was said."""
        return () if self.is_said(fact) else self.stated_by(fact)

    def _wording(self, text: str, cited: Sequence[int]) -> Iterator[Violation]:
        """What the wording says about the citations, for sentences whose facts do not."""
        said = frozenset[str]().union(*(index.content for index in self._said))
        content = content_words(text)
        shares = {
            number: len(content & source.content) / len(content)
            for number, source in enumerate(self._sources, 1)
            if content
        }
        best = max((number for number in shares if number not in cited), key=lambda n: shares[n], default=0)
        if not best:
            return
        if cited:
            lead = shares[best] - max(shares[number] for number in cited)
            if len(content) >= _FEWEST_WORDS and lead >= _LEAD:
                yield Violation(ViolationKind.MISCITED, stated_by=(best,))
        elif (
            shares[best] >= _SHARE
            and len((content - said) & self._sources[best - 1].content) >= _FEWEST_WORDS
        ):
            yield Violation(ViolationKind.UNCITED, stated_by=(best,))

    def stated_by(self, fact: Fact) -> tuple[int, ...]:
        """Numbers of the sources that state a fact."""
        return tuple(number for number, source in enumerate(self._sources, 1) if source.states(fact))
