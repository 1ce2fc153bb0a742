"""Figures as tables for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

_LABELS = {
    "n": "items",
    "auroc": "AUROC, answerable against unanswerable",
    "caught_at_95": "unanswerable caught, 95 % of answerable kept",
    "declined": "unanswerable declined",
    "wrongly_declined": "answerable declined",
    "accepted_wrong_answers": "wrong answers the operator accepts",
    "threshold": "threshold that follows",
    "observed_wrong_share": "wrong among those answered",
    "answered_share": "answered at that threshold",
    "token_f1": "token F1 against the reference",
    "rouge_l": "ROUGE-L against the reference",
    "citation_precision": "citation precision",
    "citation_recall": "citation recall",
    "ungrounded": "replies with a value that stands nowhere",
    "ungrounded_before_check": "the same before the check, of what the model wrote",
    "words": "words in a reply",
    "repetition": "runs of four words said before in the reply",
    "ai_generated": "replies with words of a language model",
    "fell_back": "replies that fell back on quotes",
    "tokens_per_s": "tokens per second after the first",
    "n_in_scope": "utterances in scope",
    "n_out_of_scope": "utterances out of scope",
    "accuracy": "accuracy in scope",
    "oos_auroc": "AUROC, in scope against out of scope",
    "oos_recall_at_95": "out of scope caught, 95 % in scope kept",
    "in_scope_kept": "in scope kept at the model's threshold",
    "oos_recall": "out of scope caught at that threshold",
    "fit_seconds": "seconds to fit",
    "wer": "word error rate",
    "wer_raw": "without putting the shop's words right",
    "cer": "character error rate",
    "sentences_right": "recordings without an error",
    "unreadable": "recordings that could not be read",
    "seconds": "seconds of audio",
    "rtf": "seconds needed for a second of audio",
}
_BAR_WIDTH = 20


def render(name: str, figures: Mapping[str, Any]) -> RenderableType:
    """Every figure of one file, as tables under each other."""
    return Group(Text(f"{name}  ({figures['n']} items)", style="bold"), *_tables(figures))


def _tables(figures: Mapping[str, Any]) -> Iterator[RenderableType]:
    if figures.get("not_in_base"):
        yield Text(
            f"{figures['not_in_base']} questions left out: the base holds none of their passages",
            style="yellow",
        )
    if "retrieval" in figures:
        yield _retrieval(figures["retrieval"])
    for key, title in (
        ("unanswerable", "No answer"),
        ("operator", "Operator's setting"),
        ("reply", "Replies"),
        ("intents", "Intents"),
    ):
        if key in figures:
            yield _values(title, figures[key])
    if "calibration" in figures:
        yield _reliability(figures["calibration"])
    if "speech" in figures:
        yield from _speech(figures["speech"])
    if "conversations" in figures:
        yield from _conversations(figures["conversations"])
    if figures.get("latency_ms"):
        table = _table("Milliseconds", "stage", "p50", "p95")
        for stage, times in figures["latency_ms"].items():
            table.add_row(escape(stage), f"{times['p50']:.1f}", f"{times['p95']:.1f}")
        yield table


def _retrieval(figures: Mapping[str, Any]) -> Table:
    table = _table("Retrieval", "questions", "n", "R@1", "R@3", "R@5", "MRR")
    rows = {"answer + facts + upset": figures, **figures["by_kind"]}
    for name, row in rows.items():
        values = [_number(row[key]) for key in ("r_at_1", "r_at_3", "r_at_5", "mrr")]
        table.add_row(name, str(row["n"]), *values)
    return table


def _values(title: str, figures: Mapping[str, Any]) -> Table:
    table = _table(title, "figure", "value")
    for key, value in figures.items():
        table.add_row(_LABELS.get(key, key), _number(value))
    return table


def _reliability(figures: Mapping[str, Any]) -> Table:
    table = _table(
        f"Reliability of the probability (expected calibration error {_number(figures['ece'])})",
        "probability",
        "n",
        "predicted",
        "observed",
        "gap",
        "",
    )
    for item in figures["bins"]:
        gap = item["observed"] - item["predicted"]
        table.add_row(
            f"{item['low']:.1f}–{item['high']:.1f}",
            str(item["n"]),
            f"{item['predicted']:.3f}",
            f"{item['observed']:.3f}",
            f"{gap:+.3f}",
            _bar(item["predicted"], item["observed"]),
        )
    return table


def _bar(predicted: float, observed: float) -> Text:
    """Observed as a bar, predicted as a mark across it."""
    filled, mark = round(observed * _BAR_WIDTH), min(round(predicted * _BAR_WIDTH), _BAR_WIDTH - 1)
    cells = ["█" if place < filled else "·" for place in range(_BAR_WIDTH)]
    cells[mark] = "┃"
    return Text("".join(cells), style="cyan")


def _speech(figures: Mapping[str, Any]) -> Iterator[Table]:
    yield _values("Speech", {key: value for key, value in figures.items() if key not in {"n", "by_group"}})
    if "by_group" in figures:
        table = _table("Word error rate", "group", "n", "words", "WER")
        for name, row in figures["by_group"].items():
            table.add_row(escape(name) or "–", str(row["n"]), str(row["words"]), _number(row["wer"]))
        yield table


def _conversations(figures: Mapping[str, Any]) -> Iterator[RenderableType]:
    verdict = f"Conversations: {figures['passed']} passed, {figures['failed']} failed"
    yield Text(verdict, style="red" if figures["failed"] else "green")
    for (name, turn), unmet in groupby(figures["failures"], key=lambda item: (item["name"], item["turn"])):
        failures = list(unmet)
        yield Text.assemble(("✗ ", "red"), (name, "bold"), f", turn {turn}")
        yield Padding(Text(f"customer  {failures[0]['customer']}", style="dim"), (0, 0, 0, 2))
        for failure in failures:
            yield Padding(Text(failure["what"]), (0, 0, 0, 2))


def _table(title: str, *columns: str) -> Table:
    table = Table(
        title=f"\n{title}",
        box=None,
        title_justify="left",
        title_style="bold",
        header_style="dim",
        padding=(0, 2, 0, 0),
    )
    for number, column in enumerate(columns):
        left = number == 0 or not column
        table.add_column(column, justify="left" if left else "right", no_wrap=True)
    return table


def _number(value: float | int | None) -> str:
    if value is None:
        return "–"
    return str(value) if isinstance(value, int) else f"{value:.3f}"
