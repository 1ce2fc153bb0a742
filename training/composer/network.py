"""The composer's network at the start of training, and its loss.

The layers begin as MiniLM's: an encoder that can read already. Tokens of the prompt see the whole prompt
(`prefix_mask`), as it is used to, and the reply is written forward behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedTokenizerFast
from transformers.models.bert.modeling_bert import BertModel

from assistant.backends.composer_model import ComposerConfig, ComposerForCausalLM
from training.composer import tokenizer as tokens

POSITIONS = 640
_LOW = -30000.0
_SELECTION = 1.0  # weight of choosing what is taken over, beside a token of the reply
_SPECIAL = {
    tokens.PAD: "[PAD]", tokens.SOURCE: "[SEP]", tokens.CUSTOMER: "[SEP]", tokens.ASSISTANT: "[CLS]",
    tokens.END: "[SEP]", tokens.MASK: "[MASK]",
}  # fmt: skip


def _products(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float, **_: object
) -> tuple[Tensor, None]:
    """Attention in plain matrix products; on a CPU the library's takes 1.6 times as long, there and back."""
    scores = torch.matmul(query * scaling, key.transpose(2, 3)).add_(mask)
    return torch.matmul(torch.softmax(scores, dim=-1), value).transpose(1, 2), None


AttentionInterface.register("products", _products)


def begin(
    published: Path, tokenizer: PreTrainedTokenizerFast, seed: int, dropout: float
) -> ComposerForCausalLM:
    """A network that begins with the published MiniLM.

    A token's embedding is the mean of those that its text, in lower case, has in MiniLM's vocabulary, so that
    words keep their meaning; a little noise tells apart tokens that differ by case or space alone. Positions past
    MiniLM's 512 begin as repetitions of its last ones. The head is new.
    """
    torch.manual_seed(seed)
    old = BertModel.from_pretrained(published, add_pooling_layer=False)
    config = ComposerConfig(
        vocab_size=len(tokenizer),
        hidden_size=old.config.hidden_size,
        num_hidden_layers=old.config.num_hidden_layers,
        num_attention_heads=old.config.num_attention_heads,
        intermediate_size=old.config.intermediate_size,
        layer_norm_eps=old.config.layer_norm_eps,
        max_position_embeddings=POSITIONS,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=0.0,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        attn_implementation="products",
    )
    model = ComposerForCausalLM(config)
    model.bert.encoder.load_state_dict(old.encoder.state_dict())
    ours, theirs = model.bert.embeddings, old.embeddings
    with torch.no_grad():
        ours.LayerNorm.load_state_dict(theirs.LayerNorm.state_dict())
        ours.token_type_embeddings.weight.copy_(theirs.token_type_embeddings.weight)
        table = theirs.position_embeddings.weight
        ours.position_embeddings.weight.copy_(torch.cat([table, table[len(table) * 2 - POSITIONS :]]))
        ours.word_embeddings.weight.copy_(
            _word_embeddings(published / "tokenizer.json", theirs.word_embeddings.weight, tokenizer)
        )
    return model


def _word_embeddings(vocabulary: Path, table: Tensor, tokenizer: PreTrainedTokenizerFast) -> Tensor:
    pieces = Tokenizer.from_file(str(vocabulary))
    ids = pieces.get_vocab()
    rows = torch.empty(len(tokenizer), table.shape[1])
    for number, text in enumerate(tokens.surfaces(tokenizer)):
        if text in _SPECIAL:
            found = [ids[_SPECIAL[text]]]
        else:
            found = _continuation(text, ids) or pieces.encode(text, add_special_tokens=False).ids
        rows[number] = table[found].mean(0) if found else table.mean(0)
    return rows + torch.randn_like(rows) * 0.1 * table.std()


def _continuation(text: str, ids: dict[str, int]) -> list[int]:
    """The piece "##ing" for a token "ing" that stands inside a word; empty if there is none."""
    inside = text == text.lower() and text.isalpha()
    return [ids[f"##{text}"]] if inside and f"##{text}" in ids else []


@dataclass(frozen=True, slots=True)
class Sample:
    """Token ids of a prompt and of what follows.

    Attributes:
        labels: (position in the prompt, id) to be filled in.
        sources: how many tokens at the beginning of the prompt are of sources; 0 where nothing is known of them.
        kept: positions of those that the reply takes over, and of the marks of the sources it cites.
    """

    prompt: tuple[int, ...]
    reply: tuple[int, ...]
    labels: tuple[tuple[int, int], ...] = ()
    sources: int = 0
    kept: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.prompt) + len(self.reply)


def prefix_mask(prompts: Sequence[int], lengths: Sequence[int]) -> Tensor:
    """The mask of right-padded rows: 0 where a token (row) may see another (column), else very low.

    Args:
        prompts: tokens of each row that see each other.
        lengths: tokens of each row in all; later ones see what is before them.

    Returns: float32, (rows, 1, longest, longest).
    """
    longest = max(lengths)
    place = torch.arange(longest)
    prompt, length = torch.tensor(prompts)[:, None, None], torch.tensor(lengths)[:, None, None]
    seen = (place[None, None, :] <= place[None, :, None]) | (place[None, None, :] < prompt)
    seen = seen & (place[None, None, :] < length) | torch.eye(longest, dtype=torch.bool)
    return torch.where(seen, 0.0, _LOW)[:, None]


def loss_sum(
    model: nn.Module, samples: Sequence[Sample], smoothing: float, fill_weight: float = 0.5
) -> Tensor:
    """Cross-entropy summed over the tokens of the replies, and `fill_weight` times that of the masked tokens.

    `smoothing` pulls the vocabulary's softmax, not the copying, towards even. The last number of a copying key
    learns to say whether a token of a source will be taken over (content selection; Gehrmann et al. 2018).
    """
    assert isinstance(model, ComposerForCausalLM)
    device = next(model.parameters()).device
    longest = max(len(sample) for sample in samples)
    ids = torch.zeros(len(samples), longest, dtype=torch.long)
    filled: list[tuple[int, int, int]] = []
    for row, sample in enumerate(samples):
        ids[row, : len(sample)] = torch.tensor(sample.prompt + sample.reply)
        filled += [(row, place, token) for place, token in sample.labels]
    mask = prefix_mask([len(s.prompt) for s in samples], [len(s) for s in samples])
    hidden = model.bert(
        ids.to(device), attention_mask=mask.to(device, model.dtype), use_cache=False
    ).last_hidden_state
    total = torch.zeros((), device=device)
    for row, sample in enumerate(samples):
        span = slice(len(sample.prompt) - 1, len(sample) - 1)
        seen = ids[row : row + 1, : len(sample)].to(device)
        keys = model.copy_key(hidden[row : row + 1, : len(sample)])
        gate, places = model.copying(
            hidden[row : row + 1, span],
            seen[:, span],
            keys,
            seen,
            mask[row, :, span, : len(sample)].to(device),
        )
        targets = torch.tensor(sample.reply, device=device)
        copied = (gate[0] * places[0] * (seen == targets[:, None])).sum(1)
        logits = torch.log_softmax(model.cls(hidden[row, span]).float(), dim=-1)
        written = logits.gather(1, targets[:, None])[:, 0].exp() * (1 - gate[0, :, 0])
        total = total - torch.log(copied + written + 1e-10).sum()
        if smoothing:
            total = total - smoothing * logits.mean(1).sum()
        if sample.sources:
            kept = torch.zeros(sample.sources, device=device)
            kept[list(sample.kept)] = 1
            chosen = F.binary_cross_entropy_with_logits(keys[0, : sample.sources, -1].float(), kept)
            total = total + _SELECTION * len(sample.reply) * chosen
    if filled:
        rows, places_, wanted = torch.tensor(filled, device=device).T
        total = total + fill_weight * F.cross_entropy(
            model.cls(hidden[rows, places_]).float(), wanted, reduction="sum"
        )
    return total
