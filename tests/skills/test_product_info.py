"""Stock and price of one product, and its preview in 3D."""

import pytest

from assistant.protocols import SkillCall
from assistant.records import Signal
from assistant.skills.catalogue import Catalogue
from assistant.skills.product_info import Preview, ProductInfo, safe_model
from tests.skills.goods import GOODS

CATALOGUE = Catalogue(GOODS)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("is the egret floor lamp in stock", "Yes, the Egret floor lamp is there: 14 in stock, at €190."),
        ("cowrie pendant lamp?", "only 3 left"),
        ("do you have the plover desk lamp", "sold out"),
    ],
)
def test_stock_is_told(text: str, said: str) -> None:
    """From the catalogue, with the product as card and source."""
    outcome = ProductInfo(CATALOGUE).run(SkillCall(text, {}))
    assert said in outcome.reply
    assert outcome.cards[0].kind == "product"
    assert outcome.sources[0].title == outcome.cards[0].data["name"]


def test_unclear_product_is_asked_for_with_what_there_is() -> None:
    """A kind of several products is offered by name."""
    outcome = ProductInfo(CATALOGUE).run(SkillCall("is the sofa in stock", {}))
    assert outcome.missing == "product"
    assert outcome.choices == ("Sedge sofa", "Marl sofa bed")


def test_this_is_what_was_touched_last() -> None:
    """ "It" needs a product of the session."""
    signals = (Signal("view", "LG-1"), Signal("tap", "SF-1"))
    assert "Sedge sofa" in Preview(CATALOGUE).run(SkillCall("see it in my room", {}, signals=signals)).reply
    assert Preview(CATALOGUE).run(SkillCall("see it in my room", {})).missing == "product"


def test_preview_is_a_card_with_the_model() -> None:
    """The client gets what it needs to open the model in real size."""
    outcome = Preview(CATALOGUE).run(SkillCall("", {"product": "sedge sofa"}))
    (card,) = outcome.cards
    assert (card.kind, card.data["model"], card.data["dimensions"]) == (
        "preview",
        "models/sofa.glb",
        "218 x 92 x 84 cm",
    )


def test_product_without_model_says_so_and_names_one_that_has() -> None:
    """No card that cannot be opened."""
    outcome = Preview(CATALOGUE).run(SkillCall("", {"product": "marl sofa bed"}))
    assert "no 3D model of the Marl sofa bed" in outcome.reply
    assert "Sedge sofa" in outcome.reply
    assert [card.kind for card in outcome.cards] == ["product"]


@pytest.mark.parametrize(
    ("path", "safe"),
    [
        ("models/sofa.glb", True),
        ("https://cdn.example/sofa.GLTF", True),
        ("", False),
        ("/etc/passwd.glb", False),
        ("../secret.glb", False),
        ("models/%2e%2e/%2e%2e/secret.glb", False),
        ("models\\..\\secret.glb", False),
        ("models/sofa.exe", False),
        ("http://cdn.example/sofa.glb", False),
        ("javascript:alert(1)//.glb", False),
        ("//evil.example/x.glb", False),
        ("https://user@evil.example/x.glb", False),
        ("C:/x.glb", False),
        ("models/so%0afa.glb", False),
    ],
)
def test_only_models_of_the_shop_are_offered(path: str, safe: bool) -> None:
    """Anything else than a glTF file below the shop's folder, or by HTTPS, is left out."""
    assert bool(safe_model(path)) is safe
