"""Orders against the real demonstration back-office in SQLite."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from assistant.errors import BackendError
from assistant.protocols import SkillCall
from assistant.records import Order, Product
from assistant.skills.orders import CancelOrder, OrderStatus, describe_items
from assistant.storage.backoffice import BackOffice

PLACED = Order(
    "AB-00001", "Ada Quill", "ada@example.com", "2026-11-20", "placed", "L-1 x2 | T-1 x1", 99.5, "EUR",
    "parcel", "2026-11-24", "", "Elm Road 4", "Paid by wallet.",
)  # fmt: skip
SENT = replace(PLACED, order_number="AB-00002", status="shipped", slot="2026-11-23 08:00-12:00")
PRODUCTS = {"L-1": Product("L-1", "Lumo lamp", 20.0, "EUR", "2000000000008")}


@pytest.fixture
def office(tmp_path: Path) -> Iterator[BackOffice]:
    backoffice = BackOffice(tmp_path / "backoffice.sqlite")
    backoffice.seed([PLACED, SENT])
    yield backoffice
    backoffice.close()


def test_status_names_items_and_day_but_nobody(office: BackOffice) -> None:
    """The reply says what is coming and when; name, address and mail stay out of everything."""
    outcome = OrderStatus(office, PRODUCTS).run(SkillCall("", {"order_number": "AB-00002"}))
    assert outcome.reply == (
        "Your order AB-00002 (2 x Lumo lamp and T-1) has been shipped. "
        "It comes on Monday 23 November between 08:00 and 12:00. Paid by wallet."
    )
    shown = repr(outcome)
    assert not any(secret in shown for secret in ("Ada", "ada@", "Elm Road"))


def test_unknown_number_is_asked_for_again(office: BackOffice) -> None:
    """The wrong number is forgotten and the slot stays open."""
    outcome = OrderStatus(office, PRODUCTS).run(SkillCall("", {"order_number": "AB-99999"}))
    assert (outcome.missing, outcome.invalid) == ("order_number", ("order_number",))
    assert "AB-99999" in outcome.reply


def test_cancelling_waits_for_a_yes(office: BackOffice) -> None:
    """Nothing changes before the confirmation, and the second confirmation changes nothing more."""
    skill = CancelOrder(office, PRODUCTS)
    slots = {"order_number": "AB-00001"}
    assert skill.run(SkillCall("", slots)).confirm
    assert office.order("AB-00001") == PLACED
    assert skill.run(SkillCall("", slots, confirmed=True)).reply.startswith("Done")
    assert office.order("AB-00001") == replace(PLACED, status="cancelled")
    assert "already cancelled" in skill.run(SkillCall("", slots, confirmed=True)).reply


def test_order_on_its_way_is_not_cancelled(office: BackOffice) -> None:
    """A confirmed cancellation of a shipped order is refused."""
    outcome = CancelOrder(office, PRODUCTS).run(SkillCall("", {"order_number": "AB-00002"}, confirmed=True))
    assert "can't cancel" in outcome.reply
    assert office.order("AB-00002") == SENT


def test_seeding_again_keeps_what_customers_changed(office: BackOffice) -> None:
    """An ingest does not bring a cancelled order back."""
    office.set_status("AB-00001", "cancelled", only_from=("placed",))
    office.seed([PLACED, SENT])
    order = office.order("AB-00001")
    assert order is not None
    assert order.status == "cancelled"


def test_broken_database_is_a_backend_error(tmp_path: Path) -> None:
    """A file that is no database is refused with a reason."""
    file = tmp_path / "backoffice.sqlite"
    file.write_bytes(b"this is not a database, but it is long enough to be read as one" * 20)
    with pytest.raises(BackendError, match=r"backoffice\.sqlite"):
        BackOffice(file)


def test_items_without_catalogue_entry_keep_their_number() -> None:
    """An unknown SKU and free text are shown as they stand."""
    assert describe_items(replace(PLACED, items="odd text"), PRODUCTS) == "odd text"
