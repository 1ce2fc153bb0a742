"""Reference implementation of serving: numpy, onnxruntime and tokenizers only. See SERVING.md."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from training.retrieval import inputs, ranking
from training.retrieval.inputs import Inputs
from training.retrieval.lexical import Lexical
from training.retrieval.sentences import pieces

Vectors = NDArray[np.float32]
History = Sequence[tuple[str, str]]
EMBEDDINGS = "embeddings.word_embeddings.weight"


def load_word_embeddings(package_model: Path) -> Vectors:
    """The word embedding table (vocabulary, 384) of the published package, mapped from its safetensors file."""
    path = package_model / "model.safetensors"
    with path.open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
    entry = next(header[name] for name in (EMBEDDINGS, f"bert.{EMBEDDINGS}") if name in header)
    if entry["dtype"] != "F32":
        raise ValueError(f"{path.name}: word embeddings are {entry['dtype']}, expected F32")
    rows, width = entry["shape"]
    return np.memmap(path, np.float32, "r", offset=8 + size + entry["data_offsets"][0], shape=(rows, width))


def open_session(path: Path, threads: int = 1) -> Any:
    """An ONNX Runtime session on the CPU with a fixed number of threads that do not spin."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class Encoder:
    """Texts to unit vectors."""

    def __init__(self, model: Path, table: Vectors) -> None:
        self._session = open_session(model)
        self._table = table

    def vectors(self, rows: Sequence[Sequence[int]], batch: int = 8) -> Vectors:
        """Vectors of id rows without special tokens, in order; rows of like length run together."""
        found = np.empty((len(rows), self._table.shape[1]), np.float32)
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        for at in range(0, len(order), batch):
            some = order[at : at + batch]
            ids, mask, _ = inputs.padded([inputs.single(rows[i]) for i in some], multiple=1)
            found[some] = self._session.run(["vector"], {"embeds": self._table[ids], "mask": mask})[0]
        return found


class Reranker:
    """Question and passage to a logit."""

    def __init__(self, model: Path, table: Vectors) -> None:
        self._session = open_session(model)
        self._table = table

    def logits(self, rows: Sequence[tuple[list[int], int]], batch: int = 5) -> NDArray[np.float32]:
        """Logits of (ids, start of the passage) rows, in order; rows of like length run together."""
        found = np.empty(len(rows), np.float32)
        order = sorted(range(len(rows)), key=lambda i: len(rows[i][0]))
        for at in range(0, len(order), batch):
            some = order[at : at + batch]
            ids, mask, types = inputs.padded(
                [rows[i][0] for i in some], [rows[i][1] for i in some], multiple=1
            )
            given = {"embeds": self._table[ids], "mask": mask, "types": types}
            found[some] = self._session.run(["logit"], given)[0]
        return found


@dataclass(frozen=True, slots=True)
class Base:
    """One knowledge base, ready to be searched. `owner` tells which passage each piece belongs to."""

    rows: list[list[int]]
    whole: Vectors
    piece: Vectors
    owner: NDArray[np.intp]
    lexical: Lexical


class Retriever:
    """Encoder, reranker and constants together."""

    def __init__(self, models: Path, package_model: Path) -> None:
        table = load_word_embeddings(package_model)
        self.inputs = Inputs(package_model / "tokenizer.json")
        self.encoder = Encoder(models / "encoder" / "model.onnx", table)
        self.reranker = Reranker(models / "reranker" / "model.onnx", table)
        self.constants = ranking.load_constants(models / "reference.json")

    def ingest(self, passages: Sequence[tuple[str, str]]) -> Base:
        """Embed (title, text) passages, whole and in pieces."""
        rows = [self.inputs.passage(title, text) for title, text in passages]
        parts = [pieces(title, text) for title, text in passages]
        flat = [self.inputs.ids(part)[: inputs.QUERY_TOKENS] for some in parts for part in some]
        owner = np.array([i for i, some in enumerate(parts) for _ in some], np.intp)
        return Base(rows, self.encoder.vectors(rows), self.encoder.vectors(flat), owner, Lexical(passages))

    def signals(self, base: Base, question: str, history: History = ()) -> ranking.Floats:
        """(passages, 3): cosine with the whole passage, with its best piece, lexical share."""
        query = self.encoder.vectors([self.inputs.query(question, history)])[0]
        best = np.full(len(base.rows), -1.0, np.float32)
        np.maximum.at(best, base.owner, base.piece @ query)
        return np.column_stack([base.whole @ query, best, base.lexical.scores(question)]).astype(np.float64)

    def search(self, base: Base, question: str, history: History = ()) -> ranking.Ranked:
        """Rank the passages of a base for a question."""
        signals = self.signals(base, question, history)
        chosen = ranking.candidates(self.constants, signals)
        query = self.inputs.query(question, history)
        logits = self.reranker.logits([inputs.pair(query, base.rows[i]) for i in chosen])
        return ranking.rank(self.constants, chosen.tolist(), signals[chosen], logits.astype(np.float64))
