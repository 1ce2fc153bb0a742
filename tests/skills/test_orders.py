"""Order skills against both places where orders are kept: SQLite, and an order system over real HTTP."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from assistant.errors import BackendError
from assistant.protocols import Skill, SkillCall, SkillOutcome
from assistant.records import Order, OrderChange, OrderChangeKind, Passage, PassageId, Refusal
from assistant.skills.desk import Orders
from assistant.skills.order_delivery import parse_address, window_of
from assistant.skills.order_returns import parse_reason
from assistant.skills.orders import OrderSkills
from assistant.storage.backoffice import BackOffice
from tests.skills.shop import DELIVERED, LARGE_PLACED, LOCK, NOW, PLACED, PRODUCTS, RULES, SENT, clock

SECRETS = ("Ada", "ada@", "Elm Road", "28205")


@pytest.fixture
def skills(orders: Orders) -> Mapping[str, Skill]:
    return OrderSkills(orders, PRODUCTS, rules=RULES, now=clock).by_action


def ask(skill: Skill, number: str = "", *, text: str = "", customer: str = "", **slots: str) -> SkillOutcome:
    values = {"order_number": number, **slots} if number else dict(slots)
    return skill.run(SkillCall(text, values, customer=customer, session="s-1"))


def confirm(
    skill: Skill, number: str, *, customer: str = "C-1", session: str = "s-1", **slots: str
) -> SkillOutcome:
    call = SkillCall("yes", {"order_number": number, **slots}, True, customer, session)
    return skill.run(call)


# --- status ------------------------------------------------------------------------------------------------


def test_number_alone_tells_status_and_day_and_nothing_personal(skills: Mapping[str, Skill]) -> None:
    """A guest with a number learns where the order is; items, money, notes and names stay out of everything."""
    outcome = ask(skills["order_status"], "AB-00002")
    assert "has been shipped. It comes on Wednesday 25 November between 08:00 and 12:00." in outcome.reply
    shown = repr(outcome)
    assert not any(secret in shown for secret in (*SECRETS, "Lumo", "99.5", "wallet"))


@pytest.mark.parametrize("proof", ["ADA@example.com", "28205"])
def test_proof_opens_the_whole_order(skills: Mapping[str, Skill], proof: str) -> None:
    """With the e-mail address or the postcode items and notes are told, addresses never."""
    outcome = ask(skills["order_status"], "AB-00002", proof=proof)
    assert "2 x Lumo floor lamp and Skerry side table" in outcome.reply
    assert "Paid by wallet." in outcome.reply
    assert not any(secret in repr(outcome) for secret in SECRETS)


def test_signed_in_customer_needs_neither_number_nor_proof(skills: Mapping[str, Skill]) -> None:
    """With one open order it is that one."""
    outcome = ask(skills["order_status"], customer="C-2")
    assert "AB-00007" in outcome.reply
    assert outcome.filled == {"order_number": "AB-00007"}


def test_customer_with_several_orders_chooses(skills: Mapping[str, Skill]) -> None:
    """The open orders are offered; naming what is in one picks it."""
    outcome = ask(skills["order_status"], customer="C-1", text="where is my order")
    assert outcome.missing == "order_number"
    assert outcome.choices == ("AB-00002", "AB-00001", "AB-00005")
    assert "AB-00005" in ask(skills["order_status"], customer="C-1", text="where is the sofa").reply


def test_other_customers_order_is_closed_to_the_signed_in(skills: Mapping[str, Skill]) -> None:
    """Somebody else's number opens nothing, not even the status, without proof."""
    outcome = ask(skills["order_status"], "AB-00002", customer="C-2")
    assert outcome.missing == "proof"
    assert "shipped" not in repr(outcome)
    assert not outcome.sources
    assert not outcome.cards


def test_unknown_number_is_asked_for_again(skills: Mapping[str, Skill]) -> None:
    """The wrong number is forgotten and the slot stays open."""
    outcome = ask(skills["order_status"], "AB-99999")
    assert (outcome.missing, outcome.invalid) == ("order_number", ("order_number",))
    assert "AB-99999" in outcome.reply


def test_guest_without_number_is_asked_for_it(skills: Mapping[str, Skill]) -> None:
    """Nothing is guessed for somebody who is not signed in."""
    assert ask(skills["order_status"]).missing == "order_number"


# --- proof -------------------------------------------------------------------------------------------------

CHANGING = ("cancel_order", "change_delivery", "change_address", "return_request")


@pytest.mark.parametrize("action", CHANGING)
@pytest.mark.parametrize("number", ["AB-00001", "AB-00002", "AB-00003"])
def test_nobody_changes_or_sees_anothers_order(skills: Mapping[str, Skill], action: str, number: str) -> None:
    """A guest and another customer are asked for proof by every skill that changes something, also after a yes."""
    slots = {"date": "2026-11-26", "window": "morning", "address": "Hill 3, 28203 Bremen", "item": "L-1 x2"}
    for customer in ("", "C-2"):
        outcome = confirm(skills[action], number, customer=customer, **slots)
        assert outcome.missing == "proof"
        assert not any(secret in repr(outcome) for secret in (*SECRETS, "Lumo"))


def test_nothing_changes_without_proof(office: BackOffice, skills: Mapping[str, Skill]) -> None:
    """All those refused attempts left the orders as they were."""
    for action in CHANGING:
        confirm(skills[action], "AB-00001", customer="C-9", proof="wrong@example.com")
    assert office.order("AB-00001") == PLACED


@pytest.mark.parametrize(
    "wrong", ["2820", "28", "Bremen", "282055", "10115", "ada@example.org", "1071AA", "."]
)
def test_wrong_proof_is_refused_and_forgotten(skills: Mapping[str, Skill], wrong: str) -> None:
    """Parts of a postcode and other addresses prove nothing."""
    outcome = ask(skills["cancel_order"], "AB-00001", proof=wrong)
    assert (outcome.missing, outcome.invalid) == ("proof", ("proof",))


def test_postcode_of_two_words_proves(skills: Mapping[str, Skill]) -> None:
    """ "1071 AB", in the form that the slot parser gives it."""
    assert ask(skills["cancel_order"], "AB-00006", proof="1071AB").confirm


def test_guessing_is_stopped_for_an_hour(office: BackOffice) -> None:
    """After five wrong proofs not even the right one counts, until an hour has passed; the owner is not locked out."""
    now = [NOW]
    skill = OrderSkills(office, PRODUCTS, rules=RULES, now=lambda: now[0]).by_action["cancel_order"]
    for code in range(5):
        ask(skill, "AB-00001", proof=f"1000{code}")
    blocked = ask(skill, "AB-00001", proof="28205")
    assert not blocked.confirm
    assert blocked.missing == ""
    assert ask(skill, "AB-00001", customer="C-1").confirm
    now[0] += timedelta(hours=1)
    assert ask(skill, "AB-00001", proof="28205").confirm


def test_proof_holds_in_its_conversation_only(skills: Mapping[str, Skill]) -> None:
    """Given once, it need not be given again here; another conversation is asked."""
    assert ask(skills["cancel_order"], "AB-00001", proof="28205").confirm
    assert ask(skills["cancel_order"], "AB-00001").confirm
    other = skills["cancel_order"].run(SkillCall("", {"order_number": "AB-00001"}, session="s-2"))
    assert other.missing == "proof"


# --- cancelling --------------------------------------------------------------------------------------------


def test_cancelling_waits_for_a_yes_and_happens_once(office: BackOffice, skills: Mapping[str, Skill]) -> None:
    """Nothing changes before the confirmation, and the second confirmation changes nothing more."""
    asked = ask(skills["cancel_order"], "AB-00001", customer="C-1")
    assert asked.confirm
    assert "€99.50" in asked.reply
    assert office.order("AB-00001") == PLACED
    assert confirm(skills["cancel_order"], "AB-00001").reply.startswith("Done")
    cancelled = office.order("AB-00001")
    assert cancelled is not None
    assert cancelled.status == "cancelled"
    assert "already cancelled" in confirm(skills["cancel_order"], "AB-00001").reply
    assert office.order("AB-00001") == cancelled


@pytest.mark.parametrize(
    ("number", "because"),
    [("AB-00002", "has been shipped"), ("AB-00005", "72 hours"), ("AB-00003", "delivered")],
)
def test_too_late_to_cancel(
    office: BackOffice, skills: Mapping[str, Skill], number: str, because: str
) -> None:
    """Sent goods and made-to-order furniture past its hours are refused, also when confirmed."""
    before = office.order(number)
    outcome = confirm(skills["cancel_order"], number)
    assert because in outcome.reply
    assert office.order(number) == before


def test_rules_are_cited(office: BackOffice) -> None:
    """The passage behind a rule is among the sources."""
    title = "Until when can I cancel?"
    passage = Passage(PassageId("p"), title, "Until Packed.", document="faq/orders-and-payment.md")
    skill = OrderSkills(office, PRODUCTS, [passage], rules=RULES, now=clock).by_action["cancel_order"]
    assert [source.title for source in ask(skill, "AB-00001", customer="C-1").sources] == [
        "Order AB-00001",
        title,
    ]


# --- moving a delivery -------------------------------------------------------------------------------------


def test_delivery_is_asked_for_piece_by_piece(office: BackOffice, skills: Mapping[str, Skill]) -> None:
    """Day, window, then the yes."""
    skill = skills["change_delivery"]
    assert ask(skill, "AB-00002", customer="C-1").missing == "date"
    assert ask(skill, "AB-00002", customer="C-1", date="2026-11-27").missing == "window"
    asked = ask(skill, "AB-00002", customer="C-1", date="2026-11-27", window="afternoon")
    assert asked.confirm
    assert "Friday 27 November between 12:00 and 16:00? It's free of charge." in asked.reply
    assert office.order("AB-00002") == SENT
    confirm(skill, "AB-00002", date="2026-11-27", window="afternoon")
    assert office.order("AB-00002") == replace(
        SENT, slot="2026-11-27 12:00-16:00", expected="2026-11-27", version=1
    )


@pytest.mark.parametrize(
    ("day", "because"),
    [
        ("2026-11-21", "too soon"),
        ("2026-11-01", "too soon"),
        ("2026-11-29", "Sunday"),
        ("2026-12-17", "no later than Wednesday 16 December"),
    ],
)
def test_impossible_day_is_asked_for_again(skills: Mapping[str, Skill], day: str, because: str) -> None:
    """Past days, Sundays and days too far off are refused with the reason."""
    outcome = ask(skills["change_delivery"], "AB-00002", customer="C-1", date=day)
    assert because in outcome.reply
    assert (outcome.missing, outcome.invalid) == ("date", ("date",))


def test_no_evening_on_saturday(skills: Mapping[str, Skill]) -> None:
    """The evening window is refused, the others are offered."""
    outcome = ask(skills["change_delivery"], "AB-00002", customer="C-1", date="2026-11-28", window="evening")
    assert outcome.missing == "window"
    assert outcome.choices == RULES.windows_saturday


@pytest.mark.parametrize(
    ("now", "fee"),
    [
        (datetime(2026, 11, 24, 11, 59), "free of charge"),
        (datetime(2026, 11, 24, 12, 0), "€29"),
    ],
)
def test_late_move_costs(office: BackOffice, now: datetime, fee: str) -> None:
    """Free until noon of the working day before, told before the yes."""
    skill = OrderSkills(office, PRODUCTS, rules=RULES, now=lambda: now).by_action["change_delivery"]
    outcome = ask(skill, "AB-00002", customer="C-1", date="2026-11-27", window="morning")
    assert fee in outcome.reply


def test_fourth_move_is_refused(office: BackOffice, skills: Mapping[str, Skill]) -> None:
    """The back-office counts; moving there and back counts too, and the refused move changes nothing."""
    skill = skills["change_delivery"]
    days = ("2026-11-26", "2026-11-27", "2026-11-26", "2026-11-27")
    replies = [confirm(skill, "AB-00002", date=day, window="morning").reply for day in days]
    assert [reply[:4] for reply in replies] == ["Done", "Done", "Done", "I ca"]
    order = office.order("AB-00002")
    assert order is not None
    assert order.slot == "2026-11-26 08:00-12:00"


@pytest.mark.parametrize(
    ("number", "because"),
    [
        ("AB-00001", "parcels have no slot"),
        ("AB-00003", "delivered"),
        ("AB-00005", "hasn't reached our depot"),
    ],
)
def test_delivery_that_cannot_be_moved(skills: Mapping[str, Skill], number: str, because: str) -> None:
    """Parcels, delivered goods and orders without a slot are explained, not asked about."""
    outcome = ask(skills["change_delivery"], number, customer="C-1")
    assert because in outcome.reply
    assert outcome.missing == ""


# --- address -----------------------------------------------------------------------------------------------


def test_address_changes_after_a_yes(office: BackOffice, skills: Mapping[str, Skill]) -> None:
    """The new address is repeated whole before it is taken, with the country filled in."""
    skill = skills["change_address"]
    given = "please send it to Hafenweg 12, 28203 Bremen"
    asked = ask(skill, "AB-00001", customer="C-1", address=given)
    assert asked.confirm
    assert "Hafenweg 12, 28203 Bremen, Germany" in asked.reply
    assert confirm(skill, "AB-00001", address=asked.filled["address"]).reply.startswith("Done")
    assert office.order("AB-00001") == replace(
        PLACED, address="Hafenweg 12, 28203 Bremen, Germany", version=1
    )


@pytest.mark.parametrize(
    "given", ["to my office", "Hafenweg 12", "28203 Bremen", "<b>Weg 1</b>, 28203 Bremen", ""]
)
def test_incomplete_address_is_asked_for_again(skills: Mapping[str, Skill], given: str) -> None:
    """Street, number, postcode and town are needed."""
    outcome = ask(skills["change_address"], "AB-00001", customer="C-1", address=given)
    assert outcome.missing == "address"
    assert not outcome.confirm


def test_furniture_stays_in_its_country(skills: Mapping[str, Skill]) -> None:
    """A parcel may go abroad, a wardrobe may not."""
    abroad = "Ringstrasse 1, 1010 Vienna, Austria"
    assert ask(skills["change_address"], "AB-00001", customer="C-1", address=abroad).confirm
    assert (
        ask(skills["change_address"], LARGE_PLACED.order_number, customer="C-2", address=abroad).missing
        == "address"
    )


def test_address_of_a_sent_order_stays(office: BackOffice, skills: Mapping[str, Skill]) -> None:
    """Too late is said, with the way to a person."""
    outcome = confirm(skills["change_address"], "AB-00002", address="Hafenweg 12, 28203 Bremen")
    assert "colleague" in outcome.reply
    assert office.order("AB-00002") == SENT


# --- returns -----------------------------------------------------------------------------------------------


def test_return_is_asked_for_piece_by_piece(office: BackOffice, skills: Mapping[str, Skill]) -> None:
    """Item, reason, then the yes; a second return of the same item is not registered again."""
    skill = skills["return_request"]
    asked = ask(skill, "AB-00003", customer="C-1", text="I want to return something")
    assert asked.missing == "item"
    assert asked.choices == ("2 x Lumo floor lamp", "Skerry side table", "Everything")
    asked = ask(skill, "AB-00003", customer="C-1", item="the lamps")
    assert (asked.missing, asked.filled["item"]) == ("reason", "L-1 x2")
    asked = ask(skill, "AB-00003", customer="C-1", item="L-1 x2", reason="I changed my mind")
    assert asked.confirm
    assert office.order("AB-00003") == DELIVERED
    slots = {name: asked.filled[name] for name in ("item", "reason")}
    assert confirm(skill, "AB-00003", **slots).reply.startswith("Done")
    assert office.order("AB-00003") == replace(DELIVERED, return_items="L-1 x2", version=1)
    again = ask(skill, "AB-00003", customer="C-1", text="and the table, it is too big")
    assert again.filled["item"] == "T-1 x1"
    assert again.confirm


def test_item_and_reason_said_at_once(skills: Mapping[str, Skill]) -> None:
    """ "The lamp is broken" answers both questions."""
    outcome = ask(skills["return_request"], "AB-00003", customer="C-1", text="return the lamp, it's broken")
    assert outcome.confirm
    assert outcome.filled["reason"] == "faulty"


@pytest.mark.parametrize(
    ("number", "customer", "because"),
    [
        ("AB-00001", "C-1", "isn't with you yet"),
        ("AB-00004", "C-1", "30 nights"),
        ("AB-00008", "C-3", "50 days"),
        ("AB-00005", "C-1", "in production"),
    ],
)
def test_return_that_is_not_possible(
    skills: Mapping[str, Skill], number: str, customer: str, because: str
) -> None:
    """The shop's own rules are told as the reason."""
    outcome = ask(skills["return_request"], number, customer=customer, item="all", reason="too big")
    assert because in outcome.reply
    assert not outcome.confirm


def test_lock_comes_back_with_keys(skills: Mapping[str, Skill]) -> None:
    """Devices are to be removed from the home, and locks need keys and owner card."""
    outcome = ask(skills["return_request"], LOCK.order_number, customer="C-4", reason="too big")
    assert "keys and the owner card" in outcome.reply
    assert "remove the device" in outcome.reply


# --- once, and honestly ------------------------------------------------------------------------------------


def test_same_yes_from_many_threads_changes_once(office: BackOffice, skills: Mapping[str, Skill]) -> None:
    """A replayed message races with the first: one change is written, and nobody is told of an error."""
    slots = {"date": "2026-11-27", "window": "morning"}
    with ThreadPoolExecutor(8) as pool:
        replies = list(
            pool.map(lambda _: confirm(skills["change_delivery"], "AB-00002", **slots).reply, range(8))
        )
    assert all(reply.startswith("Done") or "already" in reply for reply in replies)
    confirm(skills["change_delivery"], "AB-00002", date="2026-11-28", window="morning")
    confirm(skills["change_delivery"], "AB-00002", date="2026-11-27", window="morning")
    order = office.order("AB-00002")
    assert order is not None
    assert order.slot == "2026-11-27 08:00-12:00"  # two more moves were left, so the eight counted as one


class Failing:
    """An order system that can be read, and fails when something is to be changed."""

    def __init__(self, orders: Orders, failure: Callable[[], Refusal | None]) -> None:
        self.order, self.orders_of = orders.order, orders.orders_of
        self._failure = failure

    def change(self, order: Order, change: OrderChange, key: str) -> Refusal | None:
        return self._failure()


def lost() -> Refusal | None:
    raise BackendError("the line went dead", retryable=True)


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (lost, "can't promise it went through"),
        (lambda: Refusal.CONFLICT, "changed in the meantime"),
        (lambda: Refusal.NOT_POSSIBLE, "nothing has been changed"),
    ],
)
def test_change_that_fails_is_not_called_done(
    office: BackOffice, failure: Callable[[], Refusal | None], said: str
) -> None:
    """Neither a dead line nor a refusal ends in "Done"."""
    skill = OrderSkills(Failing(office, failure), PRODUCTS, rules=RULES, now=clock).by_action["cancel_order"]
    outcome = confirm(skill, "AB-00001")
    assert said in outcome.reply
    assert "Done" not in outcome.reply


# --- parsing and rules -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "parsed"),
    [
        ("Elm Road 5, 28205 Bremen", "Elm Road 5, 28205 Bremen, Germany"),
        ("the new address is elm road 5a 28205 Bremen.", "Elm road 5a, 28205 Bremen, Germany"),
        ("Gracht 7, 1071 AB Amsterdam, Netherlands", "Gracht 7, 1071 AB Amsterdam, Netherlands"),
        ("Elm Road, 28205 Bremen", ""),
        ("x" * 300 + " 5, 28205 Bremen", ""),
    ],
)
def test_address_is_read(given: str, parsed: str) -> None:
    """Leading words are dropped, the country is filled in, and half an address is none."""
    assert parse_address(given, PLACED.address) == parsed


def test_windows_are_named_in_several_ways() -> None:
    """The parts of the day stand for the shop's windows in their order; other spans for none."""
    windows = RULES.windows
    assert [window_of(part, windows) for part in ("morning", "16:00-20:00", "09:00-11:00", "")] == [
        windows[0], windows[2], "", "",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("it's scratched", "damaged"),
        ("does not work any more", "faulty"),
        ("too wide for our hall", "does not fit"),
        ("you sent the wrong colour", "wrong item"),
        ("we don't need it", "changed my mind"),
        ("it smells of fish", "it smells of fish"),
    ],
)
def test_reason_is_sorted_or_kept(said: str, reason: str) -> None:
    """Known reasons get their name, others stay in the customer's words."""
    assert parse_reason(said) == reason


def test_rules_agree_with_the_shops_passages() -> None:
    """Every figure of the rules stands in the passages that are cited for it."""
    folder = Path(__file__).parents[2] / "knowledge"
    rules = RULES
    texts = {}
    for topic, names in rules.sources.items():
        found = []
        for name in names:
            document, _, title = name.partition("#")
            found.append(
                (folder / document).read_text(encoding="utf-8").split(f"## {title}\n")[1].split("\n## ")[0]
            )
        texts[topic] = " ".join(found)
    for topic, figure in (
        ("cancel", f"{rules.free_cancel_hours} hours"),
        ("cancel", f"{rules.cancel_refund_days} working days"),
        ("delivery", f"€{rules.late_move_fee:.0f}"),
        ("delivery", f"{rules.late_move_hour}:00 on the working day before"),
        ("delivery", f"{rules.most_days_moved} days after the first"),
        ("delivery", "three times"),
        *(("delivery", window) for window in rules.windows),
        ("return", f"{rules.return_days} days"),
        ("return", f"€{rules.collection_fee:.0f}"),
        ("return", f"{rules.drop_off_days} days"),
        ("mattress", f"{rules.mattress_days} nights"),
        ("mattress", f"{rules.mattress_nights} nights"),
    ):
        assert figure in texts[topic]


def test_without_rules_orders_are_only_looked_up(orders: Orders) -> None:
    """A shop that has not said what it allows promises nothing."""
    assert set(OrderSkills(orders, PRODUCTS, now=clock).by_action) == {"order_status"}


def test_figures_of_another_shop_are_used(office: BackOffice) -> None:
    """Days, fees, windows and limits are the shop's, in words and in what is done."""
    rules = replace(
        RULES,
        return_days=14,
        drop_off_days=5,
        inspection_days=1,
        windows=("09:00-18:00",),
        windows_saturday=(),
        driver_calls_minutes=60,
        sources={},
    )
    skills = OrderSkills(office, PRODUCTS, rules=rules, now=clock).by_action
    refused = ask(skills["change_delivery"], "AB-00002", customer="C-1", date="2026-11-28")
    assert "is a Saturday, and we deliver from Monday to Friday" in refused.reply
    asked = ask(skills["change_delivery"], "AB-00002", customer="C-1", date="2026-11-27")
    assert asked.choices == ("09:00-18:00",)
    assert len(asked.sources) == 1, "no passage is cited that the shop has not named"
    told = ask(skills["return_request"], "AB-00003", customer="C-1", item="all", reason="too big")
    assert "within 5 days" in told.reply


def test_limits_on_moving_a_delivery_hold_in_the_back_office(office: BackOffice) -> None:
    """However the skills are asked, the order system itself refuses one move too many."""
    office.limit_moves(0, 21)
    change = OrderChange(OrderChangeKind.DELIVERY, {"slot": "2026-11-26 08:00-12:00"})
    order = office.order("AB-00002")
    assert order is not None
    assert office.change(order, change, "k") is Refusal.LIMIT
    office.limit_moves(1, 21)
    assert office.change(order, change, "k") is None
