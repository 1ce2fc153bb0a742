"""`assistant ask`: pure JSON on stdout, readable text, several questions."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from assistant.cli.ask import answer_object, answer_text
from assistant.cli.main import assistant
from assistant.records import TurnRequest, TurnResult


@pytest.fixture
def result(runner: Any) -> TurnResult:
    """The end of a scripted turn."""

    async def last() -> TurnResult:
        events = [event async for event in runner.run(TurnRequest("how long?"))]
        assert isinstance(events[-1], TurnResult)
        return events[-1]

    return asyncio.run(last())


def test_object_holds_decision_sources_scores_and_timings(result: TurnResult) -> None:
    """Everything of the trace that a script may want."""
    answer = answer_object("how long?", result, 12.3456, 20.0)
    assert json.loads(json.dumps(answer)) == answer
    assert (answer["decision"], answer["status"], answer["intent"]) == (
        "answer",
        "completed",
        "delivery_time",
    )
    assert answer["reply"] == "Small parcels take 3 days [1]."
    assert answer["sources"][0]["document"] == "faq/a.md"
    assert (answer["scores"]["probability"], answer["scores"]["threshold"]) == (0.91, 0.6)
    assert answer["scores"]["passages"][0]["dense"] == 0.81
    assert answer["timings"] == {
        "understanding": 1.5,
        "retrieval": 2.25,
        "first_delta": 12.346,
        "total": 20.0,
    }


def test_text_is_the_reply_then_its_sources(result: TurnResult) -> None:
    """Numbered, with the file they come from."""
    assert answer_text(result) == "Small parcels take 3 days [1].\n\nSources\n  [1] How long?  (faq/a.md)"


def test_json_is_one_object_a_line_and_nothing_else(shop: Path) -> None:
    """Three questions, one of them from a pipe; each line is an object, also with -vv."""
    result = CliRunner().invoke(
        assistant,
        ["ask", "how long does delivery take", "-", "--json", "-vv", "--data", str(shop / "data")],
        input="what does delivery cost?\n\nwho won the election in 1932\n",
    )
    assert result.exit_code == 0, result.stderr
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [answer["question"] for answer in answers] == [
        "how long does delivery take",
        "what does delivery cost?",
        "who won the election in 1932",
    ]
    assert "3 working days" in answers[0]["reply"]
    assert answers[0]["sources"][0]["title"] == "How long does delivery take?"
    assert answers[0]["timings"]["first_delta"] <= answers[0]["timings"]["total"]
    assert answers[2]["decision"] == "decline"


def test_text_answer_names_its_source(shop: Path) -> None:
    """For people; the question is repeated only when there are several."""
    result = CliRunner().invoke(assistant, ["ask", "can I return a mattress?", "--data", str(shop / "data")])
    assert result.exit_code == 0, result.stderr
    assert "100 nights" in result.stdout
    assert "Can I return a mattress?" in result.stdout
    assert not result.stdout.startswith(">")


def test_process_prints_one_object_and_is_silent_otherwise(shop: Path) -> None:
    """A process of its own, with its own logging: nothing on stderr unless asked for."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "assistant",
            "ask",
            "what does delivery cost?",
            "--json",
            "--data",
            shop / "data",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["status"] == "completed"
    assert done.stderr == ""


def test_no_question_at_all_is_wrong_usage(shop: Path) -> None:
    """An empty pipe."""
    result = CliRunner().invoke(assistant, ["ask", "-", "--data", str(shop / "data")], input="\n")
    assert result.exit_code == 2


def test_chat_answers_piped_lines(shop: Path) -> None:
    """Without a terminal: each line is shown and answered, slash commands work, the end of input ends it."""
    result = CliRunner().invoke(
        assistant,
        ["chat", "--debug", "--data", str(shop / "data")],
        input="what does delivery cost?\n/sources\n",
    )
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("Testshop")
    assert "you ▸ what does delivery cost?" in result.stdout
    assert "4.90" in result.stdout
    assert "probability" in result.stdout
    assert "It is free from 60 euro." in result.stdout
