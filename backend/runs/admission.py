"""From a request for a run to a run folder, or to the sentences that say why not. Nothing half-made is left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from backend.configs import library
from backend.errors import Conflict, on_field
from backend.launchers.kaggle import credentials
from backend.runs.answers import RerunRequest, RunRequest, RunSummary
from backend.runs.witness import Witness
from backend.settings import REPOSITORY, Settings
from evidence import config_file, preflight_folder, provenance, rundir
from evidence.canonical import JsonError
from evidence.spec import NAME, Problem, RunSpec, SpecError, resolve


def admit(settings: Settings, request: RunRequest, witness: Witness) -> Path:
    """A new run folder. Raises Invalid or SpecError naming every field that is wrong."""
    config = declared(settings, request.config, request.spec)
    overrides = dict(request.overrides)
    if request.device is not None:
        if overrides.get("device", request.device) != request.device:
            other = str(overrides["device"])[:40]
            message = f"device is {request.device} and the override of device is {other!r}; give one of them"
            raise on_field("device", message)
        overrides["device"] = request.device
    return _admit(
        settings,
        witness,
        config,
        overrides,
        name=request.name,
        notes=request.notes,
        tags=request.tags,
        launcher=request.launcher,
    )


def admit_again(settings: Settings, run: Path, shown: RunSummary, request: RerunRequest, witness: Witness) -> Path:
    """A new run folder of what an earlier run declared, with its overrides and those of ``request``; ``shown`` is what
    that run is called now. Raises as admit does; Conflict where the folder no longer says what was declared."""
    try:
        ask = rundir.read_ask(run)
        document, text = config_file.load(run / rundir.CONFIG)
    except (OSError, JsonError, SpecError) as error:
        raise Conflict(f"run {run.name} cannot be repeated: {error}") from None
    overrides = {item.key: item.effective for item in ask.overrides} | request.overrides
    name = shown.name if request.name is None else request.name
    config = (document, text, ask.config)
    return _admit(settings, witness, config, overrides, name=name, notes="", tags=shown.tags, launcher=ask.launcher)


def _admit(
    settings: Settings,
    witness: Witness,
    config: tuple[dict[str, Any], str, str],
    overrides: dict[str, Any],
    *,
    name: str | None,
    notes: str,
    tags: list[str],
    launcher: str,
) -> Path:
    document, text, source = config
    if name is not None:
        check_name(name)
    spec, changed = resolve(document, overrides)
    if launcher == "kaggle":
        _check_lent(settings, source, spec)
    else:
        overrides |= _opened_paths(settings, spec)
        spec, changed = resolve(document, overrides)
    return rundir.create(
        settings.runs,
        spec,
        config=source,
        config_text=text,
        overrides=changed,
        name=name or "",
        notes=notes,
        tags=tuple(dict.fromkeys(tags)),
        launcher=launcher,
        preflight=preflight_folder.newest_for(settings.preflights, spec),
        witness=witness.issue,
    )


def _check_lent(settings: Settings, source: str, spec: RunSpec) -> None:
    """Raises Invalid for what no session of Kaggle's could run. Its data and weights need not be here."""
    if not settings.kaggle.known:
        raise on_field("launcher", f"launcher kaggle needs an account: {credentials.HOW}")
    if not (REPOSITORY / source).is_file():
        raise on_field("config", "launcher kaggle sends the repository's own configs along; give config, not spec")
    if spec.device not in ("tpu", "cpu"):
        raise on_field("device", f"launcher kaggle lends a tpu or a cpu, got {spec.device}; set device to tpu")


def check_name(name: str) -> None:
    """Raises Invalid for a name that no folder should have."""
    if not NAME.fullmatch(name):
        rule = "1 to 80 letters, digits, '.', '_' or '-', starting with a letter or digit"
        raise on_field("name", f"name must be {rule}, got {name[:80]!r}")


def declared(settings: Settings, config: str | None, spec: dict[str, Any] | None) -> tuple[dict[str, Any], str, str]:
    """A config's document, its text, and what it is called. Raises Invalid or SpecError."""
    if (config is None) == (spec is None):
        given = "both" if config is not None else "neither"
        message = f"give either config, the name of a shipped config, or spec, a config's content; got {given}"
        raise on_field("config", message)
    if config is not None:
        path = library.find(settings, config)
        document, text = config_file.load(path)
        return document, text, provenance.config_name(path)
    assert spec is not None
    resolve(spec, {})  # whatever is wrong with it is said before it is written down as YAML
    return spec, config_file.dumps(spec), "spec"


def _opened_paths(settings: Settings, spec: RunSpec) -> dict[str, str]:
    """For each file that the trainer will open: its path as the trainer can open it. Raises SpecError."""
    wanted = {"data.train_path": spec.data.train_path, "data.eval_path": spec.data.eval_path}
    if spec.weights.source == "folder":
        wanted["weights.path"] = spec.weights.path
    if spec.tokenizer.kind == "huggingface":
        wanted["tokenizer.path"] = spec.tokenizer.path
    found: dict[str, str] = {}
    problems: list[Problem] = []
    for key, path in wanted.items():
        if path:
            place = _find(settings, key, path)
            if isinstance(place, Problem):
                problems.append(place)
            else:
                found[key] = library.shown(place)
    if problems:
        raise SpecError(problems)
    return found


def _find(settings: Settings, key: str, path: str) -> Path | Problem:
    """The file or folder that ``path`` means: as it stands, from the repository, or from a data root."""
    roots = settings.data_roots
    names = ", ".join(library.shown(root) for root in roots)
    kind = "file" if key.startswith("data.") else "folder"
    inside = False
    for base in (REPOSITORY, *roots):
        place = base / path
        try:
            real = place.resolve()
            if not any(real.is_relative_to(root.resolve()) for root in roots):
                continue
            inside = True
            if real.is_file() if kind == "file" else real.is_dir():
                return real
        except (OSError, ValueError, RuntimeError):  # a name too long, a loop of links
            continue
    if inside:
        return Problem(key, f"{key}: there is no {kind} {path[:200]!r} in the data folders ({names})")
    return Problem(
        key, f"{key} must lie in one of the data folders ({names}), got {path[:200]!r}; ASSAY_DATA_ROOTS adds folders"
    )
