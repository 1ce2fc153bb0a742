"""What the console shows beside a reply: cards, and the pane that says how the reply came about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.box import ROUNDED, SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from assistant.records import Card, DecisionKind, TurnResult

_SCORES = {
    "score": "fused",
    "dense": "dense",
    "sentence": "sentence",
    "question": "question",
    "lexical": "lexical",
    "rerank": "rerank",
}
_BEST_INTENTS = 3
_BEST_PASSAGES = 5
_STYLES = {
    DecisionKind.DECLINE: "yellow",
    DecisionKind.HAND_OVER: "yellow",
    DecisionKind.ASK_BACK: "magenta",
}


def card_lines(card: Card, indent: str) -> str:
    """A card as one line for its kind and one for each of its values."""
    lines = [f"{indent}▢ {card.kind}"]
    lines += [f"{indent}  {key}: {value}" for key, value in card.data.items() if value not in ("", None)]
    return "\n".join(lines)


def debug_pane(result: TurnResult) -> Panel:
    """Decision and why, probability and threshold, intents, passages, state, and milliseconds per stage."""
    details = {stage.name: stage.detail for stage in result.trace}
    decision = result.decision
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column()
    facts.add_row(
        "decision",
        Text.assemble(
            (str(decision.kind), f"bold {_STYLES.get(decision.kind, 'green')}"),
            f"  {decision.reason}",
        ),
    )
    parts: list[RenderableType] = [facts]
    if "retrieval" in details:
        _add_retrieval(facts, details["retrieval"])
        if details["retrieval"].get("passages"):
            parts.append(_passages(details["retrieval"]["passages"]))
    if "understanding" in details:
        facts.add_row("intents", _intents(details["understanding"]))
    for name, value in _state(result):
        facts.add_row(name, Text(value))
    parts.append(_times(result))
    return Panel(
        Group(*parts), title="how this came about", title_align="left", box=ROUNDED, border_style="dim"
    )


def _add_retrieval(facts: Table, detail: Mapping[str, Any]) -> None:
    if detail.get("query"):
        facts.add_row("query", Text(str(detail["query"])))
    probability, threshold = detail.get("probability"), detail.get("threshold")
    if probability is None or threshold is None:
        return
    enough = probability >= threshold
    verdict = "reaches" if enough else "is below"
    facts.add_row(
        "probability",
        Text.assemble(
            (f"{probability:.3f}", "bold green" if enough else "bold yellow"),
            f" that the first passage answers; {verdict} the threshold {threshold:.3f}",
        ),
    )


def _intents(detail: Mapping[str, Any]) -> Text:
    ranked = detail.get("intents", [])[:_BEST_INTENTS]
    if not ranked:
        return Text("none in this base", style="dim")
    text = Text(" · ".join(f"{item['name']} {item['probability']:.2f}" for item in ranked))
    gate, threshold = detail.get("gate"), detail.get("threshold")
    if gate is not None and threshold is not None:
        inside = gate >= threshold
        verdict = f"  gate {gate:.3f}, threshold {threshold:.3f}: {'in' if inside else 'out of'} scope"
        text.append(verdict, style="green" if inside else "dim")
    return text


def _passages(passages: list[Mapping[str, Any]]) -> Table:
    shown = [key for key in _SCORES if any(passage.get(key) is not None for passage in passages)]
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), expand=True)
    table.add_column("passage", ratio=1, no_wrap=True, overflow="ellipsis")
    for key in shown:
        table.add_column(_SCORES[key], justify="right", no_wrap=True, width=max(len(_SCORES[key]), 6))
    for place, passage in enumerate(passages[:_BEST_PASSAGES]):
        values = [passage.get(key) for key in shown]
        table.add_row(
            Text(str(passage["title"])),
            *("–" if value is None else f"{value:.3f}" for value in values),
            style="bold" if place == 0 else "",
        )
    return table


def _state(result: TurnResult) -> Iterator[tuple[str, str]]:
    state = result.state
    slots = {**state.slots, **result.decision.slots}
    if result.decision.action:
        yield "action", result.decision.action
    if state.intent:
        yield "intent in hand", state.intent
    if slots:
        yield "slots", "  ".join(f"{name} = {value}" for name, value in slots.items())
    if state.awaiting:
        yield "waiting for", state.awaiting
    if state.options:
        yield "options", " | ".join(option.label for option in state.options)
    if state.misses:
        yield "not answered", f"{state.misses} in a row"


def _times(result: TurnResult) -> Text:
    parts = " · ".join(f"{stage.name} {stage.milliseconds:.1f}" for stage in result.trace)
    total = sum(stage.milliseconds for stage in result.trace)
    return Text(f"{parts} · together {total:.1f} ms", style="dim")
