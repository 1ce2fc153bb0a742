"""Snapshots: one immutable folder per ingest, and one small file that says which of them is served.

A snapshot is written to a temporary folder, flushed to the disk and renamed; then `CURRENT` is replaced by a
rename. Whatever stops the process in between, `CURRENT` names a complete snapshot, and the next run under the
lock removes what was left over.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray

from assistant import __version__
from assistant.errors import BackendError, ConfigError
from assistant.protocols import Vectors
from assistant.records import (
    Device,
    DeviceType,
    Intent,
    Interaction,
    Knowledge,
    Order,
    OrderRules,
    Passage,
    PassageKind,
    Product,
    Shop,
    SlotSpec,
    Unit,
    UnitKind,
)
from assistant.storage.vector_index import FaissIndex, IndexKind

SCHEMA = 1
_ID = re.compile(r"\d{8}-\d{6}-\d{6}-[0-9a-f]{6}")
_TEMPORARY = ".tmp-"
_HISTORY_LENGTH = 100
_MANIFEST = "manifest.json"
_KINDS = tuple(UnitKind)
Record = TypeVar("Record")


@dataclass(frozen=True, slots=True)
class DraftSnapshot:
    """Everything that will be served, before it is calibrated, tested and written.

    Attributes:
        units: what was embedded; `unit.passage` is a row of `knowledge.passages`.
        vectors: shape (len(units), dimension), row for row the vectors of `units`.
        intent_arrays: the fitted intent classifier.
        example_vectors: vectors of all examples of all intents, in the order of the intents.
        index: search over `vectors`.
        encoder: identity of the encoder that made the vectors.
    """

    knowledge: Knowledge
    units: tuple[Unit, ...]
    vectors: Vectors
    intent_arrays: Mapping[str, NDArray[Any]]
    example_vectors: Vectors
    index: FaissIndex
    encoder: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A loaded snapshot; `vectors` is a read-only map of the file."""

    id: str
    folder: Path
    manifest: Mapping[str, Any]
    knowledge: Knowledge
    units: tuple[Unit, ...]
    vectors: Vectors
    intent_arrays: Mapping[str, NDArray[Any]]
    calibration: Mapping[str, Any]
    index: FaissIndex

    @property
    def encoder(self) -> str:
        """Identity of the encoder whose vectors these are."""
        return str(self.manifest["encoder"])


@dataclass(frozen=True, slots=True)
class SnapshotInfo:
    """What `assistant knowledge list` shows; `damaged` is "" or says what is wrong."""

    id: str
    created: str
    current: bool
    counts: Mapping[str, int]
    encoder: str
    sources: tuple[str, ...]
    size_bytes: int
    damaged: str = ""


class SnapshotStore:
    """The snapshots of one data folder.

    Reading is safe from several threads and processes; whoever writes, switches or deletes holds `lock()`.
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.folder = data_dir / "snapshots"
        self._current = data_dir / "CURRENT"

    # --- which one is served -------------------------------------------------------------------------------

    def current_id(self) -> str | None:
        """The snapshot being served, None if nothing is ingested. Reads one small file."""
        history = self._served()
        return history[0] if history else None

    def _served(self) -> tuple[str, ...]:
        """Ids that were ever switched to, latest first; the first is current."""
        try:
            lines = tuple(self._current.read_text("ascii").split())
        except FileNotFoundError:
            return ()
        except (OSError, ValueError) as error:
            raise BackendError(
                f"{self._current} cannot be read: {error}; run `assistant ingest` again"
            ) from error
        if not all(_ID.fullmatch(line) for line in lines):
            raise BackendError(
                f"{self._current} does not hold snapshot ids; run `assistant ingest` again, "
                "or choose one with `assistant knowledge rollback ID`"
            )
        return lines

    def switch(self, snapshot_id: str) -> None:
        """Serve another snapshot, atomically. Hold `lock()`.

        Raises: ConfigError: there is no such snapshot, or the disk is full.
        """
        self._folder_of(snapshot_id)
        try:
            served = self._served()
        except BackendError:
            served = ()  # an unreadable CURRENT is being replaced
        lines = [snapshot_id, *(line for line in served if line != snapshot_id)][:_HISTORY_LENGTH]
        temporary = self.data_dir / f"{_TEMPORARY}CURRENT"
        with _readable_errors(self.data_dir):
            _write(temporary, "".join(f"{line}\n" for line in lines).encode())
            os.replace(temporary, self._current)
            _sync_folder(self.data_dir)

    def rollback(self, to: str | None = None) -> str:
        """Serve an earlier snapshot: `to`, by default the newest one older than the current.

        Returns: the id now served.
        Raises: ConfigError: there is none to go back to, or another process is writing.
                BackendError: the snapshot is damaged.
        """
        with self.lock():
            if to is None:
                current = self.current_id()
                older = [snapshot_id for snapshot_id in self._ids() if current and snapshot_id < current]
                if not older:
                    raise ConfigError(
                        "there is no older snapshot; `assistant knowledge list` shows which there are"
                    )
                to = older[-1]
            self.load(to, verify=True)
            self.switch(to)
        return to

    # --- reading -------------------------------------------------------------------------------------------

    def list(self) -> tuple[SnapshotInfo, ...]:
        """All snapshots, oldest first."""
        try:
            current = self.current_id()
        except BackendError:
            current = None
        found = []
        for snapshot_id in self._ids():
            folder = self.folder / snapshot_id
            try:
                manifest = self.manifest(snapshot_id)
            except (BackendError, ConfigError) as error:
                manifest, damaged = {}, str(error)
            else:
                damaged = ""
            found.append(
                SnapshotInfo(
                    id=snapshot_id,
                    created=str(manifest.get("created", "")),
                    current=snapshot_id == current,
                    counts=manifest.get("counts", {}),
                    encoder=str(manifest.get("encoder", "")),
                    sources=tuple(manifest.get("sources", ())),
                    size_bytes=sum(item.stat().st_size for item in folder.iterdir()),
                    damaged=damaged,
                )
            )
        return tuple(found)

    def manifest(self, snapshot_id: str) -> dict[str, Any]:
        """How a snapshot was built. Checks that all its files are there in the size they were written.

        Raises: ConfigError: no such snapshot, or one of another version. BackendError: it is damaged.
        """
        folder = self._folder_of(snapshot_id)
        try:
            manifest = json.loads((folder / _MANIFEST).read_bytes())
            schema, files = manifest["schema"], dict(manifest["files"])
            if schema != SCHEMA:
                raise ConfigError(
                    f"snapshot {snapshot_id} has format {schema}, this version reads {SCHEMA}; "
                    "run `assistant ingest` again"
                )
            for name, entry in files.items():
                size = (folder / name).stat().st_size
                if size != entry["bytes"]:
                    raise _damaged(snapshot_id, f"{name} has {size} bytes instead of {entry['bytes']}")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _damaged(snapshot_id, _describe(error)) from error
        return dict(manifest)

    def load(self, snapshot_id: str | None = None, *, verify: bool = False) -> Snapshot:
        """Load a snapshot, by default the current one.

        Args:
            snapshot_id: which one.
            verify: also compare the SHA-256 of every file with the manifest.

        Raises: ConfigError: nothing is ingested, or no such snapshot. BackendError: it is damaged.
        """
        snapshot_id = snapshot_id or self.current_id()
        if snapshot_id is None:
            raise ConfigError(f"nothing is ingested in {self.data_dir} yet; run `assistant ingest PATH`")
        manifest = self.manifest(snapshot_id)
        folder = self.folder / snapshot_id
        try:
            if verify:
                for name, entry in manifest["files"].items():
                    if _digest(folder / name) != entry["sha256"]:
                        raise _damaged(snapshot_id, f"{name} was changed after it was written")
            knowledge = Knowledge(
                passages=tuple(_passage(item) for item in _read_lines(folder / "passages.jsonl")),
                shop=_shop(_read_json(folder / "shop.json")),
                intents=tuple(_intent(item) for item in _read_json(folder / "intents.json")),
                products=tuple(_product(item) for item in _read_lines(folder / "products.jsonl")),
                orders=tuple(Order(**item) for item in _read_lines(folder / "orders.jsonl")),
                devices=tuple(_device(item) for item in _read_later(folder / "devices.jsonl")),
                interactions=tuple(
                    Interaction(**item) for item in _read_later(folder / "interactions.jsonl")
                ),
            )
            units = _units(_read_json(folder / "units.json"))
            vectors = np.load(folder / "vectors.npy", mmap_mode="r", allow_pickle=False)
            with np.load(folder / "intents.npz", allow_pickle=False) as arrays:
                intent_arrays = {name: arrays[name] for name in arrays.files}
            if vectors.dtype != np.float32 or vectors.shape != (len(units), manifest["dimension"]):
                raise _damaged(snapshot_id, f"vectors.npy has shape {vectors.shape} for {len(units)} units")
            if any(not 0 <= unit.passage < len(knowledge.passages) for unit in units):
                raise _damaged(snapshot_id, "units.json names passages that do not exist")
            kind = IndexKind(manifest["index"])
            if kind is IndexKind.FLAT:
                index = FaissIndex.build(vectors, kind)
            else:
                index = FaissIndex.load(folder / "index.faiss", kind)
            if (index.size, index.dimension) != vectors.shape:
                raise _damaged(snapshot_id, f"index.faiss holds {index.size} vectors for {len(units)} units")
            return Snapshot(
                id=snapshot_id,
                folder=folder,
                manifest=manifest,
                knowledge=knowledge,
                units=units,
                vectors=vectors,
                intent_arrays=intent_arrays,
                calibration=_read_json(folder / "calibration.json"),
                index=index,
            )
        except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
            raise _damaged(snapshot_id, _describe(error)) from error

    def passages(self, snapshot_id: str) -> tuple[Passage, ...]:
        """Only the passages of a snapshot, for comparing two of them.

        Raises: ConfigError: no such snapshot. BackendError: it is damaged.
        """
        self.manifest(snapshot_id)
        try:
            return tuple(_passage(item) for item in _read_lines(self.folder / snapshot_id / "passages.jsonl"))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _damaged(snapshot_id, _describe(error)) from error

    def _ids(self) -> tuple[str, ...]:
        """Ids of complete snapshots, oldest first (ids begin with their time)."""
        try:
            return tuple(sorted(item.name for item in self.folder.iterdir() if _ID.fullmatch(item.name)))
        except FileNotFoundError:
            return ()

    def _folder_of(self, snapshot_id: str) -> Path:
        if not _ID.fullmatch(snapshot_id) or not (self.folder / snapshot_id).is_dir():
            raise ConfigError(
                f"there is no snapshot {snapshot_id!r}; `assistant knowledge list` shows which there are"
            )
        return self.folder / snapshot_id

    # --- writing -------------------------------------------------------------------------------------------

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the data folder for writing; leftovers of a run that was stopped are removed first.

        The lock ends with the process, however that ends.
        Raises: ConfigError: another process holds it, or the folder cannot be written.
        """
        with _readable_errors(self.data_dir):
            self.folder.mkdir(parents=True, exist_ok=True)
            handle = (self.data_dir / "ingest.lock").open("a+b")
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ConfigError(
                    f"another process is writing to {self.data_dir}; wait for its end and run this again"
                ) from error
            self._clean()
            yield

    def _clean(self) -> None:
        """Remove temporary files, and snapshots that were written but never switched to."""
        try:
            served = set(self._served())
        except BackendError:
            served = set(self._ids())  # without a readable CURRENT nobody knows; delete nothing
        for folder in (self.data_dir, self.folder):
            for item in folder.iterdir():
                if item.name.startswith(_TEMPORARY):
                    _remove(item)
        for snapshot_id in self._ids():
            if snapshot_id not in served:
                self._delete(snapshot_id)

    def _delete(self, snapshot_id: str) -> None:
        doomed = self.folder / f"{_TEMPORARY}{snapshot_id}"
        os.replace(
            self.folder / snapshot_id, doomed
        )  # first out of sight, so that no half snapshot is listed
        _remove(doomed)

    def prune(self, keep: int = 5) -> tuple[str, ...]:
        """Delete all but the newest `keep` (1 or more) snapshots and the current one. Hold `lock()`.

        Returns: deleted ids.
        """
        current = self.current_id()
        doomed = tuple(snapshot_id for snapshot_id in self._ids()[:-keep] if snapshot_id != current)
        for snapshot_id in doomed:
            self._delete(snapshot_id)
        return doomed

    def write(
        self,
        draft: DraftSnapshot,
        *,
        calibration: Mapping[str, Any],
        fingerprint: str,
        sources: Sequence[str],
        findings: Mapping[str, Any],
    ) -> str:
        """Write a complete snapshot without serving it. Hold `lock()`.

        Args:
            draft: what to serve.
            calibration: JSON-able, handed back by `load`.
            fingerprint: of everything the snapshot was made from; kept in the manifest.
            sources: the paths that were ingested, as the operator named them.
            findings: JSON-able remarks on the sources; kept in the manifest.

        Returns: the new id.
        Raises: ConfigError: the disk is full or cannot be written; nothing changes.
        """
        created = datetime.now(UTC)
        snapshot_id = self._new_id(created, fingerprint)
        temporary = self.folder / f"{_TEMPORARY}{snapshot_id}"
        try:
            with _readable_errors(self.data_dir):
                temporary.mkdir()
                files = _write_contents(temporary, draft, calibration)
                manifest = {
                    "schema": SCHEMA,
                    "version": __version__,
                    "id": snapshot_id,
                    "created": created.isoformat(timespec="seconds"),
                    "encoder": draft.encoder,
                    "dimension": int(draft.vectors.shape[1]),
                    "index": str(draft.index.kind),
                    "fingerprint": fingerprint,
                    "sources": list(sources),
                    "counts": count(draft),
                    "findings": dict(findings),
                    "files": files,
                }
                _write(temporary / _MANIFEST, json.dumps(manifest, ensure_ascii=False, indent=1).encode())
                _sync_folder(temporary)
                os.replace(temporary, self.folder / snapshot_id)
                _sync_folder(self.folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        return snapshot_id

    def _new_id(self, created: datetime, fingerprint: str) -> str:
        stem = f"{created:%Y%m%d-%H%M%S-%f}"
        for last in self._ids()[-1:]:
            if stem <= last[: len(stem)]:  # the clock was set back; ids must still sort by age
                day, time, micro, _ = last.split("-")
                stem = f"{int(day + time + micro) + 1:020d}"
                stem = f"{stem[:8]}-{stem[8:14]}-{stem[14:]}"
        return f"{stem}-{hashlib.sha256(fingerprint.encode()).hexdigest()[:6]}"


def count(draft: DraftSnapshot) -> dict[str, int]:
    """How much of everything a draft holds."""
    knowledge = draft.knowledge
    return {
        "passages": len(knowledge.passages),
        "units": len(draft.units),
        "intents": len(knowledge.intents),
        "products": len(knowledge.products),
        "orders": len(knowledge.orders),
    }


# --- files -----------------------------------------------------------------------------------------------


def _write_contents(
    folder: Path, draft: DraftSnapshot, calibration: Mapping[str, Any]
) -> dict[str, dict[str, int | str]]:
    """Write all files but the manifest; returns their sizes and hashes."""
    knowledge, units = draft.knowledge, draft.units
    for name, array in draft.intent_arrays.items():
        if array.dtype.hasobject:
            raise TypeError(
                f"intent array {name!r} holds Python objects; snapshots hold plain numbers and text"
            )
    arrays = dict(draft.intent_arrays)
    columns = {
        "passage": [unit.passage for unit in units],
        "kind": [_KINDS.index(unit.kind) for unit in units],
        "text": [unit.text for unit in units],
    }
    _write(folder / "passages.jsonl", _lines(knowledge.passages))
    _write(folder / "products.jsonl", _lines(knowledge.products))
    _write(folder / "orders.jsonl", _lines(knowledge.orders))
    _write(folder / "devices.jsonl", _lines(knowledge.devices))
    _write(folder / "interactions.jsonl", _lines(knowledge.interactions))
    _write(folder / "shop.json", _json(_plain_shop(knowledge.shop)))
    _write(folder / "intents.json", _json([_plain_intent(intent) for intent in knowledge.intents]))
    _write(folder / "units.json", _json(columns))
    _write(folder / "calibration.json", _json(dict(calibration)))
    _write_with(folder / "vectors.npy", lambda file: _save_array(file, draft.vectors))
    _write_with(folder / "intents.npz", lambda file: np.savez(file, allow_pickle=False, **arrays))
    if draft.index.kind is not IndexKind.FLAT:  # a flat index is the vectors themselves
        _write_with(folder / "index.faiss", lambda file: file.write(draft.index.to_bytes().data))
    return {
        item.name: {"bytes": item.stat().st_size, "sha256": _digest(item)}
        for item in sorted(folder.iterdir())
    }


def _write(path: Path, content: bytes) -> None:
    _write_with(path, lambda file: file.write(content))


def _write_with(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    with path.open("wb") as file:
        fill(file)
        file.flush()
        os.fsync(file.fileno())


def _save_array(file: BinaryIO, array: Vectors) -> None:
    """As `np.save`, which loses the end of a file without an error when the disk gets full."""
    array = np.ascontiguousarray(array, dtype=np.float32)
    np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
    file.write(array.data)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _readable_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"{folder} cannot be written: {error.strerror or error}; the snapshot served so far stays; "
            "free some space or check the permissions, and run this again"
        ) from error


def _damaged(snapshot_id: str, what: str) -> BackendError:
    return BackendError(
        f"snapshot {snapshot_id} is damaged: {what}; "
        "run `assistant ingest` again, or `assistant knowledge rollback` to an earlier one"
    )


def _describe(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{Path(error.filename).name}: {error.strerror}"
    return f"{type(error).__name__}: {error}"


# --- records ↔ JSON --------------------------------------------------------------------------------------


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _plain(record: object) -> dict[str, Any]:
    """Fields of a flat record; quicker than `dataclasses.asdict`, which copies every value."""
    values = {field.name: getattr(record, field.name) for field in fields(record)}  # type: ignore[arg-type]
    return {name: dict(value) if isinstance(value, Mapping) else value for name, value in values.items()}


def _plain_shop(shop: Shop) -> dict[str, Any]:
    return {**_plain(shop), "orders": _plain(shop.orders) if shop.orders else None}


def _shop(fields: dict[str, Any]) -> Shop:
    rules = fields.pop("orders", None)
    if rules is None:
        return Shop(**fields)
    sources: dict[str, Any] = {topic: tuple(names) for topic, names in rules.pop("sources").items()}
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in rules.items()
    }
    return Shop(**fields, orders=OrderRules(**values, sources=sources))


def _plain_intent(intent: Intent) -> dict[str, Any]:
    return {**_plain(intent), "slots": [_plain(slot) for slot in intent.slots]}


def _lines(records: Sequence[object]) -> bytes:
    return b"".join(_json(_plain(record)) + b"\n" for record in records)


def _read_json(path: Path) -> Any:
    return json.loads(path.read_bytes())


def _read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def _read_later(path: Path) -> list[dict[str, Any]]:
    """Lines of a file that snapshots of earlier releases lack; the manifest misses it where it should be there."""
    return _read_lines(path) if path.exists() else []


def _passage(item: dict[str, Any]) -> Passage:
    return Passage(**{**item, "kind": PassageKind(item["kind"]), "questions": tuple(item["questions"])})


def _product(item: dict[str, Any]) -> Product:
    return Product(**{**item, "related": tuple(item["related"])})


def _device(item: dict[str, Any]) -> Device:
    kind = DeviceType(item["type"])
    return Device(**{**item, "type": kind, "guests": tuple(item["guests"]), "also": tuple(item["also"])})


def _intent(item: dict[str, Any]) -> Intent:
    slots = tuple(SlotSpec(**slot) for slot in item["slots"])
    return Intent(**{**item, "examples": tuple(item["examples"]), "slots": slots})


def _units(columns: dict[str, list[Any]]) -> tuple[Unit, ...]:
    return tuple(
        Unit(passage, _KINDS[kind], text)
        for passage, kind, text in zip(columns["passage"], columns["kind"], columns["text"], strict=True)
    )
