"""The messages of the operator's page: documented, strict, and no way around the agents' protocol."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from assistant.server.agent_wire import AGENT_REQUESTS, Take
from assistant.server.console.wire import (
    CONSOLE_REQUESTS,
    OWN_EVENTS,
    OWN_REQUESTS,
    ConsoleHello,
    parse_console_request,
)
from assistant.server.wire import WireError

PAGE = (Path(__file__).parents[3] / "docs" / "operator.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [*OWN_REQUESTS, *(name for name in OWN_EVENTS if name not in OWN_REQUESTS)])
def test_document_names_every_message_with_its_fields(name: str) -> None:
    """docs/operator.md has a row for each; `type`, `v` and the `id` of an answer are said once for all."""
    fields = {**OWN_REQUESTS, **OWN_EVENTS}[name].model_fields
    row = next((line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |")), "")
    named = set(re.findall(r"`(\w+)`", row.partition(f"| `{name}` |")[2]))
    asked = {field for field in fields if field not in {"type", "v"}}
    if name in OWN_EVENTS:
        asked -= {"id"}
    assert row
    assert asked <= named


def test_everything_agents_may_say_is_taken_here_too() -> None:
    """With the same meaning, but for hello."""
    assert set(AGENT_REQUESTS) <= set(CONSOLE_REQUESTS)
    assert parse_console_request('{"type": "take", "conversation": "h_1"}') == Take(conversation="h_1")
    hello = parse_console_request('{"type": "hello", "v": 1, "token": "t"}')
    assert isinstance(hello, ConsoleHello)


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\0", "unsupported"),
        ("", "malformed"),
        ('{"type": "user.text", "id": "m", "text": "hi"}', "unknown_type"),
        ('{"type": "figures.read", "id": "a", "days": "7"}', "invalid"),
        ('{"type": "figures.read", "id": "a", "days": 367}', "invalid"),
        ('{"type": "draft.save", "id": "a", "name": "", "question": "Q", "answer": ""}', "invalid"),
        ('{"type": "draft.save", "id": "a", "name": "n", "question": "", "answer": ""}', "invalid"),
        ('{"type": "transcript.open", "id": "a", "key": "\u00fc"}', "invalid"),
    ],
)
def test_wrong_frames_are_refused(frame: str | bytes, code: str) -> None:
    """Never with anything but a wire error."""
    with pytest.raises(WireError) as refused:
        parse_console_request(frame)
    assert refused.value.code == code
