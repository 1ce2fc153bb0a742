"""Replies in the sources' own words, for a network that reads well enough to choose and copy but not to paraphrase.

A cited sentence that a person wrote anew becomes the sentence it was made from, less its last clauses where these say
what was not asked; what is nearly a copy already, facts, and what cites nothing stay as they were written.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from assistant.evaluation.figures import token_f1
from assistant.text import words
from training.composer.augment import Base
from training.composer.corpus import Example

_CITED = re.compile(r"(?P<said>[^\[\]]+?)(?P<cited>(?:\s*\[[a-z0-9]+-[a-z0-9]+\])+)(?P<end>[.!?:;,]*)")
_ID = re.compile(r"\[([a-z0-9]+-[a-z0-9]+)\]")
_SMALL = re.compile(r"\b[a-z]+\b")
_VERDICT = re.compile(r"(?:Yes|No)\b")
_LABEL = re.compile(r"[^.,:;]{1,40}: ")
_CLAUSE = re.compile(r"(?:,? and|,? but|, so|;|:) ")
_LEAST_CLAUSE = 4  # words
_NEAR_COPY = 0.75  # token-F1 of what is left as it was written
_LEAST_LIKE = 0.4  # ... and of what has no sentence it was made from


@dataclass(frozen=True, slots=True)
class _Candidate:
    id: str
    place: int
    text: str


def in_source_words(base: Base, example: Example) -> Example:
    """The example with its reply in the words of the passages it cites."""
    known = frozenset(word for p in base.business.passages for word in _SMALL.findall(p.text))
    parts: list[str] = []
    copied: set[tuple[str, int]] = set()
    kept: set[tuple[str, int]] = set()
    at = 0
    for match in _CITED.finditer(example.reply):
        parts.append(example.reply[at : match.start()])
        at = match.end()
        said, ids = match["said"], _ID.findall(match["cited"])
        lead = said[: len(said) - len(said.lstrip())]
        free, said = _apart(said.strip())
        best = max(_candidates(base, ids), key=lambda c: (token_f1(c.text, said), -len(c.text)), default=None)
        likeness = token_f1(best.text, said) if best else 0.0
        if best and (best.id, best.place) in copied:
            parts.append(f"{lead}{free}".rstrip())
            continue
        if best is None or (best.id, best.place) in kept or not _LEAST_LIKE <= likeness < _NEAR_COPY:
            parts.append(match.group())
            kept |= {(best.id, best.place)} if best else set()
            continue
        copied.add((best.id, best.place))
        verdict = _VERDICT.match(said)
        text = best.text
        if verdict and not _VERDICT.match(text):
            text = f"{verdict.group()}, {_lowered(text, known)}"
        parts.append(f"{lead}{free}{text} [{best.id}]{match['end'] if match['end'] in ('.', '!') else '.'}")
    parts.append(example.reply[at:])
    reply = "".join(parts).strip()
    return replace(example, reply=reply) if reply else example


def _apart(said: str) -> tuple[str, str]:
    """Sentences before the last one, which cite nothing, and the last one."""
    ends = [match.end() for match in re.finditer(r"[.!?]\s+(?=[A-Z])", said)]
    return (said[: ends[-1]], said[ends[-1] :]) if ends else ("", said)


def _candidates(base: Base, ids: list[str]) -> Iterator[_Candidate]:
    for id_ in ids:
        for place, piece in enumerate(base.pieces.get(id_, ())):
            if not piece[:1].isupper() or _LABEL.match(piece):
                continue  # a row of a list or a fact says little by itself
            whole = piece.rstrip(" .;:!")
            yield _Candidate(id_, place, whole)
            for match in _CLAUSE.finditer(whole):
                head = whole[: match.start()]
                if min(len(words(head)), len(words(whole[match.end() :]))) >= _LEAST_CLAUSE:
                    yield _Candidate(id_, place, head)


def _lowered(text: str, known: Collection[str]) -> str:
    """A sentence as it goes on after a comma: a name keeps its capital."""
    return text[0].lower() + text[1:] if text.split(" ", 1)[0].lower() in known else text
