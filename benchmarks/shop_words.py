"""What putting a shop's own words right is worth: questions spoken by synthesis, with and without. JSON lines.

    python -m benchmarks.shop_words [--model DIR] [--knowledge knowledge] [--questions FILE.jsonl] [--limit 100]

Needs the speech engines of the voices that the shipped model was not trained on (docs/training.md, Voice). For every
product of the catalogue two questions are spoken, by voices in turn; `--questions` names a file of labelled questions
(docs/evaluation.md) that have nothing to do with the products, to see whether they are left alone.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from assistant.app import speech_models
from assistant.backends.vosk_recognizer import VoskRecognizer
from assistant.config import Settings
from assistant.evaluation.speech import distance
from assistant.ingestion.reading import read_knowledge
from assistant.ingestion.sources import Findings, collect_sources
from assistant.records import Knowledge
from assistant.voice.correction import Plain, build_corrector
from assistant.voice.files import transcribe
from assistant.voice.shop_words import spoken_words
from benchmarks.signature import signature
from benchmarks.synthesis import VOICES, lacking, spoken

TEMPLATES = (
    "what does the {} cost",
    "is the {} in stock",
    "can i return a {}",
    "tell me about the {}",
    "how big is the {}",
    "do you have the {} in white",
    "when will my {} arrive",
)


@dataclass
class Tally:
    """Word errors of sentences, and how often the name's first word was heard."""

    sentences: int = 0
    words: int = 0
    errors: int = 0
    errors_raw: int = 0
    named: int = 0
    named_raw: int = 0
    made_worse: int = 0
    made_better: int = 0

    def count(self, said: Sequence[str], raw: Sequence[str], heard: Sequence[str], name: str) -> None:
        """Add a sentence; `name` may be empty."""
        before, after = distance(raw, said), distance(heard, said)
        self.sentences += 1
        self.words += len(said)
        self.errors += after
        self.errors_raw += before
        self.named += bool(name) and name in heard
        self.named_raw += bool(name) and name in raw
        self.made_worse += after > before
        self.made_better += after < before

    def figures(self) -> dict[str, float]:
        """Rates."""
        return {
            "sentences": self.sentences,
            "wer": round(self.errors / self.words, 4),
            "wer_raw": round(self.errors_raw / self.words, 4),
            "names_heard": round(self.named / self.sentences, 4),
            "names_heard_raw": round(self.named_raw / self.sentences, 4),
            "made_better": self.made_better,
            "made_worse": self.made_worse,
        }


def product_questions(knowledge: Knowledge, limit: int) -> Iterator[tuple[str, str]]:
    """Questions naming products, and the word of the name that tells it from others."""
    templates = itertools.cycle(TEMPLATES)
    for product in knowledge.products[:limit]:
        spoken = spoken_words(product.name)
        for _ in range(2):
            yield next(templates).format(" ".join(spoken)), spoken[0]


def other_questions(file: Path, limit: int) -> Iterator[tuple[str, str]]:
    """Questions without numbers, which voices read each in their own way."""
    found = (json.loads(line)["question"] for line in file.read_text("utf-8").splitlines())
    plain = (text for text in found if not any(letter.isdigit() for letter in text) and len(text) < 90)
    for text in itertools.islice(plain, limit):
        yield " ".join(spoken_words(text)), ""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, help="Vosk model folder; by default the one of the settings")
    parser.add_argument("--knowledge", type=Path, default=Path("knowledge"))
    parser.add_argument("--questions", type=Path, help="labelled questions without products")
    parser.add_argument("--limit", type=int, default=100, help="products, and other questions, at most")
    arguments = parser.parse_args()
    model = arguments.model or speech_models(Settings()).get("en")
    if model is None:
        parser.error("there is no speech model; name one with --model")
    if missing := lacking():
        parser.error(f"not installed: {missing}; docs/training.md, section Voice, names the packages")
    findings = Findings()
    knowledge = read_knowledge(collect_sources([arguments.knowledge], findings), findings).knowledge
    recognizer = VoskRecognizer(model)
    corrector = build_corrector(knowledge, recognizer.vocabulary(), "en")
    sets = {"products": product_questions(knowledge, arguments.limit)}
    if arguments.questions:
        sets["other questions"] = other_questions(arguments.questions, arguments.limit)
    voices = itertools.cycle(VOICES)
    for name, questions in sets.items():
        tally = Tally()
        for text, product in questions:
            content = spoken(text, next(voices), text)
            if content is None:
                continue
            heard = transcribe(content, recognizer, "en", Plain().correct).transcript
            corrected = corrector.correct(heard.words)
            tally.count(text.split(), spoken_words(heard.raw), spoken_words(corrected), product)
        line = {"benchmark": f"shop words, {name}", "model": model.name, **tally.figures()}
        print(json.dumps({**line, "signature": signature()}), flush=True)


if __name__ == "__main__":
    main()
