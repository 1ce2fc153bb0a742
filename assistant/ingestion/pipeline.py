"""One ingest: read, validate, compare, embed what is new, fit, calibrate, test, write, switch."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from assistant import __version__
from assistant.errors import AssistantError, BackendError, KnowledgeError, KnowledgeProblem
from assistant.ingestion.comparing import Contradiction, NearDuplicate, compare_passages, compare_with
from assistant.ingestion.reading import read_knowledge
from assistant.ingestion.sources import Findings, collect_sources, fingerprint
from assistant.ingestion.vector_cache import VectorCache
from assistant.protocols import Embedder, Vectors
from assistant.records import Intent, Knowledge, Passage, Unit
from assistant.storage.snapshots import SCHEMA, DraftSnapshot, SnapshotStore, count
from assistant.storage.vector_index import FaissIndex

CACHE_FILE = "vectors.sqlite"
KEPT_SNAPSHOTS = 5
_EMBED_BATCH = 512

BuildUnits = Callable[[Sequence[Passage]], list[Unit]]
NameIntents = Callable[[Sequence[Intent]], Sequence[str]]
FitIntents = Callable[[Sequence[Intent], Vectors, Vectors], Mapping[str, NDArray[Any]]]
Calibrate = Callable[[DraftSnapshot], Mapping[str, Any]]
SelfTest = Callable[[DraftSnapshot], Sequence[str]]


class Progress(Protocol):
    """Hears how far a run is; called from the thread that runs it."""

    def step(self, name: str, total: int | None) -> None:
        """A step begins; `total` is what `advance` will sum up to, None if that is not known."""

    def advance(self, amount: int) -> None:
        """Part of the step is done."""


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What a run did, or would do.

    Attributes:
        snapshot: id served after the run ("" if there is none).
        counts: passages, units, intents, products and orders of the new base.
        added, changed, removed, unchanged: ids of passages against the snapshot served before.
        rejected: ids of passages left out because they repeat another word for word.
        duplicates: (id left out, id kept).
        skipped: files that were not read, with the reason.
        embedded: texts that the encoder had to embed; the others came from the cache.
        self_test: problems of the self-test that `force` overruled.
        seconds: per step, in order.
        switched: whether another snapshot is served now.
        up_to_date: whether the sources are those of the snapshot served already.
    """

    snapshot: str
    counts: Mapping[str, int]
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()
    duplicates: tuple[tuple[str, str], ...] = ()
    near_duplicates: tuple[NearDuplicate, ...] = ()
    contradictions: tuple[Contradiction, ...] = ()
    skipped: tuple[str, ...] = ()
    embedded: int = 0
    self_test: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    switched: bool = False
    up_to_date: bool = False
    dry_run: bool = False

    def to_json(self) -> dict[str, Any]:
        """The report as one JSON-able object."""
        return asdict(self)


class _Run:
    """Progress and seconds of the steps of one run."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str, total: int | None = None) -> Iterator[None]:
        if self._progress:
            self._progress.step(name, total)
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = round(time.perf_counter() - begun, 3)

    def advance(self, amount: int) -> None:
        if self._progress:
            self._progress.advance(amount)


def ingest(
    paths: Sequence[Path],
    *,
    store: SnapshotStore,
    embedder: Embedder,
    build_units: BuildUnits,
    name_intents: NameIntents,
    fit_intents: FitIntents,
    calibrate: Calibrate,
    self_test: SelfTest,
    dry_run: bool = False,
    force: bool = False,
    progress: Progress | None = None,
    complete: Callable[[Knowledge], Knowledge] | None = None,
    build_identity: str = "",
) -> IngestReport:
    """Make the given folders and files the base that is served.

    Args:
        paths: the new base is exactly what they contain.
        store: where snapshots are kept.
        embedder: makes the vectors.
        build_units: which texts of the passages are embedded.
        name_intents: what is embedded as the name of each intent.
        fit_intents: gets all intents, the vectors of all their examples in order, and those of their names.
        calibrate: what the policy needs to know about the finished draft; JSON-able.
        self_test: problems of the finished draft; with any the run is refused, unless `force` is set.
        dry_run: do everything but write; nothing in the data folder changes.
        force: build again even if nothing changed, and overrule the self-test.
        progress: hears about the steps.
        complete: adds to the knowledge what every base has, such as intents of small talk.
        build_identity: whatever else the result depends on (reranker, versions); a change builds again.

    Raises: KnowledgeError: every problem in the files, or of the self-test. ConfigError: another run is busy,
        or the disk is full. BackendError: the encoder failed. In all cases the snapshot served before stays.
    Blocking, for as long as it takes to embed what is new.
    """
    run = _Run(progress)
    with ExitStack() as stack:
        if not dry_run:
            stack.enter_context(store.lock())
        findings = Findings()
        with run.step("read"):
            files = collect_sources(paths, findings)
            mark = fingerprint(
                files, str(SCHEMA), __version__, _code_version(), embedder.identity, build_identity
            )
        before_id, before = _served(store)
        if before_id and before and not force and not findings.problems and before["fingerprint"] == mark:
            return _up_to_date(store, before_id, before, run, dry_run=dry_run)
        with run.step("validate"):
            reading = read_knowledge(files, findings)
        knowledge = complete(reading.knowledge) if complete else reading.knowledge
        with run.step("compare"):
            old = store.passages(before_id) if before_id and before else ()
            changes = compare_with(old, knowledge.passages)
        units = tuple(build_units(knowledge.passages))
        examples = [example for intent in knowledge.intents for example in intent.examples]
        names = name_intents(knowledge.intents)
        texts = [*(unit.text for unit in units), *examples, *names]
        cache_path = store.data_dir / CACHE_FILE
        cache = stack.enter_context(
            VectorCache(cache_path, embedder.identity, embedder.dimension, read_only=dry_run)
        )
        with run.step("embed", len(texts)):
            everything, embedded = _embed(texts, embedder, cache, run)
        vectors, example_vectors, name_vectors = np.split(
            everything, [len(units), len(units) + len(examples)]
        )
        with run.step("index"):
            index = FaissIndex.build(vectors)
        with run.step("look for contradictions"):
            near, contradictions = compare_passages(knowledge.passages, units, vectors)
        with run.step("fit intents"):
            intent_arrays = fit_intents(knowledge.intents, example_vectors, name_vectors)
        draft = DraftSnapshot(
            knowledge, units, vectors, intent_arrays, example_vectors, index, embedder.identity
        )
        with run.step("calibrate"):
            calibration = calibrate(draft)
        with run.step("self-test"):
            failures = tuple(self_test(draft))
        if failures and not force:
            raise KnowledgeError([KnowledgeProblem("self-test", 0, failure) for failure in failures])
        remarks = {
            "duplicates": reading.duplicates,
            "near_duplicates": [asdict(item) for item in near],
            "contradictions": [asdict(item) for item in contradictions],
            "skipped": reading.skipped,
        }
        snapshot = before_id or ""
        if not dry_run:
            with run.step("write"):
                snapshot = store.write(
                    draft,
                    calibration=calibration,
                    fingerprint=mark,
                    sources=[str(path) for path in paths],
                    findings=remarks,
                )
                store.switch(snapshot)
                store.prune(KEPT_SNAPSHOTS)
                cache.trim(texts)
        return IngestReport(
            snapshot=snapshot,
            counts=count(draft),
            added=changes.added,
            changed=changes.changed,
            removed=changes.removed,
            unchanged=changes.unchanged,
            rejected=tuple(left_out for left_out, _ in reading.duplicates),
            duplicates=reading.duplicates,
            near_duplicates=tuple(near),
            contradictions=tuple(contradictions),
            skipped=reading.skipped,
            embedded=embedded,
            self_test=failures,
            seconds=run.seconds,
            switched=not dry_run,
            dry_run=dry_run,
        )


def _served(store: SnapshotStore) -> tuple[str | None, dict[str, Any] | None]:
    """Id and manifest of the current snapshot; a damaged one counts as not there, and is built again."""
    try:
        current = store.current_id()
        return current, store.manifest(current) if current else None
    except AssistantError:
        return None, None


def _up_to_date(
    store: SnapshotStore, snapshot: str, manifest: Mapping[str, Any], run: _Run, *, dry_run: bool
) -> IngestReport:
    remarks = manifest["findings"]
    with run.step("compare"):
        passages = store.passages(snapshot)
    return IngestReport(
        snapshot=snapshot,
        counts=manifest["counts"],
        unchanged=tuple(passage.id for passage in passages),
        rejected=tuple(left_out for left_out, _ in remarks["duplicates"]),
        duplicates=tuple((left_out, kept) for left_out, kept in remarks["duplicates"]),
        near_duplicates=tuple(NearDuplicate(**item) for item in remarks["near_duplicates"]),
        contradictions=tuple(Contradiction(**item) for item in remarks["contradictions"]),
        skipped=tuple(remarks["skipped"]),
        seconds=run.seconds,
        up_to_date=True,
        dry_run=dry_run,
    )


def _embed(texts: Sequence[str], embedder: Embedder, cache: VectorCache, run: _Run) -> tuple[Vectors, int]:
    """Vectors of all texts, row for row, and how many texts the encoder had to embed."""
    vectors, missing = cache.fetch(texts)
    run.advance(len(texts) - len(missing))
    places: dict[str, list[int]] = {}
    for place in missing:
        places.setdefault(texts[place], []).append(place)
    # similar lengths in a batch: less padding
    fresh = sorted(places, key=len)
    for start in range(0, len(fresh), _EMBED_BATCH):
        batch = fresh[start : start + _EMBED_BATCH]
        made = embedder.embed(batch)
        if made.shape != (len(batch), embedder.dimension) or not np.isfinite(made).all():
            raise BackendError(
                f"the encoder {embedder.identity} returned the shape {made.shape}, or infinite numbers"
            )
        cache.store(batch, made)
        for text, vector in zip(batch, made, strict=True):
            vectors[places[text]] = vector
        run.advance(sum(len(places[text]) for text in batch))
    return vectors, len(fresh)


def _code_version() -> str:
    """Hash of the modules that decide what a snapshot holds; a change in them builds again."""
    package = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for folder in ("ingestion", "retrieval", "understanding", "dialogue", "storage"):
        for path in sorted((package / folder).glob("*.py")):
            digest.update(path.read_bytes())
    for name in ("text.py", "records.py"):
        digest.update((package / name).read_bytes())
    return digest.hexdigest()
