"""tests.yaml: parsing with lines, what counts as met, saving."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from assistant.errors import ConfigError, KnowledgeError
from assistant.evaluation.conversations import (
    Answer,
    Conversation,
    Expectation,
    Failure,
    Held,
    ScriptedTurn,
    conversation_figures,
    not_visible,
    parse_conversations,
    save_test,
    unmet,
)
from assistant.records import Decision, DecisionKind, DialogueState, Role, Source, TurnResult, TurnStatus

PATH = Path("tests.yaml")
TEXT = """\
- name: price, then yes
  turns:
    - customer: how much?
      expect:
        decision: [answer, approved]
        source: faq/shop.md#Title p1
        contains: 39
        excludes: [free, gratis]
    - customer: yes
      expect: {intent: order_status, slots: {order_number: 01234}}
- name: no expectations
  turns:
    - customer: hello
"""


def result(
    kind: DecisionKind = DecisionKind.ANSWER, text: str = "It costs 39 euro.", **more: Any
) -> TurnResult:
    """A reply from faq/shop.md with an order number in its state."""
    values: dict[str, Any] = {
        "state": DialogueState(intent="order_status", slots={"order_number": "01234"}),
        "sources": (Source("p1", "Title p1", "It costs 39 euro.", "faq/shop.md"),),
    }
    return TurnResult(TurnStatus.COMPLETED, text, Decision(kind, "why not"), **(values | more))


def answer(text: str = "It costs 39 euro.", *, inside: bool = True) -> Answer:
    """The same reply as it came over the wire, with or without a look inside."""
    seen = Answer("how much?", "completed", "answer", text, ("faq/shop.md#Title p1",), ("product",))
    return seen.seen_inside(result(text=text)) if inside else seen


def test_conversations_are_parsed_as_written() -> None:
    """`yes` and numbers with a leading zero are the text that stands there."""
    first, second = parse_conversations(TEXT, PATH)
    assert first.name == "price, then yes"
    assert first.turns[0].expect == Expectation(
        decisions=(DecisionKind.ANSWER, DecisionKind.APPROVED),
        source="faq/shop.md#Title p1",
        contains=("39",),
        excludes=("free", "gratis"),
    )
    assert first.turns[1].customer == "yes"
    assert first.turns[1].expect.slots == {"order_number": "01234"}
    assert second.turns == (ScriptedTurn("hello", Expectation()),)


def test_every_problem_is_reported_with_its_line() -> None:
    """All of them in one run."""
    text = """\
- turns: []
- name: a
- name: a
  turns:
    - customer: hi
      expect: {decision: perhaps}
    - customer:
    - customer: hi
      expects: {}
    - customer: hi
      expect: {soruce: x, source: no-heading}
- just text
"""
    with pytest.raises(KnowledgeError) as caught:
        parse_conversations(text, PATH)
    found = [(problem.line, problem.message) for problem in caught.value.problems]
    assert [line for line, _ in found] == [1, 2, 3, 5, 7, 8, 10, 10, 0]
    for part, (_, message) in zip(
        [
            "no `name`",
            "no `turns`",
            "taken by line 2",
            "perhaps",
            "no `customer`",
            "expects",
            "soruce",
            "file#heading",
        ],
        found,
        strict=False,
    ):
        assert part in message


@pytest.mark.parametrize("text", ["", "just: a mapping", "- [unclosed"])
def test_file_that_is_no_list_is_refused(text: str) -> None:
    """Empty, a mapping, or not YAML."""
    with pytest.raises(KnowledgeError, match=r"tests\.yaml"):
        parse_conversations(text, PATH)


def test_met_expectations_give_no_failure() -> None:
    """Case does not count in a reply."""
    first, _ = parse_conversations(TEXT, PATH)
    assert unmet(first.turns[0].expect, answer()) == []
    assert unmet(first.turns[1].expect, answer()) == []
    assert unmet(Expectation(contains=("COSTS",), card="product"), answer()) == []


@pytest.mark.parametrize(
    ("expect", "part"),
    [
        (Expectation(decisions=(DecisionKind.DECLINE,)), "expected decline, was answer (why not)"),
        (Expectation(source="faq/shop.md#Other"), "expected faq/shop.md#Other, was faq/shop.md#Title p1"),
        (Expectation(card="order"), "expected order, was product"),
        (Expectation(contains=("45",)), "expected '45' in it, was 'It costs 39 euro.'"),
        (Expectation(excludes=("Euro",)), "expected no 'Euro' in it"),
        (Expectation(intent="refund"), "expected refund, was order_status"),
        (Expectation(slots={"order_number": "9"}), "expected '9', was '01234'"),
        (Expectation(slots={"colour": "red"}), "slot colour: expected 'red', was not filled"),
    ],
)
def test_unmet_expectation_says_what_was_there_instead(expect: Expectation, part: str) -> None:
    """One sentence for each."""
    (failure,) = unmet(expect, answer())
    assert part in failure


def test_what_the_wire_does_not_tell_is_counted_not_failed() -> None:
    """Intents and slots of a server elsewhere cannot be seen; all else is checked."""
    expect = Expectation(intent="refund", slots={"colour": "red", "size": "L"}, contains=("45",))
    assert len(unmet(expect, answer(inside=False))) == 1
    assert not_visible(expect, answer(inside=False)) == 3
    assert not_visible(expect, answer()) == 0


def test_scans_taps_and_interruptions_are_parsed() -> None:
    """A turn may be a scanned code, follow taps on products, or cut in."""
    text = """\
- name: a
  turns:
    - customer: hello
    - scan: 04006381333931
      interrupts: true
      events: [tap SF-101, dismiss SF-102]
      expect: {card: product}
"""
    ((_, turn),) = (test.turns for test in parse_conversations(text, PATH))
    assert turn == ScriptedTurn(
        "04006381333931",
        Expectation(card="product"),
        scans=True,
        events=(("tap", "SF-101"), ("dismiss", "SF-102")),
        interrupts=True,
    )


@pytest.mark.parametrize(
    ("turns", "part"),
    [
        ("[{customer: a, scan: b}]", "no `customer` text, or a `scan`"),
        ("[{customer: a, events: [lick SF-1]}]", "such as `tap SKU`"),
        ("[{customer: a, interrupts: perhaps}]", "true or false"),
        ("[{customer: a, interrupts: true}]", "begins with a turn that interrupts"),
        (
            "[{customer: a, expect: {contains: x}}, {customer: b, interrupts: true}]",
            "expects something of a turn",
        ),
    ],
)
def test_turns_that_make_no_sense_are_reported(turns: str, part: str) -> None:
    """With the line of the conversation or the turn."""
    with pytest.raises(KnowledgeError, match=part):
        parse_conversations(f"- name: a\n  turns: {turns}\n", PATH)


def test_conversation_carries_history_and_state(subject: Any) -> None:
    """The second turn knows the first, without citation markers; reset forgets."""
    subject.replies = {"a": (DecisionKind.ANSWER, "Yes [1].", ["p1"])}
    conversation = Conversation(subject)
    pieces: list[str] = []

    async def talk() -> None:
        await conversation.say("a", on_delta=pieces.append)
        await conversation.say("b")
        conversation.reset()
        await conversation.say("c")

    asyncio.run(talk())
    assert "".join(pieces) == "Yes [1]."
    history = [[(message.role, message.text) for message in request.history] for request in subject.requests]
    assert history == [[], [(Role.CUSTOMER, "a"), (Role.ASSISTANT, "Yes.")], []]
    assert [request.state.misses for request in subject.requests] == [0, 1, 0]
    assert [text for text, _ in conversation.turns] == ["c"]


def test_figures_count_conversations_not_expectations() -> None:
    """Two unmet expectations in one conversation are one failed conversation; times are those of all turns."""
    failures = tuple(Failure("bad", 1, "x", what) for what in ("decision: ...", "reply: ..."))
    timed = [
        Answer("x", "completed", "answer", "", timings={"retrieval": milliseconds, "total_ms": 9.0})
        for milliseconds in (2.0, 4.0, 6.0)
    ]
    held = [Held("bad", tuple(timed[:1]), failures, 2), Held("good", tuple(timed[1:]), ())]
    figures = conversation_figures(held)
    counted = figures["conversations"]
    assert (counted["passed"], counted["failed"], counted["unchecked"]) == (1, 1, 2)
    assert [(item["name"], item["turn"], item["customer"]) for item in counted["failures"]] == [
        ("bad", 1, "x")
    ] * 2
    assert figures["latency_ms"]["retrieval"]["p50"] == 4.0


@pytest.mark.parametrize(
    "before", ["", "# ours\n" + TEXT, "".join(f"  {line}\n" for line in TEXT.splitlines())]
)
def test_saved_conversation_is_read_back_and_passes(tmp_path: Path, before: str) -> None:
    """Appended in the file's own indent; what stood there, comments included, still does."""
    path = tmp_path / "tests.yaml"
    path.write_text(before)
    save_test(path, "mine", [("how much: yes?", result())])
    assert path.read_text().startswith(before)
    *_, saved = parse_conversations(path.read_text(), path)
    assert saved.name == "mine"
    assert saved.turns[0].customer == "how much: yes?"
    assert saved.turns[0].expect.source == "faq/shop.md#Title p1"
    assert unmet(saved.turns[0].expect, answer()) == []


def test_taken_name_and_empty_conversation_are_not_saved(tmp_path: Path) -> None:
    """The file stays as it is."""
    path = tmp_path / "tests.yaml"
    path.write_text(TEXT)
    with pytest.raises(ConfigError, match="already"):
        save_test(path, "no expectations", [("a", result())])
    with pytest.raises(ConfigError, match="nothing to save"):
        save_test(path, "new", [])
    assert path.read_text() == TEXT


def test_layout_that_cannot_be_appended_to_is_left_alone(tmp_path: Path) -> None:
    """A list in flow style cannot be continued; the test is shown instead."""
    path = tmp_path / "tests.yaml"
    text = "[{name: a, turns: [{customer: hi}]}]\n"
    path.write_text(text)
    with pytest.raises(ConfigError, match="by hand"):
        save_test(path, "b", [("hi", result())])
    assert path.read_text() == text
