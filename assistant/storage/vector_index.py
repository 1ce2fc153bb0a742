"""Inner-product search with FAISS: exact while the base is small, approximate where exact gets slow."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Any

import faiss as typed_faiss
import numpy as np
from numpy.typing import NDArray

from assistant.errors import BackendError
from assistant.protocols import Vectors

faiss: Any = typed_faiss  # its own annotations lack the search parameters

# Limits measured by benchmarks/faiss_search.py: exact search costs about 0.1 ms of CPU per 1,000 vectors of
# 384 numbers, a graph answers in a fraction of a millisecond, and its memory gets too large beyond 300,000.
FLAT_LIMIT = 20_000
HNSW_LIMIT = 300_000
_HNSW_NEIGHBOURS = 16
_HNSW_EF_CONSTRUCTION = 40
_HNSW_EF_SEARCH = 64
_IVF_LISTS = 1024
_IVF_PROBES = 16


class IndexKind(StrEnum):
    """How vectors are searched."""

    FLAT = "flat"
    HNSW = "hnsw"
    IVF_SQ8 = "ivf1024-sq8"


def choose_kind(size: int) -> IndexKind:
    """The kind of index that fits a number of vectors."""
    if size <= FLAT_LIMIT:
        return IndexKind.FLAT
    return IndexKind.HNSW if size <= HNSW_LIMIT else IndexKind.IVF_SQ8


class FaissIndex:
    """An immutable `protocols.VectorIndex`. Searches are safe from several threads."""

    def __init__(self, index: Any, kind: IndexKind) -> None:
        self._index = index
        self.kind = kind

    @classmethod
    def build(cls, vectors: Vectors, kind: IndexKind | None = None) -> FaissIndex:
        """Index vectors, shape (n, dim); row numbers are the ids that `search` returns.

        Args:
            vectors: float32, rows of L2 norm 1 (the inner product is then the cosine).
            kind: how to search; by default what fits the number of vectors.
        """
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        size, dimension = vectors.shape
        kind = kind or choose_kind(size)
        metric = faiss.METRIC_INNER_PRODUCT
        if kind is IndexKind.FLAT:
            index = faiss.IndexFlatIP(dimension)
        elif kind is IndexKind.HNSW:
            index = faiss.IndexHNSWFlat(dimension, _HNSW_NEIGHBOURS, metric)
            index.hnsw.efConstruction = _HNSW_EF_CONSTRUCTION
        else:
            index = faiss.index_factory(dimension, f"IVF{min(_IVF_LISTS, max(1, size // 39))},SQ8", metric)
            index.train(vectors)
        if size:
            index.add(vectors)
        return cls(index, kind)

    @property
    def size(self) -> int:
        """Number of vectors."""
        return int(self._index.ntotal)

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return int(self._index.d)

    def search(self, queries: Vectors, k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Find the k best rows for each query.

        Returns: (scores, rows), each of shape (len(queries), min(k, size)), best first.
        Blocking, safe from several threads.
        """
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        k = min(k, self.size)
        if k <= 0 or not len(queries):
            shape = (len(queries), max(k, 0))
            return np.zeros(shape, np.float32), np.zeros(shape, np.int64)
        scores, rows = self._index.search(queries, k, params=self._parameters(k))
        short = np.flatnonzero((rows < 0).any(axis=1))
        if len(short):  # an approximate search may reach fewer than k rows
            scores[short], rows[short] = self._search_exactly(queries[short], k)
        return scores, rows

    def _parameters(self, k: int) -> Any:
        if self.kind is IndexKind.HNSW:
            return faiss.SearchParametersHNSW(efSearch=max(_HNSW_EF_SEARCH, 2 * k))
        if self.kind is IndexKind.IVF_SQ8:
            return _probing(min(_IVF_PROBES, int(self._index.nlist)))
        return None

    def _search_exactly(self, queries: Vectors, k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        if self.kind is IndexKind.IVF_SQ8:
            scores, rows = self._index.search(queries, k, params=_probing(int(self._index.nlist)))
            return scores, rows
        scores = queries @ self._index.reconstruct_n(0, self.size).T
        rows = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(scores, rows, axis=1), rows.astype(np.int64)

    def to_bytes(self) -> NDArray[np.uint8]:
        """The index as it is kept in a file; write it with Python, whose errors FAISS' own writer may swallow."""
        content: NDArray[np.uint8] = faiss.serialize_index(self._index)
        return content

    @classmethod
    def load(cls, path: Path, kind: IndexKind) -> FaissIndex:
        """Read an index from a file that holds `to_bytes`.

        Raises: BackendError: the file is missing or damaged.
        """
        try:
            return cls(faiss.read_index(str(path)), kind)
        except RuntimeError as error:
            raise BackendError(f"the vector index {path.name} cannot be read: {error}") from error


def _probing(lists: int) -> Any:
    parameters = faiss.SearchParametersIVF()
    parameters.nprobe = lists
    return parameters
