"""What the reply before said already: who asks on wants to know something else. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from assistant.protocols import PassageScore
from assistant.records import Message, Role
from assistant.text import words

_FEWEST_WORDS = 4  # shorter ones, as pairs of facts are, may be said again
_SAID = -4.0  # logit of a sentence that was said: not the answer, unless nothing else is


def said_before(question: str, history: Sequence[Message]) -> str:
    """The words of the last reply; none if the customer asks the same again."""
    replies = [message.text for message in history if message.role is Role.ASSISTANT]
    asked = [message.text for message in history if message.role is Role.CUSTOMER]
    if not replies or (asked and words(asked[-1]) == words(question)):
        return ""
    return _plain(replies[-1])


def without_said(score: PassageScore, sentences: Sequence[str], said: str) -> PassageScore:
    """The score of a passage as if what was said already did not answer.

    Args:
        score: of the passage.
        sentences: of the passage, as many as scores.
        said: as `said_before` gives it.
    """
    if not said or not score.sentences:
        return score
    logits = tuple(
        min(logit, _SAID) if _is_said(sentence, said) else logit
        for logit, sentence in zip(score.sentences, sentences, strict=True)
    )
    return score if logits == score.sentences else replace(score, logit=max(logits), sentences=logits)


def _is_said(sentence: str, said: str) -> bool:
    return len(words(sentence)) >= _FEWEST_WORDS and _plain(sentence) in said


def _plain(text: str) -> str:
    return f" {' '.join(words(text))} "
