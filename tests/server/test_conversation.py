"""Conversations over a real websocket: messages, their order, idempotency, barge-in, cancelling."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.server.harness import Client, ScriptedRunner, make_settings, run, running


def test_question_is_answered_with_deltas_and_one_end(tmp_path: Path) -> None:
    """turn.started, deltas that join to the text, turn.done with everything the result holds."""

    async def scenario() -> None:
        async with running(make_settings(tmp_path), ScriptedRunner()) as server, Client(server) as client:
            done = await client.answer("What is it?", "m1")
            assert [event["type"] for event in client.events][:2] == ["turn.started", "delta"]
            assert client.events[0]["text"] == "What is it?"
            assert client.texts[done["turn"]] == done["text"]
            assert done["status"] == "completed"
            assert done["sources"] == [{"id": "p", "title": "Title", "text": "Text.", "document": "faq.md"}]
            assert done["quick_replies"] == ["More"]
            assert done["timings"]["search"] == 1.5
            assert done["timings"]["first_delta_ms"] <= done["timings"]["total_ms"]
            seqs = [event["seq"] for event in client.events]
            assert seqs == sorted(set(seqs))

    run(scenario())
