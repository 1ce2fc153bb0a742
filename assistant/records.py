"""Records that travel between the stages of a turn. They know nothing of storage, models or the wire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NewType

SessionId = NewType("SessionId", str)
TurnId = NewType("TurnId", str)
PassageId = NewType("PassageId", str)


class Role(StrEnum):
    """Who said a message."""

    CUSTOMER = "customer"
    ASSISTANT = "assistant"
    AGENT = "agent"


class DecisionKind(StrEnum):
    """What is done with an utterance (docs/architecture.md, "Decision")."""

    ANSWER = "answer"
    APPROVED = "approved"
    ACT = "act"
    ASK_BACK = "ask_back"
    SMALL_TALK = "small_talk"
    HAND_OVER = "hand_over"
    DECLINE = "decline"


class TurnStatus(StrEnum):
    """How a turn ended; sent as `status` of `turn.done`."""

    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"
    DECLINED = "declined"


class PassageKind(StrEnum):
    """Where a passage comes from: a question with its answer, a free document, or facts of a back-end."""

    FAQ = "faq"
    DOCUMENT = "document"
    FACTS = "facts"


class UnitKind(StrEnum):
    """What part of a passage one vector stands for."""

    BODY = "body"  # title and text together
    SENTENCE = "sentence"  # one sentence alone
    TITLED = "titled"  # one sentence behind the title
    QUESTION = "question"  # a title that is a question, or another phrasing given by the author


# --- knowledge ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of knowledge that is embedded, found and quoted.

    Attributes:
        id: stable; `path#heading-slug` for Markdown, the given id for JSONL, `path#row` for tables.
        title: heading or question; never empty.
        text: plain text, paragraphs separated by a newline; never empty.
        document: knowledge file it comes from, relative to the ingested folder.
        line: 1-based line, row or page in that file.
        questions: other phrasings given by the author ("Also asked").
    """

    id: PassageId
    title: str
    text: str
    kind: PassageKind = PassageKind.FAQ
    document: str = ""
    line: int = 0
    questions: tuple[str, ...] = ()
    language: str = "en"


@dataclass(frozen=True, slots=True)
class Unit:
    """One embedded text: the passage it belongs to (index into the passages) and which part of it."""

    passage: int
    kind: UnitKind
    text: str


@dataclass(frozen=True, slots=True)
class SlotSpec:
    """A value an intent needs; `type` names a parser of understanding/slots.py."""

    name: str
    type: str
    required: bool = True
    prompt: str = ""


@dataclass(frozen=True, slots=True)
class Intent:
    """Something customers want, with examples; either an `action` (a skill) or an approved `reply`, or neither."""

    name: str
    examples: tuple[str, ...]
    description: str = ""
    slots: tuple[SlotSpec, ...] = ()
    action: str | None = None
    reply: str | None = None


@dataclass(frozen=True, slots=True)
class Product:
    """A catalogue entry; `price` in units of `currency`, `barcode` an EAN-13 with a valid check digit."""

    sku: str
    name: str
    price: float
    currency: str
    barcode: str
    category: str = ""
    stock: int = 0
    description: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    image: str = ""
    model_3d: str = ""
    related: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Order:
    """One order, as the back-office knows it; fields as in knowledge/orders.csv.

    Attributes:
        customer: the name.
        customer_id: the signed-in customer's id; "" for an order placed as a guest.
        return_items: items for which a return is registered, written like `items`.
        version: grows with every change.
    """

    order_number: str
    customer: str
    email: str
    placed: str
    status: str
    items: str
    total: float
    currency: str
    delivery_method: str = ""
    expected: str = ""
    slot: str = ""
    address: str = ""
    note: str = ""
    customer_id: str = ""
    return_items: str = ""
    version: int = 0


class SignalKind(StrEnum):
    """What a customer can do with a product that is shown."""

    VIEW = "view"
    TAP = "tap"
    DISMISS = "dismiss"
    PURCHASE = "purchase"


@dataclass(frozen=True, slots=True)
class Interaction:
    """What a customer once did with a product; `kind` is a `SignalKind`, `at` ISO 8601 without zone."""

    customer: str
    sku: str
    kind: str
    at: str


class DeviceType(StrEnum):
    """Kinds of devices that can be read or set."""

    LAMP = "lamp"
    PLUG = "plug"
    THERMOSTAT = "thermostat"
    AIR_CONDITIONER = "air conditioner"
    LOCK = "lock"
    SENSOR = "sensor"


@dataclass(frozen=True, slots=True)
class Device:
    """A device in a customer's home, reached over MQTT.

    Attributes:
        id: unique within its home.
        owner: id of the customer whose home it is.
        topic: the device's state is retained under `topic/state`, commands go to `topic/set`, and
            `topic/availability` says "online" or "offline".
        guests: customers who may use lights and heating in this home.
        also: other names.
        pin: what opens a lock by chat, as `hash_pin` of skills/devices.py writes it; "" keeps that switched off.
    """

    id: str
    name: str
    room: str
    type: DeviceType
    owner: str
    topic: str
    guests: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    pin: str = ""


DeviceValue = bool | int | float | str


@dataclass(frozen=True, slots=True)
class DeviceState:
    """What a device last told.

    Attributes:
        reachable: false if it is offline, has not told anything yet, or did not confirm a command.
        values: by type of device. Lamp: on, brightness (percent). Plug: on, watts. Thermostat and air conditioner:
            target, temperature (degrees Celsius), the latter also on. Lock: locked. Sensor: open. Battery (percent)
            where there is one.
    """

    reachable: bool
    values: Mapping[str, DeviceValue] = field(default_factory=dict)


class OrderChangeKind(StrEnum):
    """What a customer may have changed about an order."""

    CANCEL = "cancel"
    DELIVERY = "delivery"
    ADDRESS = "address"
    RETURN = "return"


class Refusal(StrEnum):
    """Why a back-office did not change an order."""

    CONFLICT = "conflict"  # the order is no longer as it was read
    LIMIT = "limit"  # changed too often, or too far from the first agreement
    NOT_POSSIBLE = "not_possible"  # the shop's own rules forbid it


@dataclass(frozen=True, slots=True)
class OrderChange:
    """One change of an order.

    Attributes:
        values: "slot" for DELIVERY ("2026-11-25 08:00-12:00"), "address" for ADDRESS, "items" (as in `Order`),
            "reason" and "method" ("drop-off" or "collection") for RETURN; nothing for CANCEL.
    """

    kind: OrderChangeKind
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OrderRules:
    """What the shop allows for orders: the table `[orders]` of shop.toml. Fees are in the shop's currency.

    Attributes:
        free_cancel_hours: for how long what is made to order can be cancelled free of charge.
        cancel_refund_days: working days until the money of a cancelled order is back.
        return_days: days after the delivery.
        drop_off_days: days to hand a parcel in after a return was registered.
        collection_days: working days until large goods are collected.
        collection_fee: for large goods, unless something is wrong with them.
        inspection_days: working days from the arrival of a return to the refund.
        late_move_fee: for moving a delivery after `late_move_hour` of the working day before.
        most_moves, most_days_moved: how often, and how far from the first day, a delivery may be moved.
        driver_calls_minutes: before arriving.
        windows, windows_saturday, windows_sunday: "08:00-12:00"; none on a day without deliveries.
        mattress_category: category of goods with a trial of their own, "" for none.
        mattress_nights, mattress_days: nights to try before a return, and days after which it is over.
        device_categories: goods that must be removed from an account before they come back.
        lock_category: of them, those that come back with keys and owner card.
        sources: `document#title` of the passages behind the rules, by topic: "cancel", "delivery", "return",
            "mattress", "made to order", "device".
    """

    free_cancel_hours: int
    cancel_refund_days: int
    return_days: int
    drop_off_days: int
    collection_days: int
    collection_fee: float
    inspection_days: int
    late_move_fee: float
    late_move_hour: int
    most_moves: int
    most_days_moved: int
    driver_calls_minutes: int
    windows: tuple[str, ...]
    windows_saturday: tuple[str, ...] = ()
    windows_sunday: tuple[str, ...] = ()
    mattress_category: str = ""
    mattress_nights: int = 0
    mattress_days: int = 0
    device_categories: tuple[str, ...] = ()
    lock_category: str = ""
    sources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Shop:
    """Who answers: shop.toml. `hours` maps lower-case English weekday names to "HH:MM-HH:MM" or "closed".

    Without `orders` nothing about an order can be changed by chat.
    """

    name: str = "the shop"
    language: str = "en"
    greeting: str = "Hello! How can I help you?"
    tone: str = ""
    currency: str = "EUR"
    timezone: str = "UTC"
    order_number: str = ""
    hours: Mapping[str, str] = field(default_factory=dict)
    handover_offer: str = "Shall I pass you on to a colleague who can check this?"
    handover_outside_hours: str = ""
    handover_after_misses: int = 2
    handover_after_upset: int = 2
    orders: OrderRules | None = None
    accepted_wrong_answers: float = 0.05


@dataclass(frozen=True, slots=True)
class Knowledge:
    """Everything read from a knowledge folder, validated."""

    passages: tuple[Passage, ...]
    shop: Shop = Shop()
    intents: tuple[Intent, ...] = ()
    products: tuple[Product, ...] = ()
    orders: tuple[Order, ...] = ()
    devices: tuple[Device, ...] = ()
    interactions: tuple[Interaction, ...] = ()


# --- understanding and retrieval ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the conversation so far, as shown to the customer (without citation markers)."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class IntentMatch:
    """One intent with its share of the classifier's probability (0..1, all intents sum to 1)."""

    name: str
    probability: float


@dataclass(frozen=True, slots=True)
class IntentReading:
    """What the intent classifier saw.

    Attributes:
        ranked: best first; empty when the base has no intents.
        gate: score that decides in or out of scope; higher is more in scope. See research recipe
            "(0.5 centroid + 0.5 top-3 cosine) x probability^0.2".
        threshold: gate value below which the utterance counts as out of scope for intents.
    """

    ranked: tuple[IntentMatch, ...]
    gate: float
    threshold: float

    @property
    def in_scope(self) -> bool:
        """Whether the first intent is to be taken seriously."""
        return bool(self.ranked) and self.gate >= self.threshold


@dataclass(frozen=True, slots=True)
class ScoredPassage:
    """A candidate with the scores that ranked it; all scores: higher is better.

    Attributes:
        score: the fused score.
        dense: cosine of the question to title and text together.
        sentence: cosine to the nearest sentence.
        question: cosine to the nearest sentence behind its title, or question given by the author.
        lexical: BM25 against title and text, scaled to 0..1 within the query.
        rerank: the cross-encoder's logit (0 = as likely as "no passage answers"); None if it was not asked.
        sentences: its logit of each sentence; None if it was not asked, or does not tell.
    """

    passage: Passage
    score: float
    dense: float
    sentence: float
    question: float
    lexical: float
    rerank: float | None = None
    sentences: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Retrieval:
    """Ranked passages for one query, and the calibrated probability that the first one answers it."""

    query: str
    ranked: tuple[ScoredPassage, ...]
    probability: float
    threshold: float


# --- decision ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Option:
    """One choice of an ask-back: what the customer sees, and what is meant: a passage, an intent, or an utterance."""

    label: str
    passage: PassageId | None = None
    intent: str | None = None
    utterance: str = ""


@dataclass(frozen=True, slots=True)
class DialogueState:
    """What must be remembered between turns besides the messages. JSON-serialisable via `dataclasses.asdict`.

    Attributes:
        intent: intent whose slots are being filled, or "".
        slots: values so far.
        awaiting: slot that the last reply asked for, or "confirm", or "".
        options: choices offered by the last reply.
        question: the customer's question that the options belong to.
        misses: consecutive turns that were declined.
        upset: how upset the customer has been lately: one more for each upset utterance, one less for each calm one.
        tries: how often the awaited slot was asked for again.
    """

    intent: str = ""
    slots: Mapping[str, str] = field(default_factory=dict)
    awaiting: str = ""
    options: tuple[Option, ...] = ()
    question: str = ""
    misses: int = 0
    tries: int = 0
    upset: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, and why in one line for the operator.

    Attributes:
        passages: what the reply is made from.
        options: choices offered to the customer.
        action: name of the skill to run; with an empty name `reply` is sent as it stands.
        confirmed: the customer has said an explicit yes to what the skill asked.
        closing: fixed words that follow the reply, such as the offer of a person.
    """

    kind: DecisionKind
    reason: str
    passages: tuple[ScoredPassage, ...] = ()
    options: tuple[Option, ...] = ()
    intent: str = ""
    slots: Mapping[str, str] = field(default_factory=dict)
    action: str = ""
    confirmed: bool = False
    reply: str = ""
    closing: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """A passage that a reply rests on, as shown to the customer."""

    id: str
    title: str
    text: str
    document: str


@dataclass(frozen=True, slots=True)
class Card:
    """A structured thing beside the text: `kind` is "product", "order", ...; `data` is JSON-serialisable."""

    kind: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a turn: its name, wall-clock milliseconds, and what came out (JSON-serialisable)."""

    name: str
    milliseconds: float
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Signal:
    """What a customer did with a product in this session: `kind` is "view", "tap", "dismiss" or "purchase"."""

    kind: str
    sku: str


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """One utterance and all a turn may depend on.

    Attributes:
        customer: the signed-in customer's id, "" for a guest; proven by the shop's credential, never by the text.
        session: id of the conversation, for skills that remember within it.
        signals: what the customer did with products in this session, oldest first.
        scan: a code that was scanned instead of anything being said; `text` is then what the history shows.
        alternatives: what else the customer may have said; not empty if it was heard too unsurely to be answered.
    """

    text: str
    history: tuple[Message, ...] = ()
    state: DialogueState = DialogueState()
    language: str = "en"
    customer: str = ""
    session: str = ""
    signals: tuple[Signal, ...] = ()
    scan: str = ""
    alternatives: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HeardWord:
    """A word that was recognised: when, in seconds from the beginning of the audio, and how surely (0..1)."""

    text: str
    start_s: float
    end_s: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was said.

    Attributes:
        text: as it is answered, with the shop's own words put right; "" if nothing was said.
        raw: as the recogniser heard it.
        words: the words of `raw`.
        confidence: how surely it was heard, 0..1, by the length of the words.
        seconds: length of the audio.
        alternatives: what it may have been as well, likeliest first; only for an utterance heard unsurely.
    """

    text: str
    raw: str
    words: tuple[HeardWord, ...]
    confidence: float
    seconds: float
    alternatives: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of the reply, streamed; pieces joined give the whole text, unless a sentence had to be taken back."""

    text: str


@dataclass(frozen=True, slots=True)
class TurnResult:
    """The end of a turn; always the last event, exactly once.

    Attributes:
        text: the whole reply (for a cancelled turn: what had been streamed).
        state: dialogue state to hand to the next turn.
        trace: the stages in order, timings included.
        error: stable error code when status is FAILED, else "".
    """

    status: TurnStatus
    text: str
    decision: Decision
    state: DialogueState
    sources: tuple[Source, ...] = ()
    cards: tuple[Card, ...] = ()
    quick_replies: tuple[str, ...] = ()
    ai_generated: bool = False
    trace: tuple[Stage, ...] = ()
    error: str = ""


TurnEvent = Delta | TurnResult
