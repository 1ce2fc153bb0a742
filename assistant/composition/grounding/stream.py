"""A reply on its way to the customer, checked and mended sentence by sentence."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from assistant.composition.chunks import cited_numbers, without_citations
from assistant.composition.grounding.check import GroundingCheck, Violation, ViolationKind
from assistant.composition.grounding.facts import Fact, FactKind, facts_of
from assistant.protocols import GenerationRequest, Quote
from assistant.text import sentences, words

_MARKER = re.compile(r"\s*\[(\d{1,3})\]")
_MARKERS_BEHIND = re.compile(r"(?:[ \t]*\[\d{1,3}\])*")
_MAY_BE_MARKER = re.compile(r"[ \t]*(?:\[\d{0,3})?$")
_SENTENCE_END = re.compile(r"[.!?。！？…]+[\"'”’」』）)]*\s*$")
_BROKEN_OFF = "…"  # shown where a sentence was begun that had to be replaced
_ROUNDS = 2
_SAID_ALREADY = 0.8  # a quote with this share of its words in the reply would only repeat it
_COMPLETE = frozenset(
    {FactKind.MONEY, FactKind.PERCENT, FactKind.DURATION, FactKind.LINK, FactKind.EMAIL, FactKind.CODE}
)
_SETTLED_LATE = re.compile(r"[,;:)]\s|(?:\s+\S+){2}\s")
_SETTLED_SOON = re.compile(r"[.,;:)]?\s")
_FACT_WORDS = (
    "a an per each every one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred half quarter "
    "twice thrice noon midday midnight daily weekly monthly yearly annual annually hourly overnight fortnight "
    "weekend weekends weekdays first second third"
).split()
_TRIGGER = re.compile(
    rf"[\d€£$¥₹%@]|\w\.\w|(?<=\S\s)[\"'“‘(]*[A-ZÀ-Þ]|\b(?i:{'|'.join(_FACT_WORDS)})\b"
)  # without one of these there is no fact
_FACT_BEGINNINGS = frozenset(word[:end] for word in _FACT_WORDS for end in range(1, len(word) + 1))


class GroundedText:
    """Takes the pieces of a generator, lets through what the check allows. Implements `ReplyFilter`.

    A sentence that states what stands nowhere is replaced by the sources' own words: the quote nearest to it that is
    not used yet, or by nothing. One that only cites wrongly gets its citations corrected.

    With `hold`, nothing of a sentence is shown before it has passed. Without, words are shown as they come, except
    that a fact is held until it is complete, and from the first fact on that stands nowhere the rest of the sentence
    is held. If such a sentence is replaced its shown beginning breaks off with "…"; `text`, the whole reply, is
    without it and is what must stand in the end.

    Args:
        check: of this reply.
        quotes: the sources' own sentences that answer.
        hold: for generators whose decoding is not constrained.
    """

    def __init__(self, check: GroundingCheck, quotes: Sequence[Quote] = (), *, hold: bool = True) -> None:
        self._check = check
        self._quotes = list(quotes)
        self._hold = hold
        self._buffer = ""  # from the start of the current sentence on
        self._shown = 0  # characters of the buffer that were let through
        self._clear = 0  # characters of the buffer whose facts are complete and stand somewhere
        self._parts: list[str] = []
        self._counts: Counter[str] = Counter()
        self._violations: list[Violation] = []

    @classmethod
    def of(cls, request: GenerationRequest, *, hold: bool = True) -> GroundedText:
        """The filter for the reply to a request."""
        return cls(GroundingCheck.of(request), request.quotes, hold=hold)

    def feed(self, piece: str) -> str:
        """Take a piece; returns what may be shown now, citation markers included, possibly nothing."""
        self._buffer += piece
        shown: list[str] = []
        while end := _first_sentence(self._buffer):
            shown.append(self._judge(self._buffer[:end]))
            self._buffer, self._shown, self._clear = self._buffer[end:], 0, 0
        if not self._hold:
            safe = max(self._shown, self._safe())
            shown.append(self._buffer[self._shown : safe])
            self._shown = safe
        return "".join(shown)

    def finish(self) -> str:
        """What was still held back; if nothing of the reply passed, the quotes instead. May be called twice."""
        rest, self._buffer = self._buffer, ""
        shown = self._judge(rest) if rest.strip() else ""
        self._shown = 0
        if not self._parts and self._counts.total():
            quotes, self._quotes = self._quotes, []
            self._parts = [f"{' ' if number else ''}{_quoted(quote)}" for number, quote in enumerate(quotes)]
            shown += "".join([" " if shown and quotes else "", *self._parts])
        return shown

    @property
    def text(self) -> str:
        """The reply so far as it must stand in the end, citation markers included."""
        return "".join(self._parts).strip()

    @property
    def generated(self) -> bool:
        """Whether words of the model are in the reply."""
        return bool(self._counts["passed"] or self._counts["corrected"])

    @property
    def report(self) -> Mapping[str, object]:
        """Numbers of sentences passed, corrected, replaced and dropped, and of violations by kind."""
        violations = Counter(
            f"{violation.kind}/{violation.fact.kind if violation.fact else 'sentence'}"
            for violation in self._violations
        )
        counts = {name: self._counts[name] for name in ("passed", "corrected", "replaced", "dropped")}
        return {**counts, "violations": dict(violations)}

    # --- whole sentences -------------------------------------------------------------------------------------------

    def _judge(self, sentence: str) -> str:
        """Let a sentence through, mended if need be; returns what is to be shown of it now."""
        if not sentence.strip():
            return self._let_through(sentence, sentence)
        violations = self._check.check(sentence)
        self._violations.extend(violations)
        if not violations:
            self._counts["passed"] += 1
            return self._let_through(sentence, sentence)
        corrected = self._with_right_citations(sentence, violations)
        if corrected and not self._check.check(corrected):
            self._counts["corrected"] += 1
            return self._let_through(sentence, corrected)
        quote = self._nearest_quote(sentence)
        self._counts["replaced" if quote else "dropped"] += 1
        begun = self._shown > len(sentence) - len(sentence.lstrip())
        if quote is None:
            return _BROKEN_OFF if begun else ""
        self._quotes.remove(quote)
        lead = sentence[: len(sentence) - len(sentence.lstrip())]
        self._parts.append(f"{lead if self._parts else ''}{_quoted(quote)}")
        return f"{_BROKEN_OFF} {_quoted(quote)}" if begun else self._parts[-1]

    def _let_through(self, written: str, final: str) -> str:
        """Keep a sentence for the whole text; returns what of it was not shown yet."""
        self._parts.append(final if self._parts else final.lstrip())
        if not self._shown:
            return self._parts[-1]
        if final.startswith(written[: self._shown]):
            return final[self._shown :]
        # A citation inside the sentence was shown already; only `text` has it right.
        return written[self._shown :]

    def _with_right_citations(self, sentence: str, violations: Sequence[Violation]) -> str:
        """The sentence citing what states its facts and has its wording; "" if a fact stands nowhere."""
        for _ in range(
            _ROUNDS
        ):  # a citation that names no source may leave none, which is the next thing wrong
            if any(violation.kind is ViolationKind.UNGROUNDED for violation in violations):
                return ""
            sentence = self._cited_anew(sentence, violations)
            violations = self._check.check(sentence)
        return sentence

    def _cited_anew(self, sentence: str, violations: Sequence[Violation]) -> str:
        """The sentence with a source for each fact that needs one; citations that serve a fact are kept."""
        cited = cited_numbers(sentence)
        facts = facts_of(without_citations(sentence))
        needed = [stated_by for fact in facts if (stated_by := self._check.needs(fact))]
        needed += [
            violation.stated_by for violation in violations if not violation.fact and violation.stated_by
        ]
        kept = {number for number in cited if any(number in stated_by for stated_by in needed)}
        if not needed:
            kept = {number for number in cited if self._check.exists(number)}
        uncovered = [stated_by for stated_by in needed if not kept & set(stated_by)]
        added: list[int] = []
        while uncovered:
            best = Counter(number for stated_by in uncovered for number in stated_by).most_common(1)[0][0]
            added.append(best)
            uncovered = [stated_by for stated_by in uncovered if best not in stated_by]
        bare = _MARKER.sub(lambda match: match.group() if int(match.group(1)) in kept else "", sentence)
        markers = "".join(f"[{number}]" for number in sorted(added))
        if not markers:
            return bare
        end = _SENTENCE_END.search(bare)
        place = end.start() if end else len(bare.rstrip())
        space = "" if bare[:place].endswith("]") else " "
        return f"{bare[:place]}{space}{markers}{bare[place:]}"

    def _nearest_quote(self, sentence: str) -> Quote | None:
        """The unused quote that shares most words with a sentence, a cited source's first."""
        told, wanted = set(words(self.text)), set(words(without_citations(sentence)))
        cited = cited_numbers(sentence)
        best, best_score = None, -1.0
        for quote in self._quotes:
            own = set(words(quote.text))
            if own and len(own & told) < _SAID_ALREADY * len(own):
                score = len(own & wanted) / len(own) + (quote.source in cited)
                if score > best_score:
                    best, best_score = quote, score
        return best

    # --- the sentence being written --------------------------------------------------------------------------------

    def _safe(self) -> int:
        """How many characters of the buffer may be shown."""
        text = _MARKER.sub(lambda match: " " * len(match.group()), self._buffer)
        limit = len(text)
        marker = _MAY_BE_MARKER.search(text)
        if marker and "[" in marker.group():
            limit = marker.start()
        last = re.search(r"\S*$", text)
        if last and last.group() and not _is_plain(last.group(), opens=not text[: last.start()].strip()):
            limit = min(limit, last.start())
        if not _TRIGGER.search(text, self._clear):
            return limit
        for fact in facts_of(text):
            if fact.end <= self._clear:
                continue
            if not self._is_settled(fact, text) or not self._check.is_grounded(fact):
                return min(limit, len(text[: fact.start].rstrip()))
            self._clear = fact.end
        return limit

    @staticmethod
    def _is_settled(fact: Fact, text: str) -> bool:
        """Whether what follows cannot change a fact any more ("3" may become "3 working days")."""
        pattern = _SETTLED_SOON if fact.kind in _COMPLETE else _SETTLED_LATE
        return bool(pattern.match(text, fact.end))


def _is_plain(word: str, *, opens: bool) -> bool:
    """Whether the word being written is not going to be a fact, as far as one can see."""
    letters = word.lstrip("\"'“‘(")
    if not letters.isalpha():
        return False
    return (opens or not letters[0].isupper()) and letters.lower() not in _FACT_BEGINNINGS


def _first_sentence(buffer: str) -> int:
    """Length of the first sentence, with the citations behind it; 0 while its end is not clear."""
    parts = sentences(buffer)
    if not parts:
        return 0
    end = buffer.index(parts[0]) + len(parts[0])
    if len(parts) == 1 and not buffer[end:].startswith("\n"):
        return 0
    behind = _MARKERS_BEHIND.match(buffer, end)
    end = behind.end() if behind else end
    rest = buffer[end:]
    return end if (rest.strip() and not _MAY_BE_MARKER.fullmatch(rest)) or rest.startswith("\n") else 0


def _quoted(quote: Quote) -> str:
    return f"{quote.text} [{quote.source}]"
