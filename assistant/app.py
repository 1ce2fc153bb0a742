"""Joins the pieces: settings in, a ready engine out; and the ingest with everything it needs."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assistant.backends.choice import choose_encoder, describe_encoder, open_encoder
from assistant.composition.extractive import ExtractiveGenerator
from assistant.config import Settings
from assistant.dialogue.defaults import with_default_intents
from assistant.engine import Base, Engine
from assistant.errors import AssistantError, ConfigError
from assistant.protocols import Reranker
from assistant.records import Knowledge
from assistant.retrieval.base_calibration import calibrate_base
from assistant.retrieval.calibration import Calibration
from assistant.retrieval.rivals import intent_floor
from assistant.retrieval.search import Fusion, PassageSearch
from assistant.retrieval.selftest import titles_not_found
from assistant.retrieval.units import passage_units
from assistant.skill_set import SkillSet, vocabulary
from assistant.storage.snapshots import DraftSnapshot, Snapshot, SnapshotStore
from assistant.understanding.intents import IntentModel, fit_intents

if TYPE_CHECKING:
    from assistant.ingestion.pipeline import IngestReport, Progress

_LOG = logging.getLogger(__name__)
_POLL_S = 1.0  # how often a running server looks for a new snapshot


class LiveEngine(Engine):
    """An engine that follows the snapshot store: a new snapshot is served without dropping a conversation."""

    def __init__(
        self, settings: Settings, store: SnapshotStore, snapshot: Snapshot, *, rehearsal: bool = False
    ) -> None:
        self._settings = settings
        self._store = store
        embedder = open_encoder(settings, snapshot.manifest["encoder"])
        self._reranker = open_reranker(settings)
        settings.data.mkdir(parents=True, exist_ok=True)
        self._skill_set = SkillSet(settings, embedder.embed, rehearsal=rehearsal)
        super().__init__(
            self._base_of(snapshot),
            embedder=embedder,
            generator=ExtractiveGenerator(),
            workers=settings.model_workers,
        )
        self._warm_up()

    def describe(self) -> dict[str, Any]:
        """What is being served, for the start log, /healthz and the console."""
        base = self.base
        return {
            "snapshot": base.snapshot_id,
            "shop": base.knowledge.shop.name,
            "passages": len(base.knowledge.passages),
            "intents": len(base.knowledge.intents),
            "products": len(base.knowledge.products),
            "encoder": describe_encoder(self._settings, self.embedder),
            "reranker": self._reranker.identity if self._reranker else "none",
            "mode": self._settings.mode,
            "accepted_wrong_answers": base.accepted_wrong,
        }

    async def watch(self) -> None:
        """Follow the store until cancelled; a snapshot that cannot be served is logged and left alone."""
        refused = ""
        while True:
            await asyncio.sleep(_POLL_S)
            try:
                current = await asyncio.to_thread(self._store.current_id)
                if current in (None, self.base.snapshot_id, refused):
                    continue
                refused = current or ""
                await asyncio.to_thread(self._reload)
                refused = ""
            except AssistantError as error:
                _LOG.error("the new snapshot is not served: %s", error)
            except OSError as error:
                _LOG.warning("the snapshot folder cannot be read: %s", error)

    def close(self) -> None:
        """End the threads and close the back-office."""
        super().close()
        self._skill_set.close()

    def _reload(self) -> None:
        """Load the current snapshot and switch to it. Blocking."""
        started = time.perf_counter()
        snapshot = self._store.load()
        if snapshot.manifest["encoder"] != self.embedder.identity:
            raise ConfigError(
                f"it was made with the encoder {snapshot.manifest['encoder']}, this server runs "
                f"{self.embedder.identity}; restart the server"
            )
        self.switch(self._base_of(snapshot))
        _LOG.info("serving snapshot %s after %.2f s", snapshot.id, time.perf_counter() - started)

    def _base_of(self, snapshot: Snapshot) -> Base:
        """Everything that is served of a snapshot."""
        knowledge = snapshot.knowledge
        accepted = self._settings.accepted_wrong_answers
        return Base(
            snapshot_id=snapshot.id,
            knowledge=knowledge,
            search=_search(
                self._settings,
                knowledge,
                snapshot,
                Calibration.from_json(snapshot.calibration["passages"]),
                self._reranker,
            ),
            intents=IntentModel(knowledge.intents, snapshot.intent_arrays),
            intent_floor=float(snapshot.calibration["intent_floor"]),
            skills=self._skill_set.skills(snapshot),
            vocabulary=vocabulary(knowledge),
            accepted_wrong=knowledge.shop.accepted_wrong_answers if accepted is None else accepted,
        )

    def _warm_up(self) -> None:
        """Run each model once, so that the first customer does not wait for it."""
        self.retrieve("hello")


def build_engine(settings: Settings, *, rehearsal: bool = False) -> LiveEngine:
    """Load the current snapshot and the models. Blocking, seconds.

    Args:
        settings: what to load.
        rehearsal: leave real orders and devices alone; the skills work on made-up ones.

    Raises:
        ConfigError: nothing is ingested yet, or a model is missing.
        BackendError: the snapshot or a model is damaged.
    """
    store = SnapshotStore(settings.data)
    if store.current_id() is None:
        raise ConfigError(
            f"nothing is ingested in {settings.data} yet; run `assistant ingest {settings.knowledge}` first"
        )
    return LiveEngine(settings, store, store.load(), rehearsal=rehearsal)


def run_ingest(
    settings: Settings,
    paths: Sequence[Path],
    *,
    dry_run: bool = False,
    force: bool = False,
    progress: Progress | None = None,
) -> IngestReport:
    """Read knowledge, build a snapshot and switch to it. Blocking.

    Raises: KnowledgeError: all problems of all files; ConfigError; BackendError.
    """
    from assistant.ingestion.pipeline import ingest  # its readers are heavy; only an ingest needs them

    settings.data.mkdir(parents=True, exist_ok=True)
    embedder = choose_encoder(settings, settings.data / "encoder-choice.json")
    reranker = open_reranker(settings)
    general = general_calibration(settings)

    def calibrate(draft: DraftSnapshot) -> Mapping[str, Any]:
        search = _search(settings, draft.knowledge, draft, general, reranker)
        intents = IntentModel(draft.knowledge.intents, draft.intent_arrays)
        return {
            "passages": calibrate_base(search, draft.knowledge.passages, embedder, general).to_json(),
            "intent_floor": intent_floor(draft.units, draft.vectors, intents.read),
        }

    def self_test(draft: DraftSnapshot) -> Sequence[str]:
        search = _search(settings, draft.knowledge, draft, general, None)
        return titles_not_found(search, draft.knowledge.passages, draft.units, draft.vectors)

    return ingest(
        paths,
        store=SnapshotStore(settings.data),
        embedder=embedder,
        complete=with_default_intents,
        build_units=passage_units,
        fit_intents=fit_intents,
        calibrate=calibrate,
        self_test=self_test,
        dry_run=dry_run,
        force=force,
        progress=progress,
        build_identity=f"{reranker.identity if reranker else 'none'} {json.dumps(general.to_json())}",
    )


def open_reranker(settings: Settings) -> Reranker | None:
    """The cross-encoder of the settings, or None.

    Raises: ConfigError: it is not where the settings say.
    """
    if settings.reranker == "none":
        return None
    if settings.reranker == "builtin":
        from assistant.backends.onnx_reranker import OnnxReranker

        return OnnxReranker(
            settings.models / "retrieval", settings.model_threads, at_once=settings.model_workers
        )
    from assistant.backends.cross_encoder import CrossEncoderReranker

    return CrossEncoderReranker(settings.reranker)


def general_calibration(settings: Settings) -> Calibration:
    """The calibration fitted on the corpus, for serving with or without the cross-encoder.

    Raises: ConfigError: the file is missing or of another version.
    """
    return Calibration.from_json(_constants(settings)["calibration"])


def _constants(settings: Settings) -> Mapping[str, Any]:
    """Fusion weights and calibration that belong to the reranker in use."""
    file = settings.models / "retrieval" / "ranking.json"
    try:
        constants: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return constants["without_reranker" if settings.reranker == "none" else "with_reranker"]  # type: ignore[no-any-return]
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"{file} is missing or damaged ({error}); restore it from the project") from error


def _search(
    settings: Settings,
    knowledge: Knowledge,
    indexed: Snapshot | DraftSnapshot,
    calibration: Calibration,
    reranker: Reranker | None,
) -> PassageSearch:
    """Search over a snapshot, or over one in the making."""
    return PassageSearch(
        knowledge.passages,
        indexed.units,
        np.asarray(indexed.vectors),
        indexed.index,
        calibration=calibration,
        fusion=Fusion.from_json(_constants(settings)["fusion"]),
        reranker=reranker,
        language=knowledge.shop.language,
    )
