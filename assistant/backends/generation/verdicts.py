"""Yes and no at the beginning of a reply: said only by a model that is sure which it is. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

SURE = 0.8  # share of the likelier of the two; docs/decisions/2026-11-22-composer-more-businesses.md
_MARKS = "Ġ▁ "  # how tokenizers write a space before a word


class Verdicts:
    """The tokens that say yes or no."""

    def __init__(self, vocabulary: Sequence[str]) -> None:
        """Find them in a vocabulary, written as a tokenizer's own files write it, by id."""
        words = [token.strip(_MARKS).casefold() for token in vocabulary]
        self._yes = torch.tensor([number for number, word in enumerate(words) if word == "yes"])
        self._no = torch.tensor([number for number, word in enumerate(words) if word == "no"])

    def forbid_doubtful(self, logits: Tensor) -> None:
        """Take both from what a reply may begin with if neither is much likelier than the other.

        What the sources say then speaks for itself.

        Args:
            logits: float32, shape (vocabulary or more,), changed in place.
        """
        if not (len(self._yes) and len(self._no)):
            return
        yes, no = logits[self._yes].logsumexp(0), logits[self._no].logsumexp(0)
        if torch.sigmoid((yes - no).abs()) < SURE:
            logits[self._yes] = logits[self._no] = -torch.inf
