# %% [markdown]
# # One training run on a rented TPU, with its evidence
#
# Every cell calls one step of the program that is pinned below (`python -m assay.session STEP`). The hardware is
# proven before anything else: on another machine than the one that was asked for, the notebook ends at once, and says
# so. At the end, whatever happened, there are `assay_run.tar.gz` (the run and its sealed bundle) and `session.json`,
# and this log carries the same facts behind `:::EVID`, `:::HARDWARE` and `:::SESSION`.
#
# Attach `assay-source.tar.xz` (written by `assay notebook --archive`), the model `google/gemma/transformers/2b/2`, and
# a dataset that holds `gsm8k/train.jsonl`; choose the accelerator *TPU v5e-8*; *Save & Run All*. No secret is needed.
# %% tags=["parameters"]
COMMIT = ""  # the commit that has to run; "": whichever the archive proves
ARCHIVE_SHA256 = ""  # the archive's digest; "": its files are held to the commit's ids alone
ARCHIVE = ""  # the archive itself, in base64; "": it is attached
CONFIG = "training/configs/submission_tpu.yaml"
OVERRIDES = {}
RUN_NAME = "m37_v1"
RUN_ID = ""  # as the server that launched this calls it; "": a new one
NONCE = ""  # issued by that server before the run; "": drawn here
RESUME = False  # go on with the run whose assay_run.tar.gz is attached
REQUIRE = "tpu"
DEVICES = 8
DEADLINE_HOURS = 8.5  # the session is taken away after nine
SMOKE = False  # the same cells on this machine's CPU, as eight virtual devices
SMOKE_CONFIG = "training/configs/smoke_tiny.yaml"
REHEARSES = ""  # the config that a smoke run is a rehearsal of
PREFLIGHTS = ""  # the folder of preflights that a rehearsal takes along
# %% [markdown]
# ## The source: unpacked, and proven to be the commit
# %%
import base64
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time

STARTED = time.time()
SMOKE = SMOKE or os.environ.get("ASSAY_SMOKE") == "1"
WORK = pathlib.Path.cwd()
INPUT = pathlib.Path(os.environ.get("KAGGLE_INPUT", "/kaggle/input"))
SCRATCH = pathlib.Path(tempfile.mkdtemp(prefix="assay-"))
SOURCE = SCRATCH / "source"

found = sorted(INPUT.rglob("assay-source.tar*")) if not ARCHIVE and INPUT.is_dir() else []
if not ARCHIVE and not found:
    raise SystemExit("no source: attach assay-source.tar.xz, written by: assay notebook --archive")
if found and found[0].is_dir():  # the platform unpacked it
    digest = ""
    shutil.copytree(found[0], SOURCE)
else:
    archive = SCRATCH / "assay-source.tar.xz"
    archive.write_bytes(base64.b64decode(ARCHIVE) if ARCHIVE else found[0].read_bytes())
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    if ARCHIVE_SHA256 and digest != ARCHIVE_SHA256:
        raise SystemExit(f"the archive's digest is {digest}, and {ARCHIVE_SHA256} was asked for")
    with tarfile.open(archive) as tar:
        tar.extractall(SOURCE, filter="data")

(SCRATCH / "asked.json").write_text(
    json.dumps(
        {
            "commit": COMMIT,
            "archive_sha256": digest,
            "config": SMOKE_CONFIG if SMOKE else CONFIG,
            "overrides": OVERRIDES,
            "run_name": RUN_NAME,
            "run_id": RUN_ID,
            "nonce": NONCE,
            "resume": RESUME,
            "require": "cpu" if SMOKE else REQUIRE,
            "devices": DEVICES,
            "deadline_hours": DEADLINE_HOURS,
            "smoke": SMOKE,
            "rehearses": REHEARSES,
            "preflights": PREFLIGHTS,
            "started": STARTED,
            "work": str(WORK),
            "input": str(INPUT),
        }
    )
)
if SMOKE:
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={DEVICES}"


def step(name):
    words = [sys.executable, "-u", "-m", "assay.session", name, str(SCRATCH)]
    with subprocess.Popen(words, cwd=SOURCE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout:
            print(line, end="", flush=True)
    if process.returncode:
        raise SystemExit(process.returncode)


step("source")
# %% [markdown]
# ## The packages that are missing; jax and libtpu stay the platform's
# %%
step("install")
# %% [markdown]
# ## The hardware, proven first
# %%
step("hardware")
# %% [markdown]
# ## Weights, tokenizer and data
# %%
step("inputs")
# %% [markdown]
# ## The run: training, checkpoints, evaluation, samples; told to stop before the session ends
# %%
step("train")
# %% [markdown]
# ## The evidence: sealed, verified, packed
# %%
step("seal")
# %%
step("finish")
