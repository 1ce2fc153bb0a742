"""The shop's order system over HTTP, against real servers: what is sent, and every way in which one can fail."""

import dataclasses
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from assistant.backends.orders_http import HttpOrders
from assistant.errors import BackendError, ConfigError
from assistant.protocols import SkillCall
from assistant.records import OrderChange, OrderChangeKind, Refusal
from assistant.skills.orders import OrderSkills
from assistant.storage.backoffice import BackOffice
from tests.skills.shop import ORDERS, PLACED, RULES, OrderApi, clock

KEY = "k" * 64
CANCEL = OrderChange(OrderChangeKind.CANCEL)
DOCUMENT = yaml.safe_load(
    (Path(__file__).parents[2] / "docs" / "orders-api.yaml").read_text(encoding="utf-8")
)


def schema(name: str) -> jsonschema.Draft202012Validator:
    """A schema of the document, with what it refers to."""
    return jsonschema.Draft202012Validator({"$ref": f"#/components/schemas/{name}", **DOCUMENT})


@pytest.fixture
def api(tmp_path: Path) -> Iterator[OrderApi]:
    office = BackOffice(tmp_path / "b.sqlite", now=clock)
    office.seed(ORDERS)
    server = OrderApi(office)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()
    office.close()


@pytest.fixture
def client(api: OrderApi) -> Iterator[HttpOrders]:
    orders = HttpOrders(api.url, "s3cret", timeout_s=5.0)
    yield orders
    orders.close()


def test_what_is_sent_is_what_the_document_says(api: OrderApi, client: HttpOrders) -> None:
    """Paths, method, credential, key and body of every call fit docs/orders-api.yaml."""
    client.order(PLACED.order_number)
    client.orders_of("C-1")
    assert client.change(PLACED, CANCEL, KEY) is None
    base = "/api"
    sent = [(method, path) for method, path, _, _ in api.requests]
    assert sent == [
        ("GET", f"{base}/orders/AB-00001"),
        ("GET", f"{base}/customers/C-1/orders"),
        ("POST", f"{base}/orders/AB-00001/changes"),
    ]
    assert {tuple(methods) for methods in DOCUMENT["paths"].values()} == {("get",), ("post",)}
    assert all(headers["Authorization"] == "Bearer s3cret" for _, _, headers, _ in api.requests)
    _, _, headers, body = api.requests[-1]
    assert headers["Idempotency-Key"] == KEY
    schema("Change").validate(json.loads(body))


def test_records_fit_the_document() -> None:
    """Every field of an order is described, and an order of ours is a valid one."""
    described = DOCUMENT["components"]["schemas"]["Order"]["properties"]
    assert set(described) == {field.name for field in dataclasses.fields(PLACED)}
    for order in ORDERS:
        schema("Order").validate(dataclasses.asdict(order))
    kinds = DOCUMENT["components"]["schemas"]["Change"]["properties"]["kind"]["enum"]
    assert kinds == [kind.value for kind in OrderChangeKind]
    reasons = DOCUMENT["components"]["schemas"]["Refusal"]["properties"]["reason"]["enum"]
    assert reasons == [reason.value for reason in Refusal]


def test_change_of_an_old_version_is_a_conflict(client: HttpOrders) -> None:
    """The server's refusal arrives as what it is; the same key again does no harm."""
    client.change(PLACED, CANCEL, KEY)
    assert client.change(PLACED, CANCEL, KEY) is None
    assert client.change(PLACED, CANCEL, "other") is Refusal.CONFLICT


def test_odd_numbers_stay_in_their_path_segment(api: OrderApi, client: HttpOrders) -> None:
    """What a customer typed cannot reach another address of the shop."""
    assert client.order("../customers/C-1/orders?x#y") is None
    assert api.requests[-1][1] == "/api/orders/..%2Fcustomers%2FC-1%2Forders%3Fx%23y"


# --- failures ----------------------------------------------------------------------------------------------


Answer = Callable[[socket.socket, bytes], object]


class RawServer:
    """Answers each connection with what a function does to its socket."""

    def __init__(self, answer: Answer) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._answer = answer
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections = 0
        self.done = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        with connection:
            try:
                self._answer(connection, connection.recv(65536))
            except OSError:
                return

    def close(self) -> None:
        self.done.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


def http(status: int, body: bytes, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return f"HTTP/1.1 {status} X\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n".encode() + body


def plain(status: int, body: Any) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda connection, _: connection.sendall(http(status, raw))


ORDER = dataclasses.asdict(PLACED)


@pytest.mark.parametrize(
    "answer",
    [
        plain(500, b"oops"),
        plain(401, {}),
        plain(302, b""),
        plain(200, b"<html>nginx</html>"),
        plain(200, b"\xff\xfe"),
        plain(200, b"[" * 100_000),
        plain(200, []),
        plain(200, {}),
        plain(200, {**ORDER, "total": "plenty"}),
        plain(200, {**ORDER, "placed": "yesterday"}),
        plain(200, {**ORDER, "slot": "soon"}),
        plain(200, {**ORDER, "order_number": "AB-00002"}),
        plain(200, {**ORDER, "note": "x" * 3000}),
        plain(200, b'{"total": NaN' + json.dumps(ORDER).encode()[1:]),
        plain(200, b" " * 2_000_000),
        lambda connection, _: connection.sendall(http(200, b"{", 100)),
        lambda connection, _: connection.sendall(b"SSH-2.0-OpenSSH_9\r\n"),
        lambda connection, _: None,
    ],
    ids=[
        "500", "401", "redirect", "html", "bytes", "nesting", "list", "empty", "total", "placed", "slot",
        "another order", "long text", "NaN", "2 MB", "cut off", "not http", "closed",
    ],
)  # fmt: skip
def test_failure_is_a_backend_error(answer: Answer) -> None:
    """Whatever comes back instead of an order ends in our own error, whose text holds nothing of the answer."""
    server = RawServer(answer)
    client = HttpOrders(server.url, timeout_s=2.0)
    with pytest.raises(BackendError) as caught:
        client.order("AB-00001")
    assert "Ada" not in str(caught.value)
    client.close()
    server.close()


def test_nobody_listening_is_a_retryable_error() -> None:
    """A refused connection is said at once."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    client = HttpOrders(f"http://127.0.0.1:{port}")
    with pytest.raises(BackendError) as caught:
        client.order("AB-00001")
    assert caught.value.retryable
    client.close()


def test_system_that_never_answers_is_given_up_in_time() -> None:
    """Two requests of a skill stay below three seconds with the default time."""
    server = RawServer(lambda *_: server.done.wait(30))
    client = HttpOrders(server.url)
    started = time.monotonic()
    for _ in range(2):
        with pytest.raises(BackendError):
            client.order("AB-00001")
    assert time.monotonic() - started < 3.0
    client.close()
    server.close()


def test_body_that_drips_is_given_up_in_time() -> None:
    """A byte now and then does not keep a request alive."""

    def drip(connection: socket.socket, _: bytes) -> None:
        connection.sendall(http(200, b"", 10_000))
        while not server.done.wait(0.05):
            connection.sendall(b" ")

    server = RawServer(drip)
    client = HttpOrders(server.url, timeout_s=0.4)
    started = time.monotonic()
    with pytest.raises(BackendError):
        client.order("AB-00001")
    assert time.monotonic() - started < 1.5
    client.close()
    server.close()


def test_redirect_is_not_followed() -> None:
    """The credential would go along to wherever it leads."""
    server = RawServer(
        lambda connection, request: connection.sendall(
            http(200, json.dumps(ORDER).encode())
            if b"/elsewhere" in request
            else b"HTTP/1.1 302 X\r\nLocation: /elsewhere\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
    )
    client = HttpOrders(server.url, "s3cret", timeout_s=2.0)
    with pytest.raises(BackendError):
        client.order("AB-00001")
    assert server.connections == 1
    client.close()
    server.close()


def test_lost_answer_is_asked_for_once_more_with_the_same_key() -> None:
    """A connection that closes without an answer is tried again once, which the key makes safe."""
    server = RawServer(lambda *_: None)
    client = HttpOrders(server.url, timeout_s=2.0)
    with pytest.raises(BackendError):
        client.change(PLACED, CANCEL, KEY)
    assert server.connections == 2
    client.close()
    server.close()


def test_orders_of_somebody_else_are_dropped() -> None:
    """A system that mixes customers up does not make the assistant do so."""
    foreign = {**ORDER, "order_number": "AB-00077", "customer_id": "C-2"}
    server = RawServer(plain(200, {"orders": [ORDER, foreign]}))
    client = HttpOrders(server.url, timeout_s=2.0)
    assert [order.order_number for order in client.orders_of("C-1")] == ["AB-00001"]
    client.close()
    server.close()


@pytest.mark.parametrize(
    "url", ["", "shop.example", "ftp://shop.example", "http://", "https://a:b@shop.example", "https://x/?a=1"]
)
def test_wrong_address_is_refused_at_start(url: str) -> None:
    """The operator reads which setting is wrong."""
    with pytest.raises(ConfigError, match="orders_url"):
        HttpOrders(url)


def test_change_whose_answer_never_comes_is_not_called_done() -> None:
    """The order is read, the change is sent, nothing comes back: within three seconds the customer hears just that."""

    def answer(connection: socket.socket, request: bytes) -> None:
        if request.startswith(b"GET"):
            connection.sendall(http(200, json.dumps(ORDER).encode()))
        else:
            server.done.wait(30)

    server = RawServer(answer)
    client = HttpOrders(server.url)
    skill = OrderSkills(client, {}, rules=RULES, now=clock).by_action["cancel_order"]
    started = time.monotonic()
    outcome = skill.run(SkillCall("yes", {"order_number": "AB-00001"}, True, "C-1", "s"))
    assert time.monotonic() - started < 3.0
    assert "can't promise it went through" in outcome.reply
    client.close()
    server.close()
