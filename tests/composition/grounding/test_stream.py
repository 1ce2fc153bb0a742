"""A reply on its way to the customer."""

import pytest

from assistant.composition.chunks import cited_numbers, pieces, without_citations
from assistant.composition.grounding.check import GroundingCheck
from assistant.composition.grounding.stream import GroundedText
from assistant.text import sentences
from tests.composition.grounding.shop import QUOTES, REQUEST, SOURCES

GOOD = "You have 30 days [1]. Delivery is €5.90 and free from €1,200 [2]. Anything else?"
REPLIES = [
    GOOD,
    "You have 30 days. [1] Delivery is €5.90, and free from €1,200. [2][1]\nBye!",
    "You have 40 days [1]. Delivery is €5.90 [2].",
    "Sure, e.g. until 17:30 [2]. See shop.example.com/returns [1]. It's +00 555 0142 [2].",
    "Delivery is €5.90 [1]. We keep it for three weeks [9].",
    "We close on Sunday at the Market Depot",
    "",
]


def run(text: str, *, hold: bool, cuts: list[str] | None = None) -> tuple[GroundedText, str]:
    grounded = GroundedText.of(REQUEST, hold=hold)
    shown = "".join(grounded.feed(piece) for piece in cuts or pieces(text))
    return grounded, shown + grounded.finish()


@pytest.mark.parametrize("hold", [True, False])
def test_grounded_reply_is_unchanged(hold: bool) -> None:
    """What passes is shown word for word."""
    grounded, shown = run(GOOD, hold=hold)
    assert shown == grounded.text == GOOD
    assert grounded.generated
    assert grounded.report == {"passed": 3, "corrected": 0, "replaced": 0, "dropped": 0, "violations": {}}


@pytest.mark.parametrize("hold", [True, False])
@pytest.mark.parametrize("text", REPLIES)
def test_cuts_do_not_matter(text: str, hold: bool) -> None:
    """The whole text is the same wherever the stream is cut, and so is what the customer has seen."""
    expected, whole_shown = run(text, hold=True, cuts=[text])
    for cut in range(len(text) + 1):
        grounded, shown = run(text, hold=hold, cuts=[text[:cut], text[cut:]])
        assert grounded.text == expected.text
        if hold:
            assert shown == whole_shown
    single, _ = run(text, hold=hold, cuts=list(text))
    assert single.text == expected.text


@pytest.mark.parametrize("hold", [True, False])
@pytest.mark.parametrize("text", REPLIES)
def test_text_that_stands_in_the_end_passes_the_check(text: str, hold: bool) -> None:
    """No sentence of the whole text violates anything."""
    grounded, _ = run(text, hold=hold)
    check = GroundingCheck.of(REQUEST)
    assert [
        check.check(sentence) for sentence in _cited_sentences(grounded.text) if check.check(sentence)
    ] == []


def _cited_sentences(text: str) -> list[str]:
    """Sentences with the markers behind their full stop."""
    found: list[str] = []
    for sentence in sentences(text):
        rest = sentence
        while rest.startswith("[") and found:
            marker, _, rest = rest.partition("]")
            found[-1] += f" {marker}]"
        if rest.strip():
            found.append(rest.strip())
    return found


def test_invented_sentence_is_replaced_by_the_nearest_quote() -> None:
    """The source's own words stand in its place, with their citation."""
    grounded, shown = run("You may return it within 40 days of delivery [1]. Anything else?", hold=True)
    assert shown == grounded.text == f"{QUOTES[0].text} [1] Anything else?"
    assert (grounded.report["replaced"], grounded.report["passed"]) == (1, 1)
    assert grounded.report["violations"] == {"ungrounded/duration": 1}


def test_each_quote_is_used_once() -> None:
    """A third invented sentence is dropped when two quotes are used."""
    grounded, shown = run("It takes 40 days [1]. It costs €77 [2]. It opens at 4 am [2]. Bye!", hold=True)
    assert shown == f"{QUOTES[0].text} [1] {QUOTES[1].text} [2] Bye!"
    assert (grounded.report["replaced"], grounded.report["dropped"]) == (2, 1)


def test_quote_that_was_said_already_is_not_repeated() -> None:
    """A replacement must add something."""
    grounded, _ = run(f"{QUOTES[0].text[:-1]} [1]. It takes 44 days after delivery [1].", hold=True)
    assert without_citations(grounded.text) == f"{QUOTES[0].text} {QUOTES[1].text}"


def test_wrong_citation_is_corrected() -> None:
    """The sentence stays and cites what states its facts."""
    grounded, shown = run("Delivery is €5.90 [1]. We keep it for three weeks.", hold=True)
    assert shown == "Delivery is €5.90 [2]. We keep it for three weeks [1]."
    assert grounded.report["corrected"] == 2
    grounded, _ = run("Delivery is €5.90, collecting €49 [9]!", hold=True)
    assert cited_numbers(grounded.text) == [1, 2]
    assert grounded.text.endswith("[1][2]!")


def test_one_right_citation_of_two_is_kept() -> None:
    """Only what is missing is added."""
    grounded, _ = run("It costs €49 [1] and delivery is €5.90 [1].", hold=True)
    assert grounded.text == "It costs €49 [1] and delivery is €5.90 [1][2]."


def test_nothing_left_gives_the_quotes() -> None:
    """A reply of which nothing passes becomes the approved one, and is not the model's."""
    request_without = GroundedText(GroundingCheck(SOURCES, []), (QUOTES[0],))
    shown = request_without.feed("Take the 7:45 bus. ") + request_without.feed("It costs $3. ")
    shown += request_without.finish()
    assert shown == f"{QUOTES[0].text} [1]"
    assert not request_without.generated
    nothing = GroundedText(GroundingCheck(SOURCES, []), ())
    assert nothing.feed("Take the 7:45 bus. Go!") + nothing.finish() == "Go!"


def test_free_words_stream_and_facts_wait_until_complete() -> None:
    """Without holding, plain words come at once; a number waits for its unit."""
    grounded = GroundedText.of(REQUEST, hold=False)
    shown = [
        grounded.feed(piece)
        for piece in ["Please", " send", " it", " within", " 30", " days", ", or", " later"]
    ]
    assert shown == ["Please", " send", " it", " within", "", "", " 30 days, or", " later"]


def test_invented_fact_is_never_shown() -> None:
    """From the first fact on that stands nowhere the sentence is held; its beginning breaks off."""
    text = "Please send it back within 45 days of the day it came. Bye!"
    grounded, shown = run(text, hold=False)
    assert shown == f"Please send it back within… {QUOTES[0].text} [1] Bye!"
    assert grounded.text == f"{QUOTES[0].text} [1] Bye!"


@pytest.mark.parametrize("text", REPLIES)
def test_no_ungrounded_fact_is_ever_shown(text: str) -> None:
    """Whatever the cuts, streamed text states only what stands somewhere."""
    grounded = GroundedText.of(REQUEST, hold=False)
    shown = ""
    for character in text:
        shown += grounded.feed(character)
        for word in ("40", "Sunday", "Market"):
            assert word not in shown


def test_hold_shows_whole_sentences_only() -> None:
    """Nothing of a sentence comes before its end."""
    grounded = GroundedText.of(REQUEST, hold=True)
    shown = [grounded.feed(piece) for piece in ["You have ", "30 days", " [1].", " Bye", "!"]]
    assert shown == ["", "", "", "You have 30 days [1].", ""]
    assert grounded.finish() == " Bye!"
    assert grounded.finish() == ""


def test_chinese_sentences_end_without_space() -> None:
    """The filter follows the splitter of other scripts."""
    grounded, shown = run("可以退货。运费€5.90[2]。再见！", hold=True)
    assert shown == grounded.text == "可以退货。运费€5.90[2]。再见！"
