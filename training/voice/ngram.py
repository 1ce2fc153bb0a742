"""A Kneser-Ney trigram model, pruned, in numpy; and as an acceptor for OpenFst's compiler.

Interpolated Kneser-Ney (Chen and Goodman 1998) with one discount an order from the counts of counts, for each source
of text by itself; the sources are mixed with shares under which held-out sentences are likeliest. Trigrams and
bigrams are pruned by how much they change the likelihood of the text (Seymore and Rosenfeld 1996), and back-off
weights are then computed anew, so that every context's probabilities add up to one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.int64]
Reals = NDArray[np.float64]

_BITS = 20  # of a word's number
_MASK = (1 << _BITS) - 1
BEGIN, END, UNKNOWN = 0, 1, 2
_FIRST = 3
_ROUNDS = 50  # of expectation maximisation


@dataclass(frozen=True, slots=True)
class Model:
    """Log probabilities of n-grams, natural, and back-off weights of their contexts.

    An n-gram's key holds its words' numbers, the last in the lowest bits. `probabilities[n]` and `keys[n]` are of
    n-grams of n + 1 words, sorted by key; `backoffs[n]` are those of the same n-grams as contexts, 0 where they
    are none.
    """

    words: tuple[str, ...]
    keys: tuple[Keys, ...]
    probabilities: tuple[Reals, ...]
    backoffs: tuple[Reals, ...]

    def number(self, word: str) -> int:
        """A word's number; that of unknown words if it has none."""
        return self._numbers().get(word, UNKNOWN)

    def _numbers(self) -> dict[str, int]:
        return {word: place + _FIRST for place, word in enumerate(self.words)}

    def log_probability(self, context: Sequence[int], word: int) -> float:
        """Of a word after at most two others."""
        order = len(self.keys)
        context = context[-(order - 1) :]
        weight = 0.0
        while True:
            place = _find(self.keys[len(context)], _key([*context, word]))
            if place >= 0:
                return weight + float(self.probabilities[len(context)][place])
            if not context:
                return -math.inf
            place = _find(self.keys[len(context) - 1], _key(context))
            if place >= 0:
                weight += float(self.backoffs[len(context) - 1][place])
            context = context[1:]

    def perplexity(self, sentences: Iterable[Sequence[str]]) -> tuple[float, float]:
        """Perplexity without unknown words, and the share of those."""
        numbers = self._numbers()
        total, count, unknown = 0.0, 0, 0
        for words in sentences:
            row = [BEGIN, *(numbers.get(word, UNKNOWN) for word in words), END]
            for at in range(1, len(row)):
                if row[at] == UNKNOWN:
                    unknown += 1
                    continue
                known = row[max(0, at - 2) : at]
                while UNKNOWN in known:
                    known = known[known.index(UNKNOWN) + 1 :]
                total -= self.log_probability(known, row[at])
                count += 1
        return math.exp(total / max(count, 1)), unknown / max(count + unknown, 1)


def _key(numbers: Sequence[int]) -> int:
    key = 0
    for number in numbers:
        key = key << _BITS | number
    return key


def _find(keys: Keys, key: int) -> int:
    place = int(np.searchsorted(keys, key))
    return place if place < len(keys) and keys[place] == key else -1


def _places(keys: Keys, wanted: Keys) -> NDArray[np.int64]:
    """Where each wanted key is; all are there."""
    places = np.searchsorted(keys, wanted)
    if len(wanted) and not np.array_equal(keys[np.minimum(places, len(keys) - 1)], wanted):
        raise ValueError("an n-gram's context or ending is missing")
    return places


Sentences = Mapping[str, Sequence[Sequence[str]]]  # by source


def estimate(
    sentences: Sentences, words: Sequence[str], most: tuple[int, int], shares: Mapping[str, float]
) -> Model:
    """Smooth each source by itself, mix, prune.

    Args:
        sentences: what is said, by source. Words that are not known end the context.
        words: the vocabulary.
        most: how many bigrams and trigrams to keep.
        shares: of the sources in the mixture; they add up to one.
    """
    parts = {source: _Part(said, words) for source, said in sentences.items() if shares[source] > 0}
    known = np.array([END, *range(_FIRST, len(words) + _FIRST)], np.int64)
    bigrams, trigrams = (
        np.unique(np.concatenate([part.keys[order] for part in parts.values()])) for order in (1, 2)
    )
    one, two, three = (np.zeros(len(keys)) for keys in (known, bigrams, trigrams))
    # how often each stands in a text of the mixture, for pruning
    seen_two, seen_three = np.zeros(len(bigrams)), np.zeros(len(trigrams))
    for source, part in parts.items():
        one += shares[source] * part.chances(known, 0)
        two += shares[source] * part.chances(bigrams, 1)
        three += shares[source] * part.chances(trigrams, 2)
        seen_two[_places(bigrams, part.keys[1])] += shares[source] * part.counts[1] / part.size
        seen_three[_places(trigrams, part.keys[2])] += shares[source] * part.counts[2] / part.size

    lower = two[_places(bigrams, trigrams & (_MASK << _BITS | _MASK))]
    kept_three = np.sort(_largest(seen_three * np.log(np.maximum(three / lower, 1)), most[1]))
    needed = np.zeros(len(bigrams), bool)
    needed[_places(bigrams, trigrams[kept_three] >> _BITS)] = True  # a context must be there itself
    gain = seen_two * np.abs(np.log(two / one[_places(known, bigrams & _MASK)]))
    gain[needed] = np.inf
    kept_two = np.sort(_largest(gain, max(most[0], int(needed.sum()))))
    return _backed_off(
        tuple(words), known, one, bigrams[kept_two], two[kept_two], trigrams[kept_three], three[kept_three]
    )


def best_shares(
    sentences: Sentences, words: Sequence[str], held_out: Sequence[tuple[float, Sequence[Sequence[str]]]]
) -> dict[str, float]:
    """Shares of the sources under which held-out sentences are likeliest (expectation maximisation).

    Args: held_out: sets of sentences, and what each counts, however many sentences it has; together one.
    """
    parts = {source: _Part(said, words) for source, said in sentences.items()}
    chances, weights = [], []
    for importance, said in held_out:
        rows = _Part(said, words)
        begun = rows.keys[1][rows.keys[1] >> _BITS == BEGIN]
        both = [
            np.concatenate([part.chances(begun, 1), part.chances(rows.keys[2], 2)]) for part in parts.values()
        ]
        count = np.concatenate([rows.counts[1][rows.keys[1] >> _BITS == BEGIN], rows.counts[2]])
        chances.append(np.array(both))
        weights.append(importance * count / count.sum())
    table, weight = np.concatenate(chances, 1), np.concatenate(weights)
    shares = np.full(len(parts), 1 / len(parts))
    for _ in range(_ROUNDS):
        joint = shares[:, None] * table
        shares = (joint / joint.sum(0)) @ weight
    return dict(zip(parts, (float(share) for share in shares), strict=True))


class _Part:
    """N-grams of one source: keys and counts by order, and interpolated Kneser-Ney chances from them."""

    def __init__(self, sentences: Sequence[Sequence[str]], words: Sequence[str]) -> None:
        numbers = {word: place + _FIRST for place, word in enumerate(words)}
        stream: list[int] = []
        for said in sentences:
            stream += [BEGIN, *(numbers.get(word, UNKNOWN) for word in said), END]
        text = np.array(stream, np.int64)
        self._words = len(words) + 1  # and the end
        self.size = max(1, len(text))
        self.keys, self.counts = zip(*(_count(text, order) for order in (1, 2, 3)), strict=True)
        bigrams = _continued(self.keys[2], self.keys[1], self.counts[1])
        singles = np.bincount(self.keys[1] & _MASK, minlength=len(words) + _FIRST).astype(np.float64)
        every = np.arange(len(singles), dtype=np.int64)
        self._levels = tuple(
            _Level(keys, counts)
            for keys, counts in (
                (every[singles > 0], singles[singles > 0]),
                (self.keys[1], bigrams),
                (self.keys[2], self.counts[2]),
            )
        )

    def chances(self, keys: Keys, order: int) -> Reals:
        """Of the last words of n-grams after the others; `order` is 0 for single words."""
        level = self._levels[order]
        if order == 0:
            lower = np.full(len(keys), 1 / self._words)
        else:
            endings, where = np.unique(
                keys & (_MASK if order == 1 else _MASK << _BITS | _MASK), return_inverse=True
            )
            lower = self.chances(endings, order - 1)[where]
        return level.chances(keys, lower)


class _Level:
    """Counts of one order, discounted."""

    def __init__(self, keys: Keys, counts: Reals) -> None:
        self._keys, self._discount = keys, _discount(counts)
        self._counts = np.maximum(counts - self._discount, 0)
        self._contexts, where = np.unique(keys >> _BITS, return_inverse=True)
        self._totals = np.bincount(where, counts, len(self._contexts))
        self._left = np.bincount(where, counts - self._counts, len(self._contexts))

    def chances(self, keys: Keys, lower: Reals) -> Reals:
        """Of n-grams, seen or not, given those of their endings."""
        places, there = _looked_up(self._keys, keys)
        contexts, known = _looked_up(self._contexts, keys >> _BITS)
        counts = np.where(there, self._counts[places], 0.0)
        totals = np.where(known, self._totals[contexts], 1.0)
        left = np.where(known, self._left[contexts], 1.0)
        return (counts + left * lower) / totals


def _looked_up(keys: Keys, wanted: Keys) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """A place for each wanted key, and whether it is there."""
    if not len(keys):
        raise ValueError("a source without sentences")
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return places, keys[places] == wanted


def _count(text: Keys, order: int) -> tuple[Keys, Reals]:
    """N-grams within sentences and without unknown words, and how often they stand there."""
    if order == 1:
        return np.zeros(0, np.int64), np.zeros(0)
    columns = [text[place : len(text) - order + 1 + place] for place in range(order)]
    fine = np.ones(len(columns[0]), bool)
    for place, column in enumerate(columns):
        fine &= column != UNKNOWN
        if place:
            fine &= column != BEGIN
        if place < order - 1:
            fine &= column != END
    keys = columns[0][fine]
    for column in columns[1:]:
        keys = keys << _BITS | column[fine]
    found, counts = np.unique(keys, return_counts=True)
    return found, counts.astype(np.float64)


def _continued(above: Keys, keys: Keys, counts: Reals) -> Reals:
    """In how many contexts an n-gram stands; at the beginning of a sentence, how often."""
    endings, contexts = np.unique(above & (_MASK << _BITS | _MASK), return_counts=True)
    found = counts.copy()
    inside = keys >> _BITS != BEGIN
    places = np.searchsorted(endings, keys)
    there = (places < len(endings)) & (endings[np.minimum(places, len(endings) - 1)] == keys)
    found[inside & there] = contexts[places[inside & there]]
    found[inside & ~there] = 1
    return found


def _discount(counts: Reals) -> float:
    once, twice = int(np.count_nonzero(counts == 1)), int(np.count_nonzero(counts == 2))
    return float(np.clip(once / max(once + 2 * twice, 1), 0.3, 0.9))


def _largest(values: Reals, most: int) -> NDArray[np.int64]:
    if len(values) <= most:
        return np.arange(len(values))
    return np.argpartition(-values, most)[:most]


def _backed_off(
    words: tuple[str, ...],
    known: Keys,
    one: Reals,
    keys_two: Keys,
    two: Reals,
    keys_three: Keys,
    three: Reals,
) -> Model:
    singles = np.arange(len(words) + _FIRST, dtype=np.int64)
    single = np.full(len(singles), -np.inf)
    single[known] = np.log(one)
    after_one = _weights(singles, keys_two, two, known, one)
    after_two = _weights(keys_two, keys_three, three, keys_two, two, singles, after_one, known, one)
    return Model(
        words,
        (singles, keys_two, keys_three),
        (single, np.log(two), np.log(three)),
        (after_one, after_two, np.zeros(len(keys_three))),
    )


def _weights(
    contexts: Keys,
    keys: Keys,
    values: Reals,
    lower_keys: Keys,
    lower: Reals,
    shorter: Keys | None = None,
    shorter_weights: Reals | None = None,
    known: Keys | None = None,
    one: Reals | None = None,
) -> Reals:
    """Log back-off weights: what is left over what the lower order would give to the same words."""
    where = _places(contexts, keys >> _BITS)
    explicit = np.bincount(where, values, len(contexts))
    if shorter is None or shorter_weights is None or known is None or one is None:
        below = lower[_places(lower_keys, keys & _MASK)]
    else:
        endings = keys & (_MASK << _BITS | _MASK)
        places = np.minimum(np.searchsorted(lower_keys, endings), len(lower_keys) - 1)
        backed = (
            np.exp(shorter_weights[_places(shorter, endings >> _BITS)]) * one[_places(known, keys & _MASK)]
        )
        below = np.where(lower_keys[places] == endings, lower[places], backed)
    covered = np.bincount(where, below, len(contexts))
    used = np.bincount(where, minlength=len(contexts)) > 0
    weights = np.zeros(len(contexts))
    weights[used] = np.log(np.maximum(1 - explicit[used], 1e-7) / np.maximum(1 - covered[used], 1e-7))
    return weights


def write_acceptor(model: Model, path: Path, labels: Sequence[int]) -> tuple[int, int]:
    """Write the model as text for fstcompile; `labels` are the words' labels in order of the vocabulary.

    A state for each context; falling back costs the back-off weight and reads nothing.
    Returns: how many states and arcs.
    """
    label_of = np.array([0] * _FIRST + list(labels), np.int64)
    contexts = [np.unique(keys >> _BITS) for keys in model.keys[1:]]
    pairs = contexts[1]
    # OpenFst's n-gram type wants the shorter context of each context, even one that nothing is known of
    singles = np.union1d(np.union1d(contexts[0], pairs & _MASK), [BEGIN])
    # state 0 knows nothing, then come the contexts of one word, then those of two
    state_of_single = np.zeros(len(label_of), np.int64)
    state_of_single[singles] = 1 + np.arange(len(singles))
    first_pair = 1 + len(singles)

    def reached(words: Keys, keys: Keys) -> Keys:
        """The state after an n-gram: its last two words if they are a context, else the last, else none."""
        if len(pairs) == 0:
            return state_of_single[words]
        places = np.minimum(np.searchsorted(pairs, keys), len(pairs) - 1)
        return np.where(pairs[places] == keys, first_pair + places, state_of_single[words])

    lines: list[tuple[int, int, int, float]] = []
    finals: list[tuple[int, float]] = []
    for order, keys in enumerate(model.keys):
        values = model.probabilities[order]
        words = keys & _MASK
        sources: Keys = np.zeros(len(keys), np.int64)
        if order == 1:
            sources = state_of_single[keys >> _BITS]
        elif order == 2:
            sources = first_pair + _places(pairs, keys >> _BITS)
        targets = state_of_single[words] if order == 0 else reached(words, keys & (_MASK << _BITS | _MASK))
        said = (words >= _FIRST) & np.isfinite(values)
        lines += zip(
            sources[said].tolist(),
            targets[said].tolist(),
            label_of[words[said]].tolist(),
            (-values[said]).tolist(),
            strict=True,
        )
        ends = words == END
        finals += zip(sources[ends].tolist(), (-values[ends]).tolist(), strict=True)
    for place, word in enumerate(singles.tolist()):
        lines.append((1 + place, 0, 0, -float(model.backoffs[0][word])))
    weights = model.backoffs[1][_places(model.keys[1], pairs)]
    for place, (key, weight) in enumerate(zip(pairs.tolist(), weights.tolist(), strict=True)):
        lines.append((first_pair + place, int(state_of_single[key & _MASK]), 0, -weight))
    start = int(state_of_single[BEGIN])
    lines.sort(key=lambda line: (line[0] != start, line[0], line[2]))  # the compiler starts at the first line
    with path.open("w", encoding="ascii") as file:
        file.writelines(f"{a}\t{b}\t{word}\t{word}\t{cost:.4f}\n" for a, b, word, cost in lines)
        file.writelines(f"{state}\t{cost:.4f}\n" for state, cost in finals)
    return first_pair + len(pairs), len(lines)
