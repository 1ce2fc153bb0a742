"""Wire protocol version 1: messages to and from text frames. Pure; docs/protocol.md says when."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal, Self, TypeVar

import pydantic_core
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from assistant.errors import ProtocolError

PROTOCOL_VERSION = 1
MAX_SEQ = 2**53 - 1  # largest whole number that every JavaScript engine keeps exact (ECMA-262, Number)


class ErrorCode(StrEnum):
    """Every error code of the protocol, its meaning, whether to try again, and its close code.

    Attributes:
        explanation: one line for a client developer; docs/protocol.md repeats it.
        retryable: whether the same message may succeed later.
        close_code: WebSocket close code sent after the error; 0 if the connection stays open.
    """

    explanation: str
    retryable: bool
    close_code: int

    def __new__(cls, value: str, explanation: str, retryable: bool = False, close_code: int = 0) -> ErrorCode:
        """Make a string member that carries its explanation."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.explanation = explanation
        member.retryable = retryable
        member.close_code = close_code
        return member

    MALFORMED = "malformed", "The message is not a JSON object with a string field `type`."
    UNKNOWN_TYPE = "unknown_type", "This version of the server does not know the message type."
    INVALID = "invalid", "A field is missing or has a wrong value; the text names the fields."
    UNSUPPORTED = (
        "unsupported",
        "The message is known, but its feature is off (see `ready.features`).",
    )
    TEXT_TOO_LONG = "text_too_long", "The text is longer than `ready.limits.text_chars`; shorten it."
    DUPLICATE = (
        "duplicate",
        "The id was used long ago in this session; use a new one.",
    )
    BUSY = "busy", "Too much waits; send again after the next `turn.done`, or in some seconds.", True
    BAD_PHOTO = "bad_photo", "The photo is damaged, too large, or not a JPEG, PNG or WebP."
    NO_CODE = "no_code", "There is no bar code or QR code to be seen in the photo."
    NO_SPEECH = "no_speech", "No words could be heard in the audio; no turn follows.", True
    AUDIO_FORMAT = "audio_format", "The audio is damaged, or of a format that is not taken."
    AUDIO_TOO_LONG = "audio_too_long", "The audio is longer than `ready.limits.audio_seconds`."
    AUDIO_TOO_LARGE = "audio_too_large", "The audio has more bytes than `ready.limits.audio_bytes`."
    AUDIO_TOO_FAST = (
        "audio_too_fast",
        "Audio came faster than it can be taken; the utterance is dropped.",
        True,
    )
    AUDIO_STALLED = "audio_stalled", "No audio came for a while, nor its end; the utterance is dropped.", True
    AUDIO_INTERRUPTED = (
        "audio_interrupted",
        "The utterance was cut off before its end and is dropped; nothing of it is answered.",
        True,
    )
    AUDIO_BUSY = "audio_busy", "Too many customers speak at the same time; try again in some seconds.", True
    UNKNOWN_AUDIO = "unknown_audio", "There is no such utterance; begin one with `audio.start`."
    UNKNOWN_TURN = "unknown_turn", "This session has no such turn."
    HELLO_REQUIRED = "hello_required", "The first message must be `hello`."
    ALREADY_GREETED = "already_greeted", "`hello` was sent before on this connection."
    RATE_LIMITED = "rate_limited", "Too many messages a minute; this one was not processed.", True
    RATE_ABUSED = "rate_abused", "The client kept sending in spite of `rate_limited`.", True, 4429
    UNSUPPORTED_VERSION = (
        "unsupported_version",
        "The server does not speak this version.",
        False,
        4400,
    )
    UNAUTHORIZED = "unauthorized", "The credential in `hello` is missing or wrong.", False, 4401
    CUSTOMER_REFUSED = (
        "customer_refused",
        "The customer token in `hello` is not one of this shop.",
        False,
        4403,
    )
    ERASED = "erased", "The session's data were deleted; begin a new one.", False, 4404
    HELLO_TIMEOUT = "hello_timeout", "No `hello` arrived in time.", True, 4408
    CUSTOMER_EXPIRED = (
        "customer_expired",
        "The customer token in `hello` has expired; get a new one.",
        False,
        4410,
    )
    SIGN_IN_ENDED = (
        "sign_in_ended",
        "The agent's sign-in is too old or was withdrawn; sign in again (agents only).",
        False,
        4412,
    )
    REPLACED = "replaced", "The session was opened from another connection, which goes on.", False, 4409
    SLOW_CLIENT = "slow_client", "The client reads too slowly; reconnect and resume.", True, 4411
    MESSAGE_TOO_LARGE = "message_too_large", "The message exceeds `ready.limits.message_bytes`.", False, 1009
    TOO_MANY_SESSIONS = "too_many_sessions", "The server is full; try again later.", True, 1013
    GOING_AWAY = "going_away", "The server stops or restarts; reconnect and resume.", True, 1012
    UNKNOWN_CONVERSATION = (
        "unknown_conversation",
        "No open hand-over has this name (agents only).",
    )
    TAKEN = "taken", "Another agent has this conversation (agents only)."
    NOT_YOURS = "not_yours", "Take the conversation first (agents only)."
    TIMEOUT = "timeout", "The turn took too long (in `turn.done.error`).", True
    BACKEND = "backend", "A model or the shop's back-office failed (in `turn.done.error`).", True
    INTERRUPTED = "interrupted", "The turn was cut off by server restarts (in `turn.done.error`).", True
    INTERNAL = "internal", "An unexpected failure of the server; it is logged there.", True


class WireError(ProtocolError):
    """A protocol error of a known code; `id` names the client's message where there is one."""

    def __init__(self, code: ErrorCode, message: str, *, id: str | None = None) -> None:
        self.kind = code
        self.id = id
        super().__init__(
            code.value,
            message,
            fatal=code.close_code != 0,
            close_code=code.close_code or 1008,
            retryable=code.retryable,
        )


Credential = Annotated[str, StringConstraints(max_length=512)]
ClientId = Annotated[str, StringConstraints(pattern=r"^[!-~]{1,64}$")]  # visible ASCII
Name = Annotated[str, StringConstraints(pattern=r"^[ -~]{0,64}$")]
Seq = Annotated[int, Field(ge=0, le=MAX_SEQ)]
Moment = Annotated[int | float, Field(ge=-MAX_SEQ, le=MAX_SEQ, allow_inf_nan=False)]


M = TypeVar("M", bound="Wire")


class Wire(BaseModel):
    """What all messages share: strict types, and unknown fields ignored so that newer peers may add some."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, hide_input_in_errors=True)


# --- client → server ---------------------------------------------------------------------------------------


class Hello(Wire):
    """Opens the conversation or resumes it; the first message on every connection.

    Attributes:
        binary: whether the client's socket can carry binary frames.
        credential: the operator's, where one is set.
        customer: token by which the shop's server says who is signed in (docs/protocol.md, "Signed-in customers").
        session: session to resume, from an earlier `ready`.
        last_seq: highest `seq` the client has processed; without it, the last one acknowledged.
    """

    type: Literal["hello"] = "hello"
    v: int
    platform: Name = ""
    locale: Name = "en"
    binary: bool = False
    credential: Credential | None = None
    customer: Credential | None = None
    session: Name | None = None
    last_seq: Seq | None = None


class UserText(Wire):
    """What the customer typed. The id makes sending again harmless."""

    type: Literal["user.text"] = "user.text"
    id: ClientId
    text: str


class TurnDetection(Wire):
    """When an utterance ends by itself; the fields are those of the OpenAI Realtime API.

    Attributes:
        threshold: probability from which sound counts as speech.
        prefix_padding_ms: how much before the first speech is listened to.
        silence_duration_ms: silence that ends the utterance.
    """

    type: Literal["server_vad"] = "server_vad"
    threshold: Annotated[float, Field(ge=0, le=1, strict=False)] | None = None
    prefix_padding_ms: Annotated[int, Field(ge=0, le=5000)] | None = None
    silence_duration_ms: Annotated[int, Field(ge=100, le=10_000)] | None = None


class AudioStart(Wire):
    """Begins an utterance in speech.

    Attributes:
        rate_hz, channels: of samples; compressed audio says so itself.
        turn_detection: when the utterance ends by itself; null: with `audio.end` only; left out: as the server has it.
    """

    type: Literal["audio.start"] = "audio.start"
    id: ClientId
    format: Literal["pcm_s16le", "mp3", "aac", "auto"]
    rate_hz: Annotated[int, Field(ge=8000, le=48000)] = 16_000
    channels: Annotated[int, Field(ge=1, le=2)] = 1
    turn_detection: TurnDetection | None = None


class AudioChunk(Wire):
    """A piece of audio as base64, for sockets that carry strings only."""

    type: Literal["audio.chunk"] = "audio.chunk"
    id: ClientId
    b64: str


class AudioEnd(Wire):
    """Ends an utterance in speech."""

    type: Literal["audio.end"] = "audio.end"
    id: ClientId


class AudioCancel(Wire):
    """Drops an utterance in speech; harmless if it is over."""

    type: Literal["audio.cancel"] = "audio.cancel"
    id: ClientId


class Scan(Wire):
    """A scanned bar code or QR code, or a photo to read one from; exactly one of the two.

    Attributes:
        photo: JPEG, PNG or WebP in base64 (RFC 4648, section 4).
    """

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["code"]}, {"required": ["photo"]}]})

    type: Literal["scan"] = "scan"
    id: ClientId
    code: Annotated[str, StringConstraints(min_length=1, max_length=2048)] | None = None
    photo: Annotated[str, StringConstraints(min_length=1)] | None = None

    @model_validator(mode="after")
    def _has_one(self) -> Self:
        if (self.code is None) == (self.photo is None):
            raise ValueError("give either code or photo")
        return self


class Cancel(Wire):
    """Stops the reply of a turn; harmless if the turn has ended."""

    type: Literal["cancel"] = "cancel"
    turn: Name


class Feedback(Wire):
    """The customer's opinion of a reply; a second one for the same turn replaces the first."""

    type: Literal["feedback"] = "feedback"
    turn: Name
    value: Literal["up", "down"]
    comment: Annotated[str, StringConstraints(max_length=2000)] | None = None


class ProductEvent(Wire):
    """What the customer did with a product that was shown."""

    type: Literal["event"] = "event"
    kind: Literal["view", "tap", "dismiss", "purchase"]
    sku: ClientId


class HandoverEnd(Wire):
    """The customer goes back to the assistant; harmless if no person was asked for."""

    type: Literal["handover.end"] = "handover.end"


class Ack(Wire):
    """Says up to which `seq` the client has processed events."""

    type: Literal["ack"] = "ack"
    seq: Seq


class Ping(Wire):
    """Asks for a `pong`; for clients that cannot see the WebSocket's own pings."""

    type: Literal["ping"] = "ping"
    t: Moment


class Bye(Wire):
    """The client leaves; the server closes with code 1000 and keeps the session for a later `hello`."""

    type: Literal["bye"] = "bye"


ClientMessage = (
    Hello
    | UserText
    | AudioStart
    | AudioChunk
    | AudioEnd
    | AudioCancel
    | Scan
    | Cancel
    | Feedback
    | ProductEvent
    | HandoverEnd
    | Ack
    | Ping
    | Bye
)
CLIENT_MESSAGES: Mapping[str, type[ClientMessage]] = {
    "hello": Hello,
    "user.text": UserText,
    "audio.start": AudioStart,
    "audio.chunk": AudioChunk,
    "audio.end": AudioEnd,
    "audio.cancel": AudioCancel,
    "scan": Scan,
    "cancel": Cancel,
    "feedback": Feedback,
    "event": ProductEvent,
    "handover.end": HandoverEnd,
    "ack": Ack,
    "ping": Ping,
    "bye": Bye,
}

# --- server → client ---------------------------------------------------------------------------------------


class Event(Wire):
    """What all server messages share.

    Attributes:
        seq: position in the session. turn.*, delta, transcript.*, user.delivered, handover and agent.message each
            take a new one; ready, error and pong repeat the current one.
    """

    seq: Seq


class Limits(Wire):
    """What the client must keep to; see docs/protocol.md, "Limits"."""

    message_bytes: int
    text_chars: int
    messages_per_minute: int
    queued_turns: int
    heartbeat_s: float
    session_minutes: float
    turn_deadline_s: float
    deltas_per_second: float
    photo_bytes: int
    photos_per_minute: int
    audio_seconds: float
    audio_bytes: int
    audio_message_bytes: int
    audio_messages_per_second: float


class Features(Wire):
    """What this server can do; a client hides what is false."""

    voice: bool = False
    scan: bool = False
    binary: bool = False


class ShopInfo(Wire):
    """Who answers, for the client's header and first message."""

    name: str
    greeting: str
    language: str


class Ready(Event):
    """Answers `hello`. `seq` is where the replay starts; what follows has a higher one.

    Attributes:
        resumed: whether the session named in `hello` was found; if not, `session` is a new one.
        gap: whether events after `last_seq` are no longer kept.
    """

    type: Literal["ready"] = "ready"
    v: int = PROTOCOL_VERSION
    session: str
    resumed: bool
    gap: bool = False
    limits: Limits
    features: Features
    shop: ShopInfo


class TranscriptPartial(Event):
    """What the customer's speech sounds like so far; may still change."""

    type: Literal["transcript.partial"] = "transcript.partial"
    id: str
    text: str


class WordInfo(Wire):
    """A word that was recognised: when, in seconds from the beginning of the audio, and how surely (0..1)."""

    text: str
    start_s: float
    end_s: float
    confidence: float


class TranscriptFinal(Event):
    """What the customer said; a turn for it follows.

    Attributes:
        text: as it is answered, with the shop's own words put right.
        raw: as it was recognised.
        confidence: how surely, 0..1.
        words: the words of `raw`.
    """

    type: Literal["transcript.final"] = "transcript.final"
    id: str
    text: str
    raw: str = ""
    confidence: float = 1.0
    words: tuple[WordInfo, ...] = Field((), strict=False)


class TurnStarted(Event):
    """A reply begins. The same turn may start again after a server restart: drop its deltas then.

    Attributes:
        id: the client's id of the message that is answered.
        text: that message, so that a reloaded client can show it.
    """

    type: Literal["turn.started"] = "turn.started"
    turn: str
    id: str
    text: str


class DeltaEvent(Event):
    """The next piece of the reply's text."""

    type: Literal["delta"] = "delta"
    turn: str
    text: str


class SourceInfo(Wire):
    """A passage the reply rests on."""

    id: str
    title: str
    text: str
    document: str


class CardInfo(Wire):
    """A structured thing beside the text; `kind` says how to show `data`."""

    kind: str
    data: dict[str, Any]


class TurnDone(Event):
    """A turn ended; exactly one for each turn. `text` is the whole reply and replaces the deltas.

    Attributes:
        decision: what was done with the utterance, one of `records.DecisionKind`.
        timings: milliseconds by stage; `first_delta_ms` and `total_ms` count from the message's arrival.
        error: error code when `status` is "failed".
    """

    type: Literal["turn.done"] = "turn.done"
    turn: str
    status: Literal["completed", "cancelled", "failed", "declined"]
    text: str
    sources: tuple[SourceInfo, ...] = Field((), strict=False)
    cards: tuple[CardInfo, ...] = Field((), strict=False)
    quick_replies: tuple[str, ...] = Field((), strict=False)
    ai_generated: bool = False
    timings: dict[str, float] = Field(default_factory=dict)
    decision: str
    error: str | None = None


class UserDelivered(Event):
    """What the customer wrote is kept for the person who speaks with them; no turn follows."""

    type: Literal["user.delivered"] = "user.delivered"
    id: str
    text: str


class Handover(Event):
    """The conversation's way to a person changed its state.

    Attributes:
        turn: the turn that asked for a person, with "requested".
        position: place in the queue from 1, with "waiting".
        staffed: whether people answer at this hour, with "waiting".
        opens: when they answer next (ISO 8601), with "waiting" outside the hours.
        agent: name of the person, with "active".
        reason: how it ended, with "ended".
    """

    type: Literal["handover"] = "handover"
    state: Literal["requested", "waiting", "active", "ended"]
    turn: str | None = None
    position: int | None = None
    staffed: bool | None = None
    opens: str | None = None
    agent: str | None = None
    reason: Literal["released", "closed", "customer"] | None = None


class AgentMessage(Event):
    """A person of the shop says something. The same id again is the same message."""

    type: Literal["agent.message"] = "agent.message"
    id: str
    text: str
    agent: str = ""


class DeviceStateEvent(Event):
    """How a device in the customer's home is now. Takes no number: the latest one per device counts.

    Attributes:
        device: unique within its home.
        home: names the home; somebody may use devices of several.
        kind: one of `records.DeviceType`.
        reachable: whether the device answers; if not, `values` are what it told last.
        values: by kind, see `records.DeviceState`.
    """

    type: Literal["device.state"] = "device.state"
    device: str
    home: str
    name: str
    room: str
    kind: str
    reachable: bool
    values: dict[str, bool | int | float | str]


class ErrorEvent(Event):
    """Something the client sent was refused, or the connection is about to close (`fatal`)."""

    type: Literal["error"] = "error"
    code: str
    message: str
    id: str | None = None
    retryable: bool
    fatal: bool


class Pong(Event):
    """Answers `ping` with its `t`."""

    type: Literal["pong"] = "pong"
    t: Moment


ServerMessage = (
    Ready
    | TranscriptPartial
    | TranscriptFinal
    | TurnStarted
    | DeltaEvent
    | TurnDone
    | UserDelivered
    | Handover
    | AgentMessage
    | DeviceStateEvent
    | ErrorEvent
    | Pong
)
SERVER_MESSAGES: Mapping[str, type[ServerMessage]] = {
    "ready": Ready,
    "transcript.partial": TranscriptPartial,
    "transcript.final": TranscriptFinal,
    "turn.started": TurnStarted,
    "delta": DeltaEvent,
    "turn.done": TurnDone,
    "user.delivered": UserDelivered,
    "handover": Handover,
    "agent.message": AgentMessage,
    "device.state": DeviceStateEvent,
    "error": ErrorEvent,
    "pong": Pong,
}


def parse_client(frame: str | bytes) -> ClientMessage:
    """Turn a frame into a message.

    Raises: WireError: malformed, unknown_type, invalid or unsupported (binary frames); never anything else.
    """
    if isinstance(frame, bytes):
        raise WireError(ErrorCode.UNSUPPORTED, "binary frames carry audio, which is not taken yet")
    return parse_one_of(CLIENT_MESSAGES, frame)


def parse_one_of(models: Mapping[str, type[M]], frame: str) -> M:
    """Turn a frame into one of these messages.

    Raises: WireError: malformed, unknown_type or invalid; never anything else.
    """
    fields = _parse_object(frame)
    kind = fields.get("type")
    sent_id = fields.get("id")
    message_id = sent_id if isinstance(sent_id, str) and 0 < len(sent_id) <= 64 else None
    if not isinstance(kind, str):
        raise WireError(ErrorCode.MALFORMED, "the field `type` is missing or not a string", id=message_id)
    model = models.get(kind)
    if model is None:
        known = ", ".join(models)
        raise WireError(ErrorCode.UNKNOWN_TYPE, f"unknown message type; known are {known}", id=message_id)
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise WireError(ErrorCode.INVALID, f"{kind}: {_explain(error)}", id=message_id) from None


def parse_server(frame: str | bytes) -> ServerMessage:
    """Turn a server's frame into a message; for clients written in Python.

    Raises: WireError: the frame is not a message of this version.
    """
    if isinstance(frame, bytes):
        raise WireError(ErrorCode.UNSUPPORTED, "binary frames are not sent by this version")
    fields = _parse_object(frame)
    model = SERVER_MESSAGES.get(str(fields.get("type")))
    if model is None:
        raise WireError(ErrorCode.UNKNOWN_TYPE, "unknown message type")
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise WireError(ErrorCode.INVALID, _explain(error)) from None


def encode(message: Wire) -> str:
    """Turn a message into a text frame; absent optional fields are left out."""
    return message.model_dump_json(exclude_none=True)


def _parse_object(frame: str) -> dict[str, Any]:
    """Read a JSON object; jiter bounds the nesting and refuses lone surrogates."""
    try:
        fields = pydantic_core.from_json(frame, allow_inf_nan=False)
    except ValueError:  # its text quotes what the customer wrote
        raise WireError(ErrorCode.MALFORMED, "the message is not valid JSON") from None
    if not isinstance(fields, dict):
        raise WireError(ErrorCode.MALFORMED, "the message is not a JSON object")
    return fields


def _explain(error: ValidationError) -> str:
    """Name the wrong fields without repeating their values."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(
        f"field {'.'.join(str(part) for part in item['loc'])}: {item['msg'].lower()}"
        if item["loc"]
        else item["msg"].lower()
        for item in problems[:8]
    )
