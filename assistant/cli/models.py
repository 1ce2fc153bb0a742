"""`assistant models`: which models are there, whether they are what they should be, and adding one.

A manifest (models.json) is `{"models": [{name, kind, path, files, licence, source}]}`: `path` is a folder
relative to the manifest, absolute, or `package:NAME/FOLDER` inside an installed Python package; `files` maps
each file that must not change to its SHA-256. The project's own lies in the models folder, the operator's
additions in the data folder.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from assistant.cli.common import print_json, progress_line, with_settings
from assistant.errors import ConfigError

if TYPE_CHECKING:
    from assistant.config import Settings

MANIFEST = "models.json"
_WEIGHTS = (".safetensors", ".onnx", ".mdl", ".fst")
# Reading one of these can run code that came with it: pickles, and formats that carry Python.
_UNSAFE = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".h5")
_VOSK_FILES = ("am/final.mdl", "final.mdl")
_PACKAGE = "package:"


class ModelKind(StrEnum):
    """What a model is for."""

    ENCODER = "encoder"
    RERANKER = "reranker"
    GENERATOR = "generator"
    SPEECH = "speech"


@dataclass(frozen=True, slots=True)
class Model:
    """An entry of a manifest, with the folder its path stands for (None: package not installed)."""

    name: str
    kind: ModelKind
    path: str
    files: dict[str, str]
    licence: str
    source: str
    folder: Path | None


@dataclass(frozen=True, slots=True)
class Finding:
    """A file that is not as its manifest says."""

    model: str
    file: str
    problem: str


@dataclass(frozen=True, slots=True)
class Alternative:
    """A family of models that can take the place of one that comes with the project."""

    kind: ModelKind
    what: str
    how: str


ALTERNATIVES = (
    Alternative(
        ModelKind.ENCODER,
        "any sentence-transformers model, such as paraphrase-multilingual-MiniLM-L12-v2 (50 languages) or "
        "BAAI/bge-small-en-v1.5",
        "hf download NAME --local-dir DIR, where there is a connection; ASSISTANT_ENCODER=DIR; ingest again",
    ),
    Alternative(
        ModelKind.RERANKER,
        "any sentence-transformers CrossEncoder, such as cross-encoder/ms-marco-MiniLM-L6-v2",
        "hf download NAME --local-dir DIR, where there is a connection; ASSISTANT_RERANKER=DIR; ingest again",
    ),
    Alternative(
        ModelKind.GENERATOR,
        "any causal language model with a chat template and a tokenizer.json, such as Qwen/Qwen2.5-0.5B-Instruct",
        "hf download NAME --local-dir DIR, where there is a connection; ASSISTANT_MODE=composed "
        "ASSISTANT_COMPOSER=DIR",
    ),
    Alternative(
        ModelKind.GENERATOR,
        "an OpenAI-compatible server: vLLM, SGLang, llama.cpp, transformers serve",
        "ASSISTANT_MODE=composed ASSISTANT_COMPOSER_URL=http://HOST:PORT/v1",
    ),
)


@click.group("models")
def models_group() -> None:
    """List, check and add models. Nothing is ever downloaded by these commands."""


@models_group.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@with_settings
def list_command(settings: Settings, as_json: bool) -> None:
    """Show the models that are there, and what else can be used and how to get it."""
    models = read_models(settings)
    if as_json:
        print_json(
            {
                "models": [_described(model) for model in models],
                "alternatives": [asdict(alternative) for alternative in ALTERNATIVES],
            }
        )
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Models", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for column in ("name", "kind", "size", "licence", "source"):
        table.add_column(column, justify="right" if column == "size" else "left", overflow="fold")
    for model in models:
        table.add_row(model.name, model.kind, _megabytes(model), model.licence, model.source)
    Console(highlight=False).print(table)
    click.echo("\nWhat else can be used")
    for alternative in ALTERNATIVES:
        click.echo(f"  {alternative.kind}: {alternative.what}\n    {alternative.how}")
    click.echo(f"\nModel cards: README.md beside each model in {settings.models}")


@models_group.command("check")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@with_settings
def check_command(settings: Settings, as_json: bool) -> None:
    """Compare every model file with its checksum; exit code 1 if one is missing or wrong."""
    models = read_models(settings)
    with progress_line("reading the model files"):
        findings = [finding for model in models for finding in check(model)]
        findings += unlisted(settings.models, models)
    if as_json:
        print_json(
            {
                "ok": not findings,
                "models": [model.name for model in models],
                "findings": [asdict(finding) for finding in findings],
            }
        )
    else:
        wrong = {finding.model for finding in findings}
        for model in models:
            count = len(model.files)
            verdict = "wrong" if model.name in wrong else f"ok, {count} file{'s' if count != 1 else ''}"
            click.echo(f"{model.name}: {verdict}")
        for finding in findings:
            click.echo(f"{finding.model}: {finding.file}: {finding.problem}", err=True)
    if findings:
        click.get_current_context().exit(1)


@models_group.command("add")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--name", help="What to call it; the folder's name if not given.")
@click.option(
    "--kind",
    type=click.Choice([kind.value for kind in ModelKind]),
    help="What it is for, where its files do not tell.",
)
@click.option("--licence", default="unknown", help="Licence, for the list.")
@click.option("--source", default="added by the operator", help="Where it comes from, for the list.")
@click.option("--replace", is_flag=True, help="Take the place of the model with this name.")
@with_settings
def add_command(
    settings: Settings,
    path: Path,
    name: str | None,
    kind: str | None,
    licence: str,
    source: str,
    replace: bool,
) -> None:
    """Register a model folder with the checksums of its files.

    A folder inside the project's models folder goes into the project's manifest, any other into the one of
    the data folder.

    Weights must be safetensors, ONNX or a Vosk model: pickled weights (.bin, .pt) can run
    code and are refused.
    """
    model = examine(path, name, kind, licence, source)
    home = settings.models.resolve()
    if model.folder and model.folder.is_relative_to(home):
        manifest = settings.models / MANIFEST
        model = dataclasses.replace(model, path=model.folder.relative_to(home).as_posix())
    else:
        manifest = settings.data / MANIFEST
    kept = read_manifest(manifest) if manifest.exists() else []
    if replace:
        kept = [known for known in kept if known.name != model.name]
    elif any(known.name == model.name for known in read_models(settings)):
        raise ConfigError(
            f"a model named {model.name!r} is there already; choose another --name, or --replace it"
        )
    _write_manifest(manifest, [*kept, model])
    click.echo(f"{model.name} ({model.kind}, {_megabytes(model)}) is registered in {manifest}")
    loadable = any(name.endswith(".safetensors") for name in model.files)
    if loadable and model.kind in (ModelKind.ENCODER, ModelKind.RERANKER):
        click.echo(f"use it: ASSISTANT_{model.kind.upper()}={model.folder}, then ingest again")
    elif loadable and model.kind is ModelKind.GENERATOR:
        click.echo(f"use it: ASSISTANT_MODE=composed ASSISTANT_COMPOSER={model.folder}")


# --- manifests ---------------------------------------------------------------------------------------------


def read_models(settings: Settings) -> list[Model]:
    """The project's models, then the operator's.

    Raises: ConfigError: a manifest is missing or not in order.
    """
    own = settings.data / MANIFEST
    return [*read_manifest(settings.models / MANIFEST), *(read_manifest(own) if own.exists() else [])]


def read_manifest(path: Path) -> list[Model]:
    """Entries of one manifest.

    Raises: ConfigError: it cannot be read or an entry is incomplete.
    """
    try:
        entries = json.loads(path.read_text("utf-8"))["models"]
        return [
            Model(
                name=entry["name"],
                kind=ModelKind(entry["kind"]),
                path=entry["path"],
                files=dict(entry["files"]),
                licence=entry["licence"],
                source=entry["source"],
                folder=_folder(path.parent, entry["path"]),
            )
            for entry in entries
        ]
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; is --models right?") from error
    except KeyError as error:
        raise ConfigError(f"{path}: an entry has no {error.args[0]!r}") from error
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{path}: is not a manifest of models: {error}") from error


def _folder(base: Path, path: str) -> Path | None:
    if not path.startswith(_PACKAGE):
        return base / path
    package, _, inner = path.removeprefix(_PACKAGE).partition("/")
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent / inner if spec and spec.origin else None


def _write_manifest(path: Path, models: Sequence[Model]) -> None:
    entries = [{key: value for key, value in asdict(model).items() if key != "folder"} for model in models]
    text = json.dumps({"models": entries}, indent=2, ensure_ascii=False) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(path.name + ".new")
        fresh.write_text(text, "utf-8")
        os.replace(fresh, path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error


# --- files -------------------------------------------------------------------------------------------------


def check(model: Model) -> list[Finding]:
    """Files of a model that are missing or have another checksum."""
    if model.folder is None:
        package = model.path.removeprefix(_PACKAGE).partition("/")[0]
        return [Finding(model.name, package, "the package is not installed; install the requirements again")]
    findings = []
    for name, expected in model.files.items():
        file = model.folder / name
        if not file.is_file():
            findings.append(Finding(model.name, str(file), "is missing"))
        elif (found := _sha256(file)) != expected:
            findings.append(
                Finding(model.name, str(file), f"has SHA-256 {found}, expected {expected}; restore the file")
            )
    return findings


def unlisted(folder: Path, models: Sequence[Model]) -> list[Finding]:
    """Weights below the models folder that no manifest vouches for."""
    known = {(model.folder / name).resolve() for model in models if model.folder for name in model.files}
    return [
        Finding(file.parent.name, str(file), f"is in no manifest; add its SHA-256 to {folder / MANIFEST}")
        for file in sorted(folder.rglob("*"))
        if file.suffix in (*_WEIGHTS, *_UNSAFE) and file.resolve() not in known
    ]


def examine(path: Path, name: str | None, kind: str | None, licence: str, source: str) -> Model:
    """Look at a model folder and make an entry of it.

    Raises: ConfigError: no folder, pickled weights, no weights, broken weights, or a kind that does not show.
    """
    folder = path.expanduser().resolve()
    if not folder.is_dir():
        raise ConfigError(f"{path}: is no folder; give the folder that holds the model's files")
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    if unsafe := [str(file.relative_to(folder)) for file in files if file.suffix in _UNSAFE]:
        raise ConfigError(
            f"{path}: holds pickled weights ({', '.join(unsafe)}), which can run code when they are read; "
            "save the model again as safetensors, or delete these files if it has safetensors too"
        )
    vosk = any((folder / file).is_file() for file in _VOSK_FILES) and (folder / "conf").is_dir()
    weights = [file for file in files if file.suffix in (".safetensors", ".onnx")]
    if not vosk and not weights:
        raise ConfigError(f"{path}: holds no weights; expected .safetensors, .onnx or a Vosk model")
    for file in weights:
        if file.suffix == ".safetensors":
            _open_safetensors(file)
    found = ModelKind(kind) if kind else ModelKind.SPEECH if vosk else _kind(folder)
    with progress_line(f"reading {len(files)} files"):
        checksums = {
            file.relative_to(folder).as_posix(): _sha256(file) for file in files if file.suffix != ".md"
        }
    return Model(name or folder.name, found, str(folder), checksums, licence, source, folder)


def _open_safetensors(file: Path) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy"):
            pass
    except (SafetensorError, OSError) as error:
        raise ConfigError(f"{file}: is not a safetensors file: {error}") from error


def _kind(folder: Path) -> ModelKind:
    """What a transformers folder is for, from its configuration."""
    if (folder / "modules.json").is_file():
        return ModelKind.ENCODER
    try:
        configuration: dict[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
        architecture = " ".join(configuration.get("architectures") or [])
    except (OSError, ValueError, AttributeError, TypeError):
        architecture = ""
    for sign, kind in (
        ("ForSequenceClassification", ModelKind.RERANKER),
        ("ForCausalLM", ModelKind.GENERATOR),
        ("LMHeadModel", ModelKind.GENERATOR),
        ("Model", ModelKind.ENCODER),
    ):
        if sign in architecture:
            return kind
    raise ConfigError(
        f"{folder}: its files do not tell what it is for; say so with --kind {'|'.join(ModelKind)}"
    )


def _sha256(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error


def _size_bytes(model: Model) -> int | None:
    """Bytes of the listed files, None if one is not there."""
    if model.folder is None:
        return None
    files = [model.folder / name for name in model.files]
    return sum(file.stat().st_size for file in files) if all(file.is_file() for file in files) else None


def _megabytes(model: Model) -> str:
    size = _size_bytes(model)
    return "missing" if size is None else f"{size / 1e6:.1f} MB"


def _described(model: Model) -> dict[str, Any]:
    card = model.folder / "README.md" if model.folder else None
    return asdict(model) | {
        "folder": str(model.folder) if model.folder else None,
        "size_bytes": _size_bytes(model),
        "card": str(card) if card and card.is_file() else None,
    }
