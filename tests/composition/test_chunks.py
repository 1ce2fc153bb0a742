"""Pieces of a reply and their citation markers."""

import re

from hypothesis import example, given
from hypothesis import strategies as st

from assistant.composition.chunks import CitationFilter, cited_numbers, pieces, without_citations


@given(st.text())
def test_pieces_joined_give_the_text(text: str) -> None:
    """Cutting loses nothing."""
    assert "".join(pieces(text)) == text


def test_chinese_is_cut_into_characters() -> None:
    """A script without spaces streams character by character."""
    assert list(pieces("送货 ok")) == ["送", "货", " ok"]


def test_markers_vanish_wherever_the_stream_is_cut() -> None:
    """At every pair of cuts the shown text is the same, and the markers are remembered."""
    text = "It costs €39 [1][2]. A list [a] stays [3]"
    for first in range(len(text) + 1):
        for second in range(first, len(text) + 1):
            stream = CitationFilter()
            cuts = (text[:first], text[first:second], text[second:])
            shown = "".join(stream.feed(piece) for piece in cuts) + stream.finish()
            assert shown == "It costs €39. A list [a] stays"
            assert cited_numbers(stream.raw) == [1, 2, 3]


@example(["[1", "[1]", "]"])
@given(st.lists(st.text(alphabet="ab [12]", max_size=6)))
def test_stream_and_whole_text_agree(cuts: list[str]) -> None:
    """Filtering piece by piece shows what filtering the whole would, but for space at the end."""
    stream = CitationFilter()
    shown = "".join(stream.feed(piece) for piece in cuts) + stream.finish()
    assert re.sub(r"\s+$", "", shown) == re.sub(r"\s+$", "", without_citations("".join(cuts)))
