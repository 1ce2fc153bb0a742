"""The protocol as an AsyncAPI document, made from the models: `python -m assistant.server.asyncapi`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import yaml

from assistant.server.wire import CLIENT_MESSAGES, PROTOCOL_VERSION, SERVER_MESSAGES, ErrorCode, Wire

_LIMITS = {
    "message_bytes": 65536,
    "text_chars": 2000,
    "messages_per_minute": 120,
    "queued_turns": 4,
    "heartbeat_s": 25.0,
    "session_minutes": 30.0,
    "turn_deadline_s": 20.0,
    "deltas_per_second": 15.0,
}

EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "hello": {
        "type": "hello",
        "v": 1,
        "platform": "mp-weixin",
        "locale": "en-GB",
        "binary": True,
        "session": "Qm9va3NoZWxmLWFuZC1hLWxhbXAt",
        "last_seq": 17,
    },
    "user.text": {"type": "user.text", "id": "m18f2a", "text": "How long can I return a sofa?"},
    "audio.start": {
        "type": "audio.start",
        "id": "m18f2b",
        "format": "pcm_s16le",
        "rate_hz": 16000,
        "channels": 1,
    },
    "audio.chunk": {"type": "audio.chunk", "id": "m18f2b", "b64": "AAD//w=="},
    "audio.end": {"type": "audio.end", "id": "m18f2b"},
    "scan": {"type": "scan", "id": "m18f2c", "code": "4006381333931"},
    "cancel": {"type": "cancel", "turn": "t_8sK2"},
    "feedback": {"type": "feedback", "turn": "t_8sK2", "value": "up", "comment": "quick!"},
    "ack": {"type": "ack", "seq": 21},
    "ping": {"type": "ping", "t": 1764000000000},
    "bye": {"type": "bye"},
    "ready": {
        "type": "ready",
        "seq": 17,
        "v": 1,
        "session": "Qm9va3NoZWxmLWFuZC1hLWxhbXAt",
        "resumed": True,
        "gap": False,
        "limits": _LIMITS,
        "features": {"voice": False, "scan": False, "binary": False},
        "shop": {"name": "The shop", "greeting": "Hello! How can I help you?", "language": "en"},
    },
    "transcript.partial": {"type": "transcript.partial", "seq": 18, "id": "m18f2b", "text": "how long"},
    "transcript.final": {"type": "transcript.final", "seq": 19, "id": "m18f2b", "text": "how long can I"},
    "turn.started": {
        "type": "turn.started",
        "seq": 20,
        "turn": "t_8sK2",
        "id": "m18f2a",
        "text": "How long can I return a sofa?",
    },
    "delta": {"type": "delta", "seq": 21, "turn": "t_8sK2", "text": "You can return a sofa "},
    "turn.done": {
        "type": "turn.done",
        "seq": 22,
        "turn": "t_8sK2",
        "status": "completed",
        "text": "You can return a sofa within 30 days.",
        "sources": [
            {
                "id": "returns.md#sofas",
                "title": "Returning a sofa",
                "text": "You can return a sofa within 30 days. We collect it.",
                "document": "faq/returns.md",
            }
        ],
        "cards": [{"kind": "product", "data": {"sku": "SOFA-3", "name": "Sofa for three"}}],
        "quick_replies": ["How is it collected?"],
        "ai_generated": False,
        "timings": {"encoding": 6.1, "retrieval": 5.4, "first_delta_ms": 14.9, "total_ms": 16.2},
        "decision": "answer",
    },
    "handover": {"type": "handover", "seq": 23, "state": "requested", "turn": "t_8sK2"},
    "agent.message": {
        "type": "agent.message",
        "seq": 24,
        "id": "a1",
        "text": "Hi, I am Kim.",
        "agent": "Kim",
    },
    "error": {
        "type": "error",
        "seq": 22,
        "code": "busy",
        "message": "4 messages already wait; send this one again after the next turn.done",
        "id": "m18f2d",
        "retryable": True,
        "fatal": False,
    },
    "pong": {"type": "pong", "seq": 22, "t": 1764000000000},
}


def build_document() -> dict[str, Any]:
    """The AsyncAPI 3.0 document: one channel, what the client sends, what the server sends."""
    messages = {**CLIENT_MESSAGES, **SERVER_MESSAGES}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Customer service assistant",
            "version": f"{PROTOCOL_VERSION}.0.0",
            "description": "Wire protocol of the assistant; docs/protocol.md explains order, resuming and limits.",
        },
        "defaultContentType": "application/json",
        "channels": {
            "conversation": {
                "address": "/ws",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
            }
        },
        "operations": {
            "fromClient": _operation("receive", CLIENT_MESSAGES),
            "toClient": _operation("send", SERVER_MESSAGES),
        },
        "components": {
            "messages": {name: _message(name, model) for name, model in messages.items()},
            "schemas": {"errorCode": _error_codes()},
        },
    }


def _operation(action: str, messages: Mapping[str, type[Wire]]) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": "#/channels/conversation"},
        "messages": [{"$ref": f"#/channels/conversation/messages/{name}"} for name in messages],
    }


def _message(name: str, model: type[Wire]) -> dict[str, Any]:
    return {
        "name": name,
        "summary": (model.__doc__ or "").partition("\n")[0],
        "payload": payload_schema(model),
        "examples": [{"payload": dict(EXAMPLES[name])}],
    }


def payload_schema(model: type[Wire]) -> dict[str, Any]:
    """The JSON schema of a message; `type` is required, as it is on the wire."""
    schema = model.model_json_schema()
    schema["required"] = ["type", *(name for name in schema.get("required", ()) if name != "type")]
    return schema


def _error_codes() -> dict[str, Any]:
    lines = [f"{code.value}: {code.explanation}" for code in ErrorCode]
    return {"type": "string", "enum": [code.value for code in ErrorCode], "description": "\n".join(lines)}


if __name__ == "__main__":
    yaml.safe_dump(build_document(), sys.stdout, sort_keys=False, allow_unicode=True, width=110)
