"""The reranker's training on sentences: its labels, its inputs, and that serving computes what training does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from assistant.backends.onnx_reranker import OnnxReranker
from training.composer import labels
from training.composer.augment import Base
from training.composer.corpus import Business, Example, Passage
from training.retrieval.crossencoder import Reranker
from training.retrieval.model import Body, BodyShape
from training.retrieval.sentences import SentenceReranker

PIECES = {
    "shed-01": ["The shed is open from 09:00 to 18:00.", "On Sundays it is closed."],
    "shed-02": ["A deposit of 150 euros is due.", "It is paid back within a week."],
}
BASE = Base(
    Business("shed", tuple(Passage(id_, "Title", " ".join(p)) for id_, p in PIECES.items()), ()), {}, PIECES
)


def example(reply: str) -> Example:
    """An example with this reply."""
    return Example("shed-e1", "answer", (), "?", ("shed-01",), reply)


def test_labels_are_the_sentences_most_like_those_of_the_reply() -> None:
    """Each cited sentence of the reply has one, in a passage that it cites; others have none."""
    reply = "Sorry. We are closed on Sundays [shed-01]. You get it back within a week [shed-02]. Bye!"
    assert labels.gold(BASE, example(reply)) == {"shed-01": frozenset({1}), "shed-02": frozenset({1})}
    assert labels.gold(BASE, example("Bring stout boots [shed-01].")) == {}
    assert labels.gold(BASE, example("I don't know.")) == {}


class Given(nn.Module):
    """A body that gives back what it gets."""

    def forward(self, embeds: Tensor, _mask: Tensor, _types: Tensor, _apart: int) -> Tensor:
        return embeds


def test_serving_scores_sentences_as_training_does() -> None:
    """Random states, three tokens of a question, two sentences of a passage behind its title, padding in the batch."""
    torch.manual_seed(2)
    shape = BodyShape(hidden=8, layers=1, heads=2, inner=16, positions=32, eps=1e-12)
    model = SentenceReranker(Reranker(Body(shape)))
    nn.init.normal_(model.out.weight)
    state = {name: value.detach().numpy() for name, value in model.state_dict().items()}
    model.body = Given()  # type: ignore[assignment]
    states = torch.randn(1, 14, 8)
    mask = torch.tensor([[1.0] * 11 + [0.0] * 3])
    types = torch.tensor([[0] * 4 + [1] * 7 + [0] * 3])
    pieces = torch.tensor([[0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 0, 0, 0, 0]])
    trained = model(states, mask, types, pieces).detach().numpy()[0]
    served = object.__new__(OnnxReranker)
    served._head = state
    tokens = states[0].numpy()
    found = served._scores(tokens[:4], tokens[4:10], np.array([0, 1, 1, 1, 2, 2]), 2)
    assert found == pytest.approx(trained, abs=1e-4)
