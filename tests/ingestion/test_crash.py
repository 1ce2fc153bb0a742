"""Whatever stops an ingest, the old base stays served and the next run succeeds."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from assistant.ingestion.pipeline import IngestReport
from assistant.storage.snapshots import SnapshotStore

Run = Callable[..., IngestReport]
Order = Callable[[str, int, Path], int]


@pytest.fixture
def order(shop: Path) -> Iterator[Order]:
    """Runs an ingest of the shop in another process, to be killed or limited; returns its exit status."""
    child = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("crash_child.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdin
    assert child.stdout

    def call(order: str, amount: int, data: Path) -> int:
        child.stdin.write(f"{order}\t{amount}\t{data}\t{shop}\n")
        child.stdin.flush()
        return int(child.stdout.readline())

    yield call
    child.communicate()
    assert child.returncode == 0


@pytest.fixture
def before(shop: Path, data: Path, run: Run) -> str:
    """An ingested base, after which the sources changed; gives the id of the snapshot served."""
    run(shop)
    served = run(shop, force=True).snapshot  # the second, so that there is one to prune and to roll back to
    faq = shop / "faq" / "delivery.md"
    faq.write_text(faq.read_text(encoding="utf-8").replace("€4.50", "€5.50"), encoding="utf-8")
    return served


def serves_a_whole_base(data: Path, before: str) -> str:
    """The price that the served base states; the base is complete and undamaged."""
    snapshot = SnapshotStore(data).load(verify=True)
    (text,) = (p.text for p in snapshot.knowledge.passages if p.title == "What does delivery cost?")
    price = "€5.50" if "€5.50" in text else "€4.50"
    assert (price == "€4.50") == (snapshot.id == before)
    return price


def test_ingest_killed_at_any_point_leaves_a_whole_base(
    tmp_path: Path, data: Path, shop: Path, run: Run, before: str, order: Order
) -> None:
    """SIGKILL before each change of the data folder: old base (or, after the switch, the new), never a mixture."""
    pristine = tmp_path / "pristine"
    shutil.copytree(data, pristine)
    points = order("kill", 0, data) - 100
    assert points >= 15
    served = []
    for point in range(1, points + 1):
        shutil.rmtree(data)
        shutil.copytree(pristine, data)
        assert order("kill", point, data) == -signal.SIGKILL
        served.append(serves_a_whole_base(data, before))
        assert run(shop, force=True).switched
        assert serves_a_whole_base(data, before) == "€5.50"
        assert not [item for item in data.rglob("*") if item.name.startswith(".tmp-")]
        assert len(SnapshotStore(data).list()) <= 4
    assert served == sorted(served)  # old, old, ..., new: the switch happens once
    assert served[0] == "€4.50"


def test_full_disk_at_any_size_leaves_the_old_base(
    tmp_path: Path, data: Path, shop: Path, run: Run, before: str, order: Order
) -> None:
    """A write that fails half-way is reported as such; the old base is served, and the next run succeeds."""
    new = run(shop).snapshot
    written = (item.stat().st_size for item in (data / "snapshots" / new).iterdir())
    sizes = sorted({size for size in written if size})
    SnapshotStore(data).rollback(before)
    for size in sizes:
        shutil.rmtree(data / "snapshots" / new, ignore_errors=True)
        assert order("limit", size - 1, data) == 1
        assert serves_a_whole_base(data, before) == "€4.50"
        assert [info.damaged for info in SnapshotStore(data).list()] == ["", ""]
    assert run(shop).switched
    assert serves_a_whole_base(data, before) == "€5.50"


def test_first_ingest_killed_leaves_nothing_served(data: Path, shop: Path, run: Run, order: Order) -> None:
    """Without an old base there is none after the crash either; the next run starts cleanly."""
    assert order("kill", 12, data) == -signal.SIGKILL
    assert SnapshotStore(data).current_id() is None
    assert run(shop).switched
