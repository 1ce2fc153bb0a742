"""The protocol as an AsyncAPI document, made from the models: `python -m assistant.server.asyncapi`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from assistant.server.agent_wire import AGENT_EVENTS, AGENT_REQUESTS
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
    "photo_bytes": 1_000_000,
    "photos_per_minute": 12,
    "audio_seconds": 60.0,
    "audio_bytes": 12_000_000,
    "audio_message_bytes": 1_000_000,
    "audio_messages_per_second": 100.0,
}

EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "hello": {
        "type": "hello",
        "v": 1,
        "platform": "mp-weixin",
        "locale": "en-GB",
        "binary": True,
        "session": "s_Qm9va3NoZWxmLWFuZC1hLWxhbXAt",
        "last_seq": 17,
    },
    "user.text": {"type": "user.text", "id": "m18f2a", "text": "How long can I return a sofa?"},
    "audio.start": {
        "type": "audio.start",
        "id": "m18f2b",
        "format": "pcm_s16le",
        "rate_hz": 16000,
        "channels": 1,
        "turn_detection": {"type": "server_vad", "silence_duration_ms": 600},
    },
    "audio.chunk": {"type": "audio.chunk", "id": "m18f2b", "b64": "AAD//w=="},
    "audio.end": {"type": "audio.end", "id": "m18f2b"},
    "audio.cancel": {"type": "audio.cancel", "id": "m18f2b"},
    "scan": {"type": "scan", "id": "m18f2c", "code": "4006381333931"},
    "cancel": {"type": "cancel", "turn": "t_8sK2"},
    "feedback": {"type": "feedback", "turn": "t_8sK2", "value": "up", "comment": "quick!"},
    "event": {"type": "event", "kind": "tap", "sku": "SOFA-3"},
    "handover.end": {"type": "handover.end"},
    "ack": {"type": "ack", "seq": 21},
    "ping": {"type": "ping", "t": 1764000000000},
    "bye": {"type": "bye"},
    "ready": {
        "type": "ready",
        "seq": 17,
        "v": 1,
        "session": "s_Qm9va3NoZWxmLWFuZC1hLWxhbXAt",
        "resumed": True,
        "gap": False,
        "limits": _LIMITS,
        "features": {"voice": False, "scan": True, "binary": False},
        "shop": {"name": "The shop", "greeting": "Hello! How can I help you?", "language": "en"},
    },
    "transcript.partial": {"type": "transcript.partial", "seq": 18, "id": "m18f2b", "text": "how long"},
    "transcript.final": {
        "type": "transcript.final",
        "seq": 19,
        "id": "m18f2b",
        "text": "what does the Skerry coffee table cost",
        "raw": "what does this curry coffee table cost",
        "confidence": 0.93,
        "words": [{"text": "what", "start_s": 0.24, "end_s": 0.42, "confidence": 1.0}],
    },
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
    "user.delivered": {"type": "user.delivered", "seq": 26, "id": "m18f2e", "text": "Hello Kim!"},
    "handover": {
        "type": "handover",
        "seq": 23,
        "state": "waiting",
        "position": 2,
        "staffed": False,
        "opens": "2026-11-23T08:00:00+01:00",
    },
    "agent.message": {
        "type": "agent.message",
        "seq": 24,
        "id": "a1",
        "text": "Hi, I am Kim.",
        "agent": "Kim",
    },
    "device.state": {
        "type": "device.state",
        "seq": 26,
        "device": "living-lamp",
        "home": "1f3870be274f",
        "name": "floor lamp",
        "room": "living room",
        "kind": "lamp",
        "reachable": True,
        "values": {"on": True, "brightness": 40},
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


_SUMMARY = {
    "reason": "probability 0.12 stays below 0.85; miss number 3",
    "question": "Where is my order OM-48213?",
    "tried": [{"question": "Where is it?", "decision": "decline", "reply": "I don't have any information."}],
    "orders": ["OM-48213"],
}
AGENT_EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "hello": {"type": "hello", "v": 1, "credential": "…", "agent": "Kim"},
    "queue.list": {"type": "queue.list"},
    "take": {"type": "take", "conversation": "h_8sK2"},
    "agent.message": {
        "type": "agent.message",
        "id": "a1",
        "conversation": "h_8sK2",
        "text": "Hi, I am Kim.",
    },
    "release": {"type": "release", "conversation": "h_8sK2", "to": "assistant"},
    "close": {"type": "close", "conversation": "h_8sK2"},
    "ping": {"type": "ping", "t": 1764000000000},
    "ready": {"type": "ready", "v": 1, "agent": "Kim", "shop": "The shop", "staffed": True, "grace_s": 60.0},
    "queue": {
        "type": "queue",
        "conversations": [
            {
                "conversation": "h_8sK2",
                "state": "waiting",
                "waited_s": 12.5,
                "cause": "missed",
                "agent": "",
                "connected": True,
                "summary": _SUMMARY,
            }
        ],
    },
    "conversation": {
        "type": "conversation",
        "conversation": "h_8sK2",
        "customer": "C-1001",
        "language": "en",
        "platform": "mp-weixin",
        "connected": True,
        "summary": _SUMMARY,
        "transcript": [
            {"who": "customer", "text": "Where is my order OM-48213?", "at": 1764000000.0, "agent": ""},
            {"who": "agent", "text": "Hi, I am Kim.", "at": 1764000031.5, "agent": "Kim"},
        ],
    },
    "customer.message": {
        "type": "customer.message",
        "conversation": "h_8sK2",
        "text": "Hello Kim!",
        "at": 1764000040.0,
    },
    "customer.presence": {"type": "customer.presence", "conversation": "h_8sK2", "connected": False},
    "message.kept": {"type": "message.kept", "conversation": "h_8sK2", "id": "a1"},
    "conversation.ended": {"type": "conversation.ended", "conversation": "h_8sK2", "reason": "customer"},
    "error": {
        "type": "error",
        "code": "taken",
        "message": "another agent has this conversation",
        "retryable": False,
        "fatal": False,
    },
    "pong": {"type": "pong", "t": 1764000000000},
}


def build_document() -> dict[str, Any]:
    """The AsyncAPI 3.0 document: a channel for customers, one for agents, and what each side sends."""
    messages = {**CLIENT_MESSAGES, **SERVER_MESSAGES}
    of_agents = {**AGENT_REQUESTS, **AGENT_EVENTS}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Customer service assistant",
            "version": f"{PROTOCOL_VERSION}.0.0",
            "description": "Wire protocol of the assistant; docs/protocol.md explains order, resuming and limits, "
            "docs/handover.md what agents send.",
        },
        "defaultContentType": "application/json",
        "channels": {
            "conversation": _channel("/ws", [*messages]),
            "agents": _channel("/agent", [f"agents.{name}" for name in of_agents]),
        },
        "operations": {
            "fromClient": _operation("receive", "conversation", [*CLIENT_MESSAGES]),
            "toClient": _operation("send", "conversation", [*SERVER_MESSAGES]),
            "fromAgent": _operation("receive", "agents", [f"agents.{name}" for name in AGENT_REQUESTS]),
            "toAgent": _operation("send", "agents", [f"agents.{name}" for name in AGENT_EVENTS]),
        },
        "components": {
            "messages": {
                **{name: _message(name, model, EXAMPLES[name]) for name, model in messages.items()},
                **{
                    f"agents.{name}": _message(name, model, AGENT_EXAMPLES[name])
                    for name, model in of_agents.items()
                },
            },
            "schemas": {"errorCode": _error_codes()},
        },
    }


def _channel(address: str, names: Sequence[str]) -> dict[str, Any]:
    return {
        "address": address,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
    }


def _operation(action: str, channel: str, names: Sequence[str]) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in names],
    }


def _message(name: str, model: type[Wire], example: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "summary": (model.__doc__ or "").partition("\n")[0],
        "payload": payload_schema(model),
        "examples": [{"payload": dict(example)}],
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
