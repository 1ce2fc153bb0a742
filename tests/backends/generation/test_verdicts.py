"""Yes and no at the beginning of a reply."""

from __future__ import annotations

import pytest
import torch

from assistant.backends.generation.verdicts import Verdicts

VOCABULARY = ("ĠYes", "ĠNo", "▁yes", "NO", "ĠNot", "ĠThe", "Ġyesterday")


@pytest.mark.parametrize(
    ("yes", "no", "kept"),
    [(3.0, 0.0, True), (0.0, 3.0, True), (0.6, 0.0, False), (0.0, 0.6, False)],
)
def test_what_is_not_sure_is_not_said(yes: float, no: float, kept: bool) -> None:
    """All spellings of both go, other words stay as they were."""
    logits = torch.tensor([yes, no, -9.0, -9.0, 1.0, 0.5, 0.2])
    before = logits.clone()
    Verdicts(VOCABULARY).forbid_doubtful(logits)
    assert torch.equal(logits[4:], before[4:])
    assert torch.equal(logits, before) if kept else logits[:4].isinf().all()


def test_spellings_count_together() -> None:
    """Two of yes, each no likelier than the one no, are twice as likely."""
    logits = torch.tensor([1.0, 0.0, 1.0, -9.0, 0.0, 0.0, 0.0])
    Verdicts(VOCABULARY).forbid_doubtful(logits)
    assert not logits.isinf().any()


def test_vocabulary_without_either_is_left_alone() -> None:
    """A tokenizer that writes yes in pieces, or another language."""
    logits = torch.zeros(3)
    Verdicts(("ja", "nein", "yes")).forbid_doubtful(logits)
    assert not logits.isinf().any()
