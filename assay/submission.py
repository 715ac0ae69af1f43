"""``assay submission status``: the milestone's definition of done, each item proven, open, or impossible here."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict, replace
from importlib import metadata
from pathlib import Path

from assay.progress import console, errors
from evidence import config_file, notebook, trust, verifier
from evidence.known import Known
from evidence.reading import Bundle, Unreadable
from evidence.spec import RunSpec, SpecError, parameter_count
from evidence.submission import IMPOSSIBLE, OPEN, PROVEN, Item, of_bundle
from evidence.verify import NotABundle, verify

DONE, NOT_DONE, CANNOT_SAY = 0, 1, 2
GATE = Item(
    "gate",
    "The gate passes on a bare machine",
    IMPOSSIBLE,
    "no machine vouches for its own tests; run them, or read what the workflow says of the commit",
    (".ci/run", ".github/workflows/ci.yml"),
)
STYLES = {PROVEN: "green", OPEN: "yellow", IMPOSSIBLE: "magenta"}


def status(folder: Path, config: Path, home: Path, *, quick: bool, replay: bool, online: bool, as_json: bool) -> int:
    """Print the items of the bundle in ``folder``, which is to be a run of ``config``. 0: all are proven; 1: some are
    not; 2: it cannot be said."""
    if not folder.is_dir():
        errors.print(
            f"Error: there is no bundle {folder.name}; a rehearsal makes one: assay train submission_rehearsal "
            f"--rehearses {config.stem} --name {folder.name}, then assay seal RUN",
            markup=False,
        )
        return CANNOT_SAY
    try:
        asked = config_file.load_spec(config)
        known = verifier.audited(folder, Known(trust=trust.known(home, trust.PINNED)), _quietly, quick=quick)
        known = verifier.replayed(folder, known, _quietly) if replay else known
        known = _asked_the_platform(folder, known) if online else known
        items = of_bundle(Bundle(folder, known), verify(folder, known=known), asked, _unreachable())
    except (SpecError, NotABundle, Unreadable, trust.TrustError) as error:
        errors.print(f"Error: {error}", markup=False)
        return CANNOT_SAY
    items += [_notebook(), *_guardrails(asked), GATE]
    if as_json:
        print(json.dumps({"submission": folder.name, "items": [asdict(item) for item in items]}, indent=2))
    else:
        _show(folder.name, items)
    return DONE if all(item.standing == PROVEN for item in items if item is not GATE) else NOT_DONE


def _quietly(_: str) -> None:
    """Of what is begun nothing is said: the items are few, and --json is read by programs."""


def _asked_the_platform(folder: Path, known: Known) -> Known:
    """With what the platform that lent the session says of it, where it can be asked."""
    from assay.online import NotAsked, told

    try:
        return replace(known, platform=told(folder))
    except NotAsked as error:
        return replace(known, no_platform=f"the platform could not be asked: {error}")


def _unreachable() -> str:
    """Why the submission cannot run from here; "" where it can."""
    from backend.launchers.kaggle import credentials

    if any(Path("/dev").glob("accel*")) or any(Path("/dev/vfio").glob("[0-9]*")):
        return ""
    if credentials.read(os.environ, Path.home()).known:
        return ""
    return "this machine has no TPU, and no Kaggle account is set up on it"


def _notebook() -> Item:
    """The committed notebook is what its source gives."""
    same = notebook.COMMITTED.is_file() and notebook.COMMITTED.read_bytes() == notebook.build(notebook.Parameters())
    said = "built again from its source, byte for byte" if same else "it is not what its source gives"
    where = ("notebooks/kaggle_submission.ipynb", "notebooks/submission.py")
    return Item("notebook", "The notebook has not drifted", PROVEN if same else OPEN, said, where)


def _guardrails(asked: RunSpec) -> list[Item]:
    """What has to be refused, refused here and now."""
    from training import devices, packages, weight_files
    from training.errors import WeightsError

    count = parameter_count(asked.model)
    said = devices.refuse("gpu", "gpu", count)
    found = [_refused("gpu-block", "Gemma-size models never train on a GPU", said, "training/devices.py")]
    version = metadata.version("transformers")
    kept = "" if packages.refuse_transformers() else f"transformers {version} is installed"
    found.append(_refused("transformers", "transformers stays below 5", kept, "training/packages.py"))
    for kind in ("gemma2", "gemma3"):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "config.json").write_text(json.dumps({"model_type": kind}))
            try:
                weight_files.check_config(Path(folder), asked.model)
                said = ""
            except WeightsError as error:
                said = str(error).replace(f"{folder}/", "its ")
        title = f"Gemma {kind[-1]} weights are refused"
        found.append(_refused(kind, title, said, "training/weight_files.py"))
    return found


def _refused(key: str, title: str, said: str, where: str) -> Item:
    return Item(key, title, PROVEN if said else OPEN, said or "it was not refused", (where,))


def _show(name: str, items: list[Item]) -> None:
    for item in items:
        console.print(f"[{STYLES[item.standing]}]{item.standing:15}[/] [bold]{item.title}[/]")
        for line in (item.said, ", ".join(item.evidence)):
            console.print(f"{'':15} {line}", markup=False, style="" if line == item.said else "dim")
    counts = {word: sum(item.standing == word for item in items) for word in (PROVEN, OPEN, IMPOSSIBLE)}
    console.print(f"{name}: " + ", ".join(f"{count} {word}" for word, count in counts.items() if count))
