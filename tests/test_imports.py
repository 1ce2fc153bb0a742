"""The direction of imports (docs/architecture.md): data flows one way, and heavy libraries load late."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "assistant"
STAGES = {"understanding", "retrieval", "dialogue", "composition"}
FOUNDATION = {"errors", "records", "text", "protocols"}
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "records": set(),
    "text": set(),
    "config": {"errors"},
    "protocols": {"records"},
    **{stage: FOUNDATION | {stage} for stage in STAGES},
    "skills": FOUNDATION | {"skills"},
    "voice": FOUNDATION | {"voice"},
    "backends": FOUNDATION | {"backends", "config"},
    "storage": FOUNDATION | {"storage"},
    "engine": FOUNDATION | STAGES,
    "ingestion": FOUNDATION | {"ingestion", "storage"},
    "learning": FOUNDATION | {"learning"},
    "evaluation": FOUNDATION | {"evaluation", "understanding"},
}
SURFACES = {
    "server",
    "cli",
    "__main__",
    "app",
    "composer",
    "insights",
    "skill_set",
    "simulated_home",
    "__init__",
}  # may import anything below them


def parts() -> list[str]:
    return sorted({path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in PACKAGE.rglob("*.py")})


def imported(part: str) -> set[str]:
    """First-level modules of the package that a part imports."""
    files = list((PACKAGE / part).rglob("*.py")) if (PACKAGE / part).is_dir() else [PACKAGE / f"{part}.py"]
    found = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("assistant."):
                found.add(node.module.split(".")[1])
    return found


@pytest.mark.parametrize("part", [part for part in parts() if part not in SURFACES])
def test_imports_point_one_way(part: str) -> None:
    """Each part imports only what lies below it."""
    assert part in ALLOWED, f"{part} is new: say in this test what it may import"
    assert imported(part) <= ALLOWED[part]


def test_surfaces_do_not_import_each_other_backwards() -> None:
    """Nothing below the surfaces imports them."""
    for part in parts():
        if part not in SURFACES:
            assert not imported(part) & {"server", "cli", "app"}


@pytest.mark.parametrize("module", ["assistant", "assistant.cli.main", "assistant.records"])
def test_import_is_cheap(module: str) -> None:
    """No model library is loaded by importing the package or its command line."""
    code = (
        f"import sys, {module}; "
        "print([m for m in ('torch', 'transformers', 'faiss', 'onnxruntime', 'sklearn', 'vosk') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
