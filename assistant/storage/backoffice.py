"""The demonstration back-office: orders in SQLite, seeded from the knowledge folder's orders.csv."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import Column, Float, MetaData, String, Table, create_engine, event, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from assistant.errors import BackendError
from assistant.records import Order

_METADATA = MetaData()
_ORDERS = Table(
    "orders",
    _METADATA,
    *(
        Column(
            field.name,
            Float if field.name == "total" else String,
            primary_key=field.name == "order_number",
            nullable=False,
        )
        for field in dataclasses.fields(Order)
    ),
)


class BackOffice:
    """Orders that skills read and change. Blocking; safe from several threads."""

    def __init__(self, file: Path) -> None:
        """Open or create the database.

        Raises: BackendError: the file cannot be opened.
        """
        self._engine = create_engine(f"sqlite:///{file}", connect_args={"timeout": 2.0})
        event.listen(self._engine, "connect", lambda raw, _: raw.execute("PRAGMA journal_mode=WAL"))
        try:
            _METADATA.create_all(self._engine)
        except SQLAlchemyError as error:
            raise BackendError(f"the back-office database {file.name} cannot be opened: {error}") from error

    def seed(self, orders: Sequence[Order]) -> None:
        """Add orders that are not known yet; what customers changed since stays as it is."""
        with self._engine.begin() as connection:
            known = set(connection.scalars(select(_ORDERS.c.order_number)))
            new = [dataclasses.asdict(order) for order in orders if order.order_number not in known]
            if new:
                connection.execute(insert(_ORDERS), new)

    def order(self, order_number: str) -> Order | None:
        """Look an order up; None if there is none of that number.

        Raises: BackendError: the database does not answer; may be tried again.
        """
        try:
            with self._engine.connect() as connection:
                row = (
                    connection.execute(select(_ORDERS).where(_ORDERS.c.order_number == order_number))
                    .mappings()
                    .first()
                )
        except SQLAlchemyError as error:
            raise BackendError("the back-office does not answer", retryable=True) from error
        return Order(**row) if row is not None else None

    def set_status(self, order_number: str, status: str, *, only_from: Sequence[str]) -> bool:
        """Change an order's status if it still is one of `only_from`; says whether it was changed.

        One statement, so that two requests at once cannot both change it.
        """
        try:
            with self._engine.begin() as connection:
                changed = connection.execute(
                    update(_ORDERS)
                    .where(_ORDERS.c.order_number == order_number, _ORDERS.c.status.in_(only_from))
                    .values(status=status)
                ).rowcount
        except SQLAlchemyError as error:
            raise BackendError("the back-office does not answer", retryable=True) from error
        return bool(changed)

    def close(self) -> None:
        """Close all connections. May be called twice."""
        self._engine.dispose()
