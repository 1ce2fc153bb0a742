"""Scanned codes: check digits, links, hostile text, and what is told about a product."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.protocols import SkillCall
from assistant.records import Passage, PassageId
from assistant.skills.catalogue import Catalogue
from assistant.skills.scan import Code, CodeKind, Scan, find_code, has_right_check_digit, parse_code
from tests.skills.goods import GOODS, taste

HOSTS = frozenset({"shop.example"})
HELP = Passage(PassageId("p"), "Which bulb fits the Egret?", "Any E27 bulb.", document="faq/lamps.md")


@pytest.fixture
def scan() -> Scan:
    return Scan(Catalogue(GOODS, [HELP]), taste(), ("shop.example",))


@pytest.mark.parametrize(
    "code",
    # Published examples: GS1 (EAN-13, EAN-8), Wikipedia's UPC-A, an ISBN-13 and a GTIN-14.
    ["4006381333931", "73513537", "036000291452", "9780306406157", "10614141000415"],
)
def test_published_codes_have_right_check_digits(code: str) -> None:
    """Every length weighs its digits from the right."""
    assert has_right_check_digit(code)
    wrong = code[:-1] + str((int(code[-1]) + 1) % 10)
    assert parse_code(wrong).kind is CodeKind.MISREAD


def test_short_and_long_forms_become_one() -> None:
    """UPC-A is an EAN-13 behind a zero, and so is its GTIN-14."""
    assert parse_code("036000291452") == Code(CodeKind.GTIN, "0036000291452")
    assert parse_code("00036000291452") == Code(CodeKind.GTIN, "0036000291452")
    assert parse_code("0 036000 291452") == Code(CodeKind.GTIN, "0036000291452")


@pytest.mark.parametrize(
    "code", ["2000000000015", "LG-1", "lg-1", "https://shop.example/p/LG-1", "http://SHOP.example/x?sku=LG-1"]
)
def test_product_is_found_by_barcode_sku_and_link(scan: Scan, code: str) -> None:
    """All ways lead to the same card, with price, stock, help and similar products."""
    outcome = scan.run(SkillCall(code, {"code": code}))
    assert outcome.reply.startswith("This is the Egret floor lamp: €190, 14 in stock.")
    assert [card.data["sku"] for card in outcome.cards if card.kind == "product"] == ["LG-1", "LG-2"]
    assert [source.title for source in outcome.sources] == ["Egret floor lamp", HELP.title]


def test_product_with_a_model_brings_its_preview(scan: Scan) -> None:
    """The 3D card comes along."""
    outcome = scan.run(SkillCall("", {"code": "SF-1"}))
    assert [card.data["model"] for card in outcome.cards if card.kind == "preview"] == ["models/sofa.glb"]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("4006381333931", "isn't one of ours"),
        ("4006381333932", "last digit doesn't fit"),
        ("https://evil.example/p/LG-1", "isn't ours"),
        ("https://shop.example@evil.example/p/LG-1", "isn't ours"),
        ("https://shop.example.evil.example/LG-1", "isn't ours"),
        ("javascript://shop.example/%0aalert(1)", "isn't ours"),
        ("https://[::1/LG-1", "isn't ours"),
        ("https://shop.example/p/unknown", "names no product"),
        ("MT:Y.K9042C00KA0648G00", "My home > Add"),
        ("hello", "can't find a product for that code hello"),
        ("<script>alert(1)</script>", "can't find a product for that code."),
        ("'; DROP TABLE products; --", "can't find a product for that code."),
        ("\x00\x1b[2J", "can't find a product for that code."),
        ("12345678" * 10, "can't find a product for that code."),
    ],
)
def test_unknown_and_hostile_codes_get_a_clear_answer(scan: Scan, code: str, said: str) -> None:
    """Nothing is opened, nothing hostile is repeated, and no card is shown."""
    outcome = scan.run(SkillCall("", {"code": code}))
    assert said in outcome.reply
    assert outcome.cards == ()
    assert not set("<>;%") & set(outcome.reply.replace("My home > Add", ""))


@given(st.text(max_size=300))
def test_any_text_is_read_without_error(text: str) -> None:
    """A QR code may hold anything."""
    code = parse_code(text, HOSTS)
    assert len(code.value) <= 32


def test_digits_are_found_in_what_is_typed() -> None:
    """Spaces as printed under a barcode do not matter; order numbers and prices are no codes."""
    assert find_code("what is 2 000000 000015 please") == "2000000000015"
    assert find_code("OM-48213 for 1290.00 euros") == ""


def test_no_code_is_asked_for(scan: Scan) -> None:
    """Without digits the code is asked for; a product named instead is shown."""
    assert scan.run(SkillCall("what is this", {})).missing == "code"
    assert "Egret" in scan.run(SkillCall("the egret floor lamp", {})).reply
