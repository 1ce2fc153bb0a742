"""The reranker as it is served: its export, and how well it chooses sentences."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from torch import Tensor

from assistant.backends.onnx_reranker import OnnxReranker
from assistant.composition.quoting import SentenceScores, choose_sentences
from assistant.evaluation.figures import token_f1
from assistant.protocols import Embedder
from assistant.records import Message, Role
from assistant.retrieval.lexical import LexicalIndex
from training.composer.augment import Base, used, without_ids
from training.composer.corpus import ANSWERED, Example, Passage
from training.composer.labels import gold
from training.retrieval.crossencoder import Reranker
from training.retrieval.export import activation_peaks, build
from training.retrieval.inputs import Inputs
from training.retrieval.sentences import SentenceReranker, row

_EXPORT_ROWS = 300


def export(
    model: SentenceReranker, table: Tensor, reader: Inputs, bases: Sequence[Base], folder: Path, seed: int
) -> None:
    """Write `model.onnx` (states of the tokens, int8, its channels evened out on some inputs) and its head."""
    rng = random.Random(f"{seed}-reranker-export")
    seen = []
    for _ in range(_EXPORT_ROWS):
        base = rng.choice(bases)
        example, passage = rng.choice(base.business.examples), rng.choice(base.business.passages)
        shown = row(reader, reader.query(example.question), passage.title, base.pieces[passage.id])
        seen.append((shown.ids, shown.second))
    model = model.float().eval()
    state = {name: values.numpy() for name, values in model.state_dict().items()}
    peaks = activation_peaks(model.body, table, seen, Reranker.APART)
    folder.mkdir(parents=True, exist_ok=True)
    build(state, model.body.shape, folder / "model.onnx", "tokens", Reranker.APART, peaks)
    head = {name: values for name, values in state.items() if not name.startswith("body.")}
    save_file(head, folder / "head.safetensors")


def figures(
    bases: Sequence[Base], folder: Path, embedder: Embedder, shown: int = 3
) -> dict[str, dict[str, float]]:
    """How well sentences are chosen by the exported reranker, and by vectors and words as without one.

    Args:
        bases: businesses it was not trained on.
        folder: models/retrieval.
        embedder: the shipped encoder.
        shown: passages a question, the right ones and the nearest others.

    Returns: by way of choosing: questions `n`; share where the best sentence is one the reply was made from, `best`,
        and where one of the best three is, `of_three`; token-F1 with the reply of the best sentence, `f1_best`, and of
        those that would be quoted, `f1_quoted`; the latter of the right passages alone, `f1_quoted_right`.
    """
    exported = OnnxReranker(folder)
    rows: dict[str, list[tuple[float, ...]]] = {"vectors and words": [], "with the reranker": []}
    for base in bases:
        known = {p.id: p for p in base.business.passages}
        for example in base.business.examples:
            if example.kind not in ANSWERED:
                continue
            right = used(example)
            near = [base.business.passages[i].id for i in base.near[example.id]]
            chosen = [
                known[i] for i in [*right, *(i for i in near if i not in right)][: max(shown, len(right))]
            ]
            wanted = gold(base, example)
            for way, found in _ways(base, example, chosen, exported, embedder).items():
                rows[way].append(_quality(found, wanted, set(right), without_ids(example.reply)))
    names = ("best", "of_three", "f1_best", "f1_quoted", "f1_quoted_right")
    return {
        way: {
            "n": len(values),
            **{n: round(float(v), 4) for n, v in zip(names, np.mean(values, axis=0), strict=True)},
        }
        for way, values in rows.items()
    }


_Found = list[tuple[str, list[str], list[SentenceScores]]]  # id, sentences and their scores, by passage


def _ways(
    base: Base, example: Example, passages: Sequence[Passage], exported: OnnxReranker, embedder: Embedder
) -> dict[str, _Found]:
    history = [Message(Role(role), without_ids(text)) for role, text in example.history]
    said = " ".join(message.text for message in history) if example.kind == "followup" else ""
    asked = embedder.embed([f"{said} {example.question}".strip()])[0]
    pieces = [list(base.pieces[p.id]) for p in passages]
    titles = [p.title for p in passages]
    read = exported.sentence_logits(example.question, history, list(zip(titles, pieces, strict=True)))
    plain: _Found = []
    both: _Found = []
    for passage, texts, logits in zip(passages, pieces, read, strict=True):
        alone = embedder.embed(texts) @ asked
        titled = embedder.embed([f"{passage.title}. {text}" for text in texts]) @ asked
        words = LexicalIndex(texts).scores(example.question)
        columns = list(zip(alone.tolist(), titled.tolist(), words.tolist(), logits.tolist(), strict=True))
        plain.append((passage.id, texts, [SentenceScores(*row[:3]) for row in columns]))
        both.append((passage.id, texts, [SentenceScores(*row) for row in columns]))
    return {"vectors and words": plain, "with the reranker": both}


def _quality(
    found: _Found, wanted: Mapping[str, frozenset[int]], right: Collection[str], reply: str
) -> tuple[float, ...]:
    ranked = sorted(
        ((-score.total, id_, place, text) for id_, texts, scores in found for place, (text, score) in
         enumerate(zip(texts, scores, strict=True))),
    )  # fmt: skip
    hits = [place in wanted.get(id_, ()) for _, id_, place, _ in ranked]

    def quoted(passages: _Found) -> float:
        texts = [text for _, texts, _ in passages for text in texts]
        scores = [score for _, _, scores in passages for score in scores]
        return token_f1(" ".join(texts[i] for i in choose_sentences(texts, scores)), reply)

    own = [passage for passage in found if passage[0] in right]
    return (hits[0], any(hits[:3]), token_f1(ranked[0][3], reply), quoted(found), quoted(own))
