"""The composer that comes with the project, with real weights: it answers from its sources, or says that it cannot."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from assistant.composer import Composer
from assistant.config import load_settings
from assistant.dialogue.outcome import read_outcome
from assistant.evaluation.figures import ungrounded_values
from assistant.protocols import GenerationReport, GenerationRequest
from assistant.records import Decision, DecisionKind, DialogueState, Message, Role, Shop, Source

FOLDER = Path(__file__).parents[1] / "models" / "composer"
pytestmark = pytest.mark.skipif(
    not (FOLDER / "config.json").is_file(),
    reason="no composer in models/composer; make it with make train-composer",
)
SOURCES = (
    Source(
        "d#1",
        "Delivery times",
        "Parcels take 2 to 4 working days. Sofas and wardrobes are brought by two people within 7 to 10 working days.",
        "delivery.md",
    ),
    Source(
        "d#2", "Delivery costs", "Parcels cost €4.90. For bulky goods the fee is a flat €39.", "delivery.md"
    ),
    Source("r#1", "Returns", "Send goods back within 60 days, in the box they came in.", "returns.md"),
)


@pytest.fixture(scope="module")
def composer() -> Iterator[Composer]:
    """Loaded as the server loads it."""
    made = Composer(load_settings(mode="composed"))
    yield made
    made.close()


def reply(composer: Composer, question: str, *history: Message) -> tuple[str, GenerationReport]:
    """What it says, and how that came about."""
    request = GenerationRequest(question, sources=SOURCES, history=history)
    *pieces, report = composer.generator.generate(request, threading.Event())
    assert isinstance(report, GenerationReport)
    return "".join(piece for piece in pieces if isinstance(piece, str)).strip(), report


@pytest.mark.parametrize(
    ("question", "fact", "source"),
    [
        ("How long does a sofa take?", r"\b7 to 10\b", 1),
        ("what do you charge for delivering a wardrobe", r"€39\b", 2),
        ("can I still send it back after a month", r"\b60 days\b", 3),
    ],
)
def test_answers_with_the_fact_and_its_source(
    composer: Composer, question: str, fact: str, source: int
) -> None:
    """The asked thing, cited, and no number that stands nowhere."""
    text, report = reply(composer, question)
    assert report.generated
    assert re.search(fact, text), text
    assert f"[{source}]" in text
    assert not ungrounded_values(text, [f"{s.title} {s.text}" for s in SOURCES])


def test_follow_up_is_understood_from_the_conversation(composer: Composer) -> None:
    """Alone, the question could be about anything."""
    said = (
        Message(Role.CUSTOMER, "How long does a parcel take?"),
        Message(Role.ASSISTANT, "Parcels take 2 to 4 working days."),
    )
    text, _ = reply(composer, "and what does it cost?", *said)
    assert "€4.90" in text, text


def test_admits_what_no_source_says(composer: Composer) -> None:
    """Words that the engine takes for a decline."""
    text, _ = reply(composer, "Do you also sell gift cards?")
    answer = Decision(DecisionKind.ANSWER, "")
    decision, _ = read_outcome(text, answer, DialogueState(), DialogueState(), Shop("a shop"))
    assert decision.kind is DecisionKind.DECLINE, text


def test_any_transformers_loads_it() -> None:
    """A plain Llama with a chat template, small enough to come along."""
    assert (FOLDER / "model.safetensors").stat().st_size <= 60_000_000
    tokenizer = AutoTokenizer.from_pretrained(FOLDER)
    model = AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.bfloat16)
    ids = tokenizer.apply_chat_template(
        [{"role": "user", "content": "How long does a sofa take?"}],
        documents=[{"title": s.title, "text": s.text} for s in SOURCES],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    written = model.generate(**ids, do_sample=False)[0, ids["input_ids"].shape[1] :]
    assert "7 to 10" in tokenizer.decode(written)
