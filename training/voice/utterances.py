"""What is to be spoken by machines, by which voice, and in which part: the list is made once and kept."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.retrieval.corpus import load_split
from training.voice import engines, spoken, text
from training.voice.engines import HELD_OUT, TRAINED
from training.voice.lexicon import Dictionary
from training.voice.text import Sentence

# Names to spell that no training sentence spells.
UNHEARD_NAMES = (
    "abernathy bellweather castellano dimitriou eriksson fitzgerald gutierrez hollingsworth ibrahim jovanovic "
    "kaufmann lindqvist mcallister nakamura oconnor papadopoulos quigley rasmussen szymanski thorvald underwood "
    "vandenberg whitcombe xavier yamamoto zimmermann quentin beatrix joaquin penelope"
).split()
_SHARES = {"customers": 3000, "intents": 3000, "documents": 3000, "replies": 1000, "people": 1000}
_SAYINGS = 4500
_AGAIN = 0.6  # of the questions are spoken a second time, by another voice
_TEST_QUESTIONS = {"validation": 60, "test": 100}  # a voice
_TEST_SAYINGS = 40  # of each kind, a voice
NEURAL = "neural"  # the part that neural voices speak, to be trained on; more of it than is ever wanted
_NEURAL_COUNT = 6000
_NEURAL_SHARES = {"questions": 0.4, "customers": 0.15, "documents": 0.2, "sayings": 0.25}
_WORDS_TOGETHER = 6  # of the lists in which every word of the vocabulary is spoken


@dataclass(frozen=True, slots=True)
class Utterance:
    """One text for one voice. `kind` is the source of the text, or the test set."""

    id: str
    part: str
    kind: str
    voice: str
    text: str


def plan(
    material: Path, found: Iterable[Sentence], vocabulary: Sequence[str], dictionary: Dictionary, seed: int
) -> list[Utterance]:
    """The whole list, in random order within a part, so that any beginning of it is a fair sample."""
    rng = random.Random(seed)
    known = frozenset(vocabulary)
    by_source: dict[str, list[str]] = {}
    for sentence in found:
        if 2 <= len(sentence.words) <= 20 and known.issuperset(sentence.words):
            by_source.setdefault(sentence.source, []).append(" ".join(sentence.words))
    businesses = text.shop_businesses(material)
    asked = [
        question
        for question in text.questions(businesses)
        if len(question.split()) <= 30 and known.issuperset(question.split())
    ]
    texts = [("questions", question) for question in asked]
    texts += [("questions", question) for question in rng.sample(asked, int(_AGAIN * len(asked)))]
    for source, count in _SHARES.items():
        # sorted, for sets have no fixed order
        unique = sorted(set(by_source.get(source, [])))
        texts += [(source, said) for said in rng.sample(unique, min(count, len(unique)))]
    sayings = spoken.Sayings(rng, text.NAMES, text.products(businesses))
    texts += [("sayings", sayings.sentence()) for _ in range(_SAYINGS)]
    mixed = rng.sample(sorted(vocabulary), len(vocabulary))
    texts += [
        ("words", " ".join(mixed[at : at + _WORDS_TOGETHER])) for at in range(0, len(mixed), _WORDS_TOGETHER)
    ]
    rng.shuffle(texts)
    shares = [voice.share for voice in TRAINED]
    voices = rng.choices([voice.name for voice in TRAINED], shares, k=len(texts))
    made = [
        Utterance(f"train/{place:05d}", "train", kind, voice, said)
        for place, ((kind, said), voice) in enumerate(zip(texts, voices, strict=True))
    ]
    made += _neural(texts, random.Random(f"{seed}-{NEURAL}"))
    for part in ("validation", "test"):
        made += _tests(material, part, dictionary, random.Random(f"{seed}-{part}"))
    return made


def _neural(texts: Sequence[tuple[str, str]], rng: random.Random) -> list[Utterance]:
    """What neural voices say: drawn from what the others say."""
    of_kind = {kind: [said for other, said in texts if other == kind] for kind in _NEURAL_SHARES}
    kinds = rng.choices(list(of_kind), list(_NEURAL_SHARES.values()), k=_NEURAL_COUNT)
    return [
        Utterance(f"{NEURAL}/{place:05d}", NEURAL, kind, engines.NEURAL, rng.choice(of_kind[kind]))
        for place, kind in enumerate(kinds)
    ]


def _tests(material: Path, part: str, dictionary: Dictionary, rng: random.Random) -> list[Utterance]:
    """Voices that are not trained on say what nobody said in training; questions are of held-out businesses.

    Misspelled questions are left out: what is said cannot be compared with them. A business's own names stay.
    """
    questions = []
    for business in load_split(material / "corpus", part):
        own = {word for p in business.passages for word in spoken.words(f"{p.title} {p.text}")}
        for question in business.questions:
            said = spoken.words(question.text)
            spelled_well = all(word in dictionary or word in own for word in said)
            if question.kind not in ("social", "clarify") and 3 <= len(said) <= 30 and spelled_well:
                questions.append((question.id, " ".join(said)))
    sayings = spoken.Sayings(rng, UNHEARD_NAMES, ["it"])
    made = []
    for voice in HELD_OUT:
        chosen = [("questions", name, said) for name, said in rng.sample(questions, _TEST_QUESTIONS[part])]
        for kind, say in (("spelled", sayings.spelled), ("digits", sayings.digit_string)):
            chosen += [(kind, str(place), say()) for place in range(_TEST_SAYINGS)]
        made += [
            Utterance(f"{part}/{kind}/{name}/{voice.name}", part, kind, voice.name, said)
            for kind, name, said in chosen
        ]
    return made


def write(path: Path, utterances: Sequence[Utterance]) -> None:
    """Write the list as tab-separated lines."""
    lines = [f"{u.id}\t{u.part}\t{u.kind}\t{u.voice}\t{u.text}\n" for u in utterances]
    path.write_text("".join(lines), encoding="utf-8")


def read(path: Path) -> list[Utterance]:
    """Read what `write` wrote."""
    return [Utterance(*line.split("\t")) for line in path.read_text(encoding="utf-8").splitlines()]
