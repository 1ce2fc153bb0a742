"""Pieces to deltas: when they are due, and that no character is split."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.server.coalescing import DeltaCoalescer, complete_length, sound_text

WHOLE = [
    "é",
    "👍🏽",
    "👨‍👩‍👧",
    "🇩🇪",
    "1️⃣",
    "한",
    "नि",
    "a",
    " ",
    "你",
    "。",
    "\U0001f600",
    "🏴\U000e0067\U000e0062\U000e007f",
]


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("Hello there.", "Hello there."),
        ("Hello the", "Hello th"),
        ("e\u0301", ""),
        ("cafe\u0301 ", "cafe\u0301 "),
        ("a👨‍👩‍", "a"),
        ("x🇩🇪🇫", "x🇩🇪"),
        ("x🇩🇪🇫🇷", "x🇩🇪"),
        ("你好", "你"),
        ("你好。", "你好。"),
        ("a\ud83d", "a"),
        ("key 1", "key "),
    ],
)
def test_what_may_still_grow_is_held_back(text: str, sent: str) -> None:
    """Only what no further piece can change is sent."""
    assert text[: complete_length(text)] == sent


@given(st.lists(st.sampled_from(WHOLE), max_size=12), st.randoms())
def test_no_cut_falls_inside_a_character(characters: list[str], random: object) -> None:
    """Fed code point by code point, every delta begins and ends between what a reader sees as characters."""
    text = "".join(characters)
    borders = {0}
    for character in characters:
        borders.add(max(borders) + len(character))
    coalescer = DeltaCoalescer(0.0)
    sent = 0
    for point in text:
        coalescer.push(point)
        if coalescer.wait_s(0.0) is not None:
            sent += len(coalescer.take(0.0))
            assert sent in borders
    assert sent + len(coalescer.flush()) == len(text)


@given(st.lists(st.text(max_size=5), max_size=30), st.lists(st.floats(0, 1), min_size=30, max_size=30))
def test_deltas_join_to_the_pieces_and_keep_their_distance(pieces: list[str], pauses: list[float]) -> None:
    """Whatever the timing: the same text, and never two deltas within the interval."""
    coalescer = DeltaCoalescer(0.1)
    now, last, deltas = 0.0, float("-inf"), []
    for piece, pause in zip(pieces, pauses, strict=False):
        now += pause
        coalescer.push(piece)
        if coalescer.wait_s(now) == 0:
            assert now - last >= 0.1 - 1e-9
            last = now
            deltas.append(coalescer.take(now))
    deltas.append(coalescer.flush())
    assert "".join(deltas) == "".join(pieces)


def test_first_delta_is_due_at_once_and_the_second_after_the_interval() -> None:
    """The customer sees something immediately."""
    coalescer = DeltaCoalescer(0.5)
    assert coalescer.wait_s(10.0) is None
    coalescer.push("One. ")
    assert coalescer.wait_s(10.0) == 0
    assert coalescer.take(10.0) == "One. "
    coalescer.push("Two. ")
    assert coalescer.wait_s(10.2) == pytest.approx(0.3)
    assert coalescer.wait_s(10.6) == 0


def test_surrogates_are_joined_or_replaced() -> None:
    """What UTF-8 cannot carry does not reach the wire."""
    assert sound_text("a\ud83d\ude00b\ud83d") == "a\U0001f600b\ufffd"
    assert sound_text("plain 你好") == "plain 你好"
