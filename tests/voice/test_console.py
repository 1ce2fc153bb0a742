"""Speech on the command line, with real files through the real model."""

from __future__ import annotations

import asyncio
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from assistant.backends.vosk_recognizer import VoskRecognizer
from assistant.cli.main import assistant
from assistant.cli.speaking import recorder, said_in, said_to_microphone
from assistant.cli.transcribe import Ear
from assistant.errors import ConfigError
from assistant.voice.correction import Plain
from assistant.voice.endpointing import TurnDetection
from tests.voice.harness import RECORDED, SECOND, SOFA, samples


@pytest.fixture
def environment(model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The settings name the model; nothing is ingested."""
    monkeypatch.setenv("ASSISTANT_VOICE__MODELS", json.dumps({"en": str(model_folder)}))
    monkeypatch.setenv("ASSISTANT_DATA", str(tmp_path / "data"))
    return monkeypatch


@pytest.fixture
def ear(recognizer: VoskRecognizer) -> Ear:
    return Ear(recognizer, "en", Plain().correct)


def run(*words: object) -> Result:
    return CliRunner().invoke(assistant, [str(word) for word in words])


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("ending", ["wav", "mp3", "aac", "m4a", "ogg", "webm"])
def test_file_of_any_format_is_transcribed(ending: str) -> None:
    """One file: its text and nothing else."""
    result = run("transcribe", RECORDED / f"return_sofa.{ending}")
    assert (result.exit_code, result.stdout) == (0, f"{SOFA}\n")


@pytest.mark.usefixtures("environment")
def test_several_files_give_an_object_a_line_and_a_bad_one_an_error(tmp_path: Path) -> None:
    """The good ones are transcribed all the same; the exit code tells."""
    bad = tmp_path / "letter.wav"
    bad.write_bytes(b"RIFF\0\0\0\0WAVE, it said")
    result = run("transcribe", "--json", RECORDED / "return_sofa.wav", bad, RECORDED / "where_order.wav")
    first, second = (json.loads(line) for line in result.stdout.splitlines())
    assert result.exit_code == 1
    assert f"{bad}: the audio cannot be decoded" in result.stderr
    assert (first["text"], second["raw"]) == (SOFA, "where is my order")
    assert [word["text"] for word in first["words"]] == SOFA.split()
    assert 0 <= first["words"][0]["start_s"] < first["words"][-1]["end_s"] <= first["seconds"]


def test_language_without_a_model_is_refused(
    environment: pytest.MonkeyPatch,
) -> None:
    """The message says which languages there are."""
    result = run("transcribe", "--language", "zh", RECORDED / "where_order.wav")
    assert result.exit_code == 1
    assert "'zh' (there is: en)" in result.stderr


def test_folder_that_holds_no_model_is_refused(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Not by a crash of the library."""
    environment.setenv("ASSISTANT_VOICE__MODELS", json.dumps({"en": str(tmp_path)}))
    result = run("transcribe", RECORDED / "where_order.wav")
    assert result.exit_code == 1
    assert "holds no Vosk model" in result.stderr


@pytest.mark.usefixtures("environment")
def test_manifest_gives_word_error_rates(tmp_path: Path) -> None:
    """Overall and by speaker; files lie in a .tar here. A missing file counts as all words missed."""
    with tarfile.open(tmp_path / "clips.tar", "w") as archive:
        for name in ("return_sofa.mp3", "where_order.wav"):
            archive.add(RECORDED / name, arcname=name)
    manifest = tmp_path / "clips.tsv"
    manifest.write_text(
        "file\ttranscript\tspeaker\n"
        f"return_sofa.mp3\t{SOFA.title()}?\tone\n"
        "where_order.wav\twhere is the order\ttwo\n"
        "lost.wav\tnobody hears\ttwo\n"
    )
    predictions = tmp_path / "predictions.jsonl"
    result = run("evaluate", "--json", "--predictions", predictions, manifest)
    figures = json.loads(result.stdout)["speech"]
    assert "clips.tsv:4: lost.wav: is neither in" in result.stderr
    assert (figures["n"], figures["words"], figures["unreadable"]) == (3, 13, 1)
    assert figures["wer"] == pytest.approx(3 / 13, abs=1e-6)
    assert figures["by_group"]["one"]["wer"] == 0
    assert figures["by_group"]["two"]["wer"] == pytest.approx(3 / 6)
    assert figures["seconds"] > 3
    lines = [json.loads(line) for line in predictions.read_text().splitlines()]
    assert [line["errors"] for line in lines] == [0, 1, 2]


@pytest.mark.usefixtures("environment")
def test_manifest_is_shown_as_tables(tmp_path: Path) -> None:
    """For people."""
    shutil.copy(RECORDED / "where_order.wav", tmp_path)
    manifest = tmp_path / "clips.tsv"
    manifest.write_text("file\ttranscript\nwhere_order.wav\twhere is my order\n")
    result = run("evaluate", manifest)
    assert result.exit_code == 0
    assert "word error rate" in result.stdout


def test_spoken_files_are_heard_one_after_the_other(
    ear: Ear, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Silence is passed over with a note."""
    silent = tmp_path / "silent.flac"
    import av

    with av.open(str(silent), "w", format="flac") as container:
        stream = container.add_stream("flac", rate=16_000, layout="mono")
        frame = av.AudioFrame(format="s16", layout="mono", samples=16_000)
        frame.sample_rate = 16_000
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))

    async def hear() -> list[str]:
        files = [RECORDED / "where_order.wav", silent, RECORDED / "cancel_order.wav"]
        return [heard.text async for heard in said_in(files, ear, 0.0)]

    assert asyncio.run(hear()) == ["where is my order", "can i cancel my order"]
    assert "silent.flac: no words" in capsys.readouterr().err


def stand_in_recorder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sound: bytes) -> None:
    """A program in the place of arecord that plays a recording."""
    (tmp_path / "sound.raw").write_bytes(sound)
    program = tmp_path / "arecord"
    program.write_text(f"#!/bin/sh\nexec cat {tmp_path / 'sound.raw'}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")


def test_microphone_is_heard_until_the_customer_has_finished(
    ear: Ear, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each utterance by itself; here the same one again and again."""
    stand_in_recorder(tmp_path, monkeypatch, samples() + bytes(3 * SECOND))

    async def hear() -> list[str]:
        utterances = said_to_microphone(ear, TurnDetection(), 0.0)
        heard = [(await anext(utterances)).text, (await anext(utterances)).text]
        await utterances.aclose()
        return heard

    assert asyncio.run(hear()) == [SOFA, SOFA]


def test_microphone_that_gives_no_sound_is_refused(
    ear: Ear, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is a recorder but no device."""
    stand_in_recorder(tmp_path, monkeypatch, b"")

    async def hear() -> list[Any]:
        return [one async for one in said_to_microphone(ear, TurnDetection(), 0.0)]

    with pytest.raises(ConfigError, match="gives no sound"):
        asyncio.run(hear())


def test_machine_without_a_recorder_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which programs would do."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="alsa-utils"):
        recorder()
