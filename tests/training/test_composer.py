"""The parts of the composer's training that a mistake would spoil without anybody noticing."""

import copy
import dataclasses
import random
import re
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers.models import BPE
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from training.composer import augment, finetune, layers, network, operators, targets, tokenizer
from training.composer.corpus import Business, Example, Passage
from training.composer.decode import greedy
from training.composer.encoding import Encoder, Task
from training.composer.network import Sample, loss_sum
from training.retrieval.optim import MixedPrecision

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
)
COMMON = frozenset("shed opening old street may order deposit keys what the write".split()) | set(
    re.findall("[a-z]+", " ".join(augment.DECLINES).lower())
)


TEXTS = [f" {p.title}: {p.text}" for p in PASSAGES]


@pytest.fixture(scope="module")
def published() -> PreTrainedTokenizerFast:
    """A byte-level BPE with the marks of the published one."""
    backend = Tokenizer(BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(TEXTS * 3, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend)


@pytest.fixture(scope="module")
def small(published: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """What is left of it when some tokens go."""
    return tokenizer.reduce(published, [(text, 1) for text in TEXTS], size=330)


def llama(vocabulary: int, layers: int = 2) -> LlamaForCausalLM:
    """A tiny random network."""
    torch.manual_seed(5)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=64,
        initializer_range=0.3,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config).eval()


@pytest.fixture
def model(small: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A tiny network of the tokenizer's size."""
    return llama(len(small))


def test_reduced_tokenizer_keeps_text_and_the_tokens_used_most(
    published: PreTrainedTokenizerFast, small: PreTrainedTokenizerFast
) -> None:
    """Everything can still be written; every token but marks and citations is one of the published."""
    assert len(small) == 330 < len(published) + 14
    for text in (*TEXTS, " Wie schön! 退货 €39"):
        assert small.decode(small(text)["input_ids"]) == text
    names = set(small.get_vocab()) - set(tokenizer.SPECIAL) - set(tokenizer.CITATIONS)
    assert names < set(published.get_vocab())
    assert len(small(TEXTS[1])["input_ids"]) < len(TEXTS[1]) * 0.7


def test_network_with_fewer_tokens_says_the_same_about_those_kept(
    published: PreTrainedTokenizerFast, small: PreTrainedTokenizerFast
) -> None:
    """Logits of the tokens kept are those of the whole network."""
    whole = llama(len(published))
    text = [name for name in small.tokenize(TEXTS[0]) if name in published.get_vocab()]
    before = whole(torch.tensor([published.convert_tokens_to_ids(text)])).logits[0, -1]
    reduced = network.with_vocabulary(whole, published, small)
    after = reduced(torch.tensor([small.convert_tokens_to_ids(text)])).logits[0, -1]
    kept = [name for name in small.get_vocab() if name in published.get_vocab()]
    theirs, ours = before[published.convert_tokens_to_ids(kept)], after[small.convert_tokens_to_ids(kept)]
    assert torch.allclose(theirs, ours, atol=1e-5)
    assert reduced.config.vocab_size == len(small)


def test_layers_that_do_nothing_are_taken_out_first(small: PreTrainedTokenizerFast) -> None:
    """Of five layers, two of which add nothing, three stay; the network is given back whole."""
    five = llama(len(small), layers=5)
    for idle in (1, 3):
        five.model.layers[idle].self_attn.o_proj.weight.data.zero_()
        five.model.layers[idle].mlp.down_proj.weight.data.zero_()
    five.requires_grad_(False)
    ids = tuple(five(torch.tensor([[7]])).logits[0, -1].topk(20).indices.tolist())
    kept = layers.choose(five, [Sample((7,), ids)], 3, lambda _: None)
    assert len(five.model.layers) == 5
    whole = float(loss_sum(five, [Sample((7,), ids)]))
    without = network.with_layers(five, [0, 2, 4])
    assert float(loss_sum(without, [Sample((7,), ids)])) == pytest.approx(whole, rel=1e-5)
    assert len(kept) == 3


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


def test_padding_changes_no_loss(model: LlamaForCausalLM) -> None:
    """A short sample costs the same alone as beside a long one."""
    short, long = Sample((6, 7, 8), (9, 10)), Sample(tuple(range(6, 60)), (11, 12, 13))
    apart = sum(float(loss_sum(model, [sample]).detach()) for sample in (short, long))
    assert float(loss_sum(model, [short, long]).detach()) == pytest.approx(apart, rel=1e-5)


def test_loss_is_of_the_reply_given_the_prompt(model: LlamaForCausalLM) -> None:
    """The same as by the library's own labels."""
    sample = Sample((6, 7, 8), (9, 10, 4))
    ids = torch.tensor([sample.prompt + sample.reply])
    labels = ids.clone()
    labels[0, :3] = -100
    theirs = float(model(input_ids=ids, labels=labels).loss.detach()) * 3
    assert float(loss_sum(model, [sample]).detach()) == pytest.approx(theirs, rel=1e-5)


def test_greedy_replies_are_those_without_batch_and_cache(model: LlamaForCausalLM) -> None:
    """Decoding with the cache, left-padded in a batch, chooses what the whole sequence alone would."""
    prompts = [[6, 7, 8], list(range(20, 60)), [30, 31]]
    for prompt, reply in zip(prompts, greedy(model, prompts, end=4, most=6), strict=True):
        assert len(reply) > 2
        for length in range(len(reply)):
            logits = model(torch.tensor([prompt + reply[:length]])).logits[0, -1]
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
    task = Task((("Long", "word " * 1100),), (), "?", "Yes.")
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


def test_quick_operators_give_the_same_loss_and_gradients() -> None:
    """Attention and norm for processors, beside those of transformers, on rows of unlike length."""
    torch.manual_seed(5)
    sizes = {"hidden_size": 36, "intermediate_size": 40, "num_attention_heads": 6, "num_key_value_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=50, num_hidden_layers=2, initializer_range=0.3, **sizes))
    quick = copy.deepcopy(model)
    operators.quicken(quick)
    samples = [Sample(tuple(range(3, 12)), (5, 6, 7)), Sample((9, 8), (3, 4, 11))]
    found = []
    for one in (model, quick):
        loss = loss_sum(one, samples)
        found.append((loss.detach(), torch.autograd.grad(loss, list(one.parameters()))))
    (loss, gradients), (quick_loss, quick_gradients) = found
    assert float(quick_loss) == pytest.approx(float(loss), rel=1e-5)
    for gradient, other in zip(gradients, quick_gradients, strict=True):
        assert torch.allclose(other, gradient, atol=1e-4 * float(gradient.abs().max()))


def test_twin_runs_with_rounded_weights_and_the_master_learns() -> None:
    """Weights that will be stored with few bits: the small steps of training add up in the whole ones."""
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(model.weight, 0.6)
    mixed = MixedPrecision(
        model,
        0.1,
        100,
        "cpu",
        warmup=0.0,
        rounded=lambda step, _, weight: weight.round() if step > 1 else weight,
    )
    seen = []
    for _ in range(4):
        mixed.step([torch.ones(1, 1)])
        seen.append(float(mixed.twin.weight.detach()))
    assert seen[0] == pytest.approx(0.5, abs=0.01)
    assert set(seen[1:]) == {0.0}
    assert float(mixed.master.weight.detach()) == pytest.approx(0.2, abs=0.05)


def test_own_replies_are_thinned_where_the_corpus_has_fewer_of_their_length() -> None:
    """All of the corpus stays; of the project's own as many are short as there."""

    def made(name: str, short: int, long: int) -> list[tuple[augment.Base, Example]]:
        replies = ["Yes, from 9 am [shed-02]."] * short + [f"{'word ' * 22}[shed-02]."] * long
        base = dataclasses.replace(BASE, business=Business(name, PASSAGES, ()))
        return [(base, dataclasses.replace(EXAMPLE, reply=reply)) for reply in replies]

    every = [*made("given", 100, 300), *made("barber", 600, 200)]
    kept = finetune.as_long(every, frozenset({"barber"}), random.Random(1))
    given = [example for base, example in kept if base.business.name == "given"]
    own = [example for base, example in kept if base.business.name == "barber"]
    assert len(given) == 400
    assert sum(len(example.reply) > 50 for example in own) == 200
    assert 150 < sum(len(example.reply) < 50 for example in own) < 250


KEY = "A lost key costs €25 [shed-03]."
OPEN = "Shed Lirrow in Old Street is open from 09:00 to 18:00, and costs €45 a day for members"


@pytest.mark.parametrize(
    ("written", "learned"),
    [
        # said anew: the source's sentence
        ("For a lost key you pay us €25 [shed-03].", KEY),
        # nearly a copy: as it was written
        ("A lost key costs you €25 [shed-03].", "A lost key costs you €25 [shed-03]."),
        # made from nothing that stands there: as it was written
        ("Not before noon, I'm afraid [shed-01].", "Not before noon, I'm afraid [shed-01]."),
        # a clause that was not asked for goes; yes stays, and so does what cites nothing
        (
            "Glad you ask. Yes, you can visit it in Old Street from 09:00 on, until 18:00 [shed-01]. Shall I help?",
            "Glad you ask. Yes, Shed Lirrow in Old Street is open from 09:00 to 18:00 [shed-01]. Shall I help?",
        ),
        # two sentences made from one: it is said once
        ("For a lost key you pay us €25 [shed-03]. So it's €25 for a key [shed-03].", KEY),
        (
            "For a lost key you pay us €25 [shed-03]. I'm sorry. So it's €25 for a key [shed-03].",
            f"{KEY} I'm sorry.",
        ),
    ],
)
def test_reply_in_the_words_of_its_sources(written: str, learned: str) -> None:
    """What cannot be copied is left alone; nothing is made up."""
    base = dataclasses.replace(BASE, pieces={"shed-01": [OPEN], "shed-03": ["A lost key costs €25"]})
    example = dataclasses.replace(EXAMPLE, reply=written)
    assert targets.in_source_words(base, example).reply == learned


def test_nobody_learns_to_decline_what_a_sentence_surely_answers() -> None:
    """Where the right passage is taken away and another seems to answer, the reply stays."""
    more = tuple(Passage(f"shed-{n:02}", f"Rule {n}", f"Shelf {n} carries {n} kg.") for n in range(4, 9))
    business = dataclasses.replace(BASE.business, passages=PASSAGES + more)
    base = dataclasses.replace(BASE, business=business, near={"shed-e001": [1, 0, 2, 3, 4, 5, 6, 7]})

    def starred(_: object, __: object, sources: list[Passage], ___: random.Random) -> list[Passage]:
        return [dataclasses.replace(source, text=f"**{source.text}") for source in sources]

    def replies(shorten: augment.Shorten | None) -> set[str]:
        augmenter = augment.Augmenter([base], COMMON, shorten)
        return {augmenter.draw(base, EXAMPLE, random.Random(seed)).reply for seed in range(300)}

    assert replies(None) & set(augment.DECLINES)
    assert not replies(starred) & set(augment.DECLINES)
