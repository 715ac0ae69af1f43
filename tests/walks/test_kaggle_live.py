"""Kaggle itself, for whoever has an account and says so: ``ASSAY_KAGGLE_LIVE=1 pytest tests/walks/test_kaggle_live.py``.

Costs no TPU time: ``smoke_tiny`` in a session without an accelerator. Nothing of the gate needs it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from assay import online
from backend.launchers.kaggle import credentials
from evidence import bundle, config_file, reading, rundir
from evidence.known import Known
from evidence.spec import resolve
from evidence.verify import verify
from tests.runs import ROOT

ACCOUNT = credentials.read(os.environ, Path.home())

pytestmark = [
    pytest.mark.skipif(
        not (os.environ.get("ASSAY_KAGGLE_LIVE") and ACCOUNT.known),
        reason="asks Kaggle itself: set ASSAY_KAGGLE_LIVE=1, and have an account set up here",
    ),
    pytest.mark.timeout(3600),
]


def test_a_run_on_kaggles_cpu_comes_back_as_evidence_that_kaggle_confirms(tmp_path: Path) -> None:
    config = ROOT / "training/configs/smoke_tiny.yaml"
    document, text = config_file.load(config)
    spec, changed = resolve(document, {"device": "cpu"})
    run = rundir.create(tmp_path / "runs", spec, config="training/configs/smoke_tiny.yaml", config_text=text,
                        overrides=changed, name="assay-live", launcher="kaggle")  # fmt: skip
    command = [sys.executable, "-m", "backend.launchers.kaggle.job", str(run)]
    words = [sys.executable, "-m", "evidence", "record", str(run), "--", *command]
    environment = {**os.environ, "ASSAY_ALSO_PASSED": ",".join(credentials.VARIABLES)}
    done = subprocess.run(words, cwd=ROOT, env=environment)
    assert done.returncode == 0, (run / rundir.OUTPUT).read_text()[-3000:]
    place = bundle.seal(run, tmp_path, "assay-live")
    assert reading.Bundle(place).manifest.location.kind == "kaggle"
    verdict = verify(place, known=Known(platform=online.told(place)))
    assert verdict.failures == ()
    results = {item.id: item.result for item in verdict.results}
    assert (results["KGL-01"], results["KGL-02"], results["KGL-03"], results["KGL-04"]) == ("pass",) * 4
