"""Snapshots: written whole, switched at once, checked when read."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from assistant.errors import BackendError, ConfigError
from assistant.records import (
    Intent,
    Knowledge,
    Order,
    Passage,
    PassageId,
    PassageKind,
    Product,
    Shop,
    SlotSpec,
    Unit,
    UnitKind,
)
from assistant.storage.snapshots import DraftSnapshot, SnapshotStore
from assistant.storage.vector_index import FaissIndex, IndexKind
from tests.skills.shop import RULES

KNOWLEDGE = Knowledge(
    passages=(
        Passage(
            PassageId("a"), "Größe?", "第一句。\nTwo lines.", questions=("how big?",), document="a.md", line=3
        ),
        Passage(PassageId("b"), "Lookup", "k: v; l: w; m: x", kind=PassageKind.FACTS, language="zh"),
    ),
    shop=Shop(
        name="Lumen",
        hours={"monday": "closed"},
        accepted_wrong_answers=0.01,
        orders=replace(RULES, windows_sunday=("10:00-12:00",)),
    ),
    intents=(
        Intent(
            "status",
            ("where is it",),
            "asks",
            (SlotSpec("n", "order_number", False, "Which?"),),
            action="status",
        ),
        Intent("hello", ("hi",), reply="Hello!"),
    ),
    products=(
        Product("S", "Sofa", 9.5, "EUR", "4006381333931", attributes={"colour": "red"}, related=("T",)),
    ),
    orders=(Order("LM-1", "Ada", "a@b.cd", "2026-10-15", "sent", "S x1", 9.5, "EUR"),),
)


def draft(kind: IndexKind = IndexKind.FLAT, knowledge: Knowledge = KNOWLEDGE) -> DraftSnapshot:
    """A small draft with 60 units."""
    kinds = list(UnitKind)
    units = tuple(Unit(row % len(knowledge.passages), kinds[row % 3], f"unit {row}") for row in range(60))
    vectors = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    arrays = {
        "weights": np.arange(6, dtype=np.float64).reshape(2, 3),
        "classes": np.array(["status", "hello"]),
    }
    return DraftSnapshot(
        knowledge, units, vectors, arrays, vectors[:2], FaissIndex.build(vectors, kind), "tiny"
    )


def add(store: SnapshotStore, made: DraftSnapshot | None = None, *, switch: bool = True) -> str:
    """Write a snapshot and serve it."""
    with store.lock():
        written = store.write(
            made or draft(), calibration={"t": 0.5}, fingerprint="f", sources=["knowledge"], findings={}
        )
        if switch:
            store.switch(written)
    return written


@pytest.mark.parametrize("kind", list(IndexKind))
def test_what_is_written_is_read_back(tmp_path: Path, kind: IndexKind) -> None:
    """Every record, vector and array survives, whatever the kind of index."""
    store, made = SnapshotStore(tmp_path), draft(kind)
    written = add(store, made)
    snapshot = store.load(verify=True)
    assert (snapshot.id, snapshot.folder) == (written, tmp_path / "snapshots" / written)
    assert snapshot.knowledge == KNOWLEDGE
    assert snapshot.units == made.units
    assert (snapshot.calibration, snapshot.encoder) == ({"t": 0.5}, "tiny")
    np.testing.assert_array_equal(snapshot.vectors, made.vectors)
    assert snapshot.intent_arrays.keys() == made.intent_arrays.keys()
    for name, array in made.intent_arrays.items():
        np.testing.assert_array_equal(snapshot.intent_arrays[name], array)
    assert snapshot.index.kind is kind
    np.testing.assert_array_equal(snapshot.index.search(made.vectors, 1)[1][:, 0], range(60))


def test_nothing_ingested_yet(tmp_path: Path) -> None:
    """A new data folder has no current snapshot, and loading says what to do."""
    store = SnapshotStore(tmp_path / "data")
    assert store.current_id() is None
    assert store.list() == ()
    with pytest.raises(ConfigError, match="run `assistant ingest PATH`"):
        store.load()


def test_base_without_intents_and_units_is_kept(tmp_path: Path) -> None:
    """Zero of everything is a base too."""
    empty = DraftSnapshot(
        Knowledge(()),
        (),
        np.zeros((0, 8), np.float32),
        {},
        np.zeros((0, 8), np.float32),
        FaissIndex.build(np.zeros((0, 8), np.float32)),
        "tiny",
    )
    store = SnapshotStore(tmp_path)
    add(store, empty)
    assert store.load().knowledge == Knowledge(())


def test_python_objects_are_refused(tmp_path: Path) -> None:
    """An array that would need pickle is not written, and leaves nothing behind."""
    made = draft()
    bad = DraftSnapshot(
        made.knowledge,
        made.units,
        made.vectors,
        {"x": np.array([None])},
        made.example_vectors,
        made.index,
        "tiny",
    )
    store = SnapshotStore(tmp_path)
    with pytest.raises(TypeError, match="'x'"):
        add(store, bad)
    assert list((tmp_path / "snapshots").iterdir()) == []


def test_rollback_goes_back_one_at_a_time_and_forward_by_id(tmp_path: Path) -> None:
    """Without an id the newest older snapshot is served; before the first there is none."""
    store = SnapshotStore(tmp_path)
    one, two, three = (add(store) for _ in range(3))
    assert [store.rollback(), store.rollback()] == [two, one]
    assert store.current_id() == one
    with pytest.raises(ConfigError, match="no older snapshot"):
        store.rollback()
    assert store.rollback(three) == store.current_id() == three
    assert [info.current for info in store.list()] == [False, False, True]


@pytest.mark.parametrize("snapshot_id", ["nowhere", "../..", "20260101-000000-000000-abcdef", ""])
def test_unknown_id_is_refused(tmp_path: Path, snapshot_id: str) -> None:
    """An id that is not there, or no id at all, cannot be loaded or served."""
    store = SnapshotStore(tmp_path)
    add(store)
    with pytest.raises(ConfigError, match="there is no snapshot"):
        store.rollback(snapshot_id)


FILES = [
    "manifest.json",
    "passages.jsonl",
    "units.json",
    "vectors.npy",
    "intents.npz",
    "shop.json",
    "index.faiss",
]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["missing", "cut", "changed"])
def test_damage_is_found_and_named(tmp_path: Path, name: str, damage: str) -> None:
    """A lost, shortened or altered file makes `load` say so; it never serves half a base."""
    store = SnapshotStore(tmp_path)
    file = tmp_path / "snapshots" / add(store, draft(IndexKind.HNSW)) / name
    content = file.read_bytes()
    if damage == "missing":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(content[: len(content) // 2])
    else:
        place = len(content) // 2
        file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    if (damage, name) == ("changed", "manifest.json"):
        file.write_bytes(content.replace(b'"sha256": "', b'"sha256": "0'))
    with pytest.raises(BackendError, match=r"damaged.*(ingest. again|rollback)"):
        store.load(verify=damage == "changed")


def test_rollback_to_a_damaged_snapshot_is_refused(tmp_path: Path) -> None:
    """The current one stays served."""
    store = SnapshotStore(tmp_path)
    one, two = add(store), add(store)
    (tmp_path / "snapshots" / one / "vectors.npy").unlink()
    with pytest.raises(BackendError, match="damaged"):
        store.rollback()
    assert store.current_id() == two
    assert [bool(info.damaged) for info in store.list()] == [True, False]


def test_snapshot_of_another_format_is_refused(tmp_path: Path) -> None:
    """A snapshot of a later version is not guessed at."""
    store = SnapshotStore(tmp_path)
    manifest = tmp_path / "snapshots" / add(store) / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text("utf-8")), "schema": 99}), "utf-8")
    with pytest.raises(ConfigError, match="format 99"):
        store.load()


def test_garbage_in_current_is_named_and_repaired_by_rollback(tmp_path: Path) -> None:
    """CURRENT cannot lead out of the snapshot folder; an id given by hand repairs it."""
    store = SnapshotStore(tmp_path)
    one = add(store)
    (tmp_path / "CURRENT").write_text("../../etc\n", "ascii")
    with pytest.raises(BackendError, match="does not hold snapshot ids"):
        store.current_id()
    store.rollback(one)
    assert store.current_id() == one


def test_leftovers_are_removed_by_the_next_writer(tmp_path: Path) -> None:
    """Temporary folders, and a snapshot that was never switched to, are gone after the next lock."""
    store = SnapshotStore(tmp_path)
    served = add(store)
    orphan = add(store, switch=False)
    (tmp_path / "snapshots" / ".tmp-x").mkdir()
    (tmp_path / "snapshots" / ".tmp-x" / "vectors.npy").write_bytes(b"half")
    (tmp_path / ".tmp-CURRENT").write_bytes(b"half")
    assert {info.id for info in store.list()} == {served, orphan}
    with store.lock():
        pass
    assert [item.name for item in (tmp_path / "snapshots").iterdir()] == [served]
    assert not (tmp_path / ".tmp-CURRENT").exists()


def test_ids_sort_by_age_even_if_the_clock_is_set_back(tmp_path: Path) -> None:
    """A snapshot is younger than all before it, whatever the clock says."""
    store = SnapshotStore(tmp_path)
    first = add(store)
    future = f"29991231-235959-999999-{first[-6:]}"
    (tmp_path / "snapshots" / first).rename(tmp_path / "snapshots" / future)
    (tmp_path / "CURRENT").write_text(future + "\n", "ascii")
    assert add(store) > future


def test_prune_keeps_the_newest_and_the_current(tmp_path: Path) -> None:
    """An old snapshot that is served again is not deleted."""
    store = SnapshotStore(tmp_path)
    ids = [add(store) for _ in range(4)]
    store.rollback(ids[0])
    with store.lock():
        assert store.prune(keep=2) == (ids[1],)
    assert [info.id for info in store.list()] == [ids[0], ids[2], ids[3]]


def test_second_writer_is_refused(tmp_path: Path) -> None:
    """Only one writes at a time; reading goes on."""
    store = SnapshotStore(tmp_path)
    one = add(store)
    with store.lock():
        with pytest.raises(ConfigError, match="another process is writing"):
            SnapshotStore(tmp_path).rollback(one)
        assert SnapshotStore(tmp_path).load().id == one
