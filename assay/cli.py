"""The ``assay`` command: thin, and importing the rest only when a command needs it."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evidence.spec import Scalar


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        return int(options.act(options))
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="assay", description="Launch, watch and prove training runs.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    up = commands.add_parser("up", help="start the server and its page")
    up.set_defaults(act=_up)

    rebuild = commands.add_parser("rebuild", help="make the server's index anew from the run folders")
    rebuild.set_defaults(act=_rebuild)

    backup = commands.add_parser("backup", help="copy the server's index, also while it runs")
    backup.add_argument("file", type=Path, metavar="FILE", help="where to")
    backup.set_defaults(act=_backup)

    launch = commands.add_parser("launch", help="launch a run on the server (POST /runs) and follow it")
    launch.add_argument("config", help="a shipped config: demo_reasoning, smoke_tiny, …")
    _ask(launch)
    launch.add_argument("--launcher", choices=("local", "kaggle"), default="local", help="where it runs (local)")
    launch.add_argument("--detach", action="store_true", help="do not follow")
    _reach(launch)
    launch.set_defaults(act=_launch)

    train = commands.add_parser("train", help="train here, recorded, without a server")
    train.add_argument("config", type=Path, nargs="?", help="a config file, or the name of a shipped one")
    train.add_argument("--resume", metavar="RUN", help="go on with a run that ended early: its id or folder")
    _ask(train)
    train.add_argument(
        "--rehearses", type=Path, metavar="CONFIG", help="say that this rehearses that config's run, and how it differs"
    )
    train.add_argument("--processes", type=_count, default=1, metavar="N", help="train in N processes on this machine")
    train.add_argument("--profile", action="store_true", help="trace some steps for TensorBoard and Perfetto")
    train.add_argument("--profile-steps", type=_count, default=3, metavar="N", help="so many of them (3)")
    train.set_defaults(act=_train)

    preflight = commands.add_parser("preflight", help="will it fit? ask the TPU's own compiler, without a TPU")
    preflight.add_argument("config", type=Path, help="a config file, or the name of a shipped one")
    preflight.add_argument("--topology", required=True, help="the accelerator to compile for: v5e-8, v3-8, …")
    _set(preflight)
    preflight.add_argument("--search", action="store_true", help="try the sensible plans, choose the fastest that fits")
    preflight.add_argument("--largest", action="store_true", help="also find the largest batch that fits")
    preflight.add_argument("--fresh", action="store_true", help="compile again, also where the answer is known")
    preflight.add_argument("--json", action="store_true", help="print the report as JSON")
    preflight.add_argument("--save", type=Path, metavar="FILE", help="also write the report there")
    preflight.set_defaults(act=_preflight)

    seal = commands.add_parser("seal", help="make an evidence bundle of an ended run")
    seal.add_argument("run", help="the run's id or folder")
    seal.add_argument("--name", default="", help="name of the bundle (default: the run's name)")
    _sign_with(seal)
    seal.add_argument("--unsigned", action="store_true", help="do not sign, though there is a key")
    seal.add_argument("--replace-rehearsal", action="store_true", help="take the place of the rehearsal of that name")
    seal.set_defaults(act=_seal)

    verify = commands.add_parser("verify", help="check a bundle: exit 0 valid, 1 findings, 2 unusable")
    verify.add_argument("bundle", help="the bundle's folder, or its name in submission_runs")
    verify.add_argument("--level", default="", help="fail when the bundle does not reach this level")
    verify.add_argument(
        "--trusted-keys", metavar="FILE", default="", help="believe the keys of this file, and no other"
    )
    verify.add_argument("--replay", action="store_true", help="also train a drawn segment again (E4)")
    verify.add_argument("--draw", default="", metavar="NONCE", help="draw that segment by this (default: at random)")
    verify.add_argument("--online", action="store_true", help="ask the platform that lent the session, too (E5)")
    verify.add_argument("--json", action="store_true", help="print the verdict as JSON")
    verify.add_argument("--quick", action="store_true", help="without reading arrays, tokens and program again (no E3)")
    verify.set_defaults(act=_verify)

    notebook = commands.add_parser("notebook", help="write the notebook of a rented session, and the source it runs")
    notebook.add_argument("--out", type=Path, metavar="FILE", help="where to write it (kaggle_submission.ipynb)")
    notebook.add_argument("--archive", type=Path, metavar="FILE", help="write the source there, to be attached")
    notebook.add_argument("--unpinned", action="store_true", help="take any commit that an attached archive proves")
    notebook.add_argument("--config", type=Path, help="what to train (submission_tpu)")
    notebook.add_argument("--name", default="", help="what to call the run and its bundle (m37_v1)")
    notebook.add_argument("--smoke", action="store_true", help="the same cells on a CPU, with smoke_tiny or --config")
    notebook.add_argument("--rehearse", type=Path, metavar="CONFIG", help="as --smoke, as a rehearsal of that config")
    notebook.set_defaults(act=_notebook)

    submission = commands.add_parser("submission", help="the submission's definition of done")
    status = submission.add_subparsers(required=True, metavar="COMMAND").add_parser(
        "status", help="each item proven, open, or impossible here, with its evidence"
    )
    status.add_argument("bundle", nargs="?", default="m37_v1", help="the bundle's name or folder (m37_v1)")
    status.add_argument("--config", type=Path, default=Path("submission_tpu"), help="what it is to be a run of")
    status.add_argument("--online", action="store_true", help="ask the platform that lent the session, too")
    status.add_argument("--replay", action="store_true", help="also train a drawn segment again, here and now (E4)")
    status.add_argument("--json", action="store_true", help="print the items as JSON")
    status.add_argument("--quick", action="store_true", help="without reading arrays, tokens and program again (no E3)")
    status.set_defaults(act=_submission_status)

    sign = commands.add_parser("sign", help="verify a bundle, and put the signed verdict beside its seal")
    sign.add_argument("bundle", help="the bundle's folder, or its name in submission_runs")
    sign.add_argument("--as-maker", action="store_true", help="also sign its files and provenance, as sealing does")
    sign.add_argument("--replay", action="store_true", help="also vouch for its replay/result.json, made by you")
    _sign_with(sign)
    sign.set_defaults(act=_sign)

    _key(commands.add_parser("key", help="the keys you sign with, and those you trust"))
    exporting = commands.add_parser("export", help="write a bundle as one file that verifies as it does")
    exporting.add_argument("bundle", help="the bundle's folder, or its name in submission_runs")
    how = exporting.add_mutually_exclusive_group(required=True)
    how.add_argument("--zip", metavar="FILE", help="as a zip")
    how.add_argument("--bagit", metavar="PLACE", help="as a BagIt bag: a new folder, or FILE.zip")
    exporting.set_defaults(act=_export)

    importing = commands.add_parser("import", help="take in a bundle's zip, trusting none of it, and verify it")
    importing.add_argument("archive", help="the zip")
    importing.add_argument("--name", default="", help="what to call it here (default: its own name)")
    importing.set_defaults(act=_import)
    replay = commands.add_parser("replay", help="train a segment of a bundle again: exit 0 it agrees, 1 not, 2 unknown")
    replay.add_argument("bundle", help="the bundle's folder, or its name in submission_runs")
    replay.add_argument("--from", type=int, dest="from_step", metavar="K", help="begin at the included state of step K")
    replay.add_argument("--to", type=int, dest="to_step", metavar="N", help="end after step N")
    replay.add_argument("--draw", default="", metavar="NONCE", help="draw the segment by this (default: at random)")
    replay.add_argument(
        "--bundle-source", action="store_true", help="EXECUTE the bundle's own code; do that in a container only"
    )
    replay.add_argument("--out", type=Path, metavar="FILE", help="the result (default: beside the bundle's seal)")
    replay.set_defaults(act=_replay)

    export = commands.add_parser("export-weights", help="write a saved state as a Hugging Face folder")
    export.add_argument("run", help="the run's id or folder")
    export.add_argument("--step", type=int, help="the state saved after this step (default: the newest)")
    export.add_argument("--to", type=Path, required=True, metavar="DIR", help="the folder to write: new or empty")
    export.set_defaults(act=_export_weights)

    demo = commands.add_parser("demo", help="the whole main job: launch, follow, seal, verify")
    _reach(demo)
    demo.set_defaults(act=_demo)
    return parser


def _key(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    new = actions.add_parser("new", help="make a key; its private half never leaves this machine")
    new.add_argument("--name", default="owner", help="what it is called, and so whom it speaks for (owner)")
    new.set_defaults(act=_key_new)
    show = actions.add_parser("show", help="print a key's public half and its fingerprint")
    show.add_argument("name", nargs="?", default="", help="which one, where there are several")
    show.set_defaults(act=_key_show)
    listing = actions.add_parser("list", help="whose signatures count here")
    listing.set_defaults(act=_key_list)
    trust = actions.add_parser("trust", help="believe a key from now on")
    trust.add_argument(
        "key", metavar="FILE|FINGERPRINT", help="a public key's file, or the fingerprint of one kept here"
    )
    trust.add_argument("--name", required=True, help="whose it is")
    trust.add_argument("--witness", action="store_true", help="believe it as a witness of runs, not as a signer")
    trust.add_argument("--revoked", default="", metavar="WHY", help="no longer: what it signed counts no more")
    trust.add_argument(
        "--into", type=Path, metavar="FILE", help="the file of trusted keys (default: the data folder's)"
    )
    trust.set_defaults(act=_key_trust)


def _sign_with(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--key", default=os.environ.get("ASSAY_KEY", ""),
                        help="sign with this key, by name or file (default: the only one there is)")  # fmt: skip


def _set(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings",
                        help="a setting by its dotted key: --set optimizer.learning_rate=1e-3")  # fmt: skip


def _ask(parser: argparse.ArgumentParser) -> None:
    _set(parser)
    parser.add_argument("--steps", help="short for --set training.steps=…")
    parser.add_argument("--data", help="short for --set data.train_path=…")
    parser.add_argument("--device", help="auto, cpu, gpu or tpu: exactly that one")
    parser.add_argument("--name", default="", help="name of the run")


def _reach(parser: argparse.ArgumentParser) -> None:
    host, port = os.environ.get("ASSAY_HOST", "127.0.0.1"), os.environ.get("ASSAY_PORT", "8000")
    parser.add_argument("--url", default=os.environ.get("ASSAY_URL", f"http://{host}:{port}"), help="the server")
    parser.add_argument("--token", default=os.environ.get("ASSAY_TOKEN", ""), help="its access token, if it has one")


def _overrides(options: argparse.Namespace) -> dict[str, Scalar]:
    """Settings of the command line, typed. Raises SpecError."""
    from evidence.spec import Problem, SpecError, typed

    short = {"training.steps": "steps", "data.train_path": "data", "device": "device"}
    asked = {key: getattr(options, name, None) for key, name in short.items()}
    pairs = {key: value for key, value in asked.items() if value is not None}
    for setting in options.settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise SpecError([Problem(key, f"--set takes KEY=VALUE, got {setting!r}")])
        pairs[key] = value
    return {key: typed(key, value) for key, value in pairs.items()}


def _rebuild(_: argparse.Namespace) -> int:
    from backend import settings
    from backend.database import Unusable
    from backend.rebuild import rebuild

    try:
        count = rebuild(settings.read(), lambda text: print(text, file=sys.stderr))
    except (Unusable, settings.SettingsError) as error:
        return _fail(str(error))
    print(f"The index was made anew: {count:,} {'run' if count == 1 else 'runs'}.")
    return 0


def _backup(options: argparse.Namespace) -> int:
    from backend import database, settings

    try:
        asked = settings.read()
        if asked.database_url:
            return _fail("the index is in PostgreSQL; copy it with pg_dump")
        database.backup(asked.database, options.file)
    except (database.Unusable, settings.SettingsError) as error:
        return _fail(str(error))
    print(f"{options.file} is a copy of the index. The runs themselves are folders: copy {asked.runs} too.")
    return 0


def _up(_: argparse.Namespace) -> int:
    os.execv(sys.executable, [sys.executable, "-m", "backend"])


def _launch(options: argparse.Namespace) -> int:
    import httpx

    from assay.client import ApiError, Client
    from assay.progress import console, follow
    from evidence.spec import SpecError

    try:
        overrides = _overrides(options)
        with Client(options.url, options.token) as client:
            named = {"name": options.name} if options.name else {}
            run = client.create_run(options.config, overrides, launcher=options.launcher, **named)
            console.print(f"Launched {run['name']}: {client.url}/runs/{run['id']}")
            if options.detach:
                return 0
            last = follow(client.stream(run["id"]), run)
    except (SpecError, ApiError) as error:
        return _fail(str(error))
    except httpx.HTTPError as error:
        return _fail(f"cannot reach the server at {options.url} ({error}); start it with: assay up")
    if last["state"] != "finished":
        return _fail(f"the run is {last['state']}: {last['reason']}", 1)
    console.print("Finished.")
    return 0


def _train(options: argparse.Namespace) -> int:
    from assay.local import resume, train
    from evidence.spec import SpecError

    if (options.config is None) == (options.resume is None):
        return _fail("assay train takes a config to begin a run, or --resume RUN to go on with one; give one of them")
    if options.resume is not None:
        if asked := _asked(options):
            return _fail(f"a run goes on with the spec it began with, so {asked} cannot be given with --resume")
        return resume(_run(options.resume), _how(options))
    try:
        overrides = _overrides(options)
    except SpecError as error:
        return _fail(str(error))
    rehearses = _config(options.rehearses) if options.rehearses else None
    return train(_config(options.config), overrides, options.name, _home(), _how(options), rehearses)


def _preflight(options: argparse.Namespace) -> int:
    from assay import preflight
    from evidence.spec import SpecError

    asked = {"search": options.search, "largest": options.largest}
    try:
        request = preflight.ask(_config(options.config), _overrides(options), options.topology, **asked)
    except SpecError as error:
        return _fail(str(error))
    root = _home() / "preflights"
    return preflight.run(request, root, fresh=options.fresh, as_json=options.json, save=options.save)


def _seal(options: argparse.Namespace) -> int:
    from evidence.command import main as evidence

    run = _run(options.run)
    name = ["--name", options.name] if options.name else []
    how = ["--unsigned"] if options.unsigned else ["--key", options.key]
    how += ["--replace-rehearsal"] if options.replace_rehearsal else []
    return evidence(["seal", str(run), "--into", str(_submissions()), *name, *how])


def _verify(options: argparse.Namespace) -> int:
    from evidence.command import main as evidence

    level = ["--level", options.level] if options.level else []
    keys = ["--trusted-keys", options.trusted_keys] if options.trusted_keys else []
    draw = ["--draw", options.draw] if options.draw else []
    flags = [f"--{name}" for name in ("json", "quick", "replay") if getattr(options, name)]
    words = ["verify", str(_bundle(options.bundle)), *level, *keys, *draw, *flags]
    if not options.online or not _bundle(options.bundle).is_dir():  # verify says so
        return evidence(words)
    import tempfile

    from assay.online import NotAsked, told
    from evidence import canonical, typed

    with tempfile.TemporaryDirectory() as folder:
        facts = Path(folder) / "told.json"
        try:
            facts.write_text(canonical.pretty(typed.write(told(_bundle(options.bundle)))), encoding="utf-8")
        except NotAsked as error:
            return _fail(f"the platform could not be asked: {error}")
        return evidence([*words, "--told", str(facts)])


def _notebook(options: argparse.Namespace) -> int:
    from assay import notebook
    from evidence.spec import SpecError

    config = _config(options.config) if options.config else None
    rehearsed = _config(options.rehearse) if options.rehearse else None
    how = {"smoke": options.smoke, "preflights": _home() / "preflights"}
    try:
        values = notebook.values(options.name, config, rehearsed, **how)
    except SpecError as error:
        return _fail(str(error))
    return notebook.write(options.out, options.archive, values, unpinned=options.unpinned)


def _submission_status(options: argparse.Namespace) -> int:
    from assay.submission import status

    how = {"quick": options.quick, "replay": options.replay, "online": options.online, "as_json": options.json}
    return status(_bundle(options.bundle), _config(options.config), _home(), **how)


def _sign(options: argparse.Namespace) -> int:
    from evidence.command import main as evidence

    replay = ["--replay"] if options.replay else []
    maker = ["--as-maker"] if options.as_maker else []
    return evidence(["sign", str(_bundle(options.bundle)), "--key", options.key, *maker, *replay])


def _key_new(options: argparse.Namespace) -> int:
    from assay import keys

    return keys.new(_home(), options.name)


def _key_show(options: argparse.Namespace) -> int:
    from assay import keys

    return keys.show(_home(), options.name)


def _key_list(_: argparse.Namespace) -> int:
    from assay import keys

    return keys.list_all(_home())


def _key_trust(options: argparse.Namespace) -> int:
    from assay import keys

    return keys.pin(
        _home(), options.key, options.name, witness=options.witness, revoked=options.revoked, into=options.into
    )


def _export(options: argparse.Namespace) -> int:
    from evidence.command import main as evidence

    how = ["--zip", options.zip] if options.zip else ["--bagit", options.bagit]
    return evidence(["export", str(_bundle(options.bundle)), *how])


def _import(options: argparse.Namespace) -> int:
    from evidence.command import main as evidence

    name = ["--name", options.name] if options.name else []
    return evidence(["import", options.archive, "--into", str(_home() / "imported"), *name])


def _replay(options: argparse.Namespace) -> int:
    from assay.replay import run

    ranged = [value is not None for value in (options.from_step, options.to_step)]
    if any(ranged) and (not all(ranged) or options.draw):
        return _fail("a segment is named by --from K --to N, or drawn by --draw NONCE; give one of them, or neither")
    segment = (options.from_step or 0, options.to_step or 0)
    if all(ranged) and options.to_step < 1:
        return _fail(f"--to must be a step of the run, got {options.to_step}")
    return run(_bundle(options.bundle), segment, options.draw, options.out, own_source=options.bundle_source)


def _export_weights(options: argparse.Namespace) -> int:
    os.environ["JAX_PLATFORMS"] = "cpu"  # only files are read and written: leave the accelerator to who trains on it
    from evidence.canonical import JsonError
    from evidence.spec import SpecError
    from training.errors import TrainingError
    from training.export import export

    run = _run(options.run)
    try:
        done = export(run, options.step, options.to)
    except TrainingError as error:
        return _fail(str(error))
    except FileNotFoundError as error:
        return _fail(f"{run} cannot be exported: there is no {error.filename}; name a run by its id or its folder")
    except (OSError, JsonError, SpecError) as error:
        return _fail(f"{run} cannot be exported: {error}")
    print(f"Exported step {done.step} to {done.folder}: {done.files} weight file(s), {done.bytes / 1e6:,.1f} MB")
    print(f"Parameters {done.parameters_digest}; {done.tokenizer}")
    return 0


def _demo(options: argparse.Namespace) -> int:
    from assay.demo import demo

    return demo(options.url, options.token)


def _count(text: str) -> int:
    """A whole number of at least 1, for argparse."""
    if not text.isascii() or not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
    return int(text)


def _how(options: argparse.Namespace) -> list[str]:
    """What the trainer is told besides its run: it changes nothing of what is computed."""
    processes = ["--processes", str(options.processes)] if options.processes > 1 else []
    return [*processes, *(["--profile-steps", str(options.profile_steps)] if options.profile else [])]


def _asked(options: argparse.Namespace) -> str:
    """The first option that asks for another spec; empty for none."""
    given = {
        "--set": options.settings, "--steps": options.steps, "--data": options.data, "--device": options.device,
        "--name": options.name, "--rehearses": options.rehearses,
    }  # fmt: skip
    return next((name for name, value in given.items() if value), "")


def _run(name: str) -> Path:
    """The folder of a run that was named by its folder or by its id."""
    return Path(name) if Path(name).is_dir() else _home() / "runs" / name


def _bundle(name: str) -> Path:
    """The folder of a bundle that was named by its folder, or by its name here."""
    imported = _home() / "imported" / name
    if Path(name).is_dir():
        return Path(name)
    inside = sorted(imported.iterdir()) if imported.is_dir() else []
    return inside[0] if inside and not (_submissions() / name).is_dir() else _submissions() / name


def _config(path: Path) -> Path:
    """The config file of this path, or the shipped one of this name."""
    from evidence.provenance import REPOSITORY

    shipped = REPOSITORY / "training" / "configs" / f"{path}.yaml"
    return shipped if not path.exists() and shipped.is_file() else path


def _home() -> Path:
    from evidence.provenance import REPOSITORY

    return Path(os.environ.get("ASSAY_HOME") or REPOSITORY / "data")


def _submissions() -> Path:
    from evidence.command import SUBMISSIONS

    return Path(os.environ.get("ASSAY_SUBMISSIONS") or SUBMISSIONS)


def _fail(message: str, code: int = 2) -> int:
    for line in message.splitlines():
        print(f"Error: {line}", file=sys.stderr)
    return code
