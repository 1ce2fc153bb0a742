"""The demonstration back-office: orders in SQLite, seeded from the knowledge folder's orders.csv."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    event,
    insert,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from assistant.errors import BackendError
from assistant.records import Order, OrderChange, OrderChangeKind, Refusal

_METADATA = MetaData()
_ORDERS = Table(
    "orders",
    _METADATA,
    *(
        Column(
            field.name,
            {"total": Float, "version": Integer}.get(field.name, String),
            primary_key=field.name == "order_number",
            nullable=False,
            server_default=None if field.default is dataclasses.MISSING else str(field.default),
        )
        for field in dataclasses.fields(Order)
    ),
)
_CHANGES = Table(
    "changes",
    _METADATA,
    Column("key", String, primary_key=True),
    Column("order_number", String, nullable=False, index=True),
    Column("kind", String, nullable=False),
    Column("changed_values", String, nullable=False),
    Column("slot_before", String, nullable=False),
    Column("at", String, nullable=False),
)
_ISO_DATE = re.compile(r"\b\d{4}-\d{2}-\d{2}\b")
_BUSY_S = 1.0  # how long a statement waits for another writer; two waits stay below a skill's three seconds


class BackOffice:
    """Orders that skills read and change. Blocking; safe from several threads and processes."""

    def __init__(
        self,
        file: Path,
        *,
        now: Callable[[], datetime] = datetime.now,
        most_moves: int = 3,
        most_days: int = 21,
    ) -> None:
        """Open or create the database.

        Args:
            file: the SQLite file.
            now: the shop's clock.
            most_moves: how often a delivery may be moved.
            most_days: how many days a delivery may end up behind the day first agreed.

        Raises: BackendError: the file cannot be opened.
        """
        self._now = now
        self._most_moves = most_moves
        self._most_days = most_days
        self._engine = create_engine(f"sqlite:///{file}", connect_args={"timeout": _BUSY_S})
        event.listen(self._engine, "connect", lambda raw, _: raw.execute("PRAGMA journal_mode=WAL"))
        try:
            _METADATA.create_all(self._engine)
            self._add_missing_columns()
        except SQLAlchemyError as error:
            raise BackendError(f"the back-office database {file.name} cannot be opened: {error}") from error

    def seed(self, orders: Sequence[Order]) -> None:
        """Add orders that are not known yet; what customers changed since stays as it is.

        Dates move on by whole weeks, so that the newest order was placed within the last seven days.
        """
        if not orders:
            return
        newest = max(date.fromisoformat(order.placed) for order in orders)
        shift = timedelta(days=(self._now().date() - newest).days // 7 * 7)
        with self._engine.begin() as connection:
            known = set(connection.scalars(select(_ORDERS.c.order_number)))
            new = [
                dataclasses.asdict(_later(order, shift))
                for order in orders
                if order.order_number not in known
            ]
            if new:
                connection.execute(insert(_ORDERS), new)

    def limit_moves(self, most_moves: int, most_days: int) -> None:
        """Set how often a delivery may be moved, and how many days behind the day first agreed."""
        self._most_moves, self._most_days = most_moves, most_days

    def order(self, order_number: str) -> Order | None:
        """Look an order up; None if there is none of that number.

        Raises: BackendError: the database does not answer; may be tried again.
        """
        try:
            with self._engine.connect() as connection:
                return _read(connection, order_number)
        except SQLAlchemyError as error:
            raise BackendError("the back-office does not answer", retryable=True) from error

    def orders_of(self, customer: str) -> tuple[Order, ...]:
        """Orders of a signed-in customer, newest first; none for a guest.

        Raises: BackendError: the database does not answer; may be tried again.
        """
        if not customer:
            return ()
        query = (
            select(_ORDERS)
            .where(_ORDERS.c.customer_id == customer)
            .order_by(_ORDERS.c.placed.desc(), _ORDERS.c.order_number.desc())
        )
        try:
            with self._engine.connect() as connection:
                return tuple(Order(**row) for row in connection.execute(query).mappings())
        except SQLAlchemyError as error:
            raise BackendError("the back-office does not answer", retryable=True) from error

    def change(self, order: Order, change: OrderChange, key: str) -> Refusal | None:
        """Change an order, once per key, if it still is as `order` says; None when it is done.

        One transaction that begins by writing the key, so that of two requests at once only one changes anything.

        Raises: BackendError: the database does not answer; nothing was changed, and it may be tried again.
        """
        entry = {
            "key": key,
            "order_number": order.order_number,
            "kind": change.kind.value,
            "changed_values": json.dumps(dict(change.values), ensure_ascii=False, sort_keys=True),
            "slot_before": order.slot or order.expected,
            "at": self._now().isoformat(timespec="seconds"),
        }
        try:
            with self._engine.connect() as connection, connection.begin() as transaction:
                connection.execute(insert(_CHANGES), entry)
                refusal = self._apply(connection, order, change)
                if refusal is not None:
                    transaction.rollback()
                return refusal
        except IntegrityError:  # this very change was made before
            return None
        except SQLAlchemyError as error:
            raise BackendError("the back-office does not answer", retryable=True) from error

    def close(self) -> None:
        """Close all connections. May be called twice."""
        self._engine.dispose()

    def _apply(self, connection: Connection, order: Order, change: OrderChange) -> Refusal | None:
        if _read(connection, order.order_number) != order:
            return Refusal.CONFLICT
        today = self._now().date().isoformat()
        values: dict[str, Any]
        match change.kind:
            case OrderChangeKind.CANCEL:
                values = {
                    "status": "cancelled",
                    "expected": "",
                    "slot": "",
                    "note": f"Cancelled by the customer on {today}.",
                }
            case OrderChangeKind.DELIVERY:
                slot = change.values["slot"]
                if self._moved_too_far(connection, order, slot):
                    return Refusal.LIMIT
                values = {"slot": slot, "expected": slot.partition(" ")[0]}
            case OrderChangeKind.ADDRESS:
                values = {"address": change.values["address"]}
            case OrderChangeKind.RETURN:
                items = change.values["items"]
                values = {"return_items": " | ".join(filter(None, [order.return_items, items]))}
        values["version"] = order.version + 1
        connection.execute(update(_ORDERS).where(_ORDERS.c.order_number == order.order_number).values(values))
        return None

    def _moved_too_far(self, connection: Connection, order: Order, slot: str) -> bool:
        """Whether the shop's limits on moving a delivery are reached; the entry just written counts."""
        before: Sequence[str] = connection.scalars(
            select(_CHANGES.c.slot_before)
            .where(
                _CHANGES.c.order_number == order.order_number,
                _CHANGES.c.kind == OrderChangeKind.DELIVERY.value,
            )
            .order_by(_CHANGES.c.at, text("rowid"))
        ).all()
        if len(before) > self._most_moves:
            return True
        first, new = before[0].partition(" ")[0], slot.partition(" ")[0]
        return bool(first) and date.fromisoformat(new) > date.fromisoformat(first) + timedelta(
            days=self._most_days
        )

    def _add_missing_columns(self) -> None:
        """Bring a database of an earlier release up to date."""
        known = {column["name"] for column in inspect(self._engine).get_columns("orders")}
        with self._engine.begin() as connection:
            for column in _ORDERS.columns:
                if column.name not in known:
                    kind = column.type.compile(self._engine.dialect)
                    default = "0" if column.name == "version" else "''"
                    connection.execute(
                        text(f"ALTER TABLE orders ADD COLUMN {column.name} {kind} NOT NULL DEFAULT {default}")
                    )


def _read(connection: Connection, order_number: str) -> Order | None:
    query = select(_ORDERS).where(_ORDERS.c.order_number == order_number)
    row: Mapping[Any, Any] | None = connection.execute(query).mappings().first()
    return None if row is None else Order(**row)


def _later(order: Order, shift: timedelta) -> Order:
    """The order with every date moved."""

    def move(value: str) -> str:
        return _ISO_DATE.sub(lambda match: (date.fromisoformat(match.group()) + shift).isoformat(), value)

    return dataclasses.replace(
        order,
        placed=move(order.placed),
        expected=move(order.expected),
        slot=move(order.slot),
        note=move(order.note),
    )
