"""The demonstration back-office, in real SQLite."""

import sqlite3
from datetime import datetime
from pathlib import Path

import pytest

from assistant.errors import BackendError
from assistant.records import OrderChange, OrderChangeKind, Refusal
from assistant.storage.backoffice import BackOffice
from tests.skills.shop import DELIVERED, ORDERS, PLACED, SENT, clock

CANCEL = OrderChange(OrderChangeKind.CANCEL)


def test_seeding_again_keeps_what_customers_changed(tmp_path: Path) -> None:
    """An ingest does not bring a cancelled order back."""
    office = BackOffice(tmp_path / "b.sqlite", now=clock)
    office.seed(ORDERS)
    assert office.change(PLACED, CANCEL, "k1") is None
    office.seed(ORDERS)
    order = office.order(PLACED.order_number)
    assert order is not None
    assert order.status == "cancelled"
    office.close()


def test_seed_moves_on_by_whole_weeks(tmp_path: Path) -> None:
    """A year later the same orders are seeded as of that week, on the same weekdays, notes included."""
    office = BackOffice(tmp_path / "b.sqlite", now=lambda: datetime(2027, 11, 24))
    office.seed(ORDERS)
    order = office.order(SENT.order_number)
    assert order is not None
    assert (order.placed, order.slot) == ("2027-11-19", "2027-11-24 08:00-12:00")
    office.close()


def test_change_of_an_order_that_was_changed_meanwhile_is_a_conflict(tmp_path: Path) -> None:
    """What was read must still hold; the refused change leaves its key unused."""
    office = BackOffice(tmp_path / "b.sqlite", now=clock)
    office.seed(ORDERS)
    office.change(PLACED, CANCEL, "k1")
    move = OrderChange(OrderChangeKind.ADDRESS, {"address": "Elsewhere 1, 10115 Berlin, Germany"})
    assert office.change(PLACED, move, "k2") is Refusal.CONFLICT
    now = office.order(PLACED.order_number)
    assert now is not None
    assert now.address == PLACED.address
    assert office.change(now, move, "k2") is None
    office.close()


def test_key_is_used_once(tmp_path: Path) -> None:
    """The second change with a key does nothing and says that it is done."""
    office = BackOffice(tmp_path / "b.sqlite", now=clock)
    office.seed(ORDERS)
    back = OrderChange(OrderChangeKind.RETURN, {"items": "L-1 x1", "reason": "", "method": "drop-off"})
    assert [office.change(DELIVERED, back, "k") for _ in range(2)] == [None, None]
    order = office.order(DELIVERED.order_number)
    assert order is not None
    assert order.return_items == "L-1 x1"
    office.close()


def test_orders_of_a_guest_are_nobodys(tmp_path: Path) -> None:
    """The empty customer id finds nothing, though guest orders carry it."""
    office = BackOffice(tmp_path / "b.sqlite", now=clock)
    office.seed(ORDERS)
    assert office.orders_of("") == ()
    assert {order.customer_id for order in office.orders_of("C-1")} == {"C-1"}
    office.close()


def test_database_of_an_earlier_release_is_brought_up_to_date(tmp_path: Path) -> None:
    """Columns that came later are added, and its orders stay."""
    file = tmp_path / "b.sqlite"
    office = BackOffice(file, now=clock)
    office.seed([PLACED])
    office.close()
    with sqlite3.connect(file) as raw:
        raw.execute("ALTER TABLE orders DROP COLUMN return_items")
        raw.execute("ALTER TABLE orders DROP COLUMN customer_id")
    raw.close()
    office = BackOffice(file, now=clock)
    order = office.order(PLACED.order_number)
    assert order is not None
    assert order.customer_id == ""
    office.close()


def test_broken_database_is_a_backend_error(tmp_path: Path) -> None:
    """A file that is no database is refused with a reason."""
    file = tmp_path / "b.sqlite"
    file.write_bytes(b"this is not a database, but it is long enough to be read as one" * 20)
    with pytest.raises(BackendError, match=r"b\.sqlite"):
        BackOffice(file)


def test_locked_database_is_a_retryable_error(tmp_path: Path) -> None:
    """Another process that holds the file for too long is reported, and nothing is changed."""
    office = BackOffice(tmp_path / "b.sqlite", now=clock)
    office.seed(ORDERS)
    other = sqlite3.connect(tmp_path / "b.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(BackendError) as caught:
        office.change(PLACED, CANCEL, "k")
    assert caught.value.retryable
    other.execute("ROLLBACK")
    other.close()
    assert office.order(PLACED.order_number) == PLACED
    office.close()
