"""The wire format by itself: round trips, tolerance, and that no input can do harm."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.config import Settings
from assistant.server.agent_wire import (
    AGENT_EVENTS,
    AGENT_REQUESTS,
    parse_agent_event,
    parse_agent_request,
)
from assistant.server.asyncapi import AGENT_EXAMPLES, EXAMPLES, build_document, payload_schema
from assistant.server.audio import MESSAGE_BYTES, MESSAGES_PER_SECOND
from assistant.server.connection import PHOTOS_PER_MINUTE
from assistant.server.peer import ABUSE_AFTER, OUTGOING_FRAMES
from assistant.server.service import DELTAS_PER_SECOND
from assistant.server.sessions import KEPT_IDS, KEPT_TURNS
from assistant.server.turns import MAX_ATTEMPTS
from assistant.server.wire import (
    CLIENT_MESSAGES,
    SERVER_MESSAGES,
    ClientMessage,
    ErrorCode,
    WireError,
    encode,
    parse_client,
    parse_server,
)
from assistant.voice.service import AUDIO_LIMITS

DOCS = Path(__file__).parents[2] / "docs"
MESSAGES = {**CLIENT_MESSAGES, **SERVER_MESSAGES}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
SCHEMAS = {name: jsonschema.Draft202012Validator(payload_schema(model)) for name, model in MESSAGES.items()}
FIELDS = sorted({field for model in CLIENT_MESSAGES.values() for field in model.model_fields} | {"extra"})


@pytest.mark.parametrize("name", CLIENT_MESSAGES)
def test_client_message_survives_a_round_trip(name: str) -> None:
    """The documented example, parsed and encoded, is itself again."""
    message = parse_client(json.dumps(EXAMPLES[name]))
    assert message.type == name
    assert parse_client(encode(message)) == message
    assert json.loads(encode(message)).items() >= EXAMPLES[name].items()


@pytest.mark.parametrize("name", SERVER_MESSAGES)
def test_server_message_survives_a_round_trip(name: str) -> None:
    """The documented example, parsed and encoded, is itself again."""
    message = parse_server(json.dumps(EXAMPLES[name]))
    assert message.type == name
    assert json.loads(encode(message)) == EXAMPLES[name]


@pytest.mark.parametrize("name", AGENT_REQUESTS)
def test_agents_message_survives_a_round_trip(name: str) -> None:
    """The documented example, parsed and encoded, is itself again."""
    assert json.loads(encode(parse_agent_request(json.dumps(AGENT_EXAMPLES[name])))) == AGENT_EXAMPLES[name]


@pytest.mark.parametrize("name", AGENT_EVENTS)
def test_message_to_agents_survives_a_round_trip(name: str) -> None:
    """The documented example, parsed and encoded, is itself again."""
    assert json.loads(encode(parse_agent_event(json.dumps(AGENT_EXAMPLES[name])))) == AGENT_EXAMPLES[name]


@given(
    st.sampled_from([*AGENT_REQUESTS, "sing"]),
    st.dictionaries(
        st.sampled_from(["id", "conversation", "text", "agent", "credential", "v", "to", "t"]),
        JSON,
        max_size=8,
    ),
)
@settings(deadline=None, max_examples=80)
def test_arbitrary_fields_from_an_agent_give_a_message_or_a_wire_error(
    name: str, fields: dict[str, Any]
) -> None:
    """Nothing but a WireError is raised, and only for the reasons named."""
    frame = json.dumps({**fields, "type": name})
    with contextlib.suppress(WireError):
        assert parse_agent_request(frame).type == name


@pytest.mark.parametrize("name", [*AGENT_REQUESTS, *AGENT_EVENTS])
def test_handover_document_names_each_agents_message_and_its_fields(name: str) -> None:
    """Who writes an agent's program finds every message, and every field in its section."""
    model = {**AGENT_REQUESTS, **AGENT_EVENTS}[name]
    text = (DOCS / "handover.md").read_text(encoding="utf-8")
    section = text.split(f"#### `{name}`\n")[1].split("\n#")[0]
    for field in model.model_fields:
        assert field == "type" or f"`{field}`" in section, field


def test_unknown_fields_are_ignored() -> None:
    """A newer client may send more than this server knows."""
    message = parse_client('{"type": "ack", "seq": 3, "mood": {"happy": true}}')
    assert encode(message) == encode(parse_client('{"type": "ack", "seq": 3}'))


def test_text_of_any_script_is_sent_as_it_is() -> None:
    """Not escaped to ASCII: three bytes a Chinese character, not six."""
    frame = encode(parse_client('{"type": "user.text", "id": "a", "text": "你好 👨‍👩‍👧"}'))
    assert "你好 👨‍👩‍👧" in frame


def test_errors_do_not_repeat_what_the_customer_wrote() -> None:
    """Error texts go into logs and over proxies; the customer's words stay out."""
    for frame in ('{"type": "user.text", "id": "a", "text": ["secret words"]}', '{"secret words'):
        with pytest.raises(WireError) as refused:
            parse_client(frame)
        assert "secret" not in str(refused.value)


def parse(frame: str | bytes) -> ClientMessage | ErrorCode:
    """What the parser makes of a frame; anything but a WireError passes through and fails the test."""
    try:
        return parse_client(frame)
    except WireError as error:
        return error.kind


@given(st.text() | st.binary())
@settings(deadline=None)
def test_arbitrary_frames_give_a_message_or_a_wire_error(frame: str | bytes) -> None:
    """No frame makes the parser raise anything else."""
    outcome = parse(frame)
    assert isinstance(outcome, ErrorCode) or outcome.type in CLIENT_MESSAGES


@given(
    st.sampled_from([*CLIENT_MESSAGES, "sing", ""]),
    st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=8),
)
@settings(deadline=None, max_examples=150)
def test_arbitrary_fields_give_a_message_or_a_wire_error(name: str, fields: dict[str, Any]) -> None:
    """Every type with every field holding anything: parsed within its limits, or refused by code."""
    outcome = parse(json.dumps({**fields, "type": name}))
    if isinstance(outcome, ErrorCode):
        assert outcome in {ErrorCode.UNKNOWN_TYPE, ErrorCode.INVALID, ErrorCode.MALFORMED}
    else:
        SCHEMAS[name].validate(json.loads(encode(outcome)))


def test_asyncapi_file_is_what_the_models_say() -> None:
    """docs/asyncapi.yaml is made by `python -m assistant.server.asyncapi`; make it again after a change."""
    stored = yaml.safe_load((DOCS / "asyncapi.yaml").read_text(encoding="utf-8"))
    assert stored == json.loads(json.dumps(build_document()))


@pytest.mark.parametrize("name", MESSAGES)
def test_asyncapi_schema_accepts_the_example_and_refuses_without_type(name: str) -> None:
    """The stored schemas are valid JSON Schema, accept what is sent, and are not empty."""
    stored = yaml.safe_load((DOCS / "asyncapi.yaml").read_text(encoding="utf-8"))
    message = stored["components"]["messages"][name]
    validator = jsonschema.Draft202012Validator(message["payload"])
    validator.check_schema(message["payload"])
    example = message["examples"][0]["payload"]
    validator.validate(example)
    assert not validator.is_valid({field: value for field, value in example.items() if field != "type"})


def headings() -> set[str]:
    """What docs/protocol.md has headings for, without backticks."""
    lines = (DOCS / "protocol.md").read_text(encoding="utf-8").splitlines()
    return {line.lstrip("#").strip().strip("`") for line in lines if line.startswith("#")}


@pytest.mark.parametrize("name", MESSAGES)
def test_protocol_document_has_a_heading_for_each_message(name: str) -> None:
    """A client developer finds every message."""
    assert name in headings()


@pytest.mark.parametrize("code", ErrorCode)
def test_protocol_document_explains_each_error_code(code: ErrorCode) -> None:
    """Each code has a heading, its explanation, and the close code if it closes."""
    assert code.value in headings()
    section = (
        (DOCS / "protocol.md").read_text(encoding="utf-8").split(f"#### `{code.value}`\n")[1].split("\n#")[0]
    )
    assert code.explanation in section
    assert ("Retryable" in section) == code.retryable
    assert (f"closes with {code.close_code}" in section) == bool(code.close_code)


@pytest.mark.parametrize("name", MESSAGES)
def test_protocol_document_names_each_field(name: str) -> None:
    """Every field of a message stands in its section."""
    text = (DOCS / "protocol.md").read_text(encoding="utf-8")
    section = text.split(f"### `{name}`\n")[1].split("\n#")[0]
    for field in MESSAGES[name].model_fields:
        if field != "type" and (field != "seq" or name == "ack"):
            assert f"`{field}`" in section, field


def test_protocol_document_states_the_limits_of_the_code() -> None:
    """The defaults and constants in the text are those of the settings and the code."""
    text = " ".join((DOCS / "protocol.md").read_text(encoding="utf-8").split())
    for field, setting in {
        "message_bytes": "max_message_bytes",
        "text_chars": "max_text_chars",
        "messages_per_minute": "max_messages_per_minute",
        "queued_turns": "max_queued_turns",
        "heartbeat_s": "heartbeat_s",
        "session_minutes": "session_minutes",
        "turn_deadline_s": "turn_deadline_s",
        "photo_bytes": "max_photo_bytes",
    }.items():
        assert f"| `{field}` | {Settings.model_fields[setting].default:.7g} |" in text
    assert f"| `photos_per_minute` | {PHOTOS_PER_MINUTE} |" in text
    assert f"| `audio_seconds` | {AUDIO_LIMITS.seconds:g} |" in text
    assert f"| `audio_bytes` | {AUDIO_LIMITS.size_bytes} |" in text
    assert f"| `audio_message_bytes` | {MESSAGE_BYTES} |" in text
    assert f"| `audio_messages_per_second` | {MESSAGES_PER_SECOND:g} |" in text
    assert f"| `deltas_per_second` | {DELTAS_PER_SECOND:g} |" in text
    assert f"the last {KEPT_TURNS} turns" in text
    assert f"the last {KEPT_IDS:,} ids" in text
    assert f"more than {OUTGOING_FRAMES} messages" in text
    assert f"more than {ABUSE_AFTER} refused in a row" in text
    assert MAX_ATTEMPTS == 3, "the text says: three times at most"
