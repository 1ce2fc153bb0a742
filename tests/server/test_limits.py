"""What the server refuses, how it says so, and that others do not notice."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.server.harness import Client, ScriptedRunner, eventually, make_settings, run, running


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("", "malformed"),
        ("{", "malformed"),
        ("[" * 30_000, "malformed"),
        ('{"a":' * 10_000, "malformed"),
        ("[]", "malformed"),
        ('{"type": 5}', "malformed"),
        ('{"text": "no type"}', "malformed"),
        ('{"type": "ping", "t": NaN}', "malformed"),
        ('{"type": "user.text", "id": "a", "text": "\\ud800"}', "malformed"),
        ('{"type": "sing"}', "unknown_type"),
        ('{"type": "ping"}', "invalid"),
        ('{"type": "ping", "t": "soon"}', "invalid"),
        ('{"type": "user.text", "id": "", "text": "hello"}', "invalid"),
        ('{"type": "user.text", "id": "a b", "text": "hello"}', "invalid"),
        ('{"type": "user.text", "id": "a", "text": " \\n\\u0000 "}', "invalid"),
        ('{"type": "ack", "seq": -1}', "invalid"),
        ('{"type": "feedback", "turn": "t", "value": "meh"}', "invalid"),
        ('{"type": "user.text", "id": "a", "text": "' + "long" * 600 + '"}', "text_too_long"),
        ('{"type": "cancel", "turn": "t"}', "unknown_turn"),
        ('{"type": "hello", "v": 1}', "already_greeted"),
        ('{"type": "audio.start", "id": "a", "format": "aac", "rate_hz": 16000}', "unsupported"),
        ('{"type": "audio.chunk", "id": "a", "b64": "AAAA"}', "unsupported"),
        ('{"type": "audio.end", "id": "a"}', "unsupported"),
        ('{"type": "scan", "id": "a", "code": "4006381333931"}', "unsupported"),
        (b"\x00\x01", "unsupported"),
    ],
)
def test_bad_message_gets_its_error_and_the_connection_stays(
    tmp_path: Path, frame: str | bytes, code: str
) -> None:
    """A typed, not fatal error that says what is wrong; the next question is answered."""

    async def scenario() -> None:
        async with running(make_settings(tmp_path), ScriptedRunner()) as server, Client(server) as client:
            await client.socket.send(frame)
            error = await client.wait_for("error")
            assert (error["code"], error["fatal"]) == (code, False)
            assert len(error["message"]) > 10
            assert (await client.answer("still fine?"))["status"] == "completed"

    run(scenario())


def test_error_names_the_message_it_is_about(tmp_path: Path) -> None:
    """The id of the refused message comes back where it can be read."""

    async def scenario() -> None:
        async with running(make_settings(tmp_path), ScriptedRunner()) as server, Client(server) as client:
            await client.send(type="user.text", id="m7")
            error = await client.wait_for("error")
            assert (error["id"], error["code"]) == ("m7", "invalid")
            assert "text" in error["message"]

    run(scenario())


def test_message_of_one_megabyte_is_refused_by_name_and_the_session_can_be_resumed(tmp_path: Path) -> None:
    """Error message_too_large, then close 1009; coming back the conversation is there."""

    async def scenario() -> None:
        async with running(make_settings(tmp_path), ScriptedRunner()) as server, Client(server) as client:
            done = await client.answer("before")
            await client.send(type="user.text", id="big", text="x" * 1_000_000)
            assert await client.closed() == 1009
            assert client.errors[-1]["code"] == "message_too_large"
            assert client.errors[-1]["seq"] == done["seq"]
            assert str(65536) in client.errors[-1]["message"]
            await client.connect()
            assert client.ready["resumed"]
            assert (await client.answer("after"))["status"] == "completed"

    run(scenario())


def test_invalid_utf8_closes_with_1007(tmp_path: Path) -> None:
    """RFC 6455, section 8.1: a text frame that is not UTF-8 ends the connection."""

    async def scenario() -> None:
        async with running(make_settings(tmp_path), ScriptedRunner()) as server, Client(server) as client:
            await client.socket.send(b"\xff\xfe", text=True)
            assert await client.closed() == 1007

    run(scenario())


def test_first_message_must_be_hello(tmp_path: Path) -> None:
    """Anything but hello and ping is refused before the greeting, and hello still works after."""

    async def scenario() -> None:
        async with running(make_settings(tmp_path), ScriptedRunner()) as server:
            client = Client(server)
            await client.connect(greet=False)
            await client.send(type="ping", t=12.5)
            assert await client.wait_for("pong") == {"type": "pong", "seq": 0, "t": 12.5}
            await client.send(type="user.text", id="a", text="hello")
            assert (await client.wait_for("error"))["code"] == "hello_required"
            await client.send(type="hello", v=1)
            await client.wait_for("ready")
            await client.close()

    run(scenario())


def test_silent_connection_is_closed(tmp_path: Path) -> None:
    """No hello in time: error, close 4408."""

    async def scenario() -> None:
        settings = make_settings(tmp_path, hello_timeout_s=0.2)
        async with running(settings, ScriptedRunner()) as server:
            client = Client(server)
            await client.connect(greet=False)
            assert await client.closed() == 4408
            assert client.errors[0]["code"] == "hello_timeout"

    run(scenario())


def test_other_protocol_version_is_refused(tmp_path: Path) -> None:
    """A client of version 2 hears what is spoken here."""

    async def scenario() -> None:
        async with running(make_settings(tmp_path), ScriptedRunner()) as server:
            client = Client(server)
            await client.connect(greet=False)
            await client.send(type="hello", v=2)
            assert await client.closed() == 4400
            assert client.errors[0]["code"] == "unsupported_version"

    run(scenario())


@pytest.mark.parametrize("credential", [None, "", "wrong", "geheim ", "ключ"])
def test_wrong_credential_is_refused(tmp_path: Path, credential: str | None) -> None:
    """Missing or wrong: error unauthorized, fatal, close 4401, and no session."""

    async def scenario() -> None:
        settings = make_settings(tmp_path, credential="geheim")
        async with running(settings, ScriptedRunner()) as server:
            client = Client(server)
            await client.connect(greet=False)
            hello = {"credential": credential} if credential is not None else {}
            await client.send(type="hello", v=1, **hello)
            assert await client.closed() == 4401
            assert (client.errors[0]["code"], client.errors[0]["fatal"]) == ("unauthorized", True)
            assert server.health()["sessions"] == 0

    run(scenario())


def test_right_credential_is_accepted(tmp_path: Path) -> None:
    """The credential of the settings, in hello, opens."""

    async def scenario() -> None:
        settings = make_settings(tmp_path, credential="geheim")
        async with (
            running(settings, ScriptedRunner()) as server,
            Client(server, credential="geheim") as client,
        ):
            assert (await client.answer("hello"))["status"] == "completed"

    run(scenario())


def test_too_many_messages_are_refused_then_the_connection_is_closed(tmp_path: Path) -> None:
    """rate_limited, retryable, with the seconds to wait; who goes on regardless is closed with 4429."""

    async def scenario() -> None:
        settings = make_settings(tmp_path, max_messages_per_minute=3)
        async with running(settings, ScriptedRunner()) as server, Client(server) as client:
            for number in range(4):
                await client.send(type="ping", t=number)
            error = await client.wait_for("error")
            assert (error["code"], error["retryable"], error["fatal"]) == ("rate_limited", True, False)
            for number in range(60):
                await client.send(type="ping", t=number)
            assert await client.closed() == 4429

    run(scenario())


def test_connections_beyond_the_limit_are_refused_and_the_others_go_on(tmp_path: Path) -> None:
    """1,000 connections at a limit of 300: 300 work, the others get 503 with a reason; then there is room again."""

    async def scenario() -> None:
        settings = make_settings(
            tmp_path, max_connections=300, max_connections_per_address=10_000, hello_timeout_s=60
        )
        async with running(settings, ScriptedRunner(pieces=1)) as server:
            url = f"ws://127.0.0.1:{server.port}/ws"
            gate = asyncio.Semaphore(100)

            async def attempt() -> Any:
                async with gate:
                    return await connect(url, compression=None, proxy=None, open_timeout=60)

            outcomes = await asyncio.gather(*(attempt() for _ in range(1000)), return_exceptions=True)
            refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
            opened = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
            assert len(opened) == 300
            for refusal in refused:
                assert isinstance(refusal, InvalidStatus)
                assert refusal.response.status_code == 503
                assert b"max_connections" in refusal.response.body
            for one in opened[:3]:
                await one.send(json.dumps({"type": "hello", "v": 1}))
                assert json.loads(await one.recv())["type"] == "ready"
            for one in opened:
                one.transport.abort()
            await eventually(lambda: server.health()["connections"] == 0)
            async with Client(server) as client:
                assert (await client.answer("room again?"))["status"] == "completed"

    run(scenario())


def test_one_address_cannot_take_all_connections(tmp_path: Path) -> None:
    """HTTP 429 beyond the limit per address, with what to do."""

    async def scenario() -> None:
        settings = make_settings(tmp_path, max_connections_per_address=2)
        async with (
            running(settings, ScriptedRunner()) as server,
            Client(server),
            Client(server),
        ):
            with pytest.raises(InvalidStatus) as refused:
                await Client(server).connect()
            assert refused.value.response.status_code == 429
            assert b"max_connections_per_address" in refused.value.response.body

    run(scenario())


def test_sessions_beyond_the_limit_replace_unused_ones_or_are_refused(tmp_path: Path) -> None:
    """Unused sessions make room (and come back from the database); when all are in use, a clear refusal."""

    async def scenario() -> None:
        settings = make_settings(tmp_path, max_sessions=2)
        async with running(settings, ScriptedRunner()) as server:
            left = Client(server)
            await left.connect()
            await left.answer("hello")
            await left.close()
            await eventually(lambda: server.health()["connections"] == 0)
            async with Client(server) as one, Client(server) as two:
                assert server.health()["sessions"] == 2
                late = Client(server)
                await late.connect(greet=False)
                await late.send(type="hello", v=1)
                assert await late.closed() == 1013
                assert late.errors[0]["code"] == "too_many_sessions"
                assert (await one.answer("unharmed"))["status"] == "completed"
                await two.close()
                await eventually(lambda: server.health()["connections"] <= 1)
                await left.connect()
                assert left.ready["resumed"] is True
                await left.close()

    run(scenario())


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (None, True),
        ("http://127.0.0.1:{port}", True),
        ("https://servicewechat.com", True),
        ("https://shop.example", True),
        ("https://shop.example.evil.test", False),
        ("https://evil.test", False),
        ("http://127.0.0.1:1", False),
        ("null", False),
        ("http://[", False),
    ],
)
def test_origin_decides_who_may_connect(tmp_path: Path, origin: str | None, allowed: bool) -> None:
    """Own page, mini-programs, no Origin and listed ones; others get 403 before the websocket opens."""

    async def scenario() -> None:
        settings = make_settings(tmp_path, origins=("https://shop.example/",))
        async with running(settings, ScriptedRunner()) as server:
            headers = {} if origin is None else {"Origin": origin.format(port=server.port)}
            client = Client(server)
            if allowed:
                await client.connect(additional_headers=headers)
                await client.close()
                return
            with pytest.raises(InvalidStatus) as refused:
                await client.connect(additional_headers=headers)
            assert refused.value.response.status_code == 403

    run(scenario())


def test_star_allows_every_origin(tmp_path: Path) -> None:
    """`*` in the settings switches the check off."""

    async def scenario() -> None:
        async with running(make_settings(tmp_path, origins=("*",)), ScriptedRunner()) as server:
            client = Client(server)
            await client.connect(additional_headers={"Origin": "https://anywhere.test"})
            await client.close()

    run(scenario())


def test_client_that_does_not_read_is_dropped_and_can_resume(tmp_path: Path) -> None:
    """The session is not held up by it; another client is served; coming back it gets the reply whole."""
    piece = "lots of text " * 20_000

    async def scenario() -> None:
        runner = ScriptedRunner(script=lambda request: [piece] * 16 if request.text == "flood" else ["ok"])
        settings = make_settings(tmp_path)
        async with running(settings, runner) as server, Client(server) as other:
            client = Client(server)
            await client.connect()
            small = socket.socket()
            small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            small.setblocking(False)
            await asyncio.get_running_loop().sock_connect(small, ("127.0.0.1", server.port))
            slow = await connect(
                f"ws://127.0.0.1:{server.port}/ws",
                sock=small,
                compression=None,
                proxy=None,
                max_size=None,
                max_queue=1,
            )
            await slow.send(json.dumps({"type": "hello", "v": 1, "session": client.session}))
            await slow.recv()
            for message_id in ("m1", "m2", "m3"):  # more than kernel, transport and outbox hold together
                await slow.send(json.dumps({"type": "user.text", "id": message_id, "text": "flood"}))
            # the first connection was replaced, the slow one dropped
            await eventually(lambda: server.health()["connections"] <= 1)
            assert (await other.answer("are you there?"))["text"] == "ok"
            await eventually(lambda: server.health()["turns_pending"] == 0)
            await client.close()
            await client.connect()
            started = await client.wait_for("turn.started", lambda event: event["id"] == "m3")
            done = await client.wait_for("turn.done", lambda event: event["turn"] == started["turn"])
            assert done["text"] == piece * 16
            await client.close()
            slow.transport.abort()

    run(scenario())


def get(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """A plain HTTP request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(
        method, path, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, {name.lower(): value for name, value in response.getheaders()}, body


def test_page_is_served_with_caching_and_without_inline_script(tmp_path: Path) -> None:
    """/ and all it loads: right types, security headers, 304 for a known ETag, HEAD without a body."""

    async def scenario() -> None:
        async with running(make_settings(tmp_path), ScriptedRunner()) as server:
            page = (await asyncio.to_thread(get, server.port, "/"))[2].decode()
            loaded = re.findall(r'(?:src|href)="\./([^"]+)"', page)
            assert {name.rpartition(".")[2] for name in loaded} == {"js", "css"}
            kinds = {"js": "text/javascript", "css": "text/css", "": "text/html"}
            for path in ("/", *(f"/{name}" for name in loaded)):
                status, headers, body = await asyncio.to_thread(get, server.port, path)
                assert status == 200
                assert headers["content-type"].startswith(
                    kinds[path.rpartition(".")[2] if "." in path else ""]
                )
                assert headers["x-content-type-options"] == "nosniff"
                assert headers["referrer-policy"] == "no-referrer"
                assert "unsafe-inline" not in headers["content-security-policy"]
                assert "'unsafe-eval'" not in headers["content-security-policy"]
                assert ("immutable" in headers["cache-control"]) == path.startswith("/assets/")
                assert int(headers["content-length"]) == len(body) > 0
                tag = headers["etag"]
                known = await asyncio.to_thread(get, server.port, path, If_None_Match=tag)
                assert (known[0], known[2]) == (304, b"")
                head = await asyncio.to_thread(get, server.port, path, "HEAD")
                assert (head[0], head[2], head[1]["content-length"]) == (200, b"", headers["content-length"])
            assert "<script>" not in page
            assert "style=" not in page
            assert " on" + "click=" not in page

    run(scenario())


def test_other_paths_and_methods_are_refused(tmp_path: Path) -> None:
    """404 for what is not there (also outside the folder), 405 for POST, 426 for /ws without an upgrade."""

    async def scenario() -> None:
        async with running(make_settings(tmp_path), ScriptedRunner()) as server:
            for path in ("/missing", "/../connection.py", "/%2e%2e/wire.py", "/index.html/"):
                assert (await asyncio.to_thread(get, server.port, path))[0] == 404
            assert (await asyncio.to_thread(get, server.port, "/", "POST"))[0] == 405
            assert (await asyncio.to_thread(get, server.port, "/ws"))[0] == 426
            with pytest.raises(InvalidStatus) as refused:
                await connect(f"ws://127.0.0.1:{server.port}/other", proxy=None)
            assert refused.value.response.status_code == 404
            async with connect(f"ws://127.0.0.1:{server.port}/?from=page", proxy=None) as at_root:
                await at_root.send('{"type": "ping", "t": 1}')
                assert json.loads(await at_root.recv())["type"] == "pong"

    run(scenario())


def test_health_and_metrics_count_what_happened(tmp_path: Path) -> None:
    """/healthz names the snapshot and the numbers; /metrics counts turns, errors and refusals."""

    async def scenario() -> None:
        async with running(make_settings(tmp_path), ScriptedRunner()) as server, Client(server) as client:
            await client.answer("hello")
            await client.send(type="feedback", turn=client.events[0]["turn"], value="up", comment="thanks")
            await client.send(type="sing")
            await client.wait_for("error")
            status, _, body = await asyncio.to_thread(get, server.port, "/healthz")
            health = json.loads(body)
            assert status == 200
            assert (health["status"], health["snapshot"], health["connections"]) == ("ok", "scripted", 1)
            status, headers, body = await asyncio.to_thread(get, server.port, "/metrics")
            text = body.decode()
            assert status == 200
            assert headers["content-type"].startswith("text/plain; version=0.0.4")
            assert 'assistant_turns_total{decision="answer",status="completed"} 1.0' in text
            assert 'assistant_errors_total{code="unknown_type"} 1.0' in text
            assert 'assistant_feedback_total{value="up"} 1.0' in text
            assert "assistant_first_delta_seconds_count 1.0" in text
            assert "assistant_connections 1.0" in text

    run(scenario())


def test_metrics_are_closed_to_others_without_the_operator_credential(tmp_path: Path) -> None:
    """Through a proxy on the same machine a request is not local: 401, unless the bearer token is right."""

    async def scenario() -> None:
        settings = make_settings(tmp_path, operator_credential="operator")
        async with running(settings, ScriptedRunner()) as server:
            through = {"X_Forwarded_For": "203.0.113.9"}
            assert (await asyncio.to_thread(get, server.port, "/metrics", **through))[0] == 401
            wrong = {**through, "Authorization": "Bearer wrong"}
            assert (await asyncio.to_thread(get, server.port, "/metrics", **wrong))[0] == 401
            right = {**through, "Authorization": "Bearer operator"}
            assert (await asyncio.to_thread(get, server.port, "/metrics", **right))[0] == 200
        async with running(make_settings(tmp_path), ScriptedRunner()) as server:
            empty = {**through, "Authorization": "Bearer "}
            assert (await asyncio.to_thread(get, server.port, "/metrics", **empty))[0] == 401

    run(scenario())


def test_garbage_on_the_port_disturbs_nobody(tmp_path: Path) -> None:
    """Bytes that are not HTTP: the connection is dropped, the others go on."""

    async def scenario() -> None:
        async with running(make_settings(tmp_path), ScriptedRunner()) as server, Client(server) as client:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"\x16\x03\x01" + bytes(range(256)) * 4 + b"\r\n\r\n")
            await reader.read()
            writer.close()
            assert (await client.answer("undisturbed"))["status"] == "completed"

    run(scenario())
