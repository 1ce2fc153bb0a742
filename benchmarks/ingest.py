"""Ingest of a large base with the real encoder: cold, unchanged, after a change of one file. One JSON line each.

python -m benchmarks.ingest [--passages 10000] [--files 100]
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import tempfile
import time
from pathlib import Path

from assistant.app import run_ingest
from assistant.config import load_settings
from assistant.storage.snapshots import SnapshotStore
from benchmarks.signature import signature

SEED = 11
THINGS = (
    "sofa bed table chair lamp shelf desk mattress rug mirror wardrobe stool bench cushion curtain".split()
)
SERVICES = (
    "delivery assembly repair return refund exchange cleaning storage warranty collection insurance".split()
)
PLACES = "Bremen Graz Utrecht Ghent Linz Kassel Breda Namur Halle Trier Aachen Zwolle Leuven Villach".split()
MEMBERS = "guests members students companies schools hotels teachers nurses architects landlords".split()


def passage(chance: random.Random, number: int) -> tuple[str, str]:
    """A question and its answer of five sentences, different from all others."""
    thing, service, place, member = (chance.choice(words) for words in (THINGS, SERVICES, PLACES, MEMBERS))
    days, price, floor, hour = (
        chance.randint(1, 60),
        chance.randint(1, 900),
        chance.randint(1, 9),
        chance.randint(7, 20),
    )
    title = f"How does the {service} of a {thing} work for {member} in {place}, case {number}?"
    text = (
        f"For {member} in {place} the {service} of a {thing} takes {days} working days under rule {number}. "
        f"It costs €{price} per {thing}, or nothing above order {number * 7}. "
        f"Our crew comes to floor {floor} by the stairs and leaves the {thing} where you like it. "
        f"Call the desk in {place} before {hour}:00 to change case {number}. "
        f"The {service} can be cancelled until {chance.randint(1, 14)} days before, without giving a reason."
    )
    return title, text


def write_base(folder: Path, passages: int, files: int) -> None:
    """A knowledge folder with that many questions in that many Markdown files."""
    chance = random.Random(SEED)
    (folder / "faq").mkdir(parents=True)
    for file in range(files):
        entries = (passage(chance, number) for number in range(file, passages, files))
        text = "\n\n".join(f"## {title}\n{answer}" for title, answer in entries)
        (folder / "faq" / f"part-{file:04}.md").write_text(f"# Part {file}\n\n{text}\n", encoding="utf-8")


def main() -> None:
    """Ingest three times, then load."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, default=10_000)
    parser.add_argument("--files", type=int, default=100)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        knowledge, data = Path(temporary, "knowledge"), Path(temporary, "data")
        write_base(knowledge, wanted.passages, wanted.files)
        settings = load_settings(data=data)
        for run in ("cold", "unchanged", "one file changed"):
            if run == "one file changed":
                file = knowledge / "faq" / "part-0000.md"
                file.write_text(
                    file.read_text(encoding="utf-8").replace("working days", "weekdays"), encoding="utf-8"
                )
            begun, begun_cpu = time.perf_counter(), time.process_time()
            report = run_ingest(settings, [knowledge])
            seconds = time.perf_counter() - begun
            figures = {
                "benchmark": "ingest",
                "run": run,
                "passages": report.counts["passages"],
                "units": report.counts["units"],
                "embedded": report.embedded,
                "changed": len(report.changed),
                "seconds": round(seconds, 2),
                "cpu_s": round(time.process_time() - begun_cpu, 2),
                "passages_per_s": round(report.counts["passages"] / seconds, 1),
                "steps_s": dict(report.seconds),
                "warnings": len(report.near_duplicates) + len(report.contradictions),
            }
            print(json.dumps({**figures, "signature": signature()}), flush=True)
        begun = time.perf_counter()
        snapshot = SnapshotStore(data).load()
        figures = {
            "benchmark": "load snapshot",
            "units": len(snapshot.units),
            "seconds": round(time.perf_counter() - begun, 2),
            "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        }
        print(json.dumps({**figures, "signature": signature()}), flush=True)


if __name__ == "__main__":
    main()
