"""FAISS as it is used: build, one query at a time, recall against exact search. One JSON line a size.

    python -m benchmarks.faiss_search [--sizes 1000 100000 1000000]

Vectors are of length 1 and lie in clusters, as those of questions do (cosine within a cluster about 0.75).
"""

from __future__ import annotations

import argparse
import json
import resource
import time

import faiss
import numpy as np

from assistant.protocols import Vectors
from assistant.storage.vector_index import FaissIndex, IndexKind
from benchmarks.signature import signature

DIMENSION = 384
QUERIES = 200
K = 10
SEED = 7


def clustered(count: int, seed: int, centres: Vectors) -> Vectors:
    """Vectors around the centres."""
    random = np.random.default_rng(seed)
    vectors = centres[random.integers(len(centres), size=count)]
    vectors += random.normal(scale=0.58 / np.sqrt(DIMENSION), size=vectors.shape).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def measure(size: int) -> dict[str, object]:
    """Build an index of a size and search it."""
    centres = np.random.default_rng(SEED).normal(size=(max(10, size // 50), DIMENSION)).astype(np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    vectors, queries = clustered(size, SEED + 1, centres), clustered(QUERIES, SEED + 2, centres)
    begun, begun_cpu = time.perf_counter(), time.process_time()
    index = FaissIndex.build(vectors)
    built, built_cpu = time.perf_counter() - begun, time.process_time() - begun_cpu
    rows, milliseconds = [], []
    for place in range(QUERIES):
        begun = time.perf_counter()
        found = index.search(queries[place : place + 1], K)[1]
        milliseconds.append((time.perf_counter() - begun) * 1000)
        rows.append(found[0])
    recall = 1.0
    if index.kind is not IndexKind.FLAT:
        truth = FaissIndex.build(vectors, IndexKind.FLAT).search(queries, K)[1]
        recall = float(np.mean([len(set(a) & set(b)) / K for a, b in zip(rows, truth, strict=True)]))
    return {
        "benchmark": "faiss_search",
        "vectors": size,
        "dimension": DIMENSION,
        "index": str(index.kind),
        "build_s": round(built, 2),
        "build_cpu_s": round(built_cpu, 2),
        "size_mb": round(index.to_bytes().nbytes / 1e6, 1),
        "ms": {
            "p50": round(float(np.percentile(milliseconds, 50)), 3),
            "p95": round(float(np.percentile(milliseconds, 95)), 3),
            "max": round(max(milliseconds), 3),
        },
        "recall_at_10": round(recall, 4),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "faiss_threads": faiss.omp_get_max_threads(),
    }


def main() -> None:
    """Measure every size asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 100_000, 1_000_000])
    for size in parser.parse_args().sizes:
        print(json.dumps({**measure(size), "signature": signature()}), flush=True)


if __name__ == "__main__":
    main()
