"""A replay job without a trainer: it writes what the real one writes, of a bundle that always agrees with itself.

What comes out depends on what draws the segment: ``slow`` never ends, ``broken`` ends with a sentence, ``crash`` without
a word, ``differs`` finds another loss.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

from evidence import job_folder, reading, replay_job, rundir, typed
from tests.evidence.replays import agreeing

REFUSED = "the program here is not the run's"


def run(folder: Path) -> int:
    request = replay_job.read_request(folder)
    job_folder.say(folder, 1, 4, "step 1")
    print("step 1", flush=True)
    if request.nonce == "slow":
        while True:
            time.sleep(60)
    if request.nonce == "crash":
        os.kill(os.getpid(), signal.SIGABRT)
    if request.nonce == "broken":
        job_folder.fail(folder, REFUSED)
        return 1
    made = agreeing(reading.Bundle(Path(request.path)), request.nonce)
    if request.nonce == "differs":
        first, *rest = made.measured.steps
        steps = (replace(first, loss=first.loss + 0.1), *rest)
        made = replace(made, measured=replace(made.measured, steps=steps))
    rundir.write_document(folder / replay_job.RESULT, typed.write(made))
    return 0


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1])))
