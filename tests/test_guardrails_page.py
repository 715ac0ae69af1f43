"""docs/guardrails.md names nothing that is not there: no file, no test, no function, no command."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest

from assay import cli
from tests.guardrails import PAGE
from tests.runs import ROOT

TEXT = PAGE.read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL))))
SAID = [name for name in NAMED if name.startswith(("assay ", "make "))]
FILES = [name for name in NAMED if name not in SAID and ("/" in name or name.endswith((".toml", ".lock", ".md")))]
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]


def defined(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}


@pytest.mark.parametrize("name", FILES)
def test_a_named_file_exists_and_defines_what_is_said(name: str) -> None:
    path, _, inside = name.replace("::", ": ").partition(": ")
    assert (ROOT / path).exists(), name
    if inside:
        assert inside in defined(ROOT / path)


def test_each_guardrail_has_its_sentence_its_command_and_its_test() -> None:
    parts = re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]
    assert len(parts) == 6
    for part in parts:
        assert re.search(r"^> ", part, re.MULTILINE), part
        assert "```sh\n" in part
        assert re.search(r"^\| .* \| `tests/[^|]*\|$", part, re.MULTILINE), part


@pytest.mark.parametrize("line", [*COMMANDS, *SAID])
def test_a_command_is_one(line: str) -> None:
    program, *words = shlex.split(line)
    if program == "assay":
        cli._parser().parse_args(words)
    elif program == "make":
        assert re.search(rf"^{words[0]}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    elif program == "pytest":
        assert (ROOT / words[0]).is_file()
    else:
        assert (program, words[0]) == ("pip", "install")
