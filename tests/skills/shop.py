"""A shop for the skill tests: orders, products, a fixed day, and an order system reached over real HTTP."""

import dataclasses
import json
from dataclasses import replace
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

from assistant.ingestion.shop import read_shop
from assistant.ingestion.sources import Findings, SourceFile
from assistant.records import Order, OrderChange, OrderChangeKind, OrderRules, Product
from assistant.storage.backoffice import BackOffice

NOW = datetime(2026, 11, 21, 10, 30)  # a Saturday

PLACED = Order(
    "AB-00001", "Ada Quill", "ada@example.com", "2026-11-20", "placed", "L-1 x2 | T-1 x1", 99.5, "EUR",
    "parcel", "2026-11-24", "", "Elm Road 4, 28205 Bremen, Germany", "Paid by wallet.", "C-1",
)  # fmt: skip
SENT = replace(
    PLACED, order_number="AB-00002", status="shipped", slot="2026-11-25 08:00-12:00", delivery_method="kerb"
)
DELIVERED = replace(
    PLACED, order_number="AB-00003", placed="2026-11-10", status="delivered", expected="2026-11-16"
)
MATTRESS = replace(
    DELIVERED, order_number="AB-00004", placed="2026-11-01", expected="2026-11-09", items="M-1 x1",
    delivery_method="kerb",
)  # fmt: skip
MADE = replace(
    PLACED, order_number="AB-00005", placed="2026-11-01", status="in production", items="S-1 x1",
    delivery_method="kerb", expected="2026-12-20", note="Deposit of 25% paid.",
)  # fmt: skip
GUEST = replace(
    PLACED, order_number="AB-00006", customer="Ben Roth", email="ben@example.com", customer_id="",
    address="Oak Lane 9, 1071 AB Amsterdam, Netherlands",
)  # fmt: skip
LARGE_PLACED = replace(PLACED, order_number="AB-00007", delivery_method="kerb", customer_id="C-2")
OLD = replace(
    DELIVERED, order_number="AB-00008", placed="2026-09-01", expected="2026-09-10", customer_id="C-3"
)
LOCK = replace(DELIVERED, order_number="AB-00009", items="K-1 x1", customer_id="C-4")
ORDERS = (PLACED, SENT, DELIVERED, MATTRESS, MADE, GUEST, LARGE_PLACED, OLD, LOCK)
PRODUCTS = {
    product.sku: product
    for product in (
        Product("L-1", "Lumo floor lamp", 20.0, "EUR", "2000000000008", "lamps"),
        Product("T-1", "Skerry side table", 59.5, "EUR", "2000000000015", "tables"),
        Product("M-1", "Drift mattress", 720.0, "EUR", "2000000000022", "mattresses"),
        Product("S-1", "Sedge sofa", 1290.0, "EUR", "2000000000039", "sofas"),
        Product("K-1", "Keeper lock", 219.0, "EUR", "2000000000046", "security"),
    )
}


def example_rules() -> OrderRules:
    """The rules of the example shop."""
    file = Path(__file__).parents[2] / "knowledge" / "shop.toml"
    rules = read_shop(SourceFile(file, "shop.toml", file.read_bytes()), Findings()).orders
    assert rules is not None
    return rules


RULES = example_rules()


def clock() -> datetime:
    return NOW


class OrderApi(ThreadingHTTPServer):
    """A shop's order system as docs/orders-api.yaml describes it, over the demonstration back-office."""

    daemon_threads = True

    def __init__(self, office: BackOffice) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.office = office
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/api"


class _Handler(BaseHTTPRequestHandler):
    server: OrderApi
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._note(b"")
        match [unquote(part) for part in self.path.split("/")[2:]]:
            case ["orders", number]:
                order = self.server.office.order(number)
                self._send(404 if order is None else 200, dataclasses.asdict(order) if order else {})
            case ["customers", customer, "orders"]:
                orders = self.server.office.orders_of(customer)
                self._send(200, {"orders": [dataclasses.asdict(order) for order in orders]})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._note(body)
        asked = json.loads(body)
        order = self.server.office.order(unquote(self.path.split("/")[3]))
        assert order is not None
        seen = replace(order, version=asked["version"])
        change = OrderChange(OrderChangeKind(asked["kind"]), asked["values"])
        refusal = self.server.office.change(seen, change, self.headers["Idempotency-Key"])
        self._send(409 if refusal else 200, {"reason": refusal} if refusal else {})

    def _note(self, body: bytes) -> None:
        self.server.requests.append((self.command, self.path, dict(self.headers), body))

    def _send(self, status: int, body: object) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Quiet."""
