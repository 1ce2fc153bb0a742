"""FAISS behind `protocols.VectorIndex`: the contract, for every kind of index."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from assistant.errors import BackendError
from assistant.protocols import Vectors
from assistant.storage.vector_index import FLAT_LIMIT, HNSW_LIMIT, FaissIndex, IndexKind, choose_kind

KINDS = list(IndexKind)


def unit_vectors(count: int, dimension: int = 8, seed: int = 0) -> Vectors:
    """Random vectors of length 1."""
    vectors = np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("kind", KINDS)
class TestContract:
    """What every implementation of `VectorIndex` keeps."""

    def test_best_rows_come_first(self, kind: IndexKind) -> None:
        """Scores fall from left to right and are the inner products of the rows."""
        vectors, queries = unit_vectors(500), unit_vectors(20, seed=1)
        scores, rows = FaissIndex.build(vectors, kind).search(queries, 5)
        assert scores.shape == rows.shape == (20, 5)
        assert (scores.dtype, rows.dtype) == (np.float32, np.int64)
        assert (np.diff(scores, axis=1) <= 0).all()
        products = (queries[:, None, :] * vectors[rows]).sum(axis=2)
        np.testing.assert_allclose(scores, products, atol=0.02 if kind is IndexKind.IVF_SQ8 else 1e-5)

    def test_finds_what_an_exact_search_finds(self, kind: IndexKind) -> None:
        """At least nine in ten of the true neighbours (numpy) are found; all of them by the exact kind."""
        vectors, queries = unit_vectors(500), unit_vectors(50, seed=1)
        _, rows = FaissIndex.build(vectors, kind).search(queries, 10)
        truth = np.argsort(-(queries @ vectors.T), axis=1)[:, :10]
        recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(rows, truth, strict=True)])
        assert recall == 1 if kind is IndexKind.FLAT else recall >= 0.9

    @pytest.mark.parametrize("k", [300, 1000])
    def test_k_of_the_whole_size_or_more_gives_every_row_once(self, kind: IndexKind, k: int) -> None:
        """k is cut to the size, and no row is missing or invented."""
        vectors = unit_vectors(300)
        scores, rows = FaissIndex.build(vectors, kind).search(vectors[:3], k)
        assert scores.shape == (3, 300)
        assert [sorted(line) for line in rows] == [list(range(300))] * 3

    def test_no_queries(self, kind: IndexKind) -> None:
        """Nothing asked, nothing found, in the promised shape."""
        scores, rows = FaissIndex.build(unit_vectors(100), kind).search(unit_vectors(0), 5)
        assert scores.shape == rows.shape == (0, 5)

    def test_saved_index_answers_alike(self, kind: IndexKind, tmp_path: Path) -> None:
        """An index read from its file gives the same rows."""
        index = FaissIndex.build(unit_vectors(200), kind)
        (tmp_path / "index.faiss").write_bytes(index.to_bytes().tobytes())
        loaded = FaissIndex.load(tmp_path / "index.faiss", kind)
        queries = unit_vectors(10, seed=2)
        assert (loaded.size, loaded.dimension) == (200, 8)
        np.testing.assert_array_equal(loaded.search(queries, 3)[1], index.search(queries, 3)[1])

    def test_threads_do_not_disturb_each_other(self, kind: IndexKind) -> None:
        """Eight threads asking at once get what one thread gets."""
        index, queries = FaissIndex.build(unit_vectors(400), kind), unit_vectors(64, seed=3)
        expected = index.search(queries, 5)[1]
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda row: index.search(queries[row : row + 1], 5)[1][0], range(64)))
        np.testing.assert_array_equal(np.array(found), expected)


def test_index_without_vectors_finds_nothing() -> None:
    """An empty base is searched without an error."""
    scores, rows = FaissIndex.build(unit_vectors(0)).search(unit_vectors(2), 5)
    assert scores.shape == rows.shape == (2, 0)


def test_kind_follows_the_size() -> None:
    """Exact up to 20,000 vectors, a graph up to 300,000, inverted lists above."""
    assert [choose_kind(n) for n in (0, FLAT_LIMIT, FLAT_LIMIT + 1, HNSW_LIMIT, HNSW_LIMIT + 1)] == [
        IndexKind.FLAT,
        IndexKind.FLAT,
        IndexKind.HNSW,
        IndexKind.HNSW,
        IndexKind.IVF_SQ8,
    ]


def test_damaged_and_missing_files_are_named(tmp_path: Path) -> None:
    """A file that is no index, or not there, is a BackendError."""
    (tmp_path / "index.faiss").write_bytes(b"garbage")
    for name in ("index.faiss", "nowhere.faiss"):
        with pytest.raises(BackendError, match=name):
            FaissIndex.load(tmp_path / name, IndexKind.HNSW)
