"""Draft FAQ entries: Markdown with front matter `draft: true`, which an ingest leaves out. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from assistant.text import normalise

_MOST_OTHERS = 12
_FRONT = re.compile(r"\A---\n(?P<front>.*?)\n---\n", re.DOTALL)
_HEADING = re.compile(r"(?m)^## +(?P<question>\S.*)$")
_ALSO = re.compile(r"(?m)^Also asked:(?P<others>.*)$")
_PERSONAL = re.compile(
    r"""
    [\w.+-]+@[\w-]+(?:\.[\w-]+)+            # an e-mail address
    | (?<!\w)(?:\+\d|0\d)[\d\s/()-]{6,}\d   # a telephone number
    | \b[A-Z]{2}\d{2}(?:\s?\w{4}){3,7}(?:\s?\w{1,3})?\b  # an IBAN
    | \b[A-Z]{1,4}-\d{4,}\b                 # an order number
    | \b\d{5,}\b                            # any long number
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Draft:
    """A question with other wordings and an answer, "" if it is still to be written."""

    question: str
    others: tuple[str, ...]
    answer: str


def without_personal_data(text: str) -> str:
    """Replace e-mail addresses, telephone and bank numbers and other long numbers by "…".

    A help, no proof: names and addresses in words remain, and a person reads every draft before it is approved.
    """
    return _PERSONAL.sub("…", text)


def build_draft(question: str, others: Sequence[str], answer: str) -> Draft:
    """A draft of what customers and agents wrote, one line each question, without long numbers.

    The answer keeps its numbers: prices and telephone numbers may be what was asked for.
    """
    asked = dict.fromkeys(_one_line(without_personal_data(text)) for text in (question, *others))
    first, *rest = asked
    lines = [normalise(line) for line in answer.splitlines()]
    return Draft(first, tuple(rest[:_MOST_OTHERS]), "\n".join(lines).strip())


def format_draft(draft: Draft) -> str:
    """A draft as a file."""
    return f"---\ndraft: true\n---\n\n{format_entry(draft)}"


def format_entry(draft: Draft) -> str:
    """A question with its answer as it stands in a file of questions."""
    others = f"Also asked: {' | '.join(draft.others)}\n" if draft.others else ""
    return f"## {draft.question}\n{others}\n{_as_text(draft.answer)}\n"


def parse_draft(text: str) -> Draft:
    """Read a draft, also one that somebody has edited.

    Raises: ValueError: says what is missing.
    """
    body = _FRONT.sub("", text.replace("\r\n", "\n").removeprefix("\ufeff"), count=1)
    headings = list(_HEADING.finditer(body))
    if len(headings) != 1:
        raise ValueError(f"has {len(headings)} headings `## question`; a draft has one")
    rest = body[headings[0].end() :]
    also = _ALSO.search(rest)
    others: tuple[str, ...] = ()
    if also is not None:
        others = tuple(other.strip() for other in also["others"].split("|") if other.strip())
        rest = rest[: also.start()] + rest[also.end() :]
    answer = rest.strip()
    if not answer:
        raise ValueError("has no answer; write it below the heading, or make the draft again with --answer")
    return Draft(headings[0]["question"].strip(), others, answer)


def has_question(document: str, question: str) -> bool:
    """Whether a file of questions has this one."""
    wanted = question.casefold()
    return any(match["question"].strip().casefold() == wanted for match in _HEADING.finditer(document))


def _one_line(text: str) -> str:
    """A question as a heading or between bars: one line, without what Markdown would read."""
    return normalise(text).replace("|", "/").lstrip("#").strip() or "…"


def _as_text(answer: str) -> str:
    """Lines that Markdown would take for headings become text."""
    return re.sub(r"(?m)^(#{1,6}\s)", r"\\\1", answer)
