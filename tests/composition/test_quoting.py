"""Which sentences are quoted."""

from assistant.composition.quoting import SentenceScores, choose_hints, choose_sentences, opening

SENTENCES = [
    "Parcels cost €4.90.",
    "It falls away from €60.",
    "Sofas cost €39 to send.",
    "Islands pay €45 more.",
]


def scores(*totals: float) -> list[SentenceScores]:
    return [SentenceScores(total, 0.0, 0.0) for total in totals]


def test_best_sentence_alone_when_the_others_are_far() -> None:
    """One clear answer is quoted alone."""
    assert choose_sentences(SENTENCES, scores(0.1, 0.2, 0.9, 0.3)) == [2]


def test_two_near_sentences_come_in_reading_order() -> None:
    """A second sentence near the best is quoted too, in the passage's order."""
    assert choose_sentences(SENTENCES, scores(0.1, 0.2, 0.85, 0.9)) == [2, 3]


def test_sentence_that_leans_back_brings_the_one_before() -> None:
    """ "It falls away" cannot be understood alone."""
    assert choose_sentences(SENTENCES, scores(0.1, 0.9, 0.2, 0.2)) == [0, 1]


def test_two_are_chosen_and_a_third_only_if_as_good() -> None:
    """Four equally good sentences are not all quoted."""
    assert choose_sentences(["A b.", "C d.", "E f.", "G h."], scores(1, 1, 1, 1)) == [0, 1, 2]
    assert choose_sentences(["A b.", "C d.", "E f.", "G h."], scores(1, 0.9, 0.9, 0.9)) == [0, 1]


def test_logit_counts_a_little_for_quoting_and_alone_for_a_composer() -> None:
    """Without a model that reads, vectors and words decide both."""
    near, read = SentenceScores(0.6, 0.6, 0.1, -3.0), SentenceScores(0.5, 0.5, 0.1, 3.0)
    assert read.total > near.total > SentenceScores(0.6, 0.6, 0.1, -4.0).total
    assert read.bearing == 1.0 > near.bearing
    assert SentenceScores(0.6, 0.6, 0.1).bearing == 1.2


def test_no_sentences_give_no_quotes() -> None:
    """An empty passage is survived."""
    assert choose_sentences([], []) == []


def test_hints_are_the_nearest_sentences_of_all_sources_best_first() -> None:
    """Whatever source they stand in; the best has two stars, two more have one unless they are far from it.

    Where it is likelier that no sentence answers, none has any.
    """
    totals = [[0.9, 1.2], [1.3, 0.2], [1.1, 1.15]]
    ranked = [(1, 0, 2), (0, 1, 1), (2, 1, 1), (2, 0, 0), (0, 0, 0), (1, 1, 0)]
    assert choose_hints(totals) == ranked
    assert choose_hints(totals, most=4) == ranked[:4]
    assert choose_hints([[0.4, 0.3], [-0.2]]) == [(0, 0, 1), (0, 1, 1), (1, 0, 0)]
    assert choose_hints([[-0.3], [-0.2]]) == [(1, 0, 0), (0, 0, 0)]
    assert choose_hints([[1.3, 0.5], [], [0.9]]) == [(0, 0, 2), (2, 0, 0), (0, 1, 0)]
    assert choose_hints([]) == []


def test_opening_is_as_long_as_can_be_read_at_once() -> None:
    """Whole sentences from the first on, at least that one."""
    assert opening(SENTENCES) == [0, 1, 2, 3]
    assert opening(["word " * 30] * 5) == [0, 1]
    assert opening(["word " * 100, "More."]) == [0]
    assert opening([]) == []
