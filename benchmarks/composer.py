"""What composed replies are worth, the right passages given among distractors: `python -m benchmarks.composer`.

The questions are those of the corpus's test businesses, which no training saw. The composer, with its constraint and
its check, stands beside two baselines that are told which passages are right: the whole passages, and their sentences
that answer as the approved mode chooses them; and beside the approved mode's sentences of all passages shown.
`--page FILE` writes 40 replies into the part of a page between the marks `<!-- replies -->`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from assistant.app import LiveEngine, build_engine, run_ingest
from assistant.composer import Composer
from assistant.composition.grounding.check import GroundingCheck
from assistant.composition.quoting import SentenceScores, choose_hints, choose_sentences
from assistant.config import Settings
from assistant.evaluation.figures import percentile
from assistant.protocols import GenerationReport, GenerationRequest, Generator, Hint, Quote
from assistant.records import Message, Passage, Role, ScoredPassage, Source
from assistant.text import sentences
from training.composer import corpus, measure
from training.composer.augment import Base
from training.composer.nearest import bases

SEED = 1
SHOWN = 40
MARK = "<!-- replies -->"


@dataclass(frozen=True, slots=True)
class Item:
    """A question, and what the composer and the baselines say to it."""

    composed: measure.Composed
    request: GenerationRequest
    report: dict[str, object]
    verbatim: str
    extractive: str
    extractive_of_all: str


def run(names: Sequence[str], material: Path, settings: Settings, sessions: int) -> list[Item]:
    """Every question of the businesses."""
    composer = Composer(settings)
    try:
        found = []
        for name in names:
            business = corpus.load_business(material / "corpus", name)
            with tempfile.TemporaryDirectory() as folder:
                own = settings.model_copy(update={"data": Path(folder), "mode": "approved"})
                run_ingest(own, [material / "corpus" / f"{name}.passages.jsonl"])
                engine = build_engine(own)
                try:
                    prepared = list(_prepare(engine, bases([business])[0]))
                finally:
                    engine.close()
            with ThreadPoolExecutor(sessions) as pool:
                found += list(pool.map(lambda item: _compose(composer.generator, item), prepared))
            print(f"{name}: {len(prepared)} questions", file=sys.stderr)
        return found
    finally:
        composer.close()


def _prepare(engine: LiveEngine, base: Base) -> Iterator[Item]:
    known = {str(passage.id): passage for passage in engine.knowledge.passages}
    for example, shown, task in measure.tasks([base], SEED):
        kind = example.kind
        wanted = [p.id for p in shown if p.id in example.passages] if kind in corpus.ANSWERED else []
        history = tuple(Message(Role(role), text) for role, text in task.history)
        asked = " ".join([*(text for role, text in task.history if kind == "followup"), task.question])
        vector = engine.embedder.embed([asked])[0]
        quotes = []
        scored = engine.base.search.sentence_scores(
            [_unranked(known[passage.id]) for passage in shown],
            vector,
            asked,
            question=task.question,
            history=history,
        )
        hints = choose_hints([[SentenceScores(*score).bearing for score in scores] for _, scores in scored])
        for number, (passage, (texts, scores)) in enumerate(zip(shown, scored, strict=True), start=1):
            chosen = choose_sentences(texts, [SentenceScores(*score) for score in scores])
            quotes += [
                (Quote(number, texts[i]), passage.id, SentenceScores(*scores[i]).total) for i in chosen
            ]
        best = max((total for _, _, total in quotes), default=0.0)
        given = tuple(quote for quote, id_, _ in quotes if id_ in wanted)
        of_all = tuple(quote for quote, _, total in quotes if total >= best - 0.2)[:2]
        yield Item(
            measure.Composed(example.id, kind, task, ""),
            GenerationRequest(
                task.question,
                tuple(Source(p.id, p.title, p.text, "") for p in shown),
                of_all,
                history,
                shop=base.business.name,
                hints=tuple(Hint(at + 1, scored[at][0][place], stars) for at, place, stars in hints),
            ),
            {},
            " ".join(p.text for p in shown if p.id in wanted),
            " ".join(quote.text for quote in given),
            " ".join(quote.text for quote in of_all),
        )


def _unranked(passage: Passage) -> ScoredPassage:
    """A passage as if no search had scored it."""
    return ScoredPassage(passage, score=0.0, dense=0.0, sentence=0.0, question=0.0, lexical=0.0)


def _compose(generator: Generator, item: Item) -> Item:
    pieces: list[str] = []
    report: dict[str, object] = {}
    began, first = time.perf_counter(), 0.0
    for piece in generator.generate(item.request, threading.Event()):
        if isinstance(piece, GenerationReport):
            report = {"generated": piece.generated, **piece.detail}
        else:
            first = first or time.perf_counter()
            pieces.append(piece)
    report["first_piece_ms"] = (first - began) * 1e3
    composed = dataclasses.replace(item.composed, reply="".join(pieces).strip())
    return dataclasses.replace(item, composed=composed, report=report)


def figures(items: Sequence[Item]) -> dict[str, object]:
    """Figures of the composer beside the baselines, and what the check still finds in the replies."""
    answered = [item for item in items if item.composed.kind in corpus.ANSWERED]

    def baseline(texts: Sequence[str]) -> dict[str, float]:
        replies = [
            dataclasses.replace(item.composed, reply=text) for item, text in zip(answered, texts, strict=True)
        ]
        found = measure.figures(replies)
        return {name: found[name] for name in ("token_f1", "rouge_l", "words")}

    return {
        "composer": measure.figures([item.composed for item in items]),
        "passages verbatim": baseline([item.verbatim for item in answered]),
        "sentences of the right passages": baseline([item.extractive for item in answered]),
        "sentences of all passages shown": baseline([item.extractive_of_all for item in answered]),
        "replies": len(items),
        "generated": sum(bool(item.report.get("generated")) for item in items),
        "mended": {
            name: sum(int(_grounding(item).get(name, 0)) for item in items)
            for name in sorted({name for item in items for name in _grounding(item)})
        },
        "replies the check still faults": sum(bool(_faults(item)) for item in items),
        "first piece ms": {
            "p50": round(percentile([float(str(i.report["first_piece_ms"])) for i in items], 0.5), 1),
            "p95": round(percentile([float(str(i.report["first_piece_ms"])) for i in items], 0.95), 1),
        },
    }


def _grounding(item: Item) -> dict[str, int]:
    found = item.report.get("grounding", {})
    assert isinstance(found, dict)
    return {name: value for name, value in found.items() if isinstance(value, int)}


def _faults(item: Item) -> list[str]:
    said = [item.request.question, *(message.text for message in item.request.history)]
    check = GroundingCheck(item.request.sources, said)
    return [sentence for sentence in sentences(item.composed.reply) if check.check(sentence)]


def page(items: Sequence[Item]) -> str:
    """40 replies, drawn by lot, beside what a person wrote."""
    chosen = random.Random(SEED).sample(list(items), min(SHOWN, len(items)))
    lines = []
    for number, item in enumerate(chosen, start=1):
        composed = item.composed
        lines.append(f"**{number}. {composed.id}** ({composed.kind})\n")
        lines += [f"> {role}: {text}  " for role, text in composed.task.history]
        lines.append(f"> customer: {composed.task.question}\n")
        titles = "; ".join(f"[{i}] {title}" for i, (title, _) in enumerate(composed.task.sources, start=1))
        lines.append(f"- sources: {titles}")
        lines.append(f"- composed: {composed.reply}")
        lines.append(f"- a person: {composed.task.reply}\n")
    return "\n".join(lines)


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--material", type=Path, default=Path("../shared"))
    parser.add_argument("--businesses", nargs="+", default=list(corpus.TEST))
    parser.add_argument("--model", default="builtin", help="a model folder instead of the project's")
    parser.add_argument("--sessions", type=int, default=1, help="conversations at the same time")
    parser.add_argument("--predictions", type=Path, help="write every reply, a JSON object a line")
    parser.add_argument("--page", type=Path, help="put 40 replies into this page")
    chosen = parser.parse_args()
    settings = Settings(mode="composed", composer=chosen.model)
    items = run(chosen.businesses, chosen.material, settings, chosen.sessions)
    if chosen.predictions:
        with chosen.predictions.open("w", encoding="utf-8") as file:
            file.writelines(
                json.dumps(
                    {**dataclasses.asdict(i.composed), "report": i.report, "faults": _faults(i)},
                    ensure_ascii=False,
                )
                + "\n"
                for i in items
            )
    if chosen.page:
        before, _, rest = chosen.page.read_text(encoding="utf-8").partition(MARK)
        _, _, after = rest.partition(MARK)
        chosen.page.write_text(f"{before}{MARK}\n\n{page(items)}\n{MARK}{after}", encoding="utf-8")
    print(json.dumps(figures(items), indent=1))


if __name__ == "__main__":
    main()
