"""`assistant evaluate` on tiny files and a real base."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from assistant.cli.main import assistant
from tests.server import harness

COST, TIME = "What does delivery cost?", "How long does delivery take?"


def run(*words: object) -> Result:
    """Run the command."""
    return CliRunner().invoke(assistant, ["evaluate", *map(str, words)])


def objects(result: Result) -> list[dict[str, Any]]:
    """The JSON lines of stdout."""
    return [json.loads(line) for line in result.stdout.splitlines()]


def write(path: Path, *records: dict[str, Any]) -> Path:
    """A JSONL file."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.fixture
def passages(tmp_path: Path) -> Path:
    """A base of two passages as JSON lines, as in a corpus."""
    return write(
        tmp_path / "shop.passages.jsonl",
        {"id": "s-1", "title": "How long delivery takes", "text": "Parcels take 3 working days."},
        {"id": "s-2", "title": "Returning a mattress", "text": "Try a mattress for 100 nights."},
        {"id": "s-3", "title": "Paying", "text": "We accept credit cards and bank transfer."},
    )


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    """Three labelled questions about it."""
    base = {"history": [], "reply": "Parcels take 3 working days [s-1]."}
    return write(
        tmp_path / "shop.examples.jsonl",
        base | {"id": "e1", "kind": "answer", "question": "how long is delivery", "passages": ["s-1"]},
        base | {"id": "e2", "kind": "answer", "question": "can i send my mattress back", "passages": ["s-2"]},
        base | {"id": "e3", "kind": "unanswerable", "question": "do you sell horses", "passages": []},
    )


def test_questions_on_a_base_ingested_for_it(passages: Path, examples: Path, tmp_path: Path) -> None:
    """One object; the data folder of the settings is not touched; predictions hold every item."""
    predictions = tmp_path / "predictions.jsonl"
    result = run(
        examples, "--knowledge", passages, "--json", "--predictions", predictions, "--data", tmp_path / "d"
    )
    assert result.exit_code == 0, result.stderr
    (figures,) = objects(result)
    assert figures["n"] == 3
    assert figures["retrieval"]["r_at_1"] == 1.0
    assert figures["retrieval"]["by_kind"]["answer"]["mrr"] == 1.0
    assert figures["unanswerable"]["auroc"] == 1.0
    assert 0 < figures["reply"]["token_f1"] <= 1
    assert {"retrieval", "turn", "first_delta"} <= set(figures["latency_ms"])
    assert not (tmp_path / "d").exists()
    lines = [json.loads(line) for line in predictions.read_text().splitlines()]
    assert [line["id"] for line in lines] == ["e1", "e2", "e3"]
    assert lines[0]["ranked"][0] == "s-1"


def test_several_files_each_with_its_own_base_and_pooled(passages: Path, examples: Path) -> None:
    """{name} finds the base beside each file; the last line takes both together."""
    other = examples.with_name("twin.examples.jsonl")
    other.write_text(examples.read_text())
    passages.with_name("twin.passages.jsonl").write_text(passages.read_text())
    template = passages.with_name("{name}.passages.jsonl")
    result = run(examples, other, "--knowledge", template, "--json", "--no-reply")
    assert result.exit_code == 0, result.stderr
    one, two, both = objects(result)
    assert [item["file"] for item in (one, two, both)] == [str(examples), str(other), "all"]
    assert (one["n"], both["n"]) == (3, 6)
    assert "reply" not in one


def test_tables_show_every_figure(passages: Path, examples: Path) -> None:
    """For people: the reliability table too."""
    result = run(examples, "--knowledge", passages)
    assert result.exit_code == 0, result.stderr
    for part in ("R@1", "answer + facts + upset", "AUROC", "expected calibration error", "token F1", "p95"):
        assert part in result.stdout


def test_base_without_the_passages_is_refused(shop: Path, examples: Path) -> None:
    """Says what to do, on stderr."""
    result = run(examples, "--data", shop / "data", "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "--knowledge" in result.stderr


def test_limit_takes_items_from_the_whole_file(passages: Path, examples: Path) -> None:
    """Two of three: the first and the second third's first."""
    result = run(examples, "--knowledge", passages, "--limit", 1, "--no-reply", "--json")
    assert objects(result)[0]["n"] == 1


def test_intents_are_fitted_on_the_training_file(shop: Path, tmp_path: Path) -> None:
    """Unknown things are out of scope; nothing is pooled."""
    topics = {
        "delivery": ["parcel", "shipping", "courier", "van"],
        "refund": ["money back", "return", "refund"],
    }
    train = write(
        tmp_path / "train.jsonl",
        *(
            {"text": f"{lead} {word}", "intent": intent}
            for intent, topic in topics.items()
            for word in topic
            for lead in ("question about", "tell me about the", "problem with my")
        ),
    )
    test = write(
        tmp_path / "test.jsonl",
        {"text": "something about shipping a parcel", "intent": "delivery"},
        {"text": "i want my money back, a refund", "intent": "refund"},
        {"text": "how tall is mount everest", "intent": None},
    )
    predictions = tmp_path / "p.jsonl"
    result = run(test, "--train", train, "--data", shop / "data", "--json", "--predictions", predictions)
    assert result.exit_code == 0, result.stderr
    (figures,) = objects(result)
    assert figures["n"] == 3
    assert figures["intents"]["accuracy"] == 1.0
    assert figures["intents"]["oos_auroc"] == 1.0
    assert figures["intents"]["fit_seconds"] >= 0
    read = [json.loads(line)["read"] for line in predictions.read_text().splitlines()]
    assert read[:2] == ["delivery", "refund"]


def test_intents_that_nobody_knows_are_refused(shop: Path, tmp_path: Path) -> None:
    """Without examples there is nothing to tell apart."""
    test = write(tmp_path / "test.jsonl", {"text": "hello", "intent": "no_such_intent"})
    result = run(test, "--data", shop / "data")
    assert result.exit_code == 1
    assert "--train" in result.stderr


def test_conversations_that_pass_end_with_0_and_failing_ones_with_1(shop: Path, tmp_path: Path) -> None:
    """Each failure says what was there instead; the JSON is printed all the same."""
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(
        f"- name: cost\n  turns:\n    - customer: {COST}\n"
        f"      expect: {{decision: answer, contains: '4.90', source: 'faq/delivery.md#{COST}'}}\n"
    )
    bad.write_text(f"- name: time\n  turns:\n    - customer: {TIME}\n      expect: {{decision: decline}}\n")
    data = shop / "data"
    passed = run(good, "--data", data, "--json")
    assert passed.exit_code == 0, passed.stdout
    assert objects(passed)[0]["conversations"] == {
        "passed": 1,
        "failed": 0,
        "unchecked": 0,
        "failures": [],
    }
    failed = run(good, bad, "--data", data, "--json")
    assert failed.exit_code == 1
    assert objects(failed)[-1]["file"] == "all"
    assert objects(failed)[-1]["conversations"]["failures"][0]["name"] == "time"
    shown = run(bad, "--data", data)
    assert shown.exit_code == 1
    assert "✗ time, turn 1" in shown.stdout
    assert "expected decline, was answer" in shown.stdout


def test_conversations_are_held_with_a_running_server(tmp_path: Path) -> None:
    """No base is needed; what only the engine shows is left unchecked, and said to be."""
    tests = tmp_path / "tests.yaml"
    tests.write_text(
        "- name: a\n  customer: C-1\n  turns:\n    - customer: hello\n"
        "      expect: {decision: answer, contains: hello, intent: greeting}\n"
    )
    key = "k" * 32
    runner = harness.ScriptedRunner()

    async def scenario() -> tuple[Result, Result]:
        settings = harness.make_settings(tmp_path / "served", customer_key=key, credential="open sesame")
        async with harness.running(settings, runner) as server:
            arguments = (
                tests,
                "--url",
                f"ws://127.0.0.1:{server.port}/ws",
                "--data",
                tmp_path / "d",
                "--json",
            )
            with pytest.MonkeyPatch.context() as patch:
                refused = await asyncio.to_thread(run, *arguments)
                patch.setenv("ASSISTANT_CUSTOMER_KEY", key)
                patch.setenv("ASSISTANT_CREDENTIAL", "open sesame")
                return refused, await asyncio.to_thread(run, *arguments)

    refused, held = asyncio.run(scenario())
    assert refused.exit_code == 1
    assert "customer_key" in refused.stderr
    assert held.exit_code == 0, held.stdout + held.stderr
    (figures,) = objects(held)
    assert figures["conversations"] == {"passed": 1, "failed": 0, "unchecked": 1, "failures": []}
    assert [request.customer for request in runner.requests] == ["C-1"]


def test_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Not a failed conversation, but a refusal that says where nobody answered."""
    tests = tmp_path / "tests.yaml"
    tests.write_text("- name: a\n  turns:\n    - customer: hello\n")
    result = run(tests, "--url", "ws://127.0.0.1:9/ws", "--data", tmp_path / "d")
    assert result.exit_code == 1
    assert "ws://127.0.0.1:9/ws" in result.stderr


@pytest.mark.parametrize(
    ("name", "text", "part"),
    [
        ("a.jsonl", "{}", "no known evaluation file"),
        ("a.jsonl", '{"question": "x"}', 'a.jsonl:1: "kind" is missing'),
        ("a.yaml", "- name: x\n", "a.yaml:1: 'x' has no `turns`"),
        ("a.tsv", "file\ttranscript\nx.wav\n", "a.tsv:2: has 1 columns; the heading has 2"),
    ],
)
def test_file_that_is_not_in_order_is_refused_before_anything_loads(
    tmp_path: Path, name: str, text: str, part: str
) -> None:
    """The base is not even looked for."""
    path = tmp_path / name
    path.write_text(text)
    result = run(path, "--data", tmp_path / "no-such-base", "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert part in result.stderr


def test_predictions_that_cannot_be_written_are_refused_first(examples: Path, tmp_path: Path) -> None:
    """Not after an hour of evaluation."""
    result = run(examples, "--predictions", tmp_path / "no" / "folder.jsonl", "--data", tmp_path / "d")
    assert result.exit_code == 1
    assert "cannot be written" in result.stderr


def test_noise_is_seeded_and_for_questions_only(passages: Path, examples: Path, tmp_path: Path) -> None:
    """The same seed asks the same mistyped questions; conversations are refused."""
    asked = []
    for seed in (1, 1, 2):
        lines = tmp_path / "lines.jsonl"
        result = run(
            examples, "--knowledge", passages, "--no-reply", "--noise", "speech", "--seed", seed, "--json",
            "--predictions", lines,
        )  # fmt: skip
        assert result.exit_code == 0, result.stderr
        asked.append([json.loads(line)["question"] for line in lines.read_text().splitlines()])
    assert asked[0] == asked[1] != asked[2]
    conversations = tmp_path / "tests.yaml"
    conversations.write_text(
        "- name: hello\n  turns:\n    - customer: hi\n      expect: {decision: small_talk}\n"
    )
    refused = run(conversations, "--knowledge", passages, "--noise", "typos")
    assert refused.exit_code == 1
    assert "noise is for labelled questions" in refused.stderr
