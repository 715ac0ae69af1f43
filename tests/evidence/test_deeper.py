"""A deeper reading is a process of its own: nothing of ours leaks into it, and whatever it does, it ends."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from evidence import deeper

PRELUDE = "import json, os, sys\nout = sys.argv[sys.argv.index('--out') + 1]\n"


@dataclass(frozen=True)
class Said:
    words: tuple[str, ...]


def made(tmp_path: Path, script: str, limit_seconds: float = 60, **options: object) -> Said:
    path = tmp_path / "reading.py"
    path.write_text(PRELUDE + script)
    return deeper.made(Said, path, [str(tmp_path / "child")], limit_seconds=limit_seconds, **options)  # type: ignore[arg-type]


def test_the_environment_is_made_from_scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "a secret")
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=/tmp/x")
    said = made(
        tmp_path,
        "e = os.environ\n"
        "json.dump({'words': [str(e.get('HF_TOKEN')), str(e.get('XLA_FLAGS')), e['JAX_PLATFORMS'], "
        "str(e['HOME'] == os.getcwd() == e['TMPDIR']), sys.argv[1][-5:]]}, open(out, 'w'))\n",
        devices=8,
    )
    assert said.words == ("None", "--xla_force_host_platform_device_count=8", "cpu", "True", "child")


def test_our_own_packages_are_found_but_not_those_of_the_working_folder(tmp_path: Path) -> None:
    said = made(
        tmp_path,
        "import evidence, training\n"
        "json.dump({'words': [evidence.__file__, training.__file__, sys.path[0]]}, open(out, 'w'))\n",
    )
    root = Path(deeper.__file__).parents[1]
    assert said.words == (str(root / "evidence/__init__.py"), str(root / "training/__init__.py"), str(root))


def test_what_fails_says_so_in_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(deeper.Impossible, match="reading ended with exit code 1: ValueError: the leaf is odd"):
        made(tmp_path, "raise ValueError('the leaf is odd')\n")


def test_one_that_does_not_end_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    child = tmp_path / "child"
    script = (
        "import subprocess, time\n"
        "later = f'import time; time.sleep(2); open({sys.argv[1]!r}, \"w\")'\n"
        "subprocess.Popen([sys.executable, '-c', later])\n"
        "time.sleep(60)\n"
    )
    began = time.monotonic()
    with pytest.raises(deeper.Impossible, match="was not done within 1 second"):
        made(tmp_path, script, limit_seconds=1)
    assert time.monotonic() - began < 20
    time.sleep(2)
    assert not child.exists()


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("pass\n", "ended without a result"),
        ("open(out, 'w').write('{')\n", "wrote what is no Said"),
        ("open(out, 'w').write('{\"words\": [], \"more\": 1}')\n", "no such field"),
    ],
)
def test_a_result_that_is_none_is_refused(tmp_path: Path, script: str, why: str) -> None:
    with pytest.raises(deeper.Impossible, match=why):
        made(tmp_path, script)


def test_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert deeper.missing() == ""
    monkeypatch.setattr(deeper, "PACKAGES", ("numpy", "no_such_package"))
    assert "no_such_package" in deeper.missing()
