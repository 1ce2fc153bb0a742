"""Encoder and reranker: milliseconds, texts per second, memory, likeness to float32. One process each."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from assistant.backends.choice import BFLOAT16, FLOAT32, ONNX, open_backend
from assistant.backends.measure import SAMPLE_TEXTS
from assistant.config import load_settings
from benchmarks.signature import signature

_REPEATS = 60
_WARM_UP = 10
_RERANKED = 10


def percentiles(times_s: list[float]) -> dict[str, float]:
    """p50, p95 and the quickest, in milliseconds."""
    values = 1e3 * np.array(times_s[_WARM_UP:])
    p50, p95 = np.quantile(values, [0.5, 0.95])
    return {"p50": round(float(p50), 2), "p95": round(float(p95), 2), "min": round(float(values.min()), 2)}


def timed(call: Any) -> dict[str, Any]:
    """Wall-clock and processor time of `call(i)`."""
    wall, cpu = [], []
    for i in range(_WARM_UP + _REPEATS):
        start, start_cpu = time.perf_counter(), time.process_time()
        call(i)
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - start_cpu)
    return {"wall_ms": percentiles(wall), "cpu_ms": percentiles(cpu)}


def encoder(backend: str, reference: list[list[float]] | None) -> dict[str, Any]:
    """Figures of one encoder back-end, and its vectors of the sample."""
    process = psutil.Process()
    before = process.memory_info().rss
    start = time.perf_counter()
    settings = load_settings()
    embedder = open_backend(settings.encoder, settings.models, 1, backend)
    loaded = time.perf_counter() - start
    texts = list(SAMPLE_TEXTS)
    query = timed(lambda i: embedder.embed([texts[i % len(texts)]]))
    batch = texts * 4
    start_cpu = time.process_time()
    embedder.embed(batch)
    rate = len(batch) / (time.process_time() - start_cpu)
    vectors = embedder.embed(texts)
    cosines = (
        [1.0] if reference is None else np.sum(vectors * np.array(reference, np.float32), axis=1).tolist()
    )
    return {
        "benchmark": "encoder",
        "backend": backend,
        "identity": embedder.identity,
        "load_s": round(loaded, 2),
        "query": query,
        "texts_per_cpu_s": round(rate, 1),
        "rss_mib": round((process.memory_info().rss - before) / 2**20, 1),
        "cosine_mean": round(float(np.mean(cosines)), 4),
        "cosine_min": round(float(np.min(cosines)), 4),
        "vectors": vectors.tolist(),
    }


def reranker() -> dict[str, Any]:
    """Figures of the project's reranker on ten passages of about ninety words."""
    from assistant.backends.onnx_reranker import OnnxReranker

    settings = load_settings()
    model = OnnxReranker(settings.models / "retrieval")
    passages = [(f"Passage {i}", SAMPLE_TEXTS[:7]) for i in range(_RERANKED)]
    return {
        "benchmark": "reranker",
        "backend": ONNX,
        "identity": model.identity,
        "passages": _RERANKED,
        "words_per_passage": len(" ".join(SAMPLE_TEXTS[:7]).split()),
        "call": timed(lambda i: model.score(SAMPLE_TEXTS[i % len(SAMPLE_TEXTS)], (), passages)),
    }


def run_apart(name: str, reference: list[list[float]] | None) -> dict[str, Any]:
    """One benchmark in a process of its own, so that memory and threads are its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.encoder", "--only", name],
        input=json.dumps(reference),
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parent.parent,
        text=True,
        check=True,
    )
    return dict(json.loads(done.stdout))


def main() -> None:
    """Print one JSON line per back-end, the signature in each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=[ONNX, FLOAT32, BFLOAT16, "reranker"])
    only = parser.parse_args().only
    if only:
        reference = json.load(sys.stdin)
        print(json.dumps(reranker() if only == "reranker" else encoder(only, reference)))
        return
    reference = None
    for name in (FLOAT32, BFLOAT16, ONNX, "reranker"):
        line = run_apart(name, reference)
        vectors = line.pop("vectors", None)
        reference = reference or vectors
        print(json.dumps({**line, "signature": signature()}), flush=True)


if __name__ == "__main__":
    main()
