"""Which skills are joined to which data, and that the page about them is complete."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml

from assistant.config import Settings, load_settings
from assistant.protocols import SkillCall
from assistant.records import Device, DeviceType, Knowledge, Passage, PassageId, Shop, Unit, UnitKind
from assistant.skill_set import SkillSet, product_vectors, vocabulary
from assistant.storage.snapshots import Snapshot
from assistant.storage.vector_index import FaissIndex
from tests.skills.goods import GOODS, history
from tests.skills.shop import ORDERS, PLACED, RULES

ROOT = Path(__file__).parent.parent
LAMP = Device("l", "floor lamp", "hall", DeviceType.LAMP, "C-1", "t/l")


def embed(texts: Sequence[str]) -> np.ndarray:
    return np.ones((len(texts), 4), np.float32)


def snapshot(knowledge: Knowledge) -> Snapshot:
    units = tuple(
        Unit(number, UnitKind.BODY, passage.title) for number, passage in enumerate(knowledge.passages)
    )
    vectors = np.eye(4, dtype=np.float32)[: len(units)]
    return Snapshot("s", Path(), {}, knowledge, units, vectors, {}, {}, FaissIndex.build(vectors))


def settings(tmp_path: Path, **more: object) -> Settings:
    return load_settings(data=tmp_path, **more)


def full() -> Knowledge:
    passages = (
        Passage(PassageId("f#1"), "Returns", "Within 50 days."),
        Passage(PassageId("catalog.csv#SF-1"), "Sedge sofa", "Costs €1,290."),
    )
    return Knowledge(
        passages,
        Shop(orders=RULES),
        products=GOODS,
        orders=ORDERS,
        devices=(LAMP,),
        interactions=tuple(history()),
    )


def test_every_action_of_the_shop_has_a_skill_and_a_place_in_the_page(tmp_path: Path) -> None:
    """knowledge/intents.yaml, the skills and docs/skills.md name the same actions."""
    skills = SkillSet(settings(tmp_path), embed)
    joined = set(skills.skills(snapshot(full())))
    skills.close()
    skills.close()
    intents = yaml.safe_load((ROOT / "knowledge" / "intents.yaml").read_text(encoding="utf-8"))
    assert {intent["action"] for intent in intents if "action" in intent} == joined
    page = (ROOT / "docs" / "skills.md").read_text(encoding="utf-8")
    assert [name for name in sorted(joined) if f"| `{name}` |" not in page] == []
    named = {name for name in Settings.model_fields if f"`{name}`" in page or f"\n{name} = " in page}
    assert {
        "orders_url",
        "orders_credential",
        "orders_timeout_s",
        "shop_hosts",
        "mqtt_url",
        "mqtt_credential",
    } <= named


def test_skills_without_data_are_left_out(tmp_path: Path) -> None:
    """A base without orders, products and devices has no skills at all."""
    skills = SkillSet(settings(tmp_path), embed)
    assert skills.skills(snapshot(Knowledge(full().passages[:1]))) == {}
    skills.close()


def test_rehearsal_leaves_the_real_back_office_alone(tmp_path: Path) -> None:
    """What a rehearsal cancels is still there afterwards, and addresses of the settings are not used."""
    real = SkillSet(settings(tmp_path), embed)
    real.skills(snapshot(full()))
    rehearsal = SkillSet(
        settings(tmp_path, orders_url="http://127.0.0.1:9", mqtt_url="mqtt://127.0.0.1:9"),
        embed,
        rehearsal=True,
    )
    call = SkillCall("yes", {"order_number": PLACED.order_number}, True, "C-1", "s")
    assert rehearsal.skills(snapshot(full()))["cancel_order"].run(call).reply.startswith("Done")
    switched = rehearsal.skills(snapshot(full()))["device_control"].run(
        SkillCall("floor lamp on", {}, customer="C-1")
    )
    assert switched.reply.startswith("The floor lamp in the hall is on")
    rehearsal.close()
    status = real.skills(snapshot(full()))["order_status"].run(call)
    assert "cancelled" not in status.reply
    real.close()


def test_wrong_proofs_count_over_a_restart(tmp_path: Path) -> None:
    """Five guesses are five, however often the server is started again; the owner is not affected."""
    replies = []
    for number in range(7):
        skills = SkillSet(settings(tmp_path), embed)
        guess = {"order_number": PLACED.order_number, "proof": f"guess{number}@example.com"}
        cancel = skills.skills(snapshot(full()))["cancel_order"]
        replies.append(cancel.run(SkillCall("", guess, session="s")).reply)
        skills.close()
    assert ["again in an hour" in reply for reply in replies] == [False] * 4 + [True] * 3
    skills = SkillSet(settings(tmp_path), embed)
    right = {"order_number": PLACED.order_number, "proof": PLACED.email}
    cancel = skills.skills(snapshot(full()))["cancel_order"]
    assert "in an hour" in cancel.run(SkillCall("", right, session="s")).reply
    assert cancel.run(SkillCall("", right, customer="C-1", session="s")).confirm
    skills.close()


def test_product_vectors_are_those_of_the_catalogue_passages() -> None:
    """By title; a product without a passage has none."""
    vectors = product_vectors(snapshot(full()))
    assert vectors.shape == (len(GOODS), 4)
    assert np.array_equal(vectors[3], np.eye(4, dtype=np.float32)[1])
    assert not np.delete(vectors, 3, axis=0).any()


def test_products_are_known_to_the_slots() -> None:
    """Their names can be said and misspelt."""
    assert "sedge sofa" in vocabulary(full())["product"]
