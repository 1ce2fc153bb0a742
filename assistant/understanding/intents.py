"""Which intent an utterance has, and whether it has any.

The recipe and every figure behind its constants: docs/decisions/2026-11-21-intents.md. In short: multinomial
logistic regression on sentence vectors, a little BM25, and for bases with many examples an SVM on word and
character n-grams; in or out of scope is decided by how near the utterance lies to the examples of the intent
read, times a root of its probability, with a threshold that the examples set themselves.

Fitting needs scikit-learn; reading needs numpy and bm25s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import bm25s
import numpy as np
import Stemmer
from numpy.typing import NDArray

from assistant.protocols import Vectors
from assistant.records import Intent, IntentMatch, IntentReading
from assistant.text import words
from assistant.understanding.ngrams import NgramModel, fit_ngrams

Arrays = Mapping[str, NDArray[Any]]

KEPT_IN_SCOPE = 0.95
_C = 20.0  # inverse strength of the regularisation
_LEXICAL = 0.2  # weights of the other views, in standard deviations of the logits
_NGRAMS = 0.2
_NEIGHBOURS = 3
_ROOT = 0.2  # power of the probability in the gate
_MANY_EXAMPLES = 50  # examples per intent from which the n-gram view is worth its fit
_FOLDS = 5
_ONE_FOLD_FROM = 4000  # with so many examples one held-out fold says enough
_ITERATIONS, _TOLERANCE = 300, 1e-4


class IntentModel:
    """Reads intents. Immutable after construction; safe from several threads."""

    def __init__(self, intents: Sequence[Intent], arrays: Arrays) -> None:
        """Join what was fitted with the intents it was fitted on.

        Args:
            intents: the same, in the same order, as given to `fit_intents`.
            arrays: what `fit_intents` returned.

        Raises: ValueError: the arrays belong to other intents.
        """
        known = [intent for intent in intents if intent.examples]
        if sum(len(intent.examples) for intent in known) != len(arrays["vectors"]):
            raise ValueError("the intents are not those that the arrays were fitted on")
        self._names = [intent.name for intent in known]
        self._threshold = float(arrays["threshold"])
        self._head = _Head(arrays["weights"], arrays["bias"], arrays["vectors"], _owners(known))
        self._lexical = _LexicalView(known)
        self._ngrams = NgramModel.from_arrays(arrays)

    def read(self, text: str, vector: NDArray[np.float32]) -> IntentReading:
        """Read one utterance, given with its sentence vector of L2 norm 1."""
        if not self._names:
            return IntentReading((), 0.0, self._threshold)
        views = [(_LEXICAL, self._lexical.scores(text))]
        if self._ngrams is not None:
            views.append((_NGRAMS, self._ngrams.scores(text)))
        probability = _softmax(_mixed(self._head.logits(vector), views))
        order = np.argsort(-probability, kind="stable")
        best = int(order[0])
        gate = self._head.nearness(vector, best) * float(probability[best]) ** _ROOT
        ranked = tuple(IntentMatch(self._names[i], float(probability[i])) for i in order)
        return IntentReading(ranked, gate, self._threshold)


def fit_intents(
    intents: Sequence[Intent], vectors: Vectors, names: Vectors | None = None
) -> dict[str, NDArray[Any]]:
    """Fit the classifier and set its threshold. Deterministic.

    Args:
        intents: intents without examples are never read.
        vectors: of every example, intent after intent, shape (examples, dimension); rows of L2 norm 1.
        names: of `name_texts(intents)`; each then counts as one more example for the regression.

    Raises: ValueError: the number of vectors is not the number of examples (or of intents, for `names`).
    """
    known = [intent for intent in intents if intent.examples]
    owners = _owners(known)
    if len(vectors) != len(owners) or (names is not None and len(names) != len(intents)):
        raise ValueError(f"{len(vectors)} vectors for {len(owners)} examples of {len(intents)} intents")
    examples = np.ascontiguousarray(vectors, np.float32)
    extra = None
    if names is not None:
        extra = np.asarray(names, np.float32)[[bool(intent.examples) for intent in intents]]
    ngrams = None
    if len(known) > 1 and len(owners) >= _MANY_EXAMPLES * len(known):
        ngrams = fit_ngrams([text for intent in known for text in intent.examples], owners, len(known))
    weights, bias = _regression(examples, owners, len(known), extra)
    arrays: dict[str, NDArray[Any]] = {
        "weights": weights,
        "bias": bias,
        "vectors": examples,
        "threshold": np.array(_threshold(known, examples, owners, extra), np.float32),
    }
    return {**arrays, **(ngrams.to_arrays() if ngrams else {})}


def name_texts(intents: Sequence[Intent]) -> list[str]:
    """What to embed as the names of intents: the name in words, then the description."""
    return [
        ". ".join(filter(None, [" ".join(words(intent.name.replace("_", " "))), intent.description]))
        for intent in intents
    ]


def close_calls(reading: IntentReading, ratio: float = 0.5) -> tuple[IntentMatch, ...]:
    """The two or three intents worth asking back about; empty if the first stands alone or is out of scope.

    Args:
        reading: of the utterance.
        ratio: of an intent's probability to the best one's from which it counts as close.
    """
    if not reading.in_scope:
        return ()
    floor = ratio * reading.ranked[0].probability
    close = tuple(match for match in reading.ranked[:3] if match.probability >= floor)
    return close if len(close) > 1 else ()


class _Head:
    """Regression and examples of a set of intents."""

    def __init__(self, weights: Vectors, bias: Vectors, vectors: Vectors, owners: NDArray[np.intp]) -> None:
        self._weights, self._bias, self._vectors = weights, bias, vectors
        self._starts = np.searchsorted(owners, np.arange(len(weights) + 1))
        sums = np.add.reduceat(vectors, self._starts[:-1], axis=0) if len(weights) else vectors
        self._centroids = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-9)

    def logits(self, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logit of each intent."""
        return self._weights @ vector + self._bias

    def nearness(self, vector: NDArray[np.float32], intent: int) -> float:
        """Half the cosine to the intent's centroid, half the mean cosine to its nearest examples; 0 at least."""
        cosines = self._vectors[self._starts[intent] : self._starts[intent + 1]] @ vector
        nearest = np.sort(cosines)[-_NEIGHBOURS:].mean()
        return max(0.0, float(0.5 * (self._centroids[intent] @ vector) + 0.5 * nearest))


class _LexicalView:
    """BM25 score of the best example of each intent."""

    def __init__(self, intents: Sequence[Intent]) -> None:
        tokens = [_stems(text) for intent in intents for text in intent.examples]
        owners = _owners(intents)
        self._starts = np.searchsorted(owners, np.arange(len(intents)))
        self._size = len(intents)
        self._index: bm25s.BM25 | None = None
        if any(tokens):
            self._index = bm25s.BM25()
            self._index.index(tokens, show_progress=False)

    def scores(self, text: str) -> NDArray[np.float32]:
        if self._index is None:
            return np.zeros(self._size, np.float32)
        known = [stem for stem in _stems(text) if stem in self._index.vocab_dict]
        if not known:
            return np.zeros(self._size, np.float32)
        scores = np.asarray(self._index.get_scores(known), np.float32)
        best: NDArray[np.float32] = np.maximum.reduceat(scores, self._starts)
        return best


def _stems(text: str) -> list[str]:
    """Stemmed words; scripts without a stemmer come through as they are."""
    return list(Stemmer.Stemmer("english").stemWords(words(text)))  # a stemmer is cheap, but not thread-safe


def _owners(intents: Sequence[Intent]) -> NDArray[np.intp]:
    """Number of the intent of each example, ascending."""
    return np.repeat(np.arange(len(intents)), [len(intent.examples) for intent in intents]).astype(np.intp)


def _mixed(
    logits: NDArray[np.float32], views: Sequence[tuple[float, NDArray[np.float32]]]
) -> NDArray[np.float32]:
    """Logits with the other views added, each scaled to the logits' spread."""
    spread = logits.std()
    mixed = logits.astype(np.float32)
    for weight, scores in views:
        mixed = mixed + weight * spread * (scores - scores.mean()) / (scores.std() + 1e-9)
    return mixed


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    powers = np.exp((logits - logits.max()).astype(np.float64))
    shares: NDArray[np.float64] = powers / powers.sum()
    return shares


def _regression(
    vectors: Vectors, owners: NDArray[np.intp], count: int, names: Vectors | None
) -> tuple[Vectors, Vectors]:
    """Multinomial logistic regression. Returns: weights (count, dimension) and bias (count,)."""
    if count < 2:
        return np.zeros((count, vectors.shape[1]), np.float32), np.zeros(count, np.float32)
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    if names is not None:
        vectors, owners = np.concatenate([vectors, names]), np.concatenate([owners, np.arange(count)])
    with threadpool_limits(1):  # more threads only wait for each other on matrices of this size
        fitted = LogisticRegression(C=_C, max_iter=_ITERATIONS, tol=_TOLERANCE).fit(vectors, owners)
    weights, bias = fitted.coef_, fitted.intercept_
    if count == 2:  # one row for the second class against the first
        weights, bias = np.concatenate([-weights, weights]) / 2, np.concatenate([-bias, bias]) / 2
    return np.ascontiguousarray(weights, np.float32), np.ascontiguousarray(bias, np.float32)


def _threshold(
    intents: Sequence[Intent], vectors: Vectors, owners: NDArray[np.intp], names: Vectors | None
) -> float:
    """Gate value that keeps `KEPT_IN_SCOPE` of held-out examples, whether they are read rightly or not."""
    gates: list[float] = []
    for held in _held_out(owners):
        kept = ~held
        weights, bias = _regression(vectors[kept], owners[kept], len(intents), names)
        head = _Head(weights, bias, vectors[kept], owners[kept])
        for vector in vectors[held]:
            probability = _softmax(head.logits(vector))
            best = int(probability.argmax())
            gates.append(head.nearness(vector, best) * float(probability[best]) ** _ROOT)
    return float(np.quantile(gates, 1 - KEPT_IN_SCOPE)) if gates else 0.0


def _held_out(owners: NDArray[np.intp]) -> list[NDArray[np.bool_]]:
    """Masks of the examples held out in each fold; every intent keeps examples to learn from."""
    place = np.arange(len(owners)) - np.searchsorted(owners, owners)
    size = np.bincount(owners)[owners] if len(owners) else owners
    folds = 1 if len(owners) >= _ONE_FOLD_FROM else _FOLDS
    masks = [(place % _FOLDS == fold) & (size > 1) for fold in range(folds)]
    return [mask for mask in masks if mask.any()]
