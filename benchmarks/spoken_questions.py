"""What it costs to speak instead of typing: R@1 of the same questions typed, heard, and with shop words put right.

    python -m benchmarks.spoken_questions ../shared/corpus/{bistro,clinic}.examples.jsonl \\
        --knowledge '../shared/corpus/{name}.passages.jsonl' [--model DIR] [--limit 60]

Needs the speech engines of the voices that the shipped model was not trained on (docs/training.md, Voice). They take
turns, as fast and as high as drawn. JSON lines: one for each way of asking, over all files, and by voice.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
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


@dataclass(frozen=True, slots=True)
class Spoken:
    """A question as a voice said it: in every way of asking, with the words said and the errors in them."""

    voice: str
    asked: tuple[Question, ...]
    words: int
    errors: int


def heard(
    questions: Sequence[Question], recognizer: VoskRecognizer, right: Callable[..., str]
) -> Iterator[Spoken]:
    """Have each question spoken and recognised; what an engine cannot say is left out."""
    for question, voice in zip(questions, itertools.cycle(VOICES), strict=False):
        said = spoken_words(question.text)
        content = spoken(" ".join(said), voice, question.id)
        if content is None:
            continue
        transcript = transcribe(content, recognizer, "en", Plain().correct).transcript
        texts = (question.text, transcript.raw, right(transcript.words))
        asked = tuple(replace(question, text=text) for text in texts)
        yield Spoken(voice, asked, len(said), distance(spoken_words(transcript.raw), said))


def figures(way: str, found: Sequence[tuple[Spoken, tuple[Answered, ...]]]) -> dict[str, float]:
    """R@1, and of what was heard the word error rate."""
    answered = [answers[WAYS.index(way)] for _, answers in found]
    made = {"n": len(found), "r_at_1": round(question_figures(answered)["retrieval"]["r_at_1"], 4)}
    if way == "heard":
        errors, words = sum(one.errors for one, _ in found), sum(one.words for one, _ in found)
        made["wer"] = round(errors / words, 4)
    return made


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
    found: list[tuple[Spoken, tuple[Answered, ...]]] = []
    with contextlib.closing(Bases(settings, arguments.knowledge)) as bases:
        for path in arguments.files:
            questions = [
                question
                for question in parse_questions(read_text(path), path)
                if question.passages and question.kind != Kind.UNANSWERABLE and question.text.strip()
            ]
            engine = bases.engine(path)
            corrector = build_corrector(engine.knowledge, recognizer.vocabulary(), "en")
            said = list(heard(spread(questions, arguments.limit), recognizer, corrector.correct))
            answers = [
                asyncio.run(ask_all(engine, listed, 0.05, replies=False, path=path, step=lambda: None))
                for listed in zip(*(one.asked for one in said), strict=True)
            ]
            found += zip(said, zip(*answers, strict=True), strict=True)
    for way in WAYS:
        line = {"benchmark": f"spoken questions, {way}", "model": model.name, **figures(way, found)}
        line["by_voice"] = {
            voice: figures(way, [item for item in found if item[0].voice == voice])
            for voice in dict.fromkeys(one.voice for one, _ in found)
        }
        print(json.dumps({**line, "signature": signature()}), flush=True)


if __name__ == "__main__":
    main()
