"""The finished model directory: acoustic model, what feature normalisation begins with, and the model card."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from training.voice import engines, human, kaldi_files
from training.voice.mfcc import COEFFICIENTS
from training.voice.network import AcousticModel

LIMIT_BYTES = 30_000_000
_COUNT = 10_000  # frames that the global mean is said to be of; only sum / count matters


def write_acoustic(model: AcousticModel, folder: Path) -> None:
    """Write am/: the network, eight bits a weight, and the global mean."""
    (folder / "am").mkdir(parents=True, exist_ok=True)
    kaldi_files.write_model(folder / "am" / "final.mdl", model.exported(), COEFFICIENTS)
    mean = model.mean.double()
    sums = torch.cat([mean, torch.ones(1, dtype=torch.float64)]) * _COUNT
    squares = torch.cat([(mean.square() + 100) * _COUNT, torch.zeros(1, dtype=torch.float64)])
    rows = [" ".join(f"{value:.6g}" for value in row.tolist()) for row in (sums, squares)]
    (folder / "am" / "global_cmvn.stats").write_text(f" [\n  {rows[0]}\n  {rows[1]} ]\n", encoding="ascii")


def size_bytes(folder: Path) -> int:
    """Of the whole directory."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def write_card(folder: Path, about: Mapping[str, Any], figures: Mapping[str, Mapping[str, Any]]) -> None:
    """Write README.md and figures.json; every number is taken from `about` and `figures`."""
    (folder / "figures.json").write_text(
        json.dumps({"about": about, "figures": figures}, indent=2) + "\n", encoding="utf-8"
    )
    rows = [
        f"| {name} | {found['clips']} | {found['words']} | {100 * found['wer']:.1f} % | {100 * found['oov']:.1f} % |"
        for name, found in sorted(figures.items())
    ]
    speed = [found["rtf"] for found in figures.values()]
    text = _CARD.format(
        parameters=f"{about['parameters']:,}",
        vocabulary=f"{about['vocabulary']:,}",
        ngrams=f"{about['ngrams']:,}",
        megabytes=f"{size_bytes(folder) / 1e6:.1f}",
        step=about["step"],
        hours=f"{about['hours']:.0f}",
        rows="\n".join(rows) or "| not measured yet | | | | |",
        rtf=f"{sum(speed) / len(speed):.3f}" if speed else "not measured yet",
        people=_lines(f"{source}: {licence}" for source, licence in human.LICENCES.items()),
        voices=_lines(
            [f"{voice.name}: {voice.licence}" for voice in engines.TRAINED]
            + [f"{engines.NEURAL}, its voices and what lies between two of them: {engines.NEURAL_LICENCE}"]
        ),
        held_out=", ".join(voice.name for voice in engines.HELD_OUT),
    )
    (folder / "README.md").write_text(text, encoding="utf-8")


def _lines(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def check_size(folder: Path) -> int:
    """The size of the directory.

    Raises: ValueError: it is larger than it may be.
    """
    size = size_bytes(folder)
    if size > LIMIT_BYTES:
        raise ValueError(f"{folder} has {size} bytes, more than {LIMIT_BYTES}; keep fewer n-grams")
    return size


_CARD = """# vosk-en

English speech for customer service, in the format of Vosk (0.3.45): made by `make train-voice`, whole, from open
material. It streams, gives partial results, word times and confidences, ends utterances, and takes grammars at
run time (`[unk]` included).

- Acoustic model: {parameters} parameters, TDNN-F, lattice-free MMI, {step} updates on {hours} h of augmented speech.
- Vocabulary: {vocabulary} words; language model of {ngrams} n-grams.
- Whole directory: {megabytes} MB. 16 kHz; lower and higher rates are resampled.

## Measured
Decoded through `vosk`, general language model, speakers and voices that were never trained on. Words that the
vocabulary lacks count as errors. `python -m training.voice evaluate` makes this table.

| test set | clips | words | word error rate | words not in the vocabulary |
|---|---|---|---|---|
{rows}

Time to decode on one core, as a share of the audio's length: {rtf}.

## Where it will fail
Long words and names outside the vocabulary, strong accents that no speaker in training had, several people at
once, and long read or literary sentences. A grammar at run time, or `[unk]` in it, helps where few answers are
expected.

## Made from
Recorded people (a speaker is either trained on or tested on):
{people}

`asterisk_en` is share-alike, so these weights are passed on under CC BY-SA 4.0; leave it out in `human.py` to be
free of that.

Synthetic voices (held out for the tests: {held_out}):
{voices}

Pronunciations: CMU Pronouncing Dictionary (BSD), and letter to sound learned from it. Text: the project's own
corpus; BANKING77 (CC BY 4.0), CLINC150 (CC BY 3.0), HWU64 (CC BY 4.0), training parts; open text under MIT, Apache,
CC BY, CC0, OGL and US federal public domain, as `training/retrieval/opentext.py` lists it; books and presidents'
addresses in the public domain, as `training/voice/packages.py` names them.
"""
