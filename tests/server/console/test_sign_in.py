"""Signing in to the operator's page over the real websocket: who gets in, for how long, and what guessing costs."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from assistant.storage.team import Team
from tests.server.console.harness import Page
from tests.server.harness import Agent, ScriptedRunner, hire, make_settings, run, running

NOON = 1_763_985_600.0


def test_closed_until_somebody_could_sign_in(tmp_path: Path) -> None:
    """Page and socket are not there without a team, and are as soon as the command adds an agent."""

    async def scenario() -> None:
        async with running(make_settings(tmp_path), ScriptedRunner()) as server:
            with pytest.raises(InvalidStatus) as refused:
                await connect(f"ws://127.0.0.1:{server.port}/console/socket", proxy=None)
            assert refused.value.response.status_code == 404
            async with Page(server) as page:
                assert page.ready["agent"] == "Kim"
                assert page.ready["shop"] == "Test shop"

    run(scenario())


@pytest.mark.parametrize(
    "hello",
    [
        {"agent": "Kim", "credential": "wrong"},
        {"agent": "Kim", "credential": ""},
        {"agent": "Nobody", "credential": "wrong"},
    ],
)
def test_wrong_credential_is_refused_and_nothing_is_shown(tmp_path: Path, hello: dict[str, str]) -> None:
    """4401, for a name that nobody has as well; before hello nothing is answered."""

    async def scenario() -> None:
        async with running(make_settings(tmp_path), ScriptedRunner()) as server:
            hire(server)
            page = Page(server, credential=hello["credential"], name=hello["agent"])
            await page.greet()
            assert (await page.wait_for("error"))["code"] == "unauthorized"
            assert await page.closed() == 4401
            assert not page.live

    run(scenario())


def test_requests_before_hello_are_refused(tmp_path: Path) -> None:
    """Also those of the agents' protocol."""

    async def scenario() -> None:
        async with running(make_settings(tmp_path), ScriptedRunner()) as server:
            hire(server)
            url = f"ws://127.0.0.1:{server.port}/console/socket"
            page = Page(server)
            page._socket = await connect(url, proxy=None)
            for request in ({"type": "figures.read", "id": "f", "days": 7}, {"type": "queue.list"}):
                await page.send(**request)
                assert (await page.wait_for("error"))["code"] == "hello_required"
            await page.socket.close()

    run(scenario())


def test_token_goes_on_until_its_time_is_over(tmp_path: Path) -> None:
    """A reload needs no credential; after `console_hours` the open page is closed and the token refused."""

    async def scenario() -> None:
        now = NOON
        settings = make_settings(tmp_path, console_hours=2.0)
        async with running(settings, ScriptedRunner(), clock=lambda: now) as server:
            first = Page(server)
            await first.connect()
            assert first.ready["until"] == NOON + 7200
            async with Page(server, token=first.token, credential="") as again:
                assert again.ready["agent"] == "Kim"
                assert await first.closed() == 4409, "one page for each agent"
                now = NOON + 7199
                server._verify()
                assert (await again.ask("figures.read", days=7))["type"] == "figures"
                now = NOON + 7201
                server._verify()
                assert (await again.wait_for("error"))["code"] == "sign_in_ended"
                assert await again.closed() == 4412
            late = Page(server, token=first.token, credential="")
            await late.greet()
            assert (await late.wait_for("error"))["code"] == "sign_in_ended"
            assert await late.closed() == 4412

    run(scenario())


def test_signing_out_ends_the_token(tmp_path: Path) -> None:
    """Whoever finds it in the browser afterwards cannot use it."""

    async def scenario() -> None:
        async with running(make_settings(tmp_path), ScriptedRunner()) as server:
            page = Page(server)
            await page.connect()
            await page.send(type="sign.out")
            assert await page.closed() == 1000
            again = Page(server, token=page.token, credential="")
            await again.greet()
            assert await again.closed() == 4412

    run(scenario())


@pytest.mark.parametrize("change", ["remove", "renew"])
def test_agent_who_is_removed_or_renewed_is_out_everywhere(tmp_path: Path, change: str) -> None:
    """The page, the terminal and the token, without a restart."""

    async def scenario() -> None:
        async with running(make_settings(tmp_path), ScriptedRunner()) as server:
            team = Team(tmp_path)
            page = Page(server)
            await page.connect()
            terminal = Agent(server, "Robin")
            await terminal.connect()
            for name in ("Kim", "Robin"):
                team.remove(name) if change == "remove" else team.add(name, renew=True)
            server._verify()
            assert await page.closed() == 4412
            assert await terminal.closed() == 4412
            if change == "renew":  # with nobody left the socket is not even there
                again = Page(server, token=page.token, credential="")
                await again.greet()
                assert await again.closed() == 4412

    run(scenario())


def test_guessing_is_slowed_down_for_the_name_guessed_only(tmp_path: Path) -> None:
    """Five wrong ones, then even the right one has to wait; a colleague at the same address does not."""

    async def scenario() -> None:
        async with running(make_settings(tmp_path), ScriptedRunner()) as server:
            right = hire(server)
            for _ in range(5):
                page = Page(server, credential="wrong")
                await page.greet()
                assert await page.closed() == 4401
            for credential in ("wrong", right):
                page = Page(server, credential=credential)
                await page.greet()
                refused = await page.wait_for("error")
                assert (refused["code"], refused["retryable"]) == ("rate_limited", True)
                await page.socket.close()
            async with Page(server, "Robin") as robin:
                assert robin.ready["agent"] == "Robin"

    run(scenario())


@pytest.mark.parametrize(
    ("origin", "origins", "opens"),
    [
        (None, (), True),
        ("http://127.0.0.1:{port}", (), True),
        ("http://evil.example", (), False),
        ("http://evil.example", ("*",), False),
        ("https://servicewechat.com", (), False),
        ("null", (), False),
        ("https://desk.shop.example", ("https://desk.shop.example",), True),
    ],
)
def test_pages_of_other_origins_cannot_open_the_socket(
    tmp_path: Path, origin: str | None, origins: tuple[str, ...], opens: bool
) -> None:
    """Neither by the wildcard nor as a mini-program, which customers' sockets allow."""

    async def scenario() -> None:
        async with running(make_settings(tmp_path, origins=origins), ScriptedRunner()) as server:
            hire(server)
            url = f"ws://127.0.0.1:{server.port}/console/socket"
            shown = origin.format(port=server.port) if origin else None
            if opens:
                async with connect(url, proxy=None, origin=shown):  # type: ignore[arg-type]
                    return
            with pytest.raises(InvalidStatus) as refused:
                await connect(url, proxy=None, origin=shown)  # type: ignore[arg-type]
            assert refused.value.response.status_code == 403

    run(scenario())


def test_neither_credential_nor_token_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """At the most talkative level."""
    secrets: list[str] = []

    async def scenario() -> None:
        async with running(make_settings(tmp_path), ScriptedRunner()) as server, Page(server) as page:
            secrets.extend((page.credential, page.ready["token"]))
            refused = Page(server, credential="a wrong secret")
            await refused.greet()
            await refused.closed()

    with caplog.at_level(logging.DEBUG):
        run(scenario())
    own = [
        record for record in caplog.records if record.name != "websockets.client"
    ]  # not this test's own side
    log = "\n".join(logging.Formatter().format(record) for record in own)
    assert len(secrets) == 2
    assert not any(secret in log for secret in [*secrets, "a wrong secret"])
