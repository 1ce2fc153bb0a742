"""The voice recipe: what a mistake in it would spoil without anything failing."""

from __future__ import annotations

import io
import itertools
import json
import random
import wave
from pathlib import Path

import numpy as np
import pytest
import torch

from training.voice import (
    augment,
    books,
    clips,
    evaluate,
    export,
    graph,
    human,
    kaldi_files,
    lexicon,
    ngram,
    objective,
    spoken,
    train,
    units,
    variation,
)
from training.voice.clips import Clip
from training.voice.features import Item, items, make
from training.voice.letters import learn
from training.voice.mfcc import COEFFICIENTS, RATE_HZ, Mfcc, normalised
from training.voice.network import AcousticModel

SPEECH = Path(__file__).resolve().parents[3] / "shared" / "speech"
needs_speech = pytest.mark.skipif(not SPEECH.exists(), reason="the material is not beside the repository")
needs_fst = pytest.mark.skipif(bool(graph.missing()), reason=f"not installed: {', '.join(graph.missing())}")
WORDS = {
    "yes": [("Y", "EH", "S")],
    "no": [("N", "OW")],
    "a": [("AH",), ("EY",)],
    "order": [("AO", "R", "D", "ER")],
}
LEXICON = {
    word: [tuple(units.UNIT[p] for p in said) for said in variants] for word, variants in WORDS.items()
}


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Where's DS-38855?", "where's d s three eight eight five five"),
        ("it costs $12.50 at 5pm", "it costs twelve dollars fifty at five p m"),
        ("12,000 or 0.2", "twelve thousand or zero point two"),
        ("on the 27th, in 2021", "on the twenty seventh in twenty twenty one"),
        ("12 May, 8:05", "twelfth of may eight oh five"),
        ("€1 & 60% w/ café", "one euro and sixty percent with cafe"),
        ("10–12 kg", "ten to twelve kilos"),
        ("the customers' 'old' sofa", "the customers' old sofa"),
        ("call 07123456789", "call zero seven one two three four five six seven eight nine"),
        ("110 and 1,001", "one hundred ten and one thousand one"),
    ],
)
def test_text_is_written_as_it_is_spoken(written: str, said: str) -> None:
    """Numbers, money, times, dates, codes and punctuation become the words one hears."""
    assert " ".join(spoken.words(written)) == said


def test_sayings_need_no_further_normalising() -> None:
    """Everything made up is words already."""
    sayings = spoken.Sayings(random.Random(1), ["anna", "lopez"], ["lamp"])
    for _ in range(300):
        said = sayings.sentence()
        assert " ".join(spoken.words(said)) == said


def test_ordinals_of_all_days() -> None:
    """The irregular ones included."""
    assert [spoken.ordinal(n) for n in (1, 2, 3, 5, 8, 9, 12, 20, 21, 30, 100)] == [
        "first", "second", "third", "fifth", "eighth", "ninth", "twelfth", "twentieth", "twenty first", "thirtieth",
        "one hundredth",
    ]  # fmt: skip


def test_letter_to_sound_learns_from_examples() -> None:
    """Two letters that are one sound, a silent one, and one that is two sounds."""
    letters = learn(
        [
            ("ship", ("SH", "IH", "P")),
            ("shop", ("SH", "AA", "P")),
            ("fish", ("F", "IH", "SH")),
            ("pin", ("P", "IH", "N")),
            ("fix", ("F", "IH", "K", "S")),
            ("fox", ("F", "AA", "K", "S")),
            ("pop", ("P", "AA", "P")),
            ("hop", ("HH", "AA", "P")),
            ("sip", ("S", "IH", "P")),
        ]
        * 3
    )
    assert letters.pronounce("shox")[0] == ("SH", "AA", "K", "S")
    assert letters.pronounce("") == []


def test_pronunciations_come_from_the_dictionary_or_the_words_parts() -> None:
    """Known words have all their variants; genitives and compounds are put together; the rest is guessed."""
    guess = learn([("zev", ("Z", "EH", "V"))])
    pronouncer = lexicon.Pronouncer(lexicon.Dictionary(), guess)
    assert ("AH",) in pronouncer.variants("a")
    assert ("EY",) in pronouncer.variants("a")
    assert pronouncer.variants("lamp's")[0] == ("L", "AE", "M", "P", "S")
    assert pronouncer.variants("oatmilk")[0] == ("OW", "T", "M", "IH", "L", "K")
    assert pronouncer.variants("zevv")[0][:3] == ("Z", "EH", "V")


def test_errors_are_the_fewest_changes() -> None:
    """Changed, missing and added words; independent figures by hand."""
    assert lexicon.errors("where is my order".split(), "where my borders please".split()) == 3
    assert lexicon.errors([], ["a", "b"]) == 2
    assert lexicon.errors(["a"], []) == 1


def test_pdfs_and_transitions_are_numbered_without_gaps() -> None:
    """Each transition belongs to one pdf, tuples are sorted, and all pdfs are used."""
    rows = units.tuples().tolist()
    assert rows == sorted(rows)
    assert {pdf for row in rows for pdf in row[2:]} == set(range(units.PDF_COUNT))
    phone, before = units.phone(units.UNIT["S"], "E"), 3
    place = (units.entering(before, phone) - 2) // 2
    assert rows[place][0] == phone
    assert rows[place][2:] == [units.first_pdf(before, units.UNIT["S"]), units.later_pdf(units.UNIT["S"])]
    assert rows[(units.staying(phone) - 1) // 2][3] == units.later_pdf(units.UNIT["S"])


def test_primitives_are_read_back_as_written() -> None:
    """Numbers, vectors and both forms of matrices."""
    file = io.BytesIO()
    out = kaldi_files.Writer(file)
    matrix = np.random.default_rng(1).normal(0, 0.1, (40, 7)).astype(np.float32)
    out.token("<Dim>")
    out.integer(-5)
    out.real(0.25)
    out.integers([3, 1])
    out.vector([1.5, -2.0])
    out.matrix(matrix, packed=False)
    out.matrix(matrix, packed=True)
    file.seek(0)
    back = kaldi_files.Reader(file)
    back.token("<Dim>")
    assert (back.integer(), back.real(), back.integers().tolist()) == (-5, 0.25, [3, 1])
    assert back.vector().tolist() == [1.5, -2.0]
    assert np.array_equal(back.matrix(), matrix)
    # between quartiles a byte has 128 steps, outside 64: far less than a twentieth of the spread
    assert np.abs(back.matrix() - matrix).max() < matrix.std() / 20
    assert file.read() == b""


@pytest.mark.parametrize("matrix", [np.zeros((3, 2)), np.full((1, 4), 7.0), np.eye(3)])
def test_matrices_of_few_values_are_packed(matrix: np.ndarray) -> None:  # type: ignore[type-arg]
    """Columns without spread do not break the order of the quantiles."""
    values = matrix.astype(np.float32)
    assert np.abs(kaldi_files.unpack(kaldi_files.pack(values)) - values).max() < 1e-3


def test_features_agree_with_a_slow_reference() -> None:
    """MFCC computed frame by frame from the definition, in double precision."""
    rng = np.random.default_rng(2)
    samples = (rng.standard_normal(4000) * 900 + 300 * np.sin(np.arange(4000) / 5)).astype(np.float32)
    found = Mfcc()(torch.from_numpy(samples)).numpy()
    assert found.shape == (1 + (4000 - 400) // 160, COEFFICIENTS)
    for at in (0, len(found) - 1):
        assert np.abs(found[at] - _slow_mfcc(samples[160 * at : 160 * at + 400])).max() < 0.01


def _slow_mfcc(samples: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    frame = samples.astype(float) - samples.mean()
    frame = frame - 0.97 * np.concatenate([frame[:1], frame[:-1]])
    frame *= (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 399)) ** 0.85
    power = np.abs(np.fft.fft(frame, 512)[:257]) ** 2
    mel = 1127 * np.log1p(np.arange(257) * 16000 / 512 / 700)
    edges = np.linspace(1127 * np.log1p(20 / 700), 1127 * np.log1p(7600 / 700), 42)
    energies = [
        sum(p * max(0.0, min((m - a) / (b - a), (c - m) / (c - b))) for m, p in zip(mel, power, strict=True))
        for a, b, c in zip(edges, edges[1:], edges[2:], strict=False)
    ]
    logs = np.log(np.maximum(energies, 1.1920929e-07))
    rows = [
        np.sqrt((1 if k == 0 else 2) / 40) * np.sum(logs * np.cos(np.pi / 40 * k * (np.arange(40) + 0.5)))
        for k in range(40)
    ]
    return np.array(rows) * (1 + 11 * np.sin(np.pi * np.arange(40) / 22))


def test_normalisation_sees_the_last_six_seconds_and_the_global_mean() -> None:
    """Against sums written out; the global mean counts 200 frames at first and nothing after 600."""
    rows = torch.randn(900, COEFFICIENTS, generator=torch.Generator().manual_seed(3))
    mean = torch.full((COEFFICIENTS,), 2.0)
    found = normalised(rows, mean)
    assert torch.allclose(found[0], rows[0] - (rows[0] + 200 * mean) / 201, atol=1e-4)
    known = (rows[:451].sum(0) + (600 - 451) * mean) / 600
    assert torch.allclose(found[450], rows[450] - known, atol=1e-4)
    assert torch.allclose(found[800], rows[800] - rows[201:801].mean(0), atol=1e-4)


def _every_path(
    scores: torch.Tensor, arcs: list[tuple[int, int, int, float]], starts: dict[int, int], last: set[int]
) -> torch.Tensor:
    """Sum over all alignments by walking them one by one; arcs are (from, to, pdf, log chance)."""
    totals = []

    def walk(node: int, at: int, total: torch.Tensor) -> None:
        if at == len(scores):
            if node in last:
                totals.append(total)
            return
        for source, target, pdf, chance in arcs:
            if source == node:
                walk(target, at + 1, total + scores[at, pdf] + chance)

    for node, pdf in starts.items():
        walk(node, 1, scores[0, pdf])
    return torch.logsumexp(torch.stack(totals), 0)


def test_numerator_and_its_gradient_agree_with_every_path() -> None:
    """Variants, optional silence, and a shorter utterance beside a longer one."""
    torch.manual_seed(4)
    said = [objective.transcript(words, LEXICON) for words in (["a", "no"], [])]
    lengths = torch.tensor([5, 3])
    scores = torch.randn(2, 5, units.PDF_COUNT, requires_grad=True)
    found = objective.numerator(scores, lengths, objective.batched(said))
    (gradient,) = torch.autograd.grad(found.sum(), scores)
    wanted = []
    for row, one in enumerate(said):
        arcs = [(n, n, units.later_pdf(u), 0.0) for n, u in enumerate(one.units)]
        for node, (unit, before) in enumerate(zip(one.units, one.before, strict=True)):
            arcs += [
                (b, node, units.first_pdf(units.CLASS_OF[one.units[b]], unit), 0.0) for b in before if b >= 0
            ]
        starts = {n: units.first_pdf(0, one.units[n]) for n, before in enumerate(one.before) if -1 in before}
        wanted.append(_every_path(scores[row, : int(lengths[row])], arcs, starts, set(one.last)))
    (slow,) = torch.autograd.grad(torch.stack(wanted).sum(), scores)
    assert torch.allclose(found, torch.stack(wanted), atol=1e-4)
    assert torch.allclose(gradient, slow, atol=1e-5)
    assert torch.allclose(gradient.sum(2), (torch.arange(5) < lengths[:, None]).float(), atol=1e-5)


def test_denominator_and_its_gradient_agree_with_sums_in_logs() -> None:
    """A slow forward pass over all units, differentiated by torch."""
    rng = np.random.default_rng(5)
    after = rng.random((units.UNIT_COUNT, units.UNIT_COUNT)) + 0.1
    after /= after.sum(1, keepdims=True)
    scores = torch.randn(
        2, 4, units.PDF_COUNT, generator=torch.Generator().manual_seed(5), requires_grad=True
    )
    lengths = torch.tensor([4, 2])
    found = objective.Denominator(after, after[0])(scores, lengths)
    (gradient,) = torch.autograd.grad(found.sum(), scores)
    chance = torch.log(torch.tensor(after, dtype=torch.float32))
    entering = torch.tensor(units.CLASS_OF)[:, None] * units.UNIT_COUNT + torch.arange(units.UNIT_COUNT)
    wanted = []
    for row, length in enumerate(lengths.tolist()):
        now = scores[row, 0, : units.UNIT_COUNT] + chance[0]
        for t in range(1, length):
            new = torch.logsumexp(now[:, None] + chance + scores[row, t][entering], 0)
            now = torch.logaddexp(new, now + scores[row, t, units.FIRST_PDFS :])
        wanted.append(torch.logsumexp(now, 0))
    (slow,) = torch.autograd.grad(torch.stack(wanted).sum(), scores)
    assert torch.allclose(found, torch.stack(wanted), atol=1e-3)
    assert torch.allclose(gradient, slow, atol=1e-4)


def test_shortest_alignment_of_a_transcript() -> None:
    """One frame a phone, no pause, the shorter variant."""
    assert objective.fewest_frames(["a", "order"], LEXICON) == 5
    assert objective.fewest_frames([], LEXICON) == 1


def test_bigram_of_phones_adds_up() -> None:
    """Chances of what follows each unit sum to one, and of what comes first."""
    after, first = objective.phone_bigram([["yes", "no"], []] * 20, LEXICON, 1)
    assert np.allclose(after.sum(1), 1)
    assert first.sum() == pytest.approx(1)
    assert after[units.UNIT["Y"], units.UNIT["EH"]] > 0.8


def test_language_model_adds_up_and_prefers_what_was_said() -> None:
    """Chances after any context sum to one, pruned or not; words that were never said have some."""
    said = {
        "questions": [text.split() for text in ("where is my order", "where is it", "my order is late")],
        "answers": [["yes"], ["it", "is", "late"]],
    }
    words = sorted("where is my order it late yes never".split())
    shares = {"questions": 0.7, "answers": 0.3}
    for most in ((1000, 1000), (6, 3)):
        model = ngram.estimate(said, words, most, shares)
        every = [ngram.END, *(model.number(word) for word in words)]
        contexts = [
            [],
            [ngram.BEGIN],
            [ngram.BEGIN, model.number("where")],
            [model.number("my"), model.number("order")],
        ]
        for context in [*contexts, [model.number("never")], [model.number("late"), model.number("never")]]:
            total = sum(np.exp(model.log_probability(context, word)) for word in every)
            assert total == pytest.approx(1, abs=1e-6)
        after = [model.number("where")]
        assert model.log_probability(after, model.number("is")) > model.log_probability(
            after, model.number("never")
        )
    perplexity, unknown = model.perplexity([["where", "is", "xyz"]])
    assert 1 < perplexity < 100
    assert unknown == pytest.approx(1 / 4)


def test_sources_are_mixed_for_what_is_held_out() -> None:
    """The source that speaks like the held-out sentences gets nearly all; what it makes likely is likelier then."""
    said = {
        "customers": [text.split() for text in ("where is my order", "is my order late", "where is it")] * 3,
        "books": [text.split() for text in ("order is heaven's first law", "late is the hour")] * 3,
    }
    words = sorted({word for sentences in said.values() for sentence in sentences for word in sentence})
    held_out = [["where", "is", "it", "late"], ["is", "my", "order"]]
    shares = ngram.best_shares(said, words, [(1.0, held_out)])
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["customers"] > 0.75
    even = dict.fromkeys(said, 0.5)
    best, plain = (ngram.estimate(said, words, (999, 999), chosen) for chosen in (shares, even))
    assert best.perplexity(held_out)[0] < plain.perplexity(held_out)[0]


def test_readers_of_librispeech_are_split_like_others(tmp_path: Path) -> None:
    """Found as its archives lie: a folder a reader and chapter, with a list of what is read."""
    tone = (np.sin(np.arange(RATE_HZ) / 20) * 9000).astype("<i2")
    for reader in range(20):
        chapter = tmp_path / f"{reader}" / "7"
        chapter.mkdir(parents=True)
        with wave.open(str(chapter / f"{reader}-7-0000.flac"), "wb") as file:  # read by content, not by name
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE_HZ)
            file.writeframes(tone.tobytes())
        listed = f"{reader}-7-0000 IT WASN'T FAR\n{reader}-7-0001 THIS FILE IS MISSING\n"
        (chapter / f"{reader}-7.trans.txt").write_text(listed, encoding="utf-8")
    found = human.read_readers(tmp_path)
    assert {recording.text for recording in found} == {"it wasn't far"}
    assert found[0].seconds == pytest.approx(1)
    parts = human.split(found)
    assert [len(parts[part]) for part in human.PARTS] == [16, 1, 3]
    (clip, *_) = human.unpack(Path("unused"), tmp_path, human.READERS, parts["test"])
    assert np.array_equal(clip.samples, tone)
    assert human.read_readers(tmp_path / "nowhere") == []


@needs_speech
def test_no_speaker_is_in_two_parts() -> None:
    """The split is by speaker, over all sources, and the same each time."""
    parts = human.read_all(SPEECH, Path("nowhere"))
    speakers = {part: {recording.speaker for recording in found} for part, found in parts.items()}
    assert not speakers["train"] & (speakers["validation"] | speakers["test"])
    assert not speakers["validation"] & speakers["test"]
    assert len(speakers["test"]) > 50
    assert {recording.source for recording in parts["train"]} == set(human.SOURCES) - {"ljspeech_141"}
    assert parts == human.read_all(SPEECH, Path("nowhere"))


def _clip(rng: np.random.Generator, name: str, text: str) -> Clip:
    samples = (rng.standard_normal(RATE_HZ) * 1000).astype(np.int16)
    return Clip(name, "somebody", "made", text, samples)


def test_clips_are_read_back_as_written(tmp_path: Path) -> None:
    """Audio and texts of a shard."""
    rng = np.random.default_rng(6)
    given = [_clip(rng, "1", "yes"), _clip(rng, "2", "")]
    assert clips.write_shard(tmp_path / "a" / "0000", given) == 2
    (path,) = clips.shards(tmp_path)
    back = list(clips.read_shard(path))
    assert [clip.text for clip in back] == ["yes", ""]
    assert all(np.array_equal(a.samples, b.samples) for a, b in zip(given, back, strict=True))


def test_augmentation_keeps_format_and_repeats_with_its_seed() -> None:
    """16-bit samples of a sane length and level, the same for the same seed; codecs keep the length."""
    rng = np.random.default_rng(7)
    samples = (np.sin(np.arange(RATE_HZ) / 9) * 8000).astype(np.int16)
    for seed in range(30):
        made = augment.augmented(samples, np.random.default_rng(seed), [samples], [samples])
        again = augment.augmented(samples, np.random.default_rng(seed), [samples], [samples])
        assert made.dtype == np.int16
        assert 0.8 * RATE_HZ < len(made) < 2.3 * RATE_HZ
        assert np.abs(made.astype(int)).max() > 50
        assert np.array_equal(made, again)
        assert augment.quiet_clip(rng, [samples]).dtype == np.int16
    for codec, container, rates in (("libopus", "ogg", 16), ("libmp3lame", "mp3", 32)):
        assert abs(len(augment.through_codec(samples, codec, container, rates)) - RATE_HZ) < 1200


def test_variation_changes_bands_and_loses_some_of_what_is_said() -> None:
    rng = np.random.default_rng(4)
    sound = torch.from_numpy(rng.normal(0, 3000, 4 * RATE_HZ).astype(np.float32))
    rows = Mfcc()(sound)
    rows = rows - rows.mean(0)
    made = [variation.varied(rows, random.Random(seed)) for seed in range(20)]
    again = variation.varied(rows, random.Random(3))
    assert torch.equal(made[3], again)
    lost = [int((one == 0).all(1).sum()) for one in made]
    assert min(lost) < max(lost) < 0.4 * len(rows)
    kept = [one[(one != 0).any(1)] for one in made]
    assert all(one.isfinite().all() and 0.3 < one.std() / rows.std() < 1.4 for one in kept)
    assert not any(torch.equal(one, other) for one, other in itertools.pairwise(made))


def test_a_longer_vocal_tract_moves_what_is_heard_to_lower_bands() -> None:
    bands = torch.zeros(1, COEFFICIENTS)
    bands[0, 20] = 1.0
    assert int((bands @ variation.warp(1.0)).argmax()) == 20
    assert int((bands @ variation.warp(1.12)).argmax()) < 20 < int((bands @ variation.warp(0.88)).argmax())


def test_books_are_cut_into_pieces_as_they_are_read() -> None:
    book = (
        "Project Gutenberg's licence\nand more of it\n\n"
        "She was gone, and he,\nwho had not spoken--not once--went home. \n\nThe end."
    )
    pieces = books.pieces(book)
    assert " ".join(pieces) == "She was gone, and he, who had not spoken not once went home. The end."
    long = books.pieces("and so he went on, " * 40)
    assert len(long) > 4
    assert max(map(len, long)) < 150


def test_scores_depend_on_the_past_and_on_few_frames_ahead() -> None:
    """What comes later than 40 ms and 30 ms for each layer that looks ahead changes nothing; nearer frames do."""
    torch.manual_seed(3)
    model = AcousticModel(16, 8, 4, 2).eval()
    features = torch.randn(1, 90, 40)
    scores = model(features)
    assert scores.shape == (1, 30, units.PDF_COUNT)
    for frame, changes in ((30 + 10, True), (30 + 11, False), (30 - 4 - 18, True), (30 - 4 - 19, False)):
        other = features.clone()
        other[0, frame] += 1
        assert bool((model(other)[0, 10] != scores[0, 10]).any()) == changes, frame


def test_learning_rate_depends_on_the_step_alone() -> None:
    """Warm-up, then down to a fiftieth, so that resuming changes nothing."""
    settings = train.Settings(steps=1000, rate=1.0)
    rates = [train.rate_at(step, settings) for step in range(1001)]
    assert rates[0] < 0.02
    assert max(rates) == pytest.approx(rates[99], abs=0.03)
    assert rates[1000] == pytest.approx(0.02)


def _features(folder: Path) -> list[Item]:
    rng = np.random.default_rng(8)
    texts = ["yes", "no", "a order", "order no"] * 6
    clips.write_shard(folder / "train" / "made", [_clip(rng, str(i), text) for i, text in enumerate(texts)])
    (shard,) = clips.shards(folder / "train")
    make(shard, folder / "features", 1, [], seed=1)
    return items(folder / "features")


def test_training_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """Three updates and three more make the model of six in one go, to the last bit."""
    given = _features(tmp_path)
    shape, lines = train.Shape(16, 8, 2, 1), list[str]()
    settings = train.Settings(steps=6, frames=1500, minutes=0)
    whole = train.run(given, LEXICON, tmp_path / "whole.pt", shape, settings, lines.append)
    train.run(given, LEXICON, tmp_path / "parts.pt", shape, settings, lines.append, stop_after=0)
    while "step 6 of 6" not in lines[-1] and len(lines) < 100:
        parts = train.run(given, LEXICON, tmp_path / "parts.pt", shape, settings, lines.append, stop_after=0)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, parts.state_dict()[name]), name


def test_processes_share_an_update(tmp_path: Path) -> None:
    """Two processes see other clips and count them all; the objective rises as with one, and training goes on."""
    given, lines = _features(tmp_path), list[str]()
    shape, checkpoint = train.Shape(16, 8, 2, 1), tmp_path / "two.pt"
    for steps in (25, 50):
        settings = train.Settings(steps=steps, frames=400)
        train.run(given, LEXICON, checkpoint, shape, settings, lines.append, processes=2)
    reports = [float(line.split()[3]) for line in lines if "objective" in line]
    assert len(reports) == 2
    assert reports[1] > reports[0] > -5
    settings = train.Settings(frames=400)
    mean = torch.zeros(40)
    one, two = (train.Batches(given, LEXICON, settings, mean, rank, 2) for rank in (0, 1))
    for update in one.epoch(3):
        assert len(update) == 2
        assert not {item.start for item in update[0]} & {item.start for item in update[1]}
    assert len(next(two.after(1)).lengths) == len(two.epoch(0)[1][1])
    with pytest.raises(ValueError, match="too few clips for 2 processes"):
        train.run(given[:1], LEXICON, tmp_path / "few.pt", shape, settings, lines.append, processes=2)


@needs_fst
@pytest.mark.parametrize("most", [(99, 99), (0, 1)])
def test_miniature_model_is_loaded_and_decodes_the_same_each_time(
    tmp_path: Path, most: tuple[int, int]
) -> None:
    """A directory written by us, through vosk: known words, a grammar, the same answer twice; also much pruned."""
    torch.manual_seed(9)
    export.write_acoustic(AcousticModel(16, 8, 2, 1).eval(), tmp_path)
    said = [["yes"]] * 3 + [["no"]] * 2 + [["a", "order", "no"]] * 5 + [["order", "yes"], []]
    language = ngram.estimate({"all": said}, sorted(LEXICON), most, {"all": 1.0})
    made = graph.build(tmp_path, LEXICON, language)
    assert made["arcs"] > 5000
    recogniser = evaluate.Recogniser(tmp_path)
    assert recogniser.vocabulary == {*LEXICON, "[unk]", "<eps>"}
    samples = (np.random.default_rng(9).standard_normal(2 * RATE_HZ) * 2000).astype(np.int16)
    first = recogniser.hear(samples)
    assert set(first.split()) <= set(LEXICON)
    assert recogniser.hear(samples) == first
    assert set(recogniser.hear(samples, json.dumps(["yes", "[unk]"])).split()) <= {"yes", "[unk]"}


@needs_fst
def test_scores_of_torch_and_of_vosk_lead_to_the_same_words(tmp_path: Path) -> None:
    """A model whose output says "no" whatever it hears: pdf numbers, graph and files agree."""
    model = AcousticModel(16, 8, 2, 1).eval()
    with torch.no_grad():
        model.out.weight.zero_()
        model.out.bias.fill_(-20.0)
        for unit, before in (
            ("N", 0),
            ("OW", units.CLASS_OF[units.UNIT["N"]]),
            ("SIL", units.CLASS_OF[units.UNIT["OW"]]),
        ):
            model.out.bias[units.first_pdf(before, units.UNIT[unit])] = 0
            model.out.bias[units.later_pdf(units.UNIT[unit])] = 0
    export.write_acoustic(model, tmp_path)
    words = sorted(LEXICON)
    graph.build(
        tmp_path, LEXICON, ngram.estimate({"all": [[word] for word in words]}, words, (99, 99), {"all": 1.0})
    )
    samples = (np.random.default_rng(9).standard_normal(RATE_HZ) * 2000).astype(np.int16)
    assert set(evaluate.Recogniser(tmp_path).hear(samples).split()) == {"no"}
