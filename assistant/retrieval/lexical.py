"""Lexical search with BM25: exact names, codes and numbers must not be lost in dense vectors."""

from __future__ import annotations

from collections.abc import Sequence

import bm25s
import numpy as np
import Stemmer
from numpy.typing import NDArray

from assistant.text import words

_STOP_WORDS = frozenset(
    (
        "a about am an and any are as at be been but by can could did do does for from get got had has "
        "have he her him his how i i'd i'll i'm i've if in is it it's its just me my no not of on or our "
        "she should so some that that's the their them there these they this those to us was we were "
        "what what's when where which who why will with would you your yours"
    ).split()
)
_K1, _B = 1.2, 0.75  # Robertson & Zaragoza 2009, the usual values; nothing was gained by tuning them
_PRIOR = 3.0  # added to the best score before scaling, so that one weak common word does not count as a hit


class LexicalIndex:
    """BM25 over short texts. Immutable after construction; safe from several threads."""

    def __init__(self, texts: Sequence[str], language: str = "en") -> None:
        """Index texts.

        Args:
            texts: one per passage, order kept.
            language: "en" words are stemmed; other languages are matched as they stand.
        """
        self._language = language
        self._size = len(texts)
        self._index: bm25s.BM25 | None = None
        tokens = [self._tokens(text) for text in texts]
        if any(tokens):
            self._index = bm25s.BM25(k1=_K1, b=_B, method="lucene")
            self._index.index(tokens, show_progress=False)

    def scores(self, text: str) -> NDArray[np.float32]:
        """Scores of all texts for a query, shape (n,), scaled to 0..1 by the best of them."""
        if self._index is None:
            return np.zeros(self._size, np.float32)
        known = [token for token in self._tokens(text) if token in self._index.vocab_dict]
        if not known:
            return np.zeros(self._size, np.float32)
        raw = np.asarray(self._index.get_scores(known), np.float32)
        scaled: NDArray[np.float32] = raw / (raw.max() + _PRIOR)
        return scaled

    def _tokens(self, text: str) -> list[str]:
        """Words that count: no stop words, stemmed, codes such as LM-48213 also as their parts."""
        kept = [word for word in words(text) if word not in _STOP_WORDS]
        if self._language != "en":
            return kept
        stemmer = Stemmer.Stemmer("english")  # not thread-safe, cheap to make
        return [word if word.isdigit() else stemmer.stemWord(word) for word in kept]
