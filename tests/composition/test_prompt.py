"""Prompts: what stands in them, and what is left out first when they do not fit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from assistant.composition.prompt import ChatPromptWriter, excerpts
from assistant.errors import BackendError
from assistant.protocols import GenerationRequest, Hint, Prompt
from assistant.records import Message, Role, Source

HISTORY = tuple(
    Message(Role.CUSTOMER if number % 2 == 0 else Role.ASSISTANT, f"message {number}") for number in range(10)
)
REQUEST = GenerationRequest(
    "how long do sofas take?",
    sources=(
        Source("d#1", "Delivery", "Parcels take two days. Sofas take ten days. Rugs take a week.", "d.md"),
        Source("d#2", "Costs", "Delivery costs €39.", "d.md"),
        Source("r#1", "Returns", "Send goods back within 60 days.", "r.md"),
    ),
    history=HISTORY,
    shop="Ottermoor",
    tone="warm, brief",
)


def size(prompt: Prompt) -> int:
    """Characters of a prompt."""
    return sum(len(first) + len(second) for first, second in (*prompt.messages, *prompt.documents))


def write(limit: int, writer: ChatPromptWriter | None = None, request: GenerationRequest = REQUEST) -> Prompt:
    """The prompt that fits into a number of characters."""
    return (writer or ChatPromptWriter(documents=True))(request, lambda prompt: size(prompt) <= limit)


def test_template_with_documents_gets_sources_apart() -> None:
    """No instructions: the model was trained for nothing else."""
    prompt = write(10_000)
    assert prompt.documents == tuple((source.title, source.text) for source in REQUEST.sources)
    assert prompt.messages[-1] == ("user", REQUEST.question)
    assert "system" not in dict(prompt.messages)


def test_other_templates_get_instructions_and_numbered_sources() -> None:
    """Shop, tone and every source with its number stand in the system message."""
    prompt = write(10_000, ChatPromptWriter(documents=False))
    role, text = prompt.messages[0]
    assert role == "system"
    for part in ("Ottermoor", "warm, brief", "[1] Delivery\nParcels", "[3] Returns\nSend"):
        assert part in text
    assert prompt.documents == ()


def test_template_without_system_role_gets_them_in_the_first_message() -> None:
    """The conversation still begins with the customer."""
    prompt = write(10_000, ChatPromptWriter(documents=False, system=False))
    role, text = prompt.messages[0]
    assert role == "user"
    assert text.endswith("\n\nmessage 4")
    assert "[2] Costs" in text


def test_only_the_last_messages_are_read() -> None:
    """Six of ten, and the question."""
    assert [text for _, text in write(10_000).messages] == [
        *(f"message {number}" for number in range(4, 10)),
        REQUEST.question,
    ]


def test_roles_take_turns_and_the_customer_begins() -> None:
    """A greeting before the customer spoke is dropped; two messages in a row become one; agents are the assistant."""
    history = (
        Message(Role.ASSISTANT, "Welcome!"),
        Message(Role.CUSTOMER, "hello"),
        Message(Role.CUSTOMER, "anybody there"),
        Message(Role.AGENT, "Ann here."),
    )
    assert write(10_000, request=replace(REQUEST, history=history)).messages == (
        ("user", "hello\nanybody there"),
        ("assistant", "Ann here."),
        ("user", REQUEST.question),
    )


def test_history_goes_before_sources_and_sources_from_the_last() -> None:
    """Every smaller limit drops the next least important thing, and the question always stays."""
    whole = size(write(10_000))
    seen = []
    for limit in range(whole, 80, -1):
        prompt = write(limit)
        kept = (len(prompt.messages) - 1, prompt.sources)
        assert size(prompt) <= limit
        assert prompt.messages[-1][1] == REQUEST.question
        if not seen or seen[-1] != kept:
            seen.append(kept)
    assert seen == [(6, 3), (4, 3), (2, 3), (2, 2), (2, 1), (0, 1)]


def test_a_source_too_long_loses_sentences_from_its_end() -> None:
    """Better a part of the best source than none."""
    documents = write(80).documents
    assert documents == (("Delivery", "Parcels take two days. Sofas take ten days."),)


def test_question_too_long_is_refused() -> None:
    """Cutting the question would answer another one."""
    with pytest.raises(BackendError, match="too long"):
        write(30)


def test_request_without_sources_is_written() -> None:
    """The model may then say that it does not know."""
    prompt = write(10_000, request=replace(REQUEST, sources=()))
    assert (prompt.documents, prompt.sources) == ((), 0)


def test_only_the_hints_are_shown_to_models_that_were_trained_on_excerpts() -> None:
    """In reading order, behind their stars; without `excerpts` the text is as it was."""
    hints = (Hint(1, "Rugs take a week.", 2), Hint(1, "Parcels take two days.", 0))
    request = replace(REQUEST, hints=hints)
    shown = ChatPromptWriter(documents=True, excerpts=True)(request, lambda prompt: True)
    assert shown.documents[0][1] == "Parcels take two days [1]. **Rugs take a week [1]."
    plain = ChatPromptWriter(documents=True)(request, lambda prompt: True)
    assert plain.documents[0][1] == REQUEST.sources[0].text
    unknown = ChatPromptWriter(documents=True, excerpts=True)(REQUEST, lambda prompt: True)
    assert unknown.documents[0][1] == REQUEST.sources[0].text


def test_excerpts_keep_sentences_apart() -> None:
    """Facts get their semicolons back; a sentence that stands in no source is left out; each source has its number."""
    facts = "Order: 17; Total: 20 euros; Paid: no"
    hints = [Hint(1, "Paid: no", 1), Hint(1, "Order: 17", 0), Hint(2, "Three.", 2)]
    assert excerpts(["One. Two."] * 2, [Hint(2, "Two.", 0)]) == ["", "Two [2]."]
    assert excerpts([facts, "One. Two."], hints) == ["Order: 17 [1]; *Paid: no [1];", ""]
