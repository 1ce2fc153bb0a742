"""Joins the pieces: settings in, a ready engine out; and the ingest with everything it needs."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from assistant.backends.choice import choose_encoder, describe_encoder, open_encoder
from assistant.backends.vosk_recognizer import VoskRecognizer
from assistant.backends.word_list import common_words
from assistant.composer import Composer
from assistant.config import Settings
from assistant.dialogue.defaults import with_default_intents
from assistant.engine import Base, Engine
from assistant.errors import AssistantError, BackendError, ConfigError
from assistant.protocols import Reranker
from assistant.records import Device, DeviceState, Knowledge
from assistant.retrieval.base_calibration import calibrate_base
from assistant.retrieval.calibration import Calibration
from assistant.retrieval.rivals import intent_floor
from assistant.retrieval.search import Fusion, PassageSearch
from assistant.retrieval.selftest import titles_not_found
from assistant.retrieval.units import passage_units
from assistant.skill_set import SkillSet, vocabulary
from assistant.skills.scan import best_code
from assistant.storage.snapshots import DraftSnapshot, Snapshot, SnapshotStore
from assistant.understanding.intents import IntentModel, fit_intents, name_texts
from assistant.understanding.upset import CALM, UpsetReader
from assistant.voice.endpointing import TurnDetection
from assistant.voice.service import Voice, VoiceRules

if TYPE_CHECKING:
    from assistant.ingestion.pipeline import IngestReport, Progress

_LOG = logging.getLogger(__name__)
_PHOTOS_WAITING = 16  # photos that one thread reads one after the other, tens of milliseconds each
_POLL_S = 1.0  # how often a running server looks for a new snapshot


class LiveEngine(Engine):
    """An engine that follows the snapshot store: a new snapshot is served without dropping a conversation."""

    def __init__(
        self, settings: Settings, store: SnapshotStore, snapshot: Snapshot, *, rehearsal: bool = False
    ) -> None:
        # A turn's products are small: more threads would only wait for each other.
        threadpool_limits(1, user_api="blas")
        self._settings = settings
        self._store = store
        embedder = open_encoder(settings, snapshot.manifest["encoder"])
        self._reranker = open_reranker(settings)
        settings.data.mkdir(parents=True, exist_ok=True)
        self._skill_set = SkillSet(settings, embedder.embed, rehearsal=rehearsal)
        self._photos = ThreadPoolExecutor(1, thread_name_prefix="photo")
        self._photos_waiting = 0
        self._composer = Composer(settings)
        super().__init__(
            self._base_of(snapshot),
            embedder=embedder,
            generator=self._composer.generator,
            workers=settings.model_workers,
            passages_read=settings.composer_passages,
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
            "composer": self._composer.identity,
            "accepted_wrong_answers": base.accepted_wrong,
        }

    @property
    def features(self) -> frozenset[str]:
        """What is on besides text: "scan" where there are products to scan."""
        return frozenset({"scan"} & set(self.base.skills))

    async def read_photo(self, photo: bytes) -> str:
        """The code in a photo, "" if there is none; of several that of a product, or the one nearest the middle.

        Raises: ProtocolError: it is no photo that can be read. BackendError: too many photos wait.
        """
        if self._photos_waiting >= _PHOTOS_WAITING:
            raise BackendError("too many photos wait to be read; send this one again", retryable=True)
        self._photos_waiting += 1
        try:
            codes = await asyncio.get_running_loop().run_in_executor(self._photos, self._read_codes, photo)
        finally:
            self._photos_waiting -= 1
        return best_code(codes, self.knowledge.products, self._settings.shop_hosts)

    def follow_devices(self, told: Callable[[Device, DeviceState], None]) -> None:
        """Call `told`, on any thread, whenever a device tells its state; it must be quick and must not raise."""
        self._skill_set.follow_devices(told)

    def device_states(self, customer: str) -> Sequence[tuple[Device, DeviceState]]:
        """What the devices that a customer may use have told last."""
        return self._skill_set.device_states(customer)

    def _read_codes(self, photo: bytes) -> tuple[str, ...]:
        """Blocking."""
        from assistant.backends.barcodes import BarcodeReader  # its libraries load with the first photo

        return BarcodeReader().read(photo)

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
        self._composer.close()
        self._photos.shutdown(wait=True, cancel_futures=True)
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
        try:
            calibration = Calibration.from_json(snapshot.calibration["passages"])
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"snapshot {snapshot.id} was made by another version of the assistant ({error}); run `assistant ingest "
                f"{self._settings.knowledge}` again"
            ) from error
        return Base(
            snapshot_id=snapshot.id,
            knowledge=knowledge,
            search=_search(self._settings, knowledge, snapshot, calibration, self._reranker),
            intents=IntentModel(knowledge.intents, snapshot.intent_arrays),
            intent_floor=float(snapshot.calibration["intent_floor"]),
            skills=self._skill_set.skills(snapshot),
            vocabulary=vocabulary(knowledge),
            upset=upset_reader(self._settings, knowledge.shop.language),
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


def build_voice(settings: Settings) -> Voice | None:
    """Load the speech models; None if there are none. Blocking, a second for each.

    Raises: ConfigError: a folder in the settings holds no model. BackendError: a model is damaged.
    """
    folders = speech_models(settings)
    if not folders:
        return None
    wanted = settings.voice
    rules = VoiceRules(
        threads=wanted.threads,
        speakers=wanted.speakers,
        detection=turn_detection(settings),
        sure=wanted.sure,
    )
    return Voice({language: VoskRecognizer(folder) for language, folder in folders.items()}, rules)


def speech_models(settings: Settings) -> Mapping[str, Path]:
    """Folders of the speech models, by language; the project's own unless the settings name others."""
    if settings.voice.models is not None:
        return settings.voice.models
    own = settings.models / "vosk-en"
    return {"en": own} if own.is_dir() else {}


def turn_detection(settings: Settings) -> TurnDetection | None:
    """When an utterance ends by itself; None: not by itself."""
    given = settings.voice.turn_detection
    if given.type == "none":
        return None
    return TurnDetection(given.threshold, given.prefix_padding_ms, given.silence_duration_ms)


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
        name_intents=name_texts,
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


def upset_reader(settings: Settings, language: str) -> UpsetReader:
    """Who is upset in a language; nobody where the project has no model for it.

    Raises: ConfigError: the file is damaged.
    """
    file = settings.models / "upset" / f"{language.partition('-')[0]}.json"
    if not file.is_file():
        return CALM
    try:
        return UpsetReader.from_json(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{file} is damaged ({error}); restore it from the project") from error


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
        common_words=common_words(knowledge.shop.language),
    )
