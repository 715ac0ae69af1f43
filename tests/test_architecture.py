"""Who may import whom: the table of ARCHITECTURE.md, enforced for Python and TypeScript alike."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runs import ROOT

OURS = {"evidence", "training", "backend", "assay"}

PYTHON: dict[str, tuple[set[str], set[str]]] = {
    # folder: (this repository, outside of the standard library)
    "evidence": (set(), {"yaml", "cryptography"}),
    "training": (
        {"evidence"},
        {"jax", "jaxlib", "flax", "optax", "orbax", "numpy", "jaxtyping", "tokenizers", "safetensors", "transformers",
         "huggingface_hub"},
    ),
    "backend": (
        {"evidence"},
        {"fastapi", "starlette", "sqlalchemy", "alembic", "pydantic", "pydantic_core", "uvicorn", "pysqlite3", "anyio", "numpy",
         "httpx"},
    ),
    "assay": ({"evidence"}, {"httpx", "rich"}),
}  # fmt: skip
LAZY = {"assay": {"training", "backend"}, "evidence": {"yaml", "cryptography"}}
"""What a folder may import inside a function only."""

TYPESCRIPT: dict[str, set[str]] = {
    "api": {"api"},
    "chart": {"chart"},
    "ui": {"ui"},
    "features": {"api", "chart", "ui"},
    "app": {"api", "chart", "ui", "features", "app"},
}
NO_REACT = {"api", "chart"}


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """(package, whether it is imported at the top of the module) for each import of a Python file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = {
        node
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield name.name.partition(".")[0], node not in inside
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0], node not in inside


def python_violations(folder: str, files: list[Path]) -> list[str]:
    ours, outside = PYTHON[folder]
    lazy = LAZY.get(folder, set())
    found = []
    for path in files:
        for package, at_top in imports(path):
            allowed = package in {folder, *ours, *outside, *sys.stdlib_module_names}
            if package in lazy:
                allowed = not at_top
            if not allowed:
                found.append(f"{path.name} imports {package}")
    return found


def typescript_violations(source: Path) -> list[str]:
    found = []
    for path in sorted([*source.rglob("*.ts"), *source.rglob("*.tsx")]):
        folder = path.relative_to(source).parts[0]
        if folder not in TYPESCRIPT or ".test." in path.name:
            continue
        for target in re.findall(r"""(?:from|import)\s*\(?\s*['"]([^'"]+)['"]""", path.read_text(encoding="utf-8")):
            if target.startswith("."):
                resolved = (path.parent / target).resolve().relative_to(source.resolve())
                if len(resolved.parts) < 2 and resolved.suffix in ("", ".css"):
                    continue
                into = resolved.parts[0]
                same_feature = folder == into == "features" and resolved.parts[1] == path.relative_to(source).parts[1]
                if into in TYPESCRIPT and into not in TYPESCRIPT[folder] and not same_feature:
                    found.append(f"{path.relative_to(source)} imports {target}")
            elif folder in NO_REACT and re.match(r"react(-dom)?($|/)", target) and "gen" not in path.parts:
                found.append(f"{path.relative_to(source)} imports {target}")
    return found


@pytest.mark.parametrize("folder", sorted(PYTHON))
def test_a_folder_imports_only_what_the_table_allows(folder: str) -> None:
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    assert python_violations(folder, files) == []


def test_the_page_imports_in_one_direction() -> None:
    source = ROOT / "frontend" / "src"
    assert {path.name for path in source.iterdir() if path.is_dir()} <= {*TYPESCRIPT, "test"}
    assert typescript_violations(source) == []


@pytest.mark.parametrize(
    ("folder", "line"),
    [
        ("evidence", "import numpy"),
        ("evidence", "from training import gemma"),
        ("training", "from backend.app import create_app"),
        ("backend", "import training.train"),
        ("assay", "import backend"),
    ],
)
def test_a_planted_violation_is_named(tmp_path: Path, folder: str, line: str) -> None:
    planted = tmp_path / "planted.py"
    planted.write_text(f"{line}\n")
    assert python_violations(folder, [planted]) == [f"planted.py imports {line.split()[1].partition('.')[0]}"]


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("features/runs/a.ts", "import { b } from '../evidence/b'"),
        ("chart/a.ts", "import { useState } from 'react'"),
        ("api/a.ts", "import { b } from '../ui/b'"),
    ],
)
def test_a_planted_violation_of_the_page_is_named(tmp_path: Path, file: str, line: str) -> None:
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text(f"{line}\n")
    assert len(typescript_violations(tmp_path)) == 1


def test_the_documented_table_names_every_folder() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    for folder, (_, outside) in PYTHON.items():
        row = next(line for line in text.splitlines() if line.startswith(f"| `{folder}` |"))
        for package in outside - {"jaxlib", "pydantic_core", "yaml"}:
            assert package in row, f"{folder}: {package} is not in the table of ARCHITECTURE.md"
