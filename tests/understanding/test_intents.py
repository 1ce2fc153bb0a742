"""Reading intents, on vectors whose geometry is known and on the real encoder."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.backends.onnx_encoder import OnnxEmbedder
from assistant.records import Intent, IntentMatch, IntentReading
from assistant.understanding import intents as module
from assistant.understanding.intents import IntentModel, close_calls, fit_intents, name_texts

ROOT = Path(__file__).parents[2]


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows of norm 1, float32."""
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def clusters(
    intents: int, examples: int, dimension: int = 16, seed: int = 0
) -> tuple[list[Intent], np.ndarray]:
    """Intents whose examples lie around a centre of their own, with a word of their own."""
    draw = np.random.default_rng(seed)
    centres = draw.normal(size=(intents, dimension))
    rows = np.repeat(centres, examples, axis=0) + 0.3 * draw.normal(size=(intents * examples, dimension))
    known = [
        Intent(f"intent{i}", tuple(f"topic{i} example {j}" for j in range(examples))) for i in range(intents)
    ]
    return known, unit(rows)


def test_examples_are_read_as_their_own_intent() -> None:
    """Well separated intents are read without error, as probabilities that sum to one."""
    known, vectors = clusters(5, 8)
    model = IntentModel(known, fit_intents(known, vectors))
    texts = [text for intent in known for text in intent.examples]
    for place, (text, vector) in enumerate(zip(texts, vectors, strict=True)):
        reading = model.read(text, vector)
        assert reading.ranked[0].name == f"intent{place // 8}"
        assert sum(match.probability for match in reading.ranked) == pytest.approx(1.0)
        assert [m.probability for m in reading.ranked] == sorted(
            (m.probability for m in reading.ranked), reverse=True
        )


def test_threshold_keeps_examples_and_refuses_the_opposite() -> None:
    """Without any out-of-scope data the threshold keeps its own and refuses a far vector."""
    known, vectors = clusters(6, 12)
    model = IntentModel(known, fit_intents(known, vectors))
    kept = np.mean([model.read("", vector).in_scope for vector in vectors])
    assert kept >= 0.9
    assert not model.read("", unit(-vectors.sum(axis=0, keepdims=True))[0]).in_scope


def test_words_of_an_intent_raise_its_probability() -> None:
    """The lexical view speaks for the intent whose examples share the utterance's words."""
    known, vectors = clusters(5, 6)
    model = IntentModel(known, fit_intents(known, vectors))
    between = unit((vectors[0] + vectors[6])[None])[0]

    def probability(text: str, name: str) -> float:
        return next(match.probability for match in model.read(text, between).ranked if match.name == name)

    assert probability("topic0", "intent0") > probability("topic1", "intent0") + 0.01
    assert probability("topic1", "intent1") > probability("topic0", "intent1") + 0.01


def test_fit_is_deterministic() -> None:
    """The same examples give the same arrays, bit for bit."""
    known, vectors = clusters(4, 60)
    first, second = fit_intents(known, vectors), fit_intents(known, vectors)
    assert set(first) == set(second)
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name])


def test_many_examples_bring_the_ngram_view() -> None:
    """From fifty examples an intent the n-gram view is fitted, and agrees on words it has seen."""
    known, vectors = clusters(3, 50)
    arrays = fit_intents(known, vectors)
    assert "ngram_weights" in arrays
    assert "ngram_weights" not in fit_intents(*clusters(3, 49))
    assert not any(array.dtype == object for array in arrays.values())
    model = IntentModel(known, arrays)
    assert model._ngrams is not None
    assert int(np.argmax(model._ngrams.scores("topic2 example 7"))) == 2


def test_no_intents_read_as_out_of_scope() -> None:
    """A base without intents has nothing to read."""
    arrays = fit_intents([], np.zeros((0, 16), np.float32))
    reading = IntentModel([], arrays).read("hello", np.ones(16, np.float32) / 4)
    assert reading.ranked == ()
    assert not reading.in_scope


def test_single_intent_is_kept_near_its_examples_only() -> None:
    """One intent has probability one; the gate alone decides."""
    known, vectors = clusters(1, 6)
    model = IntentModel(known, fit_intents(known, vectors))
    near, far = model.read("topic0", vectors[0]), model.read("other", -vectors[0])
    assert near.ranked == (IntentMatch("intent0", 1.0),)
    assert near.in_scope
    assert not far.in_scope


def test_intent_without_examples_is_never_read() -> None:
    """An intent that is only declared takes no share."""
    known, vectors = clusters(2, 5)
    with_empty = [known[0], Intent("empty", ()), known[1]]
    model = IntentModel(with_empty, fit_intents(with_empty, vectors))
    assert {match.name for match in model.read("topic1", vectors[-1]).ranked} == {"intent0", "intent1"}
    assert model.read("topic1", vectors[-1]).ranked[0].name == "intent1"


def test_single_example_each_is_enough() -> None:
    """One example an intent is read; there is nothing to hold out for a threshold."""
    known, vectors = clusters(3, 1)
    model = IntentModel(known, fit_intents(known, vectors))
    assert [model.read("", vector).ranked[0].name for vector in vectors] == ["intent0", "intent1", "intent2"]


def test_wrong_number_of_vectors_is_refused() -> None:
    """Vectors must belong to the examples."""
    known, vectors = clusters(2, 5)
    with pytest.raises(ValueError, match="9 vectors for 10 examples"):
        fit_intents(known, vectors[:-1])
    with pytest.raises(ValueError, match="not those"):
        IntentModel(known[:1], fit_intents(known, vectors))


def test_names_of_intents_help_where_examples_are_few() -> None:
    """A name's vector counts as an example of its intent."""
    known = [Intent("track_order", ("a",), "Where a parcel is."), Intent("refund", ("b",))]
    assert name_texts(known) == ["track order. Where a parcel is.", "refund"]
    vectors = unit(np.array([[1.0, 0.2, 0, 0], [1.0, -0.2, 0, 0]]))
    names = unit(np.array([[0, 0, 1.0, 0], [0, 0, 0, 1.0]]))
    model = IntentModel(known, fit_intents(known, vectors, names))
    assert model.read("", names[1]).ranked[0].name == "refund"
    without = IntentModel(known, fit_intents(known, vectors)).read("", names[1])
    assert without.ranked[0].probability == pytest.approx(0.5, abs=0.05)


@given(st.text(max_size=200))
@settings(max_examples=60, deadline=None)
def test_no_text_breaks_reading(text: str) -> None:
    """Whatever a customer types is read."""
    reading = _MANY.read(text, _MANY_VECTORS[0])
    assert len(reading.ranked) == 3
    assert 0 <= reading.gate <= 1


_MANY_INTENTS, _MANY_VECTORS = clusters(3, 50)
_MANY = IntentModel(_MANY_INTENTS, fit_intents(_MANY_INTENTS, _MANY_VECTORS))


def reading_of(*probabilities: float, gate: float = 1.0) -> IntentReading:
    """A reading with these probabilities, best first."""
    ranked = tuple(IntentMatch(f"i{place}", value) for place, value in enumerate(probabilities))
    return IntentReading(ranked, gate, 0.5)


@pytest.mark.parametrize(
    ("reading", "names"),
    [
        (reading_of(0.9, 0.1), []),
        (reading_of(0.4, 0.3, 0.1), ["i0", "i1"]),
        (reading_of(0.3, 0.25, 0.2, 0.19), ["i0", "i1", "i2"]),
        (reading_of(0.4, 0.3, gate=0.1), []),
        (reading_of(1.0), []),
        (IntentReading((), 0.0, 0.0), []),
    ],
)
def test_close_calls_are_the_intents_near_the_best(reading: IntentReading, names: list[str]) -> None:
    """At most three, only in scope, and never one alone."""
    assert [match.name for match in close_calls(reading)] == names


def test_chinese_words_are_read_by_the_lexical_view() -> None:
    """Scripts without spaces are matched by character."""
    known = [Intent("return", ("我想退货", "怎么退货")), Intent("invoice", ("我要发票", "开发票"))]
    scores = module._LexicalView(known).scores("退货要多久")
    assert scores[0] > scores[1]


def test_reading_needs_no_scikit_learn() -> None:
    """Serving stays light: scikit-learn is for fitting only."""
    code = (
        "import sys, assistant.understanding.intents, assistant.understanding.ngrams; "
        "sys.exit('sklearn' in sys.modules or 'scipy' in sys.modules and 2)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    assert done.returncode != 1


def test_real_utterances_find_their_intent() -> None:
    """With the real encoder paraphrases are read and small talk of another kind is refused."""
    known = [
        Intent(
            "track",
            ("where is my order", "has my parcel been sent", "track my package", "when will it arrive"),
        ),
        Intent("return", ("i want to send it back", "how do returns work", "return my lamp", "give it back")),
        Intent(
            "hours", ("when do you open", "opening hours", "are you open on sunday", "what time do you close")
        ),
    ]
    embedder = OnnxEmbedder(ROOT / "models" / "retrieval")
    vectors = embedder.embed([text for intent in known for text in intent.examples])
    model = IntentModel(known, fit_intents(known, vectors))

    def read(text: str) -> IntentReading:
        return model.read(text, embedder.embed([text])[0])

    assert read("did you ship my package already").ranked[0].name == "track"
    assert read("are you closed on saturday evening").ranked[0].name == "hours"
    assert read("who won the football match in 1974").gate < read("is the shop open today").gate


def test_fit_of_a_usual_shop_is_quick() -> None:
    """Fifty intents with fifteen examples and vectors of 384 numbers fit in seconds of processor time."""
    known, vectors = clusters(50, 15, dimension=384)
    start = time.process_time()
    fit_intents(known, vectors)
    assert time.process_time() - start < 4
