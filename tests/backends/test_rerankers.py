"""The contract of `Reranker`, held by every implementation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from assistant.backends.cross_encoder import CrossEncoderReranker
from assistant.backends.onnx_reranker import OnnxReranker
from assistant.errors import ConfigError
from assistant.protocols import PassageScore, Reranker
from assistant.records import Message, Role

MODELS = Path(__file__).parents[2] / "models" / "retrieval"
PASSAGES = [
    ("Delivery", ["Parcels take two working days.", "Sofas take ten."]),
    ("Returns", ["You can send back what you do not like within thirty days."] * 20),
    ("Opening", ["We open at nine."]),
]
HISTORY = (Message(Role.CUSTOMER, "when do you open"), Message(Role.ASSISTANT, "At nine."))


def save_tiny_cross_encoder(folder: Path, outputs: int = 1) -> Path:
    """A random two-layer BERT with a tokenizer trained on the passages."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))  # type: ignore[arg-type]
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    tokenizer.train_from_iterator(
        [text for _, texts in PASSAGES for text in texts],
        trainers.WordPieceTrainer(vocab_size=120, special_tokens=special),
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=64,
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        num_labels=outputs,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=["onnx", "cross-encoder"])
def reranker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reranker]:
    """Each implementation, loaded once."""
    threads = torch.get_num_threads()
    if request.param == "onnx":
        yield OnnxReranker(MODELS)
    else:
        yield CrossEncoderReranker(str(save_tiny_cross_encoder(tmp_path_factory.mktemp("tiny"))))
    torch.set_num_threads(threads)


def logits(scores: Sequence[PassageScore]) -> list[float]:
    """Those of the passages."""
    return [score.logit for score in scores]


class TestReranker:
    """What every `Reranker` promises."""

    def test_one_score_for_each_passage_and_sentence(self, reranker: Reranker) -> None:
        """Sentences have scores from a model that tells; a passage is then worth its best one."""
        scores = reranker.score("when do parcels come", (), PASSAGES)
        assert len(scores) == len(PASSAGES)
        assert np.isfinite(logits(scores)).all()
        for score, (_, sentences) in zip(scores, PASSAGES, strict=True):
            assert score.sentences is None or len(score.sentences) == len(sentences)
            assert score.sentences is None or max(score.sentences) == score.logit

    def test_no_passages_give_no_scores(self, reranker: Reranker) -> None:
        """An empty base is no special case for the caller."""
        assert reranker.score("anything", HISTORY, ()) == []

    def test_scores_follow_their_passages(self, reranker: Reranker) -> None:
        """Another order of the passages is another order of the same scores."""
        scores = logits(reranker.score("when do parcels come", (), PASSAGES))
        turned = logits(reranker.score("when do parcels come", (), PASSAGES[::-1]))
        np.testing.assert_allclose(turned[::-1], scores, atol=1e-4)

    def test_history_is_read(self, reranker: Reranker) -> None:
        """A follow-up scores differently behind another conversation."""
        alone = logits(reranker.score("and on sunday", (), PASSAGES))
        behind = logits(reranker.score("and on sunday", HISTORY, PASSAGES))
        assert np.abs(np.subtract(alone, behind)).max() > 1e-4

    def test_very_long_question_and_history_are_cut(self, reranker: Reranker) -> None:
        """No length of a customer's words breaks the model."""
        long = "parcel " * 900
        history = (Message(Role.CUSTOMER, long), Message(Role.ASSISTANT, long))
        assert np.isfinite(logits(reranker.score(long, history, PASSAGES))).all()


def test_onnx_reranker_keeps_the_end_of_a_long_history() -> None:
    """What was said long ago falls out first, the question never."""
    reranker = OnnxReranker(MODELS)
    recent = [Message(Role.ASSISTANT, "we open at nine " * 30)]
    early = [Message(Role.CUSTOMER, "tell me about lamps"), *recent]
    question = "and on sunday"
    assert reranker.score(question, early, PASSAGES) == reranker.score(question, recent, PASSAGES)
    assert reranker.score("refund", early, PASSAGES) != reranker.score(question, early, PASSAGES)


def test_cross_encoder_with_several_outputs_is_refused(tmp_path: Path) -> None:
    """A classifier is not a reranker."""
    with pytest.raises(ConfigError, match="3 outputs"):
        CrossEncoderReranker(str(save_tiny_cross_encoder(tmp_path, outputs=3)))
