"""Any sentence-transformers model, in float32 or bfloat16."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from assistant.backends.weights import BUILTIN, BUILTIN_NAME, builtin_folder, folder_digest, model_folder
from assistant.errors import BackendError, ConfigError
from assistant.protocols import Vectors

NumberFormat = Literal["float32", "bfloat16"]

# oneDNN compiles a kernel for every new bfloat16 shape; a few lengths keep that to a few kernels.
_BFLOAT16_MULTIPLE = 16
_BATCH = 32


class SentenceTransformerEmbedder:
    """An `Embedder` over sentence-transformers. An empty text is embedded like any other.

    Attributes:
        name: short name for logs.
    """

    def __init__(
        self, model: str = BUILTIN, number_format: NumberFormat = "float32", threads: int = 1
    ) -> None:
        """Load a model from this machine.

        Args:
            model: "builtin", a folder, or a hub name that is in the local cache.
            number_format: of weights and arithmetic; the vectors are float32 either way.
            threads: inside one call. Torch has one such number for the whole process.

        Raises: ConfigError: the model is missing, unsafe or unreadable.
        """
        folder = builtin_folder() if model == BUILTIN else model_folder(model)
        os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when the library is imported
        import torch
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        torch.set_num_threads(threads)
        try:
            self._model = SentenceTransformer(
                str(folder),
                device="cpu",
                local_files_only=True,
                trust_remote_code=False,
                model_kwargs={"use_safetensors": True, "dtype": getattr(torch, number_format)},
            )
        except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
            raise ConfigError(
                f"{folder} cannot be loaded as a sentence-transformers model: {error}"
            ) from error
        self.name = BUILTIN_NAME if model == BUILTIN else folder.name
        self._identity = f"{self.name}/torch-{number_format}/{folder_digest(folder)}"
        self._options: dict[str, Any] = (
            {"processing_kwargs": {"text": {"pad_to_multiple_of": _BFLOAT16_MULTIPLE}}}
            if number_format == "bfloat16"
            else {}
        )
        # The first call settles the tokenizer's padding, which must not change while another thread uses it.
        self._dimension = int(self._encode([""]).shape[1])

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
        if not texts:
            return np.zeros((0, self._dimension), np.float32)
        try:
            return self._encode(texts)
        except RuntimeError as error:  # torch: out of memory, broken weights
            raise BackendError(f"encoder {self._identity} failed on {len(texts)} texts: {error}") from error

    def _encode(self, texts: Sequence[str]) -> Vectors:
        vectors = np.asarray(
            self._model.encode(
                list(texts),
                batch_size=_BATCH,
                normalize_embeddings=True,
                show_progress_bar=False,
                convert_to_numpy=True,
                **self._options,
            ),
            np.float32,
        )
        # bfloat16 leaves norms up to a few thousandths off.
        return np.ascontiguousarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
