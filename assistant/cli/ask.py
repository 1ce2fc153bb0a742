"""`assistant ask`: questions → answers, each on its own."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from assistant.cli.common import open_engine, print_json, with_settings

if TYPE_CHECKING:
    from assistant.config import Settings
    from assistant.protocols import TurnRunner
    from assistant.records import TurnResult


@click.command("ask")
@click.argument("texts", nargs=-1, required=True, metavar="TEXT...")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per question on stdout.")
@with_settings
def ask_command(settings: Settings, texts: tuple[str, ...], as_json: bool) -> None:
    """Ask a question, print the answer and its sources.

    Several TEXTs are several conversations. "-" reads questions from standard input, one a line.
    """
    questions = [line.strip() for text in texts for line in _lines(text) if line.strip()]
    if not questions:
        raise click.UsageError("there is no question in TEXT")
    with open_engine(settings) as engine:
        failed = asyncio.run(_ask_all(engine, questions, as_json))
    if failed:
        raise click.ClickException(f"{failed} of {len(questions)} questions failed")


def _lines(text: str) -> Sequence[str]:
    return sys.stdin.read().splitlines() if text == "-" else [text]


async def _ask_all(engine: TurnRunner, questions: Sequence[str], as_json: bool) -> int:
    """Ask one after the other, printing as answers come; how many failed."""
    from assistant.records import TurnStatus

    failed = 0
    for number, question in enumerate(questions):
        result, first_ms, total_ms = await _ask(engine, question)
        if as_json:
            print_json(answer_object(question, result, first_ms, total_ms))
        else:
            if len(questions) > 1:
                click.echo(f"{'' if number == 0 else chr(10)}> {question}")
            click.echo(answer_text(result))
        failed += result.status == TurnStatus.FAILED
    return failed


async def _ask(engine: TurnRunner, question: str) -> tuple[TurnResult, float | None, float]:
    """Run one turn; its result, milliseconds to the first piece (None if none came) and to the end."""
    from assistant.records import Delta, TurnRequest

    start = time.perf_counter()
    first_ms: float | None = None
    result: TurnResult | None = None
    async for event in engine.run(TurnRequest(text=question)):
        if not isinstance(event, Delta):
            result = event
        elif first_ms is None:
            first_ms = (time.perf_counter() - start) * 1e3
    assert result is not None  # noqa: S101 - promised by TurnRunner
    return result, first_ms, (time.perf_counter() - start) * 1e3


def answer_text(result: TurnResult) -> str:
    """Reply, then its sources."""
    lines = [result.text]
    if result.sources:
        lines += ["", "Sources"]
        lines += [
            f"  [{number}] {source.title}" + (f"  ({source.document})" if source.document else "")
            for number, source in enumerate(result.sources, start=1)
        ]
    return "\n".join(lines)


def answer_object(
    question: str, result: TurnResult, first_delta_ms: float | None, total_ms: float
) -> dict[str, Any]:
    """The answer as docs/console.md lists it."""
    details = {stage.name: stage.detail for stage in result.trace}
    understanding, retrieval = details.get("understanding", {}), details.get("retrieval", {})
    intents = understanding.get("intents", [])
    in_scope = bool(intents) and understanding.get("gate", 0.0) >= understanding.get("threshold", 1.0)
    return {
        "question": question,
        "status": result.status,
        "decision": result.decision.kind,
        "reason": result.decision.reason,
        "reply": result.text,
        "sources": [asdict(source) for source in result.sources],
        "cards": [{"kind": card.kind, "data": dict(card.data)} for card in result.cards],
        "quick_replies": list(result.quick_replies),
        "ai_generated": result.ai_generated,
        "intent": result.decision.intent or (intents[0]["name"] if in_scope else None),
        "slots": {**result.state.slots, **result.decision.slots},
        "scores": {
            "probability": retrieval.get("probability"),
            "threshold": retrieval.get("threshold"),
            "passages": retrieval.get("passages", []),
            "intents": intents,
            "gate": understanding.get("gate"),
            "gate_threshold": understanding.get("threshold"),
        },
        "timings": {
            **{stage.name: round(stage.milliseconds, 3) for stage in result.trace},
            "first_delta": None if first_delta_ms is None else round(first_delta_ms, 3),
            "total": round(total_ms, 3),
        },
        "error": result.error or None,
    }
