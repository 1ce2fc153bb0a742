"""Fixtures of the skill tests: orders in SQLite and over HTTP."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from assistant.backends.orders_http import HttpOrders
from assistant.skills.desk import Orders
from assistant.storage.backoffice import BackOffice
from tests.skills.shop import ORDERS, OrderApi, clock


@pytest.fixture
def office(tmp_path: Path) -> Iterator[BackOffice]:
    backoffice = BackOffice(tmp_path / "backoffice.sqlite", now=clock)
    backoffice.seed(ORDERS)
    yield backoffice
    backoffice.close()


@pytest.fixture
def api(office: BackOffice) -> Iterator[OrderApi]:
    server = OrderApi(office)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(params=["sqlite", "http"])
def orders(request: pytest.FixtureRequest, office: BackOffice) -> Iterator[Orders]:
    """Both implementations of where orders are kept."""
    if request.param == "sqlite":
        yield office
        return
    api: OrderApi = request.getfixturevalue("api")
    client = HttpOrders(api.url, "secret", timeout_s=2.0)
    yield client
    client.close()
