"""The parts of the composer's training that a mistake would spoil without anybody noticing."""

import random
import re
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from assistant.backends.composer_model import ComposerConfig, ComposerForCausalLM
from training.composer import augment, tokenizer
from training.composer.corpus import Business, Example, Passage
from training.composer.decode import greedy
from training.composer.encoding import Encoder, Task
from training.composer.network import Sample, loss_sum, prefix_mask

PASSAGES = (
    Passage(
        "shed-01", "Opening hours", "Shed Lirrow in Old Street is open from 09:00 to 18:00, and costs €45."
    ),
    Passage("shed-02", "Deposit", "Lirrow takes a deposit of €150 for order LW-20418, due by 14 May 2027."),
    Passage("shed-03", "Keys", "A lost key costs €25; write to help@lirrow.example."),
)
EXAMPLE = Example(
    id="shed-e001",
    kind="answer",
    history=(),
    question="What do I leave with Lirrow?",
    passages=("shed-02",),
    reply="The deposit at Lirrow is €150, due by 14 May 2027 [shed-02].",
)
BASE = augment.Base(
    Business("shed", PASSAGES, (EXAMPLE,)),
    {"shed-e001": [1, 0, 2]},
    {p.id: [p.text] for p in PASSAGES},
    {("shed-e001", p.id): [0.5] for p in PASSAGES},
)
COMMON = frozenset("shed opening old street may order deposit keys what the write".split()) | set(
    re.findall("[a-z]+", " ".join(augment.DECLINES).lower())
)


@pytest.fixture(scope="module")
def small() -> PreTrainedTokenizerFast:
    """A tokenizer of few words."""
    return tokenizer.learn([f" {p.title}: {p.text}" for p in PASSAGES] * 3, size=400)


@pytest.fixture
def network(small: PreTrainedTokenizerFast) -> ComposerForCausalLM:
    """A tiny random network of the composer's kind."""
    torch.manual_seed(5)
    config = ComposerConfig(
        copy_size=16,
        vocab_size=len(small),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=640,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        attn_implementation="products",
    )
    return ComposerForCausalLM(config).eval()


def test_prompt_is_what_the_chat_template_renders(small: PreTrainedTokenizerFast) -> None:
    """Training and serving read the same tokens."""
    history = (("customer", "Hello"), ("assistant", "Hi, how can I help?"))
    ours = Encoder(small).prompt([(p.title, p.text) for p in PASSAGES], history, "And 12 keys?")
    theirs = small.apply_chat_template(
        [
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Hi, how can I help?"},
            {"role": "user", "content": "And 12 keys?"},
        ],
        documents=[{"title": p.title, "text": p.text} for p in PASSAGES],
        add_generation_prompt=True,
        return_dict=False,
    )
    assert ours == theirs


def test_reply_survives_the_tokens_and_cites_with_one_token_each(small: PreTrainedTokenizerFast) -> None:
    """Decoding gives the reply back; each citation is one token."""
    ids = Encoder(small).reply("It costs €45 [1][2].")
    assert small.decode(ids) == " It costs €45 [1] [2].<|end|>"
    assert [small.convert_ids_to_tokens(i) for i in ids].count(" [1]") == 1


def test_digits_are_tokens_of_their_own(small: PreTrainedTokenizerFast) -> None:
    """A number is written digit by digit."""
    assert [t for t in small.tokenize(" LW-20418") if t.isdigit()] == list("20418")


def test_mask_lets_the_prompt_see_itself_and_the_reply_only_what_is_before() -> None:
    """Row 0 has a prompt of 2 in 4 tokens, row 1 a prompt of 1 in 3."""
    seen = (prefix_mask([2, 1], [4, 3])[:, 0] == 0).int().tolist()
    assert seen[0] == [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]
    assert seen[1][:3] == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0]]


def test_padding_changes_no_loss(network: ComposerForCausalLM) -> None:
    """A short sample costs the same alone as beside a long one."""
    short, long = Sample((6, 7, 8), (9, 10)), Sample(tuple(range(6, 60)), (11, 12, 13))
    apart = sum(float(loss_sum(network, [sample], 0.0).detach()) for sample in (short, long))
    assert float(loss_sum(network, [short, long], 0.0).detach()) == pytest.approx(apart, rel=1e-5)


def test_greedy_replies_are_those_of_the_training_mask(network: ComposerForCausalLM) -> None:
    """Decoding with the cache, left-padded in a batch, chooses what the whole sequence under the mask would."""
    prompts = [[6, 7, 8], list(range(20, 60)), [30, 31]]
    for prompt, reply in zip(prompts, greedy(network, prompts, end=4, most=6), strict=True):
        for length in range(len(reply)):
            ids = torch.tensor([prompt + reply[:length]])
            mask = prefix_mask([len(prompt)], [ids.shape[1]])
            logits = network(ids, attention_mask=mask).logits[0, -1]
            assert int(logits.argmax()) == reply[length]


def test_renamed_variant_stays_true() -> None:
    """Names, codes and numbers of the reply are those of its sources, and brands are no longer the shop's."""
    augmenter = augment.Augmenter([BASE], COMMON)
    seen = set()
    for seed in range(60):
        task = augmenter.draw(BASE, EXAMPLE, random.Random(seed))
        if task.reply in augment.DECLINES:
            assert all("deposit" not in text for _, text in task.sources)
            continue
        number = int(re.search(r"\[(\d)\]", task.reply)[1])  # type: ignore[index]
        source = task.sources[number - 1][1]
        for fact in re.findall(r"€\d+|(?<=at )[A-Z][a-z]+", task.reply):
            assert fact in source
            seen.add(fact)
        assert "14 May 2027" in task.reply
    assert len(seen) > 20


def test_citations_of_missing_sources_are_dropped() -> None:
    """A reply numbered by its sources cites only those that are there."""
    task = augment.numbered(PASSAGES[:1], (), "?", "Open till 18:00 [shed-01][shed-03].")
    assert task == Task(((PASSAGES[0].title, PASSAGES[0].text),), (), "?", "Open till 18:00 [1].")


def test_task_longer_than_the_network_gives_no_sample(small: PreTrainedTokenizerFast) -> None:
    """Nothing is cut off in silence."""
    task = Task((("Long", "word " * 700),), (), "?", "Yes.")
    assert Encoder(small).sample(task) is None


def test_own_businesses_are_whole() -> None:
    """Every citation of the project's own training businesses names a passage of theirs."""
    from training.composer.corpus import OWN, load_business
    from training.retrieval.corpus import names

    assert names(OWN)
    for name in names(OWN):
        business = load_business(Path(OWN), name)
        known = {passage.id for passage in business.passages}
        for example in business.examples:
            assert set(augment.used(example)) <= known, example.id
