"""Recommendations: wishes, filters, reasons, learning within the session, and the model behind them."""

from collections.abc import Sequence

import numpy as np
import pytest

from assistant.protocols import SkillCall, SkillOutcome
from assistant.records import Signal
from assistant.skills.catalogue import Catalogue
from assistant.skills.recommend import Recommend, price_limits
from assistant.skills.taste import Blend, Taste, fit_ease
from tests.skills.goods import GOODS, KINDS, history, taste, vectors


def embed(texts: Sequence[str]) -> np.ndarray:
    """A scripted encoder: the kinds that a text names."""
    rows = [[float(kind.rstrip("s") in text) for kind in KINDS] + [0.01] for text in texts]
    return np.asarray(rows, np.float32)


@pytest.fixture
def skill() -> Recommend:
    return Recommend(Catalogue(GOODS), taste(), embed)


def ask(
    skill: Recommend, text: str, customer: str = "", signals: Sequence[Signal] = (), session: str = "s"
) -> SkillOutcome:
    return skill.run(SkillCall(text, {}, customer=customer, session=session, signals=tuple(signals)))


def skus(outcome: SkillOutcome) -> list[str]:
    return [str(card.data["sku"]) for card in outcome.cards]


def test_guest_sees_what_many_like_and_not_all_of_a_kind(skill: Recommend) -> None:
    """Without any knowledge popularity decides, spread over kinds, with a true reason."""
    outcome = ask(skill, "what do you recommend")
    assert skus(outcome)[0] in {"SH-1", "SH-3", "SH-4"}
    categories = {str(card.data["category"]) for card in outcome.cards}
    assert len(categories) > 1
    assert "many customers look at it" in outcome.reply


def test_three_taps_shift_the_suggestions(skill: Recommend) -> None:
    """Who taps furniture three times sees furniture, not what is popular."""
    before = skus(ask(skill, "what should i look at", session="a"))
    taps = [Signal("tap", sku) for sku in ("SF-2", "LG-1", "SF-2")]
    outcome = ask(skill, "what should i look at", signals=taps, session="b")
    assert before[0].startswith("SH")
    assert skus(outcome)[0] in {"SF-1", "LG-1", "SF-2"}
    assert "because you looked at" in outcome.reply


def test_dismissed_product_does_not_come_back(skill: Recommend) -> None:
    """A dismissal hides the product at once."""
    first = skus(ask(skill, "any ideas"))[0]
    assert first not in skus(ask(skill, "any ideas", signals=[Signal("dismiss", first)]))


def test_known_customer_gets_what_goes_with_their_purchase(skill: Recommend) -> None:
    """What was bought is not suggested again, and is the reason for what is."""
    outcome = ask(skill, "recommend me something", customer="C-5")  # bought SH-1, SH-3, SH-4
    assert not {"SH-1", "SH-3", "SH-4"} & set(skus(outcome))
    assert "goes with your" in outcome.reply


def test_cheaper_than_a_named_product(skill: Recommend) -> None:
    """Of the same kind, below its price, with the difference told."""
    outcome = ask(skill, "something like the Sedge sofa but cheaper")
    assert skus(outcome) == ["SF-2"]
    assert "€200 less" in outcome.reply


def test_cheaper_follows_the_product_tapped_last(skill: Recommend) -> None:
    """ "This" is what the customer looked at."""
    signals = [Signal("view", "SF-1"), Signal("tap", "LG-1")]
    assert skus(ask(skill, "something like this but cheaper", signals=signals)) == ["LG-2"]


def test_what_goes_with_my_hub(skill: Recommend) -> None:
    """The catalogue's own word comes first, then what is taken together; no second hub."""
    outcome = ask(skill, "what goes with my hub")
    assert skus(outcome)[0] == "SH-3"
    assert "made to go with the Holt Hub" in outcome.reply
    assert "SH-2" not in skus(outcome)


def test_price_colour_kind_and_stock_are_kept(skill: Recommend) -> None:
    """Every product shown meets every wish, and is there."""
    assert skus(ask(skill, "a lamp under 150 euros")) == ["LG-2"]
    assert skus(ask(skill, "lamps in brass")) == ["LG-1"]
    assert set(skus(ask(skill, "show me sofas between 1000 and 1,200 euros"))) == {"SF-2"}
    assert "LG-3" not in skus(ask(skill, "a desk lamp"))
    assert "LG-3" in skus(ask(skill, "a desk lamp, also if sold out"))


def test_wish_that_cannot_be_met_says_so(skill: Recommend) -> None:
    """The nearest is shown as what it is."""
    outcome = ask(skill, "a sofa under 500 euros")
    assert "it begins at €1,090" in outcome.reply
    assert set(skus(outcome)) == {"SF-1", "SF-2"}
    assert "nothing like that in white" in ask(skill, "a white sofa").reply


def test_others_are_others(skill: Recommend) -> None:
    """The same wish again without what was shown; in another conversation nothing is remembered."""
    first = skus(ask(skill, "sofas or so"))
    assert not set(first) & set(skus(ask(skill, "show me others")))


def test_wish_that_compares_with_nothing_is_asked_about(skill: Recommend) -> None:
    """ "Something cheaper" at the beginning of a conversation."""
    assert ask(skill, "something cheaper", session="").missing == "product"


def test_other_customers_history_stays_theirs(skill: Recommend) -> None:
    """The reasons for one customer name nothing that only another has met."""
    outcome = ask(skill, "recommend me something", customer="C-unknown")
    assert "your" not in outcome.reply
    assert "because you" not in outcome.reply


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("under 1000 euros", (0.0, 1000.0)),
        ("less than €1,290", (0.0, 1290.0)),
        ("between 100 and 200", (100.0, 200.0)),
        ("from 300 to 100 euros", (100.0, 300.0)),
        ("over 49.50", (49.5, float("inf"))),
        ("a sofa for 3 people", (0.0, float("inf"))),
    ],
)
def test_prices_are_read(text: str, limits: tuple[float, float]) -> None:
    """Limits in figures, in either order."""
    assert price_limits(text) == limits


def test_ease_solves_its_own_problem() -> None:
    """The closed form is a minimum: no small change of an off-diagonal weight lowers the regularised error."""
    rng = np.random.default_rng(3)
    matrix = (rng.random((40, 6)) < 0.4).astype(np.float32)
    weights = fit_ease(matrix, 5.0).astype(np.float64)
    assert not np.diag(weights).any()

    def loss(candidate: np.ndarray) -> float:
        return float(((matrix - matrix @ candidate) ** 2).sum() + 5.0 * (candidate**2).sum())

    best = loss(weights)
    for row, column in ((0, 1), (3, 2), (5, 4)):
        for step in (1e-3, -1e-3):
            other = weights.copy()
            other[row, column] += step
            assert loss(other) > best


def test_mmr_prefers_another_kind_to_more_of_the_same() -> None:
    """With equal scores the second choice is unlike the first."""
    model = Taste(GOODS, vectors(), [], Blend())
    first, second = model.diverse(np.zeros(len(GOODS), np.float32), range(len(GOODS)), 2)
    assert GOODS[first].category != GOODS[second].category


def test_taste_without_history_still_suggests() -> None:
    """A new shop has no events; signals work by likeness alone."""
    model = Taste(GOODS, vectors(), [])
    scores = model.scores(model.profile("", [Signal("tap", "SF-1")]))
    assert GOODS[int(np.argsort(-scores)[1])].category == "sofas"
    assert len(history()) > 0
