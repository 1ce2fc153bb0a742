"""How a written question is shown in training: noise, and sometimes an earlier exchange about something else."""

from __future__ import annotations

import random

from training.retrieval.corpus import Business, Question
from training.retrieval.inputs import Inputs
from training.retrieval.noise import augment

# A live conversation has a history from its second question on, mostly about another matter.
FOREIGN_HISTORY = 0.15


def variant(question: Question, business: Business, reader: Inputs, rng: random.Random) -> list[int]:
    """Query ids of one training variant."""
    history = question.history
    if not history and rng.random() < FOREIGN_HISTORY:
        other = rng.choice(business.questions)
        if other.id != question.id and not set(other.answers) & set(question.answers):
            history = (("customer", other.text), ("assistant", other.reply))
    return reader.query(augment(question.text, rng), history)
