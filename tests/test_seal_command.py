"""``assay seal`` and ``assay import`` of what is not there: one sentence, and exit code 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.cli import main


def test_what_is_not_there_is_said_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path))
    assert main(["seal", "nope"]) == 2
    assert capsys.readouterr().err == (
        f"Error: there is no run {tmp_path}/runs/nope (no spec.json in it); name one by its id or its folder\n"
    )
    assert main(["import", str(tmp_path / "nope.zip")]) == 2
    assert capsys.readouterr().err == f"Error: there is no {tmp_path}/nope.zip\n"
    assert main(["import", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"Error: {tmp_path}: is a directory\n"
