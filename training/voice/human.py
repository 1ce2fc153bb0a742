"""Recorded people: the manifests of the material, the split by speaker, and unpacking to 16 kHz samples.

Beside the material there may be a folder of LibriSpeech (OpenSLR 12) as its archives have it, a folder a reader.
"""

from __future__ import annotations

import csv
import hashlib
import tarfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av

from training.voice import spoken
from training.voice.clips import Clip, Samples, decode
from training.voice.mfcc import RATE_HZ

SOURCES = (
    "speechocean762", "kathleen_arctic", "librispeech_tc100_3spk", "asterisk_en_AU", "asterisk_en",
    "ljspeech_141", "speech_commands_test", "speech_commands_300",
)  # fmt: skip
READERS = "librispeech_test_clean"
# Licences as the material's README states them; the model card repeats them.
LICENCES = {
    "speechocean762": "free for commercial and non-commercial use, OpenSLR 101",
    "kathleen_arctic": "CC0 1.0",
    "librispeech_tc100_3spk": "CC BY 4.0",
    READERS: "CC BY 4.0; with `--readers` alone, and then no set to measure the model on",
    "asterisk_en_AU": "CC BY 3.0",
    "asterisk_en": "CC BY-SA 3.0",
    "ljspeech_141": "public domain",
    "speech_commands_test": "CC BY 4.0",
    "speech_commands_300": "CC BY 4.0",
    "noise": "CC BY 3.0 (ESC-10) and public domain",
}
# One speaker each; never trained on, so that the test has a native speaker besides LibriSpeech's.
_TEST_ONLY = ("ljspeech_141",)
_TEST_SHARE, _VALIDATION_SHARE = 0.15, 0.06
PARTS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Recording:
    """One line of a manifest. `file` is the name inside the source's tar."""

    source: str
    file: str
    text: str
    speaker: str
    seconds: float


def read_manifest(folder: Path, source: str) -> list[Recording]:
    """Recordings with transcripts as they are spoken; those without any word are left out."""
    found = []
    with (folder / f"{source}.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            text = " ".join(spoken.words(row["transcript"]))
            if text:
                found.append(Recording(source, row["file"], text, row["speaker"], float(row["seconds"])))
    return found


def read_readers(folder: Path) -> list[Recording]:
    """Recordings of a LibriSpeech folder, such as `LibriSpeech/test-clean`; none where it is not there."""
    found = []
    for listed in sorted(folder.glob("*/*/*.trans.txt")):
        for line in listed.read_text(encoding="utf-8").splitlines():
            name, _, said = line.partition(" ")
            path = listed.with_name(f"{name}.flac")
            if path.exists():
                with av.open(path) as container:
                    seconds = (container.duration or 0) / 1e6
                text = " ".join(spoken.words(said.lower()))
                file = str(path.relative_to(folder))
                found.append(Recording(READERS, file, text, f"librispeech-{name.split('-')[0]}", seconds))
    return found


def split(recordings: Sequence[Recording]) -> dict[str, list[Recording]]:
    """Recordings by part; a speaker is in one part, chosen by the hash of the name, in every source alike.

    Of each source 15 % of the speakers are for test and 6 % for validation; a source of one or two speakers is
    trained on whole, except those that are for test only.
    """
    speakers: dict[str, set[str]] = defaultdict(set)
    for recording in recordings:
        speakers[_family(recording.source)].add(recording.speaker)
    part_of: dict[str, str] = {}
    for family, names in speakers.items():
        ordered = sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
        count = 0 if len(ordered) < 3 else max(1, round(_TEST_SHARE * len(ordered)))
        more = round(_VALIDATION_SHARE * len(ordered))
        if family in _TEST_ONLY:
            count, more = len(ordered), 0
        for place, name in enumerate(ordered):
            part_of[name] = "test" if place < count else "validation" if place < count + more else "train"
    parts: dict[str, list[Recording]] = {part: [] for part in PARTS}
    for recording in recordings:
        parts[part_of[recording.speaker]].append(recording)
    return parts


def read_all(folder: Path, readers: Path) -> dict[str, list[Recording]]:
    """Every recording of the material, and of a LibriSpeech folder if it is there, split."""
    listed = [recording for source in SOURCES for recording in read_manifest(folder, source)]
    return split(listed + read_readers(readers))


def unpack(folder: Path, readers: Path, source: str, wanted: Sequence[Recording]) -> Iterator[Clip]:
    """Decode the wanted recordings of one source."""
    by_file = {recording.file: recording for recording in wanted}
    if source == READERS:
        decoded = ((name, decode((readers / name).read_bytes())) for name in by_file)
    else:
        decoded = _decoded(folder / f"{source}.tar", by_file.__contains__)
    for name, samples in decoded:
        recording = by_file[name]
        if len(samples):
            yield Clip(f"{source}/{name}", recording.speaker, source, recording.text, samples)


def noises(folder: Path) -> Iterator[Clip]:
    """Every sound of the noise set, as clips in which nothing is said."""
    for name, samples in _decoded(folder / "noise.tar", lambda name: True):
        if len(samples) >= RATE_HZ // 2:
            yield Clip(f"noise/{name}", name.partition("/")[0], "noise", "", samples)


def _decoded(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, Samples]]:
    with tarfile.open(path) as tar:
        for member in tar:
            name = member.name.removeprefix("./")
            if name.endswith((".opus", ".ogg", ".wav", ".flac")) and wanted(name):
                file = tar.extractfile(member)
                if file is not None:
                    yield name, decode(file.read())


def _family(source: str) -> str:
    """The two cuttings of Speech Commands share speakers."""
    return "speech_commands" if source.startswith("speech_commands") else source
