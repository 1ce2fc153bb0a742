"""One ingest from files to a served snapshot: what is new, what is kept, what is refused."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from assistant.errors import ConfigError, KnowledgeError
from assistant.ingestion.pipeline import CACHE_FILE, IngestReport
from assistant.records import UnitKind
from assistant.storage.snapshots import SnapshotStore

Run = Callable[..., IngestReport]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file under a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rewrite(shop: Path, old: str, new: str) -> None:
    """Change the FAQ file of the shop."""
    file = shop / "faq" / "delivery.md"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def test_first_ingest_serves_what_was_read(shop: Path, data: Path, run: Run) -> None:
    """The snapshot holds the knowledge, a vector for each unit, the fitted intents and the calibration."""
    report = run(shop)
    snapshot = SnapshotStore(data).load(verify=True)
    assert report.switched
    assert report.snapshot == snapshot.id
    assert report.counts == {
        "passages": 4,
        "units": len(snapshot.units),
        "intents": 2,
        "products": 2,
        "orders": 1,
    }
    assert report.added == tuple(p.id for p in snapshot.knowledge.passages)
    assert snapshot.vectors.shape == (len(snapshot.units), 32)
    assert snapshot.intent_arrays["means"].shape == (2, 32)
    assert snapshot.calibration["units"] == len(snapshot.units)
    assert snapshot.knowledge.shop.name == "Lumen & Moor"
    _, rows = snapshot.index.search(snapshot.vectors, 1)
    texts = [unit.text for unit in snapshot.units]
    assert [texts[row] for row in rows[:, 0]] == texts
    assert snapshot.units[0].kind is UnitKind.BODY


def test_unchanged_sources_are_not_built_again(shop: Path, data: Path, run: Run, embedder: object) -> None:
    """A second run serves the same snapshot and embeds nothing; `force` builds again from the cache."""
    first = run(shop)
    embedder.texts.clear()  # type: ignore[attr-defined]
    second = run(shop)
    assert (second.up_to_date, second.switched, second.snapshot) == (True, False, first.snapshot)
    assert second.counts == first.counts
    assert set(second.unchanged) == set(first.added)
    third = run(shop, force=True)
    assert third.switched
    assert third.snapshot != first.snapshot
    assert (third.embedded, embedder.texts) == (0, [])  # type: ignore[attr-defined]


def test_only_new_texts_are_embedded(shop: Path, run: Run, embedder: object) -> None:
    """After a change of one answer, only its body and its new sentence go to the encoder."""
    run(shop)
    embedder.texts.clear()  # type: ignore[attr-defined]
    rewrite(shop, "Parcels take 2 to 3 working days.", "Parcels take 4 working days.")
    report = run(shop)
    assert report.changed == ("faq/delivery.md#how-long-does-delivery-take",)
    assert (len(report.unchanged), report.added, report.removed) == (3, (), ())
    assert sorted(embedder.texts) == [  # type: ignore[attr-defined]
        "How long does delivery take?. Parcels take 4 working days. Large furniture takes 6 to 9 working days.",
        "Parcels take 4 working days.",
    ]


def test_vectors_of_another_encoder_are_not_used(shop: Path, run: Run, embedder: object) -> None:
    """Another encoder builds again and embeds everything itself."""
    first = run(shop)
    other = type(embedder)("hashing-2")
    report = run(shop, embedder=other)
    assert report.switched
    assert report.embedded == first.embedded == len(other.texts)


def test_added_and_removed_passages_are_named(shop: Path, run: Run) -> None:
    """The base is exactly what the paths contain."""
    run(shop)
    rewrite(shop, "## What does delivery cost?", "## How much is shipping?")
    report = run(shop)
    assert report.added == ("faq/delivery.md#how-much-is-shipping",)
    assert report.removed == ("faq/delivery.md#what-does-delivery-cost",)


def test_dry_run_reports_and_changes_nothing(shop: Path, data: Path, run: Run) -> None:
    """A dry run names what would change; no byte of the data folder differs."""
    run(shop)
    before = contents(data)
    rewrite(shop, "€4.50", "€5.50")
    report = run(shop, dry_run=True)
    assert report.changed == ("faq/delivery.md#what-does-delivery-cost",)
    assert (report.switched, report.dry_run) == (False, True)
    assert contents(data) == before


def test_dry_run_before_the_first_ingest_makes_no_folder(shop: Path, data: Path, run: Run) -> None:
    """A dry run on a new data folder does not even create it."""
    assert len(run(shop, dry_run=True).added) == 4
    assert not data.exists()


def test_problems_leave_the_old_base_served(shop: Path, data: Path, run: Run) -> None:
    """A run that is refused switches nothing and writes no snapshot."""
    first = run(shop)
    rewrite(shop, "Parcels cost €4.50 per order.\nLarge furniture costs a flat €49 per order.\n", "")
    with pytest.raises(KnowledgeError, match="answer is empty"):
        run(shop)
    assert [info.id for info in SnapshotStore(data).list()] == [first.snapshot]
    assert SnapshotStore(data).current_id() == first.snapshot


def test_failed_self_test_refuses_unless_forced(shop: Path, data: Path, run: Run) -> None:
    """What the self-test says is the reason; `force` serves the base all the same and keeps the remark."""
    with pytest.raises(KnowledgeError, match="self-test: 3 of 4 titles are not found"):
        run(shop, self_test=lambda draft: ["3 of 4 titles are not found"])
    assert SnapshotStore(data).current_id() is None
    report = run(shop, self_test=lambda draft: ["3 of 4 titles are not found"], force=True)
    assert report.switched
    assert report.self_test == ("3 of 4 titles are not found",)


def test_damaged_current_snapshot_is_built_again(shop: Path, data: Path, run: Run) -> None:
    """Unchanged sources do not keep a snapshot that lost a file."""
    first = run(shop)
    (data / "snapshots" / first.snapshot / "vectors.npy").unlink()
    second = run(shop)
    assert second.switched
    assert SnapshotStore(data).load(verify=True).id == second.snapshot


def test_broken_cache_costs_time_only(shop: Path, data: Path, run: Run, embedder: object) -> None:
    """A cache file of garbage is replaced."""
    run(shop)
    (data / CACHE_FILE).write_bytes(b"garbage" * 1000)
    embedder.texts.clear()  # type: ignore[attr-defined]
    assert run(shop, force=True).embedded == len(embedder.texts) > 0  # type: ignore[attr-defined]
    assert run(shop, force=True).embedded == 0


def test_cached_vectors_equal_fresh_ones(shop: Path, tmp_path: Path, data: Path, run: Run) -> None:
    """A snapshot made from the cache is the one a fresh data folder would get."""
    run(shop)
    rewrite(shop, "€4.50", "€5.50")
    run(shop)
    from_cache = SnapshotStore(data).load()
    shutil.rmtree(data)
    run(shop)
    fresh = SnapshotStore(data).load()
    assert fresh.units == from_cache.units
    assert np.array_equal(fresh.vectors, from_cache.vectors)


def test_near_duplicates_and_contradictions_are_warnings(tmp_path: Path, run: Run) -> None:
    """Nearly the same text, a differing price and a negation are named; different facts are not."""
    (tmp_path / "faq").mkdir()
    (tmp_path / "faq" / "a.md").write_text(
        "## Delivery to the kerb\nKerb delivery of large furniture costs €49 per order.\n\n"
        "## Can I wash the covers?\nAll sofa covers can be washed in the machine.\n\n"
        "## Gift cards\nGift cards are valid for three years and can be used in parts.\n\n"
        "## Opening hours\nThe showroom opens at nine on every working day of the week.\n",
        encoding="utf-8",
    )
    (tmp_path / "faq" / "b.md").write_text(
        "## Kerb delivery\nKerb delivery of large furniture costs €59 per order.\n\n"
        "## Washing sofa covers\nAll sofa covers cannot be washed in the machine.\n\n"
        "## Gift card\nGift cards are valid for three years, and can be used in parts!\n",
        encoding="utf-8",
    )
    report = run(tmp_path / "faq")
    assert report.switched
    assert {(item.first, item.second) for item in report.contradictions} == {
        ("a.md#delivery-to-the-kerb", "b.md#kerb-delivery"),
        ("a.md#can-i-wash-the-covers", "b.md#washing-sofa-covers"),
    }
    assert [(item.first, item.second) for item in report.near_duplicates] == [
        ("a.md#gift-cards", "b.md#gift-card")
    ]
    again = run(tmp_path / "faq")
    assert (again.near_duplicates, again.contradictions) == (report.near_duplicates, report.contradictions)


def test_progress_adds_up(shop: Path, run: Run) -> None:
    """Every step is announced; the embedding step advances to its total."""
    heard: list[tuple[str, int | None]] = []
    advanced = 0

    class Listener:
        def step(self, name: str, total: int | None) -> None:
            heard.append((name, total))

        def advance(self, amount: int) -> None:
            nonlocal advanced
            advanced += amount

    report = run(shop, progress=Listener())
    assert [name for name, _ in heard] == list(report.seconds)
    assert advanced == dict(heard)["embed"] == report.counts["units"] + 6  # four examples, two intents


def test_second_ingest_at_the_same_time_is_refused(shop: Path, data: Path, run: Run) -> None:
    """Two runs on one data folder do not mix: the second says so and ends."""
    store = SnapshotStore(data)
    with store.lock(), pytest.raises(ConfigError, match="another process is writing"):
        run(shop)
    assert run(shop).switched


def test_old_snapshots_are_pruned(shop: Path, data: Path, run: Run) -> None:
    """Five snapshots are kept, the newest ones."""
    ids = [run(shop, force=True).snapshot for _ in range(7)]
    assert [info.id for info in SnapshotStore(data).list()] == ids[-5:]


def test_report_is_json_able(shop: Path, run: Run) -> None:
    """`to_json` gives plain values with the names documented."""
    import json

    report = json.loads(json.dumps(run(shop).to_json()))
    assert {
        "snapshot",
        "counts",
        "added",
        "changed",
        "removed",
        "unchanged",
        "rejected",
        "switched",
    } <= report.keys()
    assert report["switched"] is True
