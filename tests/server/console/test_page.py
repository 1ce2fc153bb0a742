"""The page's files: built from the sources that are here, given out with strict headers, and only to who may ask."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import re
from pathlib import Path

import pytest

from assistant.server.console.pages import PAGE
from tests.server.harness import ScriptedRunner, hire, make_settings, run, running

SOURCES = Path(__file__).parents[3] / "client" / "operator"
BUILT_FROM = (
    "src",
    "public",
    "index.html",
    "package.json",
    "package-lock.json",
    "tsconfig.json",
    "vite.config.ts",
)


def get(port: int, path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    """One request, without following or decoding anything."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path)
    response = connection.getresponse()
    return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()


def source_hash() -> str:
    """As client/operator/scripts/sources.mjs has it."""
    files = [
        file
        for name in BUILT_FROM
        for file in ([SOURCES / name] if (SOURCES / name).is_file() else (SOURCES / name).rglob("*"))
        if file.is_file()
    ]
    names = sorted(file.relative_to(SOURCES).as_posix() for file in files)
    lines = [f"{name}\0{hashlib.sha256((SOURCES / name).read_bytes()).hexdigest()}\n" for name in names]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def test_page_is_the_build_of_its_sources() -> None:
    """After a change in client/operator: `npm ci && npm run build` there, and commit what it wrote."""
    record = json.loads((PAGE / "build.json").read_text())
    assert record["source"] == source_hash()
    written = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in PAGE.iterdir()}
    written.pop("build.json")
    assert record["files"] == written


def test_page_names_only_files_that_are_there() -> None:
    """Nothing from elsewhere, no script or style of its own in the markup."""
    html = (PAGE / "index.html").read_text()
    named = re.findall(r'(?:src|href)="([^"]*)"', html)
    assert {name.removeprefix("/console/") for name in named} <= {file.name for file in PAGE.iterdir()}
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", html)


@pytest.mark.parametrize(
    "path", ["/console", "/console/", "/console/operator.js", "/console/operator.css", "/console/icon.svg"]
)
def test_files_are_closed_without_a_team_and_open_with_one(tmp_path: Path, path: str) -> None:
    """404 as for any path that is not there; then the file, with a policy that lets it speak to this server only."""

    async def scenario() -> None:
        async with running(make_settings(tmp_path), ScriptedRunner()) as server:
            closed = await asyncio.to_thread(get, server.port, path)
            nowhere = await asyncio.to_thread(get, server.port, "/nowhere")
            assert (closed[0], closed[2]) == (404, nowhere[2])
            hire(server)
            status, headers, body = await asyncio.to_thread(get, server.port, path)
            assert status == 200
            assert body
            policy = headers["content-security-policy"]
            assert "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;" in policy
            assert f"connect-src 'self' ws://127.0.0.1:{server.port} wss://127.0.0.1:{server.port};" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert "set-cookie" not in headers

    run(scenario())


@pytest.mark.parametrize(
    "path", ["/console/build.json", "/console/../service.py", "/console/socket", "/consolex"]
)
def test_nothing_else_is_given_out(tmp_path: Path, path: str) -> None:
    """Neither other files, nor the socket to plain HTTP."""

    async def scenario() -> None:
        async with running(make_settings(tmp_path), ScriptedRunner()) as server:
            hire(server)
            assert (await asyncio.to_thread(get, server.port, path))[0] == 404

    run(scenario())
