"""PRV: the code, the config and the data are those that are named."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict

from evidence import canonical, config_file, events, provenance, reading, scoring, states
from evidence.audit import Retrained
from evidence.checks import audited
from evidence.checks.check import Family, Findings, NotRun, differs
from evidence.hardware import device_memory_bytes
from evidence.manifest import FilesSource, GitSource
from evidence.plan import choose
from evidence.reading import Bundle
from evidence.spec import SpecError, parse, resolve
from evidence.verdict import Finding

family = Family("provenance")

PROOF = "source/commit.json"


def _git(bundle: Bundle) -> GitSource:
    source = bundle.told.source
    if isinstance(source, FilesSource):
        raise NotRun(f"no commit to check against: {source.because}")
    return source


def blobs(bundle: Bundle) -> dict[str, str]:
    """The blob ids of the commit's files by path, proved. Raises NotRun."""
    try:
        return provenance.blobs(bundle.document(PROOF))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotRun(f"{PROOF} proves nothing (PRV-01): {error}") from None


@family.check("PRV-01", "the commit is real: its id follows from its content", "E2", about="any")
def commit_is_real(bundle: Bundle) -> Findings:
    source, proof = _git(bundle), bundle.document(PROOF)
    try:
        provenance.blobs(proof)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        yield Finding(PROOF, "", "git objects with the ids of their content", str(error))
        return
    yield from differs(PROOF, "commit", source.commit, proof["commit"])
    yield from differs(PROOF, "tree", source.tree, proof["text"].split("\n", 1)[0].removeprefix("tree "))


@family.check("PRV-02", "the code that ran is that commit's", "E2", about="any")
def that_code_ran(bundle: Bundle) -> Findings:
    source, committed = _git(bundle), blobs(bundle)
    told = [event for event in bundle.all_events if isinstance(event, events.Source)]
    if not told and not bundle.early:
        raise NotRun(f"{reading.EVENTS} has no {events.Source.kind} event (SCH-06)")
    here = {f"source/files/{item.path}": item.sha256 for event in told for item in event.files}
    if not told:  # it ended before it said what it had loaded: what was kept of that has to be the commit's
        here = {item.path: item.sha256 for item in source.files}
    yield from differs(reading.MANIFEST, "$.source.files", sorted(here), sorted(item.path for item in source.files))
    different = []
    for path, digest in here.items():
        if path in bundle.files:
            yield from differs(path, "sha256", digest, bundle.sha256(path))
            if committed.get(path.removeprefix("source/files/")) != provenance.blob_id(bundle.bytes(path)):
                different.append(path)
    yield from differs(reading.MANIFEST, "$.source.clean", bool(here) and not different, source.clean)
    if different:
        raise NotRun(
            f"the code that ran is in the bundle, but {len(different)} of {len(here)} files are not those of "
            f"commit {source.commit[:12]} ({different[0].removeprefix('source/files/')})"
        )


@family.check("PRV-03", "the declared config is the committed one", "E2", warns=True, about="any")
def config_is_committed(bundle: Bundle) -> Findings:
    _git(bundle)
    name = bundle.told.config.source
    committed = blobs(bundle).get(name)
    found = provenance.blob_id(bundle.bytes("config/declared.yaml"))
    if committed != found:
        yield Finding("config/declared.yaml", "git blob", f"{committed or 'a file of the commit'} ({name})", found)


@family.check("PRV-04", "the effective config is the declared one plus the overrides named", "E2", about="any")
def effective_config(bundle: Bundle) -> Findings:
    overrides = {item.key: item.effective for item in bundle.told.config.overrides}
    try:
        spec, changed = resolve(bundle.document("config/declared.json"), overrides)
    except SpecError as error:
        yield Finding("config/declared.json", "", "a config that can run", str(error))
        return
    recomputed, effective = spec.as_dict(), bundle.document("config/effective.json")
    for key in sorted({*recomputed, *effective}):
        yield from differs("config/effective.json", key, recomputed.get(key), effective.get(key))
    declared = {item.key: item.declared for item in changed}
    for item in bundle.told.config.overrides:
        yield from differs(
            reading.MANIFEST, f"$.config.overrides ({item.key}).declared", declared.get(item.key), item.declared
        )


@family.check("PRV-05", "the manifest states the config that ran", "E2")
def manifest_is_config(bundle: Bundle) -> Findings:
    training, spec = bundle.manifest.training, bundle.document("config/effective.json")
    stated = {
        "training.steps": training.steps_planned,
        "training.batch_size": training.global_batch_size,
        "training.gradient_accumulation": training.gradient_accumulation,
        "training.sequence_length": training.sequence_length,
        "training.seed": training.seed,
        "training.compute_dtype": training.compute_dtype,
        "optimizer.name": training.optimizer,
        "optimizer.learning_rate": training.learning_rate_peak,
        "optimizer.schedule": training.schedule,
        "optimizer.warmup_steps": training.warmup_steps,
        "optimizer.weight_decay": training.weight_decay,
        "optimizer.gradient_clip": training.gradient_clip,
        "data.loss_on": training.loss_on,
        "data.packing": bundle.manifest.data.packing,
        "tokenizer.kind": bundle.manifest.tokenizer.kind,
    }
    for key, value in stated.items():
        section, _, name = key.partition(".")
        yield from differs(reading.MANIFEST, key, spec[section][name], value)
    source = spec["data"]["train_path"].rpartition("/")[2]
    yield from differs(reading.MANIFEST, "$.data.source", source, bundle.manifest.data.source)
    weights = bundle.event(events.Model).weights
    yield from differs(reading.MANIFEST, "$.model.weights", weights, bundle.manifest.model.weights)
    asked = spec["device"]
    if asked != "auto":
        yield from differs(reading.MANIFEST, "$.hardware.platform", asked, bundle.manifest.hardware.platform)


@family.check("PRV-16", "the plan is the config's, and what it left open was chosen by rule", "E2")
def plan_by_rule(bundle: Bundle) -> Findings:
    manifest, told = bundle.manifest, bundle.event(events.Program)
    hardware = manifest.hardware
    memory = device_memory_bytes(hardware.device_kind, hardware.devices[0].memory_bytes)
    chosen = asdict(choose(parse(bundle.document("config/effective.json")), manifest.mesh.devices_used, memory))
    stated = asdict(manifest.program.plan)
    for key in sorted({*chosen, *stated, *told.plan}):
        yield from differs(reading.MANIFEST, f"$.program.plan.{key}", chosen.get(key), stated.get(key))
        yield from differs(reading.EVENTS, f"program: plan.{key}", chosen.get(key), told.plan.get(key))
    yield from differs(reading.MANIFEST, "$.mesh.layout", chosen["layout"], manifest.mesh.layout)


@family.check("PRV-07", "the data are those that were trained on", "E2")
def data_identity(bundle: Bundle) -> Findings:
    data, told = bundle.manifest.data, bundle.event(events.Data)
    for name, file, event_file, rows in (
        ("data/train.jsonl", data.train, told.train, data.train_rows),
        ("eval/eval_set.jsonl", data.eval, told.eval, data.eval_rows),
        ("data/first_batch.jsonl", data.first_batch, told.first_batch, None),
    ):
        yield from differs(name, "sha256", event_file.sha256, file.sha256)
        lines = bundle.lines(name)
        if rows is not None:
            yield from differs(name, "rows", rows, len(lines))
            counts = Counter(line.get("id") for line in lines)
            if len(counts) != len(lines):
                yield Finding(name, "id", "each id once", f"{counts.most_common(1)[0][0]!r} more than once")
    yield from differs(reading.MANIFEST, "$.data.train_sequences", told.train_sequences, data.train_sequences)
    if data.train_sequences != data.train_rows and not (data.packing and data.train_sequences < data.train_rows):
        most = f"at most {data.train_rows}" if data.packing else f"{data.train_rows}, without packing"
        yield Finding(reading.MANIFEST, "$.data.train_sequences", most, str(data.train_sequences))
    yield from differs(reading.MANIFEST, "$.data.truncated_rows", told.truncated_rows, data.truncated_rows)
    tokenizer = bundle.manifest.tokenizer
    yield from differs(reading.MANIFEST, "$.tokenizer.sha256", told.tokenizer_sha256, tokenizer.sha256)
    yield from differs(reading.MANIFEST, "$.tokenizer.vocab_size", told.vocab_size, tokenizer.vocab_size)


@family.check("PRV-08", "no held-out prompt was trained on", "E2")
def no_overlap(bundle: Bundle) -> Findings:
    trained = {scoring.normalized(line["prompt"]) for line in bundle.lines("data/train.jsonl")}
    overlap = [
        line["id"] for line in bundle.lines("eval/eval_set.jsonl") if scoring.normalized(line["prompt"]) in trained
    ]
    yield from differs(
        reading.MANIFEST, "$.data.eval_overlap_rows", len(overlap), bundle.manifest.data.eval_overlap_rows
    )
    if overlap:
        yield Finding(
            "eval/eval_set.jsonl",
            f"item {overlap[0]}",
            "prompts that are not in data/train.jsonl",
            f"{len(overlap)} that are",
        )


@family.check("PRV-11", "the software versions agree everywhere", "E2")
def environment(bundle: Bundle) -> Findings:
    installed = dict(
        line.split("==", 1) for line in bundle.text("environment/packages.txt").splitlines() if "==" in line
    )
    told = bundle.event(events.RunStart).versions
    stated = bundle.manifest.software
    yield from differs(reading.MANIFEST, "$.software.versions", told, stated.versions)
    yield from differs(reading.MANIFEST, "$.software.python", told.get("python"), stated.python)
    for name in ("jax", "jaxlib", "flax", "optax", "numpy"):
        if name in told:
            yield from differs("environment/packages.txt", name, told[name], installed.get(name))


@family.check("PRV-12", "the answers are trained on", "E2")
def targets_are_trained_on(bundle: Bundle) -> Findings:
    answers = {line["id"]: line["answer"] for line in bundle.lines("data/train.jsonl")}
    for number, row in enumerate(bundle.lines("data/first_batch.jsonl"), 1):
        trained = row["trained_on"]
        answer = answers.get(row["id"])
        if answer is None:
            yield Finding("data/first_batch.jsonl", f"line {number}: id", "a row of data/train.jsonl", str(row["id"]))
        elif not trained or not (trained.startswith(answer) or answer.startswith(trained) or answer in trained):
            yield Finding("data/first_batch.jsonl", f"line {number}: trained_on", repr(answer), repr(trained))
    previous = 0
    for step in bundle.rows:
        if step.supervised_tokens <= previous:
            yield Finding(
                reading.METRICS,
                f"step {step.step}: supervised_tokens",
                f"more than {previous}",
                str(step.supervised_tokens),
            )
        previous = step.supervised_tokens


@family.check("PRV-15", "the declared config's JSON is its YAML", "E3")
def declared_document(bundle: Bundle) -> Findings:
    try:
        document = config_file.loads(bundle.text("config/declared.yaml"), "config/declared.yaml")
    except ImportError:
        raise NotRun("PyYAML is not installed: pip install pyyaml") from None
    except SpecError as error:
        yield Finding("config/declared.yaml", "", "a config", str(error))
        return
    found = canonical.digest(bundle.document("config/declared.json"))
    yield from differs("config/declared.json", "canonical sha256", canonical.digest(document), found)


@family.check("PRV-06", "the optimizer is the one that is named: its state has that one's arrays", "E3", cost="audit")
def optimizer_state(bundle: Bundle) -> Findings:
    shapes = audited.seen(audited.audit(bundle).shapes)
    expected = {leaf.path: (leaf.dtype, list(leaf.shape)) for leaf in shapes.leaves}
    because = audited.excuse(bundle, "shapes", "optax")
    for item in bundle.manifest.checkpoints:
        yield from audited.same_leaves(bundle, item.leaves.path, states.OPTIMIZER, expected, because)


@family.check(
    "PRV-09", "the tokenizer is the one that is named, and the model has a row for each of its ids", "E3", cost="audit"
)
def tokenizer(bundle: Bundle) -> Findings:
    found, stated = audited.seen(audited.audit(bundle).tokenizer), bundle.manifest.tokenizer
    because = audited.excuse(bundle, "decoding")
    yield from audited.recomputed(reading.MANIFEST, "$.tokenizer.sha256", found.sha256, stated.sha256, because)
    yield from differs(reading.MANIFEST, "$.tokenizer.vocab_size", found.vocab_size, stated.vocab_size)
    rows = bundle.document("config/effective.json")["model"]["vocab_size"]
    if found.vocab_size > rows:
        yield Finding("config/effective.json", "model.vocab_size", f"at least {found.vocab_size}", str(rows))
    # Rows that were cut may have been dropped from the data that the tokenizer learned from; then nothing can be said.
    if isinstance(found.retrained, Retrained) and not bundle.manifest.data.truncated_rows:
        because = audited.excuse(bundle, "batches", "tokenizers")
        if not because:
            where = "sha256 of one trained on data/train.jsonl"
            yield from differs(reading.MANIFEST, f"$.tokenizer ({where})", found.retrained.sha256, stated.sha256)


@family.check("PRV-10", "the run began with the weights that are named", "E3", cost="audit")
def initial_weights(bundle: Bundle) -> Findings:
    """Random weights are drawn from the seed again; others are named so that everybody can get the same."""
    found, stated = audited.audit(bundle), bundle.manifest.model
    shapes = audited.seen(found.shapes)
    because = audited.excuse(bundle, "shapes")
    yield from audited.recomputed(reading.MANIFEST, "$.model.parameters", shapes.parameters, stated.parameters, because)
    yield from differs(reading.MANIFEST, "$.model.weights", shapes.weights, stated.weights)
    source = bundle.document("config/effective.json")["weights"]["source"]
    if source == "folder":
        raise NotRun(f"the weights come from {stated.weights}, a name of one machine: others cannot get them")
    if source == "random":
        yield from audited.recomputed(
            reading.MANIFEST,
            "$.model.initial_parameters_digest",
            audited.seen(found.initial).parameters_digest,
            stated.initial_parameters_digest,
            audited.excuse(bundle, "weights", "numpy"),
        )


@family.check("PRV-14", "the program is that of the source and the config", "E3", cost="audit")
def program(bundle: Bundle) -> Findings:
    """The step is lowered again, for as many devices of the same platform; its text is the same in every process."""
    found = audited.seen(audited.audit(bundle).program)
    because = audited.excuse(bundle, "program", "jax", "jaxlib", "flax", "optax")
    stated = bundle.manifest.program.sha256
    yield from audited.recomputed(reading.MANIFEST, "$.program.sha256", found.sha256, stated, because)


@family.check("PRV-17", "the first batch is, word for word and mask for mask, what the data give", "E3", cost="audit")
def first_batch(bundle: Bundle) -> Findings:
    """PRV-12's deeper half: the rows are tokenized, put in order and masked again."""
    found = audited.seen(audited.audit(bundle).first_batch).lines
    because = audited.excuse(bundle, "batches", *audited.tokenizer_packages(bundle))
    lines = bundle.text("data/first_batch.jsonl").split("\n")[:-1]
    for number, (expected, line) in enumerate(zip(found, lines, strict=False), 1):
        yield from audited.recomputed("data/first_batch.jsonl", f"line {number}", expected, line, because)
    yield from audited.recomputed("data/first_batch.jsonl", "lines", len(found), len(lines), because)
