"""What it costs to speak instead of typing: R@1 of the same questions typed, heard, and with shop words put right.

    python -m benchmarks.spoken_questions ../shared/corpus/{bistro,clinic}.examples.jsonl \\
        --knowledge '../shared/corpus/{name}.passages.jsonl' [--model DIR] [--limit 60]

Needs the speech engines of the voices that the shipped model was not trained on (docs/training.md, Voice). They take
turns, as fast and as high as drawn. JSON lines: one for each way of asking, over all files.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from assistant.app import speech_models
from assistant.backends.vosk_recognizer import VoskRecognizer
from assistant.cli.common import read_settings
from assistant.cli.evaluate import Bases
from assistant.evaluation.files import Kind, Question, parse_questions, read_text, spread
from assistant.evaluation.questions import Answered, ask_all, question_figures
from assistant.evaluation.speech import distance
from assistant.voice.correction import Plain, build_corrector
from assistant.voice.files import transcribe
from assistant.voice.shop_words import spoken_words
from benchmarks.signature import signature
from benchmarks.synthesis import VOICES, lacking, spoken

WAYS = ("typed", "heard", "put right")


def heard(
    questions: Sequence[Question], recognizer: VoskRecognizer, right: Callable[..., str]
) -> tuple[dict[str, list[Question]], int, int]:
    """Each question in every way of asking, the words that were said and the errors in them."""
    voices = itertools.cycle(VOICES)
    asked: dict[str, list[Question]] = {way: [] for way in WAYS}
    words = errors = 0
    for question in questions:
        said = spoken_words(question.text)
        content = spoken(" ".join(said), next(voices), question.id)
        if content is None:
            continue
        transcript = transcribe(content, recognizer, "en", Plain().correct).transcript
        texts = (question.text, transcript.raw, right(transcript.words))
        for way, text in zip(WAYS, texts, strict=True):
            asked[way].append(replace(question, text=text))
        words += len(said)
        errors += distance(spoken_words(transcript.raw), said)
    return asked, words, errors


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", type=Path, help="labelled questions (docs/evaluation.md)")
    parser.add_argument("--knowledge", required=True, help="as of assistant evaluate")
    parser.add_argument("--model", type=Path, help="Vosk model folder; by default the one of the settings")
    parser.add_argument("--limit", type=int, default=60, help="questions a file, at most")
    arguments = parser.parse_args()
    settings = read_settings(0)
    model = arguments.model or speech_models(settings).get("en")
    if model is None:
        parser.error("there is no speech model; name one with --model")
    if missing := lacking():
        parser.error(f"not installed: {missing}; docs/training.md, section Voice, names the packages")
    recognizer = VoskRecognizer(model)
    answered: dict[str, list[Answered]] = {way: [] for way in WAYS}
    words = errors = 0
    with contextlib.closing(Bases(settings, arguments.knowledge)) as bases:
        for path in arguments.files:
            questions = [
                question
                for question in parse_questions(read_text(path), path)
                if question.passages and question.kind != Kind.UNANSWERABLE and question.text.strip()
            ]
            engine = bases.engine(path)
            corrector = build_corrector(engine.knowledge, recognizer.vocabulary(), "en")
            asked, said, wrong = heard(spread(questions, arguments.limit), recognizer, corrector.correct)
            words, errors = words + said, errors + wrong
            for way, listed in asked.items():
                found = asyncio.run(
                    ask_all(engine, listed, 0.05, replies=False, path=path, step=lambda: None)
                )
                answered[way] += found
    for way, items in answered.items():
        figures = {"r_at_1": question_figures(items)["retrieval"]["r_at_1"]}
        if way == "heard":
            figures["wer"] = errors / words
        line = {"benchmark": f"spoken questions, {way}", "model": model.name, "n": len(items)}
        line |= {name: round(value, 4) for name, value in figures.items()}
        print(json.dumps({**line, "signature": signature()}), flush=True)


if __name__ == "__main__":
    main()
