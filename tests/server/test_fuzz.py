"""Arbitrary messages to a running server: always an answer, never a crash, and the connection stays usable."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assistant.server.wire import CLIENT_MESSAGES, ErrorCode
from tests.server.harness import Client, ScriptedRunner, make_settings, running

FATAL = {code.value for code in ErrorCode if code.close_code}
VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=60)
    | st.sampled_from(["m1", "up", "pcm_s16le", 1, 16000, "TURN", "SESSION"])
    | st.lists(st.integers(), max_size=3)
)
MESSAGE = st.sampled_from(sorted(set(CLIENT_MESSAGES) - {"bye"})).flatmap(
    lambda name: st.fixed_dictionaries(
        {"type": st.just(name)},
        optional={field: VALUES for field in CLIENT_MESSAGES[name].model_fields if field != "type"},
    )
)
FRAMES = st.lists(MESSAGE.map(json.dumps) | st.text(max_size=40) | st.binary(max_size=40), max_size=8)


@given(frames=FRAMES)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_messages_leave_the_server_and_the_connection_usable(tmp_path: Path, frames: list[Any]) -> None:
    """After anything a client sends, errors are typed and the next question is answered."""

    async def scenario() -> None:
        async with (
            asyncio.timeout(60),
            running(make_settings(tmp_path), ScriptedRunner(pieces=1)) as server,
            Client(server) as client,
        ):
            turn = (await client.answer("first"))["turn"]
            for frame in frames:
                if isinstance(frame, str):
                    frame = frame.replace("TURN", turn).replace("SESSION", client.session or "")
                await client.socket.send(frame)
            await client.settle()
            assert not {error["code"] for error in client.errors} & FATAL
            assert "internal" not in {error["code"] for error in client.errors}
            message_id = await client.ask("last")
            started = await client.wait_for("turn.started", lambda event: event["id"] == message_id)
            await client.wait_for("turn.done", lambda event: event["turn"] == started["turn"])

    asyncio.run(scenario())


@given(
    hello=st.fixed_dictionaries(
        {"type": st.just("hello")},
        optional={field: VALUES for field in CLIENT_MESSAGES["hello"].model_fields if field != "type"},
    )
)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_hello_is_answered_by_ready_or_an_error(tmp_path: Path, hello: dict[str, Any]) -> None:
    """A strange greeting is refused by code or accepted; the server goes on."""

    async def scenario() -> None:
        async with asyncio.timeout(60), running(make_settings(tmp_path), ScriptedRunner(pieces=1)) as server:
            client = Client(server)
            await client.connect(greet=False)
            await client.send(**hello)
            answer = await client.receive()
            assert answer["type"] in {"ready", "error"}
            await client.close()
            async with Client(server) as other:
                assert (await other.answer("fine?"))["status"] == "completed"

    asyncio.run(scenario())
