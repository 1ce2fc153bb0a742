"""The project's own reranker, which gives each sentence a score: int8 ONNX, quick to load, no torch."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from assistant.backends.onnx_body import CLS, SEP, OnnxBody, Row, query_ids
from assistant.backends.weights import BUILTIN_NAME, digest
from assistant.errors import ConfigError
from assistant.protocols import PassageScore
from assistant.records import Message

_PASSAGE_TOKENS = 176
_CUT_OFF = -10.0  # of a sentence too far back to be read

_Array = NDArray[np.float32]


def sentence_row(
    query: Sequence[int], title: Sequence[int], sentences: Sequence[Sequence[int]]
) -> tuple[Row, list[int]]:
    """The input for one passage, cut to what fits.

    Args:
        query: token ids of the question.
        title: those of the passage's title.
        sentences: those of each sentence.

    Returns: the row, and for each of its tokens the number of its sentence, from 1; 0 for none.
    """
    ids, numbers = list(title), [0] * len(title)
    for number, sentence in enumerate(sentences, start=1):
        ids += sentence
        numbers += [number] * len(sentence)
    ids, numbers = ids[:_PASSAGE_TOKENS], numbers[:_PASSAGE_TOKENS]
    second = len(query) + 2
    return Row([CLS, *query, SEP, *ids, SEP], second), [*[0] * second, *numbers, 0]


class OnnxReranker:
    """A `Reranker` over models/retrieval/reranker. A passage is worth as much as its best sentence."""

    def __init__(self, folder: Path, threads: int = 1, at_once: int = 1) -> None:
        """Load `model.onnx` and `head.safetensors` of `reranker/` in the folder models/retrieval.

        Args:
            folder: models/retrieval.
            threads: inside one run of the model.
            at_once: passages of one question that are read side by side; halves a lone customer's wait on two cores.

        Raises: ConfigError: a file is missing or broken.
        """
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="reranker")
        self._body = OnnxBody(folder / "reranker" / "model.onnx", "tokens", threads)
        head = folder / "reranker" / "head.safetensors"
        try:
            self._head = load_file(head)
        except (OSError, SafetensorError) as error:
            raise ConfigError(f"model {head} cannot be loaded: {error}; restore the models folder") from error
        self._identity = f"{BUILTIN_NAME}-reranker/onnx-int8/{digest([head])[:6]}{self._body.digest[:6]}"

    @property
    def identity(self) -> str:
        """Name, number format and weights hash."""
        return self._identity

    def score(
        self, question: str, history: Sequence[Message], passages: Sequence[tuple[str, Sequence[str]]]
    ) -> list[PassageScore]:
        """See `Reranker.score`. Reads the last messages of the history as far as they fit."""
        return [
            PassageScore(float(logits.max(initial=_CUT_OFF)), tuple(logits.tolist()))
            for logits in self.sentence_logits(question, history, passages)
        ]

    def sentence_logits(
        self, question: str, history: Sequence[Message], passages: Sequence[tuple[str, Sequence[str]]]
    ) -> list[_Array]:
        """A logit for each sentence of each passage, shape (sentences,); arguments as of `score`."""
        query = query_ids(self._body.pieces, question, history)
        return list(self._pool.map(lambda passage: self._passage(query, *passage), passages))

    def _passage(self, query: Sequence[int], title: str, sentences: Sequence[str]) -> _Array:
        named, *texts = self._body.pieces.ids([f"{title}.", *sentences])
        row, numbers = sentence_row(query, named, texts)
        tokens = self._body.run(row)
        shown = slice(row.second, len(row.ids) - 1)
        return self._scores(tokens[: row.second], tokens[shown], np.array(numbers[shown]), len(sentences))

    def _scores(self, asked: _Array, shown: _Array, numbers: NDArray[np.int64], count: int) -> _Array:
        """Mirrors training.retrieval.sentences.SentenceReranker.forward behind the body."""
        head = self._head
        whole = _unit(asked.sum(0))
        pairs = _unit(asked) @ _unit(shown).T
        scores = np.full(count, _CUT_OFF, np.float32)
        for number in range(count):
            own = numbers == number + 1
            if own.any():
                mean = shown[own].mean(0)
                said = np.tanh(head["dense.weight"] @ mean + head["dense.bias"]) @ head["out.weight"][0]
                near = head["mix"][0] * (_unit(mean) @ whole) + head["mix"][1] * pairs[:, own].max(1).mean()
                scores[number] = said + head["out.bias"][0] + near
        return scores


def _unit(values: _Array) -> _Array:
    scaled: _Array = values / np.linalg.norm(values, axis=-1, keepdims=True).clip(1e-12)
    return scaled
