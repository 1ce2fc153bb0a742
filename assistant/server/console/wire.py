"""What the operator's page and the server say to each other at /console/socket. Pure; docs/operator.md says when.

The page speaks the agents' protocol (agent_wire.py) and what stands here. A request with an `id` is answered by one
event with the same `id`, or by `error`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from assistant.server.agent_wire import AGENT_EVENTS, AGENT_REQUESTS, AgentEvent, AgentName, AgentRequest
from assistant.server.wire import (
    PROTOCOL_VERSION,
    ClientId,
    Credential,
    ErrorCode,
    Name,
    Wire,
    WireError,
    parse_one_of,
)

Days = Annotated[int, Field(ge=1, le=366)]
DraftName = Annotated[str, StringConstraints(min_length=1, max_length=100)]
_Question = Annotated[str, StringConstraints(min_length=1, max_length=500)]

# --- page → server -----------------------------------------------------------------------------------------


class ConsoleHello(Wire):
    """Signs in with name and credential, or goes on with the token of an earlier `ready`."""

    type: Literal["hello"] = "hello"
    v: int
    agent: AgentName | None = None
    credential: Credential | None = None
    token: Credential | None = None


class SignOut(Wire):
    """Ends the sign-in; the server closes."""

    type: Literal["sign.out"] = "sign.out"


class TranscriptOpen(Wire):
    """Opens a conversation, which is noted in the operators' log; from now on its changes are sent."""

    type: Literal["transcript.open"] = "transcript.open"
    id: ClientId
    key: Name


class TranscriptShut(Wire):
    """Shuts the conversation that is open."""

    type: Literal["transcript.shut"] = "transcript.shut"


class Join(Wire):
    """Takes a live conversation over though the customer did not ask."""

    type: Literal["join"] = "join"
    id: ClientId
    key: Name


class FiguresRead(Wire):
    """Asks for the figures of the last days."""

    type: Literal["figures.read"] = "figures.read"
    id: ClientId
    days: Days


class FeedbackRead(Wire):
    """Asks for customers' opinions of the last days."""

    type: Literal["feedback.read"] = "feedback.read"
    id: ClientId
    days: Days


class QuestionsRead(Wire):
    """Asks for what was not answered in the last days, grouped by meaning, and the drafts."""

    type: Literal["questions.read"] = "questions.read"
    id: ClientId
    days: Days


class DraftSave(Wire):
    """Writes a draft, new or changed."""

    type: Literal["draft.save"] = "draft.save"
    id: ClientId
    name: DraftName
    question: _Question
    others: tuple[_Question, ...] = Field(default=(), strict=False, max_length=50)
    answer: Annotated[str, StringConstraints(max_length=8000)]


class DraftDiscard(Wire):
    """Deletes a draft."""

    type: Literal["draft.discard"] = "draft.discard"
    id: ClientId
    name: DraftName


class DraftApprove(Wire):
    """Makes a draft knowledge: adds it to the knowledge files and ingests them."""

    type: Literal["draft.approve"] = "draft.approve"
    id: ClientId
    name: DraftName


OwnRequest = (
    ConsoleHello
    | SignOut
    | TranscriptOpen
    | TranscriptShut
    | Join
    | FiguresRead
    | FeedbackRead
    | QuestionsRead
    | DraftSave
    | DraftDiscard
    | DraftApprove
)
ConsoleRequest = OwnRequest | AgentRequest
OWN_REQUESTS: Mapping[str, type[OwnRequest]] = {
    "hello": ConsoleHello,
    "sign.out": SignOut,
    "transcript.open": TranscriptOpen,
    "transcript.shut": TranscriptShut,
    "join": Join,
    "figures.read": FiguresRead,
    "feedback.read": FeedbackRead,
    "questions.read": QuestionsRead,
    "draft.save": DraftSave,
    "draft.discard": DraftDiscard,
    "draft.approve": DraftApprove,
}
CONSOLE_REQUESTS: Mapping[str, type[ConsoleRequest]] = {**AGENT_REQUESTS, **OWN_REQUESTS}

# --- server → page -----------------------------------------------------------------------------------------


class ConsoleReady(Wire):
    """Answers `hello`. The token opens the page again until the second `until`; `now` is the server's clock."""

    type: Literal["ready"] = "ready"
    v: int = PROTOCOL_VERSION
    agent: str
    shop: str
    language: str
    staffed: bool
    grace_s: float
    text_chars: int
    token: str
    until: float
    now: float


class LastLine(Wire):
    """What was said last, shortened and without long numbers."""

    who: Literal["customer", "assistant", "agent"]
    text: str
    at: float
    agent: str = ""


class LiveEntry(Wire):
    """One live conversation; times in seconds since 1970.

    Attributes:
        key: its name here; stays the same, and does not open the conversation to anybody.
        state: who speaks with the customer, or that they wait for a person.
        conversation: the hand-over's name in the agents' protocol, "" if there is none.
        agent: who has it, or had it before it came back to the queue.
        since: when the person was asked for, 0 if none was.
        question: what the person is wanted for.
        connected: whether the customer is there now.
        busy: whether a reply is being made.
        seen_at: when the customer was last there.
        turns: questions so far.
    """

    key: str
    state: Literal["assistant", "waiting", "active"]
    conversation: str = ""
    agent: str = ""
    cause: str = ""
    since: float = 0.0
    question: str = ""
    connected: bool
    busy: bool
    seen_at: float
    customer: str = ""
    language: str
    platform: str
    turns: int
    last: LastLine | None = None


class Conversations(Wire):
    """Live conversations: all of them if `complete`, else those that changed, and the keys of those gone."""

    type: Literal["conversations"] = "conversations"
    complete: bool
    entries: tuple[LiveEntry, ...] = Field(default=(), strict=False)
    gone: tuple[str, ...] = Field(default=(), strict=False)


class TurnLine(Wire):
    """A question, the reply, and how it came about.

    Attributes:
        status: "" while it runs, then as in `turn.done`.
        sources: title and document of what the reply rests on.
        cards: kinds of the cards shown.
        timings: milliseconds, as in `turn.done`.
        trace: reason, intent, slots and stages; empty for turns that were not run.
        feedback: "up", "down" or "", with the customer's comment.
    """

    kind: Literal["turn"] = "turn"
    turn: str
    at: float
    text: str
    reply: str
    status: str
    decision: str
    ai_generated: bool = False
    sources: tuple[dict[str, str], ...] = Field(default=(), strict=False)
    cards: tuple[str, ...] = Field(default=(), strict=False)
    timings: dict[str, float] = Field(default_factory=dict)
    trace: dict[str, Any] = Field(default_factory=dict)
    feedback: str = ""
    comment: str = ""


class SaidLine(Wire):
    """What customer and agent wrote to each other, or (`who` "state") a change of the hand-over in `text`.

    `id` is the sender's id of a message.
    """

    kind: Literal["said"] = "said"
    at: float
    who: Literal["customer", "agent", "state"]
    text: str
    agent: str = ""
    id: str = ""


class Transcript(Wire):
    """A conversation in full; sent again whenever it changes while it is open. `id` answers a request."""

    type: Literal["transcript"] = "transcript"
    id: str = ""
    key: str
    began: float
    seen_at: float
    customer: str
    language: str
    platform: str
    lines: tuple[TurnLine | SaidLine, ...] = Field(default=(), strict=False)


class FiguresEvent(Wire):
    """Answers `figures.read`: figures of all days together and of each day, as `assistant insights --json` has them."""

    type: Literal["figures"] = "figures"
    id: str
    days: int
    total: dict[str, Any]
    by_day: tuple[dict[str, Any], ...] = Field(default=(), strict=False)


class Opinion(Wire):
    """One customer's opinion of a reply; `key` names the conversation."""

    key: str
    at: float
    value: str
    comment: str
    question: str
    reply: str
    decision: str


class FeedbackEvent(Wire):
    """Answers `feedback.read`, newest first; `more` if older ones are left out."""

    type: Literal["feedback"] = "feedback"
    id: str
    opinions: tuple[Opinion, ...] = Field(default=(), strict=False)
    more: bool


class GroupInfo(Wire):
    """Questions of about the same meaning that were not answered well.

    `keys` name some of the conversations; `published` says that an approved draft has answered it since.
    """

    name: str
    question: str
    others: tuple[str, ...] = Field(default=(), strict=False)
    count: int
    declined: int
    failed: int
    thumbs_down: int
    first: float
    latest: float
    answer: str
    published: bool = False
    keys: tuple[str, ...] = Field(default=(), strict=False)


class DraftInfo(Wire):
    """A draft as it stands in its file; `problem` says why it cannot be read or approved."""

    name: str
    question: str
    others: tuple[str, ...] = Field(default=(), strict=False)
    answer: str
    problem: str = ""


class QuestionsEvent(Wire):
    """Answers `questions.read`."""

    type: Literal["questions"] = "questions"
    id: str
    groups: tuple[GroupInfo, ...] = Field(default=(), strict=False)
    drafts: tuple[DraftInfo, ...] = Field(default=(), strict=False)


class Done(Wire):
    """A request was carried out."""

    type: Literal["done"] = "done"
    id: str


class Publishing(Wire):
    """How far an approved draft is on its way into the knowledge; sent to all pages.

    Attributes:
        draft: its name.
        state: done means that the new knowledge is being served.
        step: what the ingest does now; `part` of `whole` of it, 0 of 0 if that is not known.
        problems: why it failed; the draft is back where it was.
        remarks: contradictions and near repeats that the ingest noticed.
        snapshot: what is served after it.
    """

    type: Literal["publishing"] = "publishing"
    draft: str
    agent: str
    state: Literal["running", "done", "failed"]
    step: str = ""
    part: int = 0
    whole: int = 0
    problems: tuple[str, ...] = Field(default=(), strict=False)
    remarks: tuple[str, ...] = Field(default=(), strict=False)
    snapshot: str = ""


OwnEvent = (
    ConsoleReady
    | Conversations
    | Transcript
    | FiguresEvent
    | FeedbackEvent
    | QuestionsEvent
    | Done
    | Publishing
)
ConsoleEvent = OwnEvent | AgentEvent
OWN_EVENTS: Mapping[str, type[OwnEvent]] = {
    "ready": ConsoleReady,
    "conversations": Conversations,
    "transcript": Transcript,
    "figures": FiguresEvent,
    "feedback": FeedbackEvent,
    "questions": QuestionsEvent,
    "done": Done,
    "publishing": Publishing,
}
CONSOLE_EVENTS: Mapping[str, type[ConsoleEvent]] = {**AGENT_EVENTS, **OWN_EVENTS}


def parse_console_request(frame: str | bytes) -> ConsoleRequest:
    """Turn a page's frame into a message.

    Raises: WireError: malformed, unknown_type, invalid or unsupported; never anything else.
    """
    if isinstance(frame, bytes):
        raise WireError(ErrorCode.UNSUPPORTED, "send text frames")
    return parse_one_of(CONSOLE_REQUESTS, frame)
