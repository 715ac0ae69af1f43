"""The real thing, for whoever has an account: a run goes to a session of Kaggle's and comes back as evidence that Kaggle
itself confirms. ``ASSAY_LIVE_KAGGLE=cpu`` costs no TPU time, ``tpu`` some minutes of it. Needs a committed tree."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from assay.online import told
from backend.launchers.kaggle import credentials
from backend.launchers.kaggle.launch import launch
from evidence import attempts, bundle, config_file, events, provenance, reading, rundir
from evidence.endpoints import KAGGLE as KAGGLE_ENDPOINT
from evidence.known import Known
from evidence.spec import resolve
from evidence.status import ENDED, Status, status
from evidence.verify import verify
from tests.runs import wait_for

HOURS = 3
CONFIG = "training/configs/smoke_tiny.yaml"
DEVICE = os.environ.get("ASSAY_LIVE_KAGGLE", "")
ACCOUNT = credentials.read(os.environ, Path.home())


def state(run: Path) -> Status:
    return status(run, attempts.last(attempts.told(run, whole=False), events.Finished))


@pytest.mark.skipif(not DEVICE, reason="no live session was asked for: ASSAY_LIVE_KAGGLE=cpu (or tpu) asks for one")
@pytest.mark.skipif(not ACCOUNT.known, reason=f"there is no Kaggle account here: {credentials.HOW}")
def test_a_run_goes_to_kaggle_and_kaggle_confirms_what_came_back(tmp_path: Path) -> None:
    document, text = config_file.load(provenance.REPOSITORY / CONFIG)
    spec, changed = resolve(document, {"device": DEVICE})
    run = rundir.create(
        tmp_path / "runs", spec, config=CONFIG, config_text=text, overrides=changed, name="live", launcher="kaggle"
    )
    launch(run)
    wait_for(lambda: state(run).state in ENDED, HOURS * 3600)
    assert state(run).state == "finished", state(run).reason
    place = bundle.seal(run, tmp_path / "sealed", "live")
    location = reading.Bundle(place).manifest.location
    assert location.kind == ("kaggle" if ACCOUNT.endpoint == KAGGLE_ENDPOINT else "kaggle_stand_in")
    verdict = verify(place, known=Known(platform=told(place)))
    assert verdict.failures == ()
    results = {item.id: item.result for item in verdict.results}
    assert {results[id] for id in ("KGL-01", "KGL-02", "KGL-03", "KGL-04")} == {"pass"}
