"""Evaluation files: kinds told apart by content, items parsed, problems with their line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from assistant.errors import ConfigError, KnowledgeError
from assistant.evaluation.files import (
    FileKind,
    Kind,
    LabelledUtterance,
    parse_questions,
    parse_utterances,
    read_text,
    recognise,
    spread,
)
from assistant.records import Message, Role

PATH = Path("some.file")
QUESTION = {
    "id": "e1",
    "kind": "followup",
    "history": [["customer", "How much?"], ["assistant", "39 euro [p1]."]],
    "question": "and abroad?",
    "passages": ["p1", "p2"],
    "reply": "It takes 5 days [p2].",
}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (json.dumps(QUESTION), FileKind.QUESTIONS),
        ('\n{"text": "hi", "intent": null}\n', FileKind.INTENTS),
        ("- name: one\n", FileKind.CONVERSATIONS),
        ("# our tests\n- name: one\n", FileKind.CONVERSATIONS),
    ],
)
def test_kind_is_told_by_content(text: str, kind: FileKind) -> None:
    """Whatever the file is called."""
    assert recognise(text, PATH) == kind


@pytest.mark.parametrize("text", ["", "hello", '{"id": 1}', "{broken", "question,answer\n"])
def test_unknown_content_is_refused_with_the_known_kinds(text: str) -> None:
    """The message says what a file may be."""
    with pytest.raises(ConfigError, match=r"labelled questions.*YAML conversations"):
        recognise(text, PATH)


def test_speech_manifest_is_recognised_by_its_columns() -> None:
    """In any order, with others between."""
    assert recognise("speaker\ttranscript\tfile\nx\thello\ta.wav\n", PATH) is FileKind.SPEECH


def test_question_is_parsed_with_history_without_markers() -> None:
    """The engine's history never holds citation markers."""
    (question,) = parse_questions(json.dumps(QUESTION), PATH)
    assert question.kind == Kind.FOLLOWUP
    assert question.history == (Message(Role.CUSTOMER, "How much?"), Message(Role.ASSISTANT, "39 euro."))
    assert question.passages == ("p1", "p2")


def test_every_wrong_line_is_reported_with_its_number() -> None:
    """All problems in one run."""
    lines = [
        json.dumps(QUESTION),
        "{",
        "",
        json.dumps(QUESTION | {"kind": "riddle"}),
        json.dumps(QUESTION | {"history": [["robot", "x"]]}),
        json.dumps(QUESTION | {"question": " "}),
        json.dumps(QUESTION | {"passages": "p1"}),
        "[]",
    ]
    with pytest.raises(KnowledgeError) as caught:
        parse_questions("\n".join(lines), PATH)
    assert [problem.line for problem in caught.value.problems] == [2, 4, 5, 6, 7, 8]
    assert "riddle" in str(caught.value)


def test_utterances_keep_null_as_out_of_scope() -> None:
    """A number is no intent."""
    parsed = parse_utterances('{"text": "a", "intent": "x"}\n{"text": "b", "intent": null}\n', PATH)
    assert parsed == (LabelledUtterance("a", "x"), LabelledUtterance("b", None))
    with pytest.raises(KnowledgeError, match=r":1: .*neither a name nor null"):
        parse_utterances('{"text": "a", "intent": 3}', PATH)


def test_limit_spreads_over_the_whole_file() -> None:
    """Files are sorted by kind; the first items would all be alike."""
    assert list(spread(range(10), 3)) == [0, 3, 6]
    assert list(spread(range(2), 3)) == [0, 1]
    assert list(spread(range(2), None)) == [0, 1]


def test_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """Not UTF-8, or not there."""
    (tmp_path / "x").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="UTF-8"):
        read_text(tmp_path / "x")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_text(tmp_path / "y")
