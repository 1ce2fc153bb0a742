"""A linear SVM on TF-IDF weighted word and character n-grams: a second opinion where examples are many."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assistant.text import words

_WORD_SIZES = range(1, 3)
_CHARACTER_SIZES = range(2, 6)
_RARE = 2  # n-grams of fewer examples are left out: half of the size, the same accuracy
_LONGEST = 1000  # characters of an utterance that are read


class NgramModel:
    """Scores of intents from n-grams. Immutable; safe from several threads."""

    def __init__(
        self, vocabulary: Sequence[str], idf: NDArray[np.float32], weights: NDArray[np.float16]
    ) -> None:
        """Keep what was fitted.

        Args:
            vocabulary: n-grams; those of words begin with "w", those of characters with "c".
            idf: weight of each.
            weights: of the SVM, shape (n-grams + 1, intents); the last row is the bias.
        """
        self._vocabulary = list(vocabulary)
        self._places = {ngram: place for place, ngram in enumerate(self._vocabulary)}
        self._idf = idf
        self._weights = weights

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> NgramModel | None:
        """The model that `to_arrays` wrote, or None where there was none."""
        if "ngram_weights" not in arrays:
            return None
        vocabulary = arrays["ngram_vocabulary"].tobytes().decode("utf-8").split("\n")
        return cls(vocabulary, arrays["ngram_idf"], arrays["ngram_weights"])

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Plain arrays; the vocabulary as the bytes of its UTF-8 lines."""
        lines = np.frombuffer("\n".join(self._vocabulary).encode("utf-8"), np.uint8)
        return {"ngram_vocabulary": lines, "ngram_idf": self._idf, "ngram_weights": self._weights}

    def scores(self, text: str) -> NDArray[np.float32]:
        """Distance to the SVM's plane of each intent."""
        places, values = _features(text, self._places, self._idf)
        scores: NDArray[np.float32] = values @ self._weights[places].astype(np.float32)
        scores += self._weights[-1]
        return scores


def fit_ngrams(texts: Sequence[str], owners: NDArray[np.intp], count: int) -> NgramModel | None:
    """Fit on examples; None if they share no n-gram. `owners` gives the intent (0..count-1) of each."""
    from scipy.sparse import csr_matrix
    from sklearn.svm import LinearSVC
    from threadpoolctl import threadpool_limits

    frequency = Counter(ngram for text in texts for ngram in set(_ngrams(text)))
    vocabulary = sorted(ngram for ngram, number in frequency.items() if number >= _RARE)
    if not vocabulary:
        return None
    idf = np.array(
        [math.log((1 + len(texts)) / (1 + frequency[ngram])) + 1 for ngram in vocabulary], np.float32
    )
    places = {ngram: place for place, ngram in enumerate(vocabulary)}
    rows = [_features(text, places, idf) for text in texts]
    ends = np.cumsum([0, *(len(found) for found, _ in rows)])
    columns = np.concatenate([found for found, _ in rows])
    values = np.concatenate([weights for _, weights in rows])
    matrix = csr_matrix((values, columns, ends), shape=(len(texts), len(vocabulary)))
    with threadpool_limits(1):
        fitted = LinearSVC(C=1.0, random_state=0).fit(matrix, owners)
    weights = np.concatenate([fitted.coef_, fitted.intercept_[:, None]], axis=1)
    if count == 2:  # one row for the second class against the first
        weights = np.concatenate([-weights, weights])
    return NgramModel(vocabulary, idf, np.ascontiguousarray(weights.T, np.float16))


def _ngrams(text: str) -> Iterator[str]:
    """Every n-gram of a text, as often as it occurs."""
    found = words(text[:_LONGEST])
    for size in _WORD_SIZES:
        for start in range(len(found) - size + 1):
            yield "w" + " ".join(found[start : start + size])
    for word in text[:_LONGEST].casefold().split():
        padded = f" {word} "
        for size in _CHARACTER_SIZES:
            for start in range(len(padded) - size + 1):
                yield "c" + padded[start : start + size]


def _features(
    text: str, places: Mapping[str, int], idf: NDArray[np.float32]
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Known n-grams of a text and their weights; words and characters each have L2 norm 1."""
    counts = Counter(ngram for ngram in _ngrams(text) if ngram in places)
    columns: list[int] = []
    values: list[float] = []
    for kind in "wc":
        block = [
            (places[ngram], 1 + math.log(number)) for ngram, number in counts.items() if ngram[0] == kind
        ]
        weighted = [(place, value * float(idf[place])) for place, value in block]
        norm = math.sqrt(sum(value * value for _, value in weighted)) or 1.0
        columns.extend(place for place, _ in weighted)
        values.extend(value / norm for _, value in weighted)
    return np.array(columns, np.intp), np.array(values, np.float32)
