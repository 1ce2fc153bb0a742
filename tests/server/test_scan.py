"""Scans over the websocket: codes, photos of them, and photos that are none."""

from __future__ import annotations

import base64
import io
import sqlite3
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zxingcpp
from PIL import Image

from assistant.server.connection import PHOTOS_PER_MINUTE
from assistant.storage.sessions import open_session_store
from tests.server.harness import Client, ScriptedRunner, make_settings, run, running

EAN = "4006381333931"


def photo(code: str = EAN, kind: str = "JPEG", side: int = 900) -> bytes:
    """A grey photo with a bar code in the middle, or without one."""
    image = Image.new("L", (side, side), 210)
    if code:
        drawn = zxingcpp.create_barcode(code, zxingcpp.BarcodeFormat.EAN13).to_image(scale=4)
        image.paste(Image.fromarray(np.array(drawn)), (250, 300))
    file = io.BytesIO()
    image.save(file, kind, quality=70)
    return file.getvalue()


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def bomb() -> bytes:
    """A PNG of some hundred bytes that claims to have 40,000 x 40,000 pixels."""
    good = io.BytesIO()
    Image.new("L", (8, 8)).save(good, "PNG")
    content = bytearray(good.getvalue())
    content[16:24] = (40_000).to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    return bytes(content)


def scanner() -> ScriptedRunner:
    return ScriptedRunner(features=frozenset({"scan"}))


async def scanned(client: Client, **fields: Any) -> dict[str, Any]:
    """Scan and wait for the end of the turn."""
    await client.send(type="scan", **fields)
    started = await client.wait_for("turn.started", lambda event: event["id"] == fields["id"])
    return await client.wait_for("turn.done", lambda event: event["turn"] == started["turn"])


def test_scanned_code_begins_a_turn_and_is_announced(tmp_path: Path) -> None:
    """The engine gets the code as it is; the conversation shows that something was scanned."""
    runner = scanner()

    async def scenario() -> None:
        async with running(make_settings(tmp_path), runner) as server, Client(server) as client:
            assert client.ready["features"]["scan"] is True
            assert client.ready["limits"]["photo_bytes"] == 1_000_000
            done = await scanned(client, id="s1", code=EAN)
            assert done["status"] == "completed"
            assert client.events[0]["text"] == f"Scanned: {EAN}"

    run(scenario())
    (request,) = runner.requests
    assert (request.scan, request.text) == (EAN, f"Scanned: {EAN}")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_code_in_a_photo_is_read(tmp_path: Path, kind: str) -> None:
    """A photo larger than any other message may be becomes the code in it."""
    runner = scanner()
    content = photo(kind=kind)

    async def scenario() -> None:
        settings = make_settings(tmp_path, max_message_bytes=2048)
        async with running(settings, runner) as server, Client(server) as client:
            assert len(content) > 2048
            assert (await scanned(client, id="s1", photo=encoded(content)))["status"] == "completed"

    run(scenario())
    assert [request.scan for request in runner.requests] == [EAN]


def test_scan_sent_again_is_answered_once(tmp_path: Path) -> None:
    """Its events come again with their old numbers; a photo is not even read again."""
    runner = scanner()

    async def scenario() -> None:
        async with running(make_settings(tmp_path), runner) as server, Client(server) as client:
            done = await scanned(client, id="s1", photo=encoded(photo()))
            await client.send(type="scan", id="s1", photo=encoded(photo()))
            assert await client.wait_for("turn.done") == done

    run(scenario())
    assert len(runner.requests) == 1


def test_scan_cut_off_by_a_restart_is_run_again_with_its_code(tmp_path: Path) -> None:
    """The code is stored with the turn."""
    first, second = scanner(), scanner()
    first.gate = None
    first.script = lambda request: ["slow "]

    async def scenario() -> None:
        settings = make_settings(tmp_path)
        async with running(settings, first) as server:
            client = Client(server)
            await client.connect()
            await client.send(type="scan", id="slow", code="slow")
            await client.wait_for("delta")
        async with running(settings, second) as server:
            await client.connect(server)
            await client.wait_for("turn.done")
            await client.close()

    run(scenario())
    assert [request.scan for request in second.requests] == ["slow"]


def test_database_of_an_earlier_version_gets_the_column(tmp_path: Path) -> None:
    """Turns kept before scans existed count as said."""

    async def scenario() -> None:
        settings = make_settings(tmp_path)
        async with running(settings, scanner()) as server, Client(server) as client:
            await client.answer("before")
            session = client.session
        with sqlite3.connect(tmp_path / "sessions.db") as database:
            database.execute("alter table turns drop column scan")
        store = open_session_store(tmp_path)
        async with running(settings, scanner(), store=store) as server:
            client = Client(server)
            client.session = session
            await client.connect()
            assert client.ready["resumed"]
            assert (await scanned(client, id="s9", code=EAN))["status"] == "completed"
            await client.close()

    run(scenario())


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("AAAA", "bad_photo"),
        ("not base64!", "bad_photo"),
        (encoded(photo()[:2000]), "bad_photo"),
        (encoded(b"<svg xmlns='http://www.w3.org/2000/svg'/>"), "bad_photo"),
        (encoded(bomb()), "bad_photo"),
        (encoded(photo(code="")), "no_code"),
        (encoded(b"\xff" * 20_001), "bad_photo"),
    ],
    ids=["three bytes", "no base64", "cut off", "another format", "bomb", "no code", "too large"],
)
def test_photo_that_is_no_use_gets_its_error_and_the_connection_stays(
    tmp_path: Path, content: str, code: str
) -> None:
    """Broken, hostile, or empty: a typed error with the id, no turn, and the next scan works."""
    runner = scanner()

    async def scenario() -> None:
        settings = make_settings(tmp_path, max_photo_bytes=20_000)
        async with running(settings, runner) as server, Client(server) as client:
            await client.send(type="scan", id="s1", photo=content)
            error = await client.wait_for("error")
            assert (error["code"], error["id"], error["fatal"]) == (code, "s1", False)
            assert (await scanned(client, id="s2", code=EAN))["status"] == "completed"

    run(scenario())
    assert len(runner.requests) == 1


@pytest.mark.parametrize("fields", [{}, {"code": "1", "photo": "AAAA"}, {"code": ""}, {"code": 4}])
def test_scan_needs_just_one_of_code_and_photo(tmp_path: Path, fields: dict[str, Any]) -> None:
    """Anything else is invalid."""

    async def scenario() -> None:
        async with running(make_settings(tmp_path), scanner()) as server, Client(server) as client:
            await client.send(type="scan", id="s1", **fields)
            assert (await client.wait_for("error"))["code"] == "invalid"

    run(scenario())


def test_only_a_photo_may_exceed_the_message_size(tmp_path: Path) -> None:
    """A text as large as a photo is refused as ever, and before the greeting everything is."""

    async def scenario() -> None:
        async with running(make_settings(tmp_path), scanner()) as server:
            async with Client(server) as client:
                await client.send(type="user.text", id="big", text="x" * 100_000)
                assert await client.closed() == 1009
                assert client.errors[-1]["code"] == "message_too_large"
            stranger = Client(server)
            await stranger.connect(greet=False)
            await stranger.send(type="scan", id="s1", photo=encoded(b"\xff" * 100_000))
            assert await stranger.closed() == 1009

    run(scenario())


def test_photos_over_the_rate_are_refused(tmp_path: Path) -> None:
    """Reading a photo costs more than a text; the connection lives."""

    async def scenario() -> None:
        async with running(make_settings(tmp_path), scanner()) as server, Client(server) as client:
            for number in range(PHOTOS_PER_MINUTE):
                await client.send(type="scan", id=f"s{number}", photo="AAAA")
                assert (await client.wait_for("error"))["code"] == "bad_photo"
            await client.send(type="scan", id="more", photo="AAAA")
            error = await client.wait_for("error")
            assert (error["code"], error["retryable"]) == ("rate_limited", True)
            assert (await scanned(client, id="code", code=EAN))["status"] == "completed"

    run(scenario())
