"""How a question is disturbed in training, so that the models are used to it; measured with other seeds."""

from __future__ import annotations

import random

from assistant.evaluation.noise import drop_words, spoken, typos

_FILLERS = ("um", "uh", "er", "so", "okay", "hi", "hello", "yeah", "well", "like", "please", "hey")


def augment(text: str, rng: random.Random) -> str:
    """One training variant of a question; unchanged half of the time."""
    draw = rng.random()
    if draw < 0.5:
        return text
    if draw < 0.7:
        text = spoken(text, rng)
        if rng.random() < 0.3:
            words = text.split()
            words.insert(rng.choice((0, rng.randrange(len(words) + 1))), rng.choice(_FILLERS))
            text = " ".join(words)
        if rng.random() < 0.6:
            text = drop_words(text, rng, 0.2, 0.06)
        return text
    if draw < 0.85:
        return typos(text, rng, 0.15)
    if draw < 0.93:
        return drop_words(text, rng, 0.5, 0.05)
    return text.lower().rstrip("?.! ")
