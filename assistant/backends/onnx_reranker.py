"""The project's own cross-encoder: int8 ONNX, quick to load, no torch."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from assistant.backends.onnx_body import CLS, PASSAGE_TOKENS, SEP, OnnxBody, Row, query_ids
from assistant.backends.weights import BUILTIN_NAME
from assistant.records import Message, Passage


class OnnxReranker:
    """A `Reranker` over models/retrieval/reranker."""

    def __init__(self, folder: Path, threads: int = 1, at_once: int = 1) -> None:
        """Load `reranker/model.onnx` of the folder models/retrieval.

        Args:
            folder: models/retrieval.
            threads: inside one run of the model.
            at_once: passages of one question that are read side by side; halves a lone customer's wait on two cores.

        Raises: ConfigError: a file is missing or broken.
        """
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="reranker")
        self._body = OnnxBody(folder / "reranker" / "model.onnx", "logit", threads)
        self._identity = f"{BUILTIN_NAME}-reranker/onnx-int8/{self._body.digest}"

    @property
    def identity(self) -> str:
        """Name, number format and weights hash."""
        return self._identity

    def score(
        self, question: str, history: Sequence[Message], passages: Sequence[Passage]
    ) -> NDArray[np.float32]:
        """See `Reranker.score`. Reads the last messages of the history as far as they fit."""
        if not passages:
            return np.zeros(0, np.float32)
        query = query_ids(self._body.pieces, question, history)
        texts = [f"{passage.title}. {passage.text}" for passage in passages]
        rows = (
            Row([CLS, *query, SEP, *ids[:PASSAGE_TOKENS], SEP], len(query) + 2)
            for ids in self._body.pieces.ids(texts)
        )
        return np.array(list(self._pool.map(self._body.run, rows)), np.float32).reshape(len(passages))
