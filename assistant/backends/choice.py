"""Which number format the sentence encoder runs in: measured once per machine, at ingest.

Vectors of different encoders must not be mixed. The ingest therefore chooses, the snapshot keeps the
identity, and serving opens exactly that encoder. Measuring runs in a process of its own: what it loads (torch)
and what it may break on (a processor flag that lies) stays out of the ingest.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from assistant.backends.weights import BUILTIN, builtin_folder, digest, folder_digest, model_folder
from assistant.config import Settings
from assistant.errors import ConfigError
from assistant.protocols import Embedder

ONNX, FLOAT32, BFLOAT16 = "onnx-int8", "torch-float32", "torch-bfloat16"
MEASUREMENTS = "encoder-choice.json"
# Cosine to torch-float32 below which the ONNX weights are others, not the same ones rounded to int8: rounding
# measured 0.993 on average (docs/decisions/2026-11-21-encoder-backend.md), tuning moves vectors much further.
SAME_WEIGHTS = 0.98
_BFLOAT16_FLAGS = frozenset({"amx_bf16", "avx512_bf16"})
_LIBRARIES = ("onnxruntime", "sentence-transformers", "tokenizers", "torch", "transformers")
_MEASURING_LIMIT_S = 300.0
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Measured:
    """Figures of one candidate.

    Attributes:
        query_ms: median of one call with one text of about twelve words.
        texts_per_s: of a batch of such texts.
        likeness: mean cosine to torch-float32 on the same texts.
    """

    backend: str
    identity: str
    query_ms: float
    texts_per_s: float
    likeness: float


def choose_encoder(settings: Settings, measurements_file: Path) -> Embedder:
    """Open the encoder that a new snapshot is made with. Blocking; measuring takes seconds, once per machine.

    An explicit `settings.encoder_backend` wins. Otherwise the candidate with the quickest single query does;
    if the project's ONNX weights are not those of the package, they are taken, being the trained ones.

    Args:
        settings: encoder, encoder_backend, models and model_threads are used.
        measurements_file: where figures are kept; made again when the machine, a library or weights change.

    Raises: ConfigError: no candidate runs, or the chosen one is missing.
    """
    candidates = _candidates(settings)
    if len(candidates) == 1:
        return _open(settings, candidates[0])
    machine = _machine(settings, candidates)
    figures = _read(measurements_file, machine)
    if not figures:
        figures = _measure(settings, candidates)
        _write(measurements_file, machine, figures)
    return _open(settings, _best(figures).backend)


def open_encoder(settings: Settings, identity: str) -> Embedder:
    """Open the encoder that a snapshot was made with.

    Raises: ConfigError: the settings or the files no longer give that encoder; says to ingest again.
    """
    backend = identity.split("/")[1] if identity.count("/") == 2 else ""
    if backend in _candidates(settings):
        embedder = _open(settings, backend)
        if embedder.identity == identity:
            return embedder
        found = embedder.identity
    else:
        found = f"{settings.encoder} in {settings.encoder_backend}"
    raise ConfigError(
        f"the knowledge was ingested with the encoder {identity}, but the settings and files give {found}; "
        "run `assistant ingest` again, or restore the encoder"
    )


def describe_encoder(settings: Settings, embedder: Embedder) -> str:
    """One line for the start log: which encoder, and the figures it was chosen by, if it was measured."""
    name, backend, _ = [*embedder.identity.split("/"), "", ""][:3]
    stored = _load(settings.data / MEASUREMENTS)
    figures = {figure.backend: figure for figure in _figures(stored)}
    own = figures.pop(backend, None)
    if own is None or own.identity != embedder.identity:
        return f"encoder: {name} {backend}"
    others = ", ".join(f"{other.backend} {other.query_ms:.1f} ms" for other in figures.values())
    measured = f"measured {stored.get('measured', '')}" + (f"; {others}" if others else "")
    tuned = "" if own.likeness >= SAME_WEIGHTS else ", trained weights"
    return f"encoder: {name} {backend}{tuned}, {own.query_ms:.1f} ms per query ({measured})"


def _candidates(settings: Settings) -> list[str]:
    """Back-ends that the settings and this machine allow."""
    if settings.encoder_backend != "auto":
        if settings.encoder_backend == ONNX and settings.encoder != BUILTIN:
            raise ConfigError(
                f"encoder_backend {ONNX} exists for the built-in encoder only, not for {settings.encoder}; "
                f"use {FLOAT32}, {BFLOAT16} or auto"
            )
        return [settings.encoder_backend]
    found = [FLOAT32]
    if settings.encoder == BUILTIN and (settings.models / "retrieval" / "encoder" / "model.onnx").is_file():
        found.insert(0, ONNX)
    if _BFLOAT16_FLAGS & _cpu()[1]:
        found.append(BFLOAT16)
    return found


def open_backend(encoder: str, models: Path, threads: int, backend: str) -> Embedder:
    """Open one back-end.

    Raises: ConfigError: it is missing or broken.
    """
    if backend == ONNX:
        from assistant.backends.onnx_encoder import OnnxEmbedder

        return OnnxEmbedder(models / "retrieval", threads)
    from assistant.backends.sentence_transformer import SentenceTransformerEmbedder

    return SentenceTransformerEmbedder(encoder, "bfloat16" if backend == BFLOAT16 else "float32", threads)


def _open(settings: Settings, backend: str) -> Embedder:
    return open_backend(settings.encoder, settings.models, settings.model_threads, backend)


def _best(figures: Sequence[Measured]) -> Measured:
    """The quickest candidate; the trained ONNX weights before any other weights."""
    trained = [figure for figure in figures if figure.backend == ONNX and figure.likeness < SAME_WEIGHTS]
    return min(trained or figures, key=lambda figure: figure.query_ms)


def _measure(settings: Settings, candidates: Sequence[str]) -> list[Measured]:
    """Run `python -m assistant.backends.measure`. A candidate that fails is left out, with a warning."""
    order = {
        "encoder": settings.encoder,
        "models": str(settings.models.resolve()),
        "threads": settings.model_threads,
        "backends": list(candidates),
    }
    package = str(Path(__file__).resolve().parents[2])
    search_path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH", "")]))
    try:
        done = subprocess.run(
            [sys.executable, "-m", "assistant.backends.measure"],
            input=json.dumps(order),
            capture_output=True,
            text=True,
            timeout=_MEASURING_LIMIT_S,
            env={**os.environ, "PYTHONPATH": search_path},
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ConfigError(
            f"measuring the encoders took over {_MEASURING_LIMIT_S:.0f} s; set encoder_backend to one of "
            + ", ".join(candidates)
        ) from error
    figures = [Measured(**json.loads(line)) for line in done.stdout.splitlines() if line.startswith("{")]
    if not figures:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ConfigError(f"no encoder runs on this machine: {last}")
    for missing in set(candidates) - {figure.backend for figure in figures}:
        _LOG.warning("the encoder back-end %s does not run on this machine", missing)
    return figures


def _machine(settings: Settings, candidates: Sequence[str]) -> dict[str, Any]:
    """What the figures depend on."""
    model, flags = _cpu()
    weights = [folder_digest(_torch_folder(settings))]
    if ONNX in candidates:
        weights.append(digest([settings.models / "retrieval" / "encoder" / "model.onnx"]))
    return {
        "cpu": model,
        "flags": sorted(flags & {*_BFLOAT16_FLAGS, "avx2", "avx512_vnni", "avx_vnni", "asimddp", "i8mm"}),
        "libraries": {name: metadata.version(name) for name in _LIBRARIES},
        "threads": settings.model_threads,
        "candidates": list(candidates),
        "weights": weights,
    }


def _torch_folder(settings: Settings) -> Path:
    return builtin_folder() if settings.encoder == BUILTIN else model_folder(settings.encoder)


def _cpu() -> tuple[str, frozenset[str]]:
    """Model name and feature flags of the processor; flags are known on Linux only."""
    model, flags = platform.processor() or platform.machine(), frozenset[str]()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return model, flags
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            model = value.strip()
        elif name.strip() in {"flags", "Features"}:
            flags = frozenset(value.split())
    return model, flags


def _load(file: Path) -> Mapping[str, Any]:
    """The stored measurements; empty if there are none or they cannot be read."""
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stored if isinstance(stored, dict) else {}


def _figures(stored: Mapping[str, Any]) -> list[Measured]:
    try:
        return [Measured(**figure) for figure in stored.get("figures", ())]
    except TypeError:  # written by another version
        return []


def _read(file: Path, machine: Mapping[str, Any]) -> list[Measured]:
    stored = _load(file)
    return _figures(stored) if stored.get("machine") == machine else []


def _write(file: Path, machine: Mapping[str, Any], figures: Sequence[Measured]) -> None:
    content = {
        "measured": datetime.now(UTC).date().isoformat(),
        "machine": machine,
        "figures": [{name: getattr(figure, name) for name in Measured.__slots__} for figure in figures],
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".tmp")
    draft.write_text(json.dumps(content, indent=1), encoding="utf-8")
    draft.replace(file)
