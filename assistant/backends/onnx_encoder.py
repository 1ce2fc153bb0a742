"""The project's own sentence encoder: int8 ONNX, quick to load, no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from assistant.backends.onnx_body import CLS, PASSAGE_TOKENS, SEP, OnnxBody, Row
from assistant.backends.weights import BUILTIN_NAME
from assistant.protocols import Vectors


class OnnxEmbedder:
    """An `Embedder` over models/retrieval/encoder. An empty text is embedded like any other.

    A text longer than 128 word pieces is cut at its end, as in training. A text has the same vector whatever it
    is embedded together with.

    Attributes:
        name: short name for logs.
    """

    def __init__(self, folder: Path, threads: int = 1) -> None:
        """Load `encoder/model.onnx` of the folder models/retrieval.

        Raises: ConfigError: a file is missing or broken.
        """
        self.name = BUILTIN_NAME
        self._body = OnnxBody(folder / "encoder" / "model.onnx", "vector", threads)
        self._identity = f"{self.name}/onnx-int8/{self._body.digest}"
        self._dimension = int(self._rows([""]).shape[1])

    @property
    def identity(self) -> str:
        """Name, number format and weights hash."""
        return self._identity

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return self._dimension

    def embed(self, texts: Sequence[str]) -> Vectors:
        """See `Embedder.embed`."""
        return self._rows(texts) if texts else np.zeros((0, self._dimension), np.float32)

    def _rows(self, texts: Sequence[str]) -> Vectors:
        ids = self._body.pieces.ids(texts)
        rows = (Row([CLS, *some[:PASSAGE_TOKENS], SEP], len(some) + 2) for some in ids)
        vectors = np.stack([self._body.run(row) for row in rows])
        return np.ascontiguousarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
