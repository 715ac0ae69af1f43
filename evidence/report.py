"""A bundle told to a person: the verdict sentence, the claims with their proof, and the generated README.

Everything here is computed from the bundle's own files, so the README can be regenerated and compared byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterable

from evidence import attestations, dsse, events, preflight, preflight_comparison, reading, receipts, rehearsal, typed
from evidence.manifest import (
    Completed,
    EarlyManifest,
    Failed,
    GitSource,
    Kaggle,
    Local,
    Lost,
    Performed,
    Preflighted,
    Quoted,
    RunManifest,
    Stopped,
    Witnessed,
)
from evidence.reading import MISSHAPEN, Bundle, Unreadable
from evidence.spec import SpecError, parse
from evidence.trust import SIGNER, WITNESS
from evidence.verdict import FAIL, LEVEL_MEANING, NOT_RUN, PASS, WARN, CheckResult, Claim, Proof, Report, Verdict

_CLAIMS = (
    (
        "hardware",
        "Hardware",
        "device lines of the log against the manifest",
        reading.MANIFEST,
        ("MET-10", "HW-01", "HW-02", "HW-03", "HW-04", "PHY-01", "PHY-02", "PHY-03"),
    ),
    (
        "model",
        "Model",
        "parameters counted from the config's shapes and from the checkpoint's leaves",
        reading.MANIFEST,
        ("CKP-01", "CKP-02", "CKP-03", "CKP-04", "CKP-07", "PHY-04"),
    ),
    (
        "data",
        "Data",
        "digests and rows recounted, prompts compared, first batch read back",
        "data/train.jsonl",
        ("PRV-07", "PRV-08", "PRV-12"),
    ),
    (
        "steps",
        "Steps",
        "rows counted, hash chain recomputed from its genesis, schedule and counters recomputed",
        reading.METRICS,
        ("MET-01", "MET-02", "MET-06", "MET-07", "TIM-01", "TIM-02", "TIM-03"),
    ),
    (
        "loss",
        "Loss",
        "recomputed from the rows, and the rows found again in the log",
        reading.METRICS,
        ("MET-03", "MET-04", "MET-05"),
    ),
    (
        "evaluation",
        "Held-out result",
        "every prediction scored again",
        reading.PREDICTIONS,
        ("EVL-01", "EVL-02", "EVL-03", "EVL-05", "EVL-09"),
    ),
    (
        "source",
        "Source",
        "file → blob → tree → commit ids recomputed",
        "source/commit.json",
        ("PRV-01", "PRV-02", "PRV-03"),
    ),
    (
        "config",
        "Config",
        "declared config plus named overrides resolved again",
        "config/effective.json",
        ("PRV-04", "PRV-05"),
    ),
    (
        "preflight",
        "Preflight",
        "the report read again, and its step compared with the config that ran",
        reading.PREFLIGHT,
        ("PFL-01",),
    ),
    (
        "rehearsal",
        "Rehearsal",
        "the submission's config resolved again and compared, the reports about its step read again",
        rehearsal.DOCUMENT,
        ("RHS-01", "RHS-02", "RHS-03", "RHS-04", "RHS-05"),
    ),
    (
        "platform",
        "Platform",
        "its notebook, its log and the session's own word compared with the run's",
        reading.SESSION,
        ("KGL-03", "KGL-04"),
    ),
    (
        "outcome",
        "Outcome",
        "the log read from run_start to finished, over all attempts",
        reading.LOG,
        ("MET-09", "MET-11", "SCH-06", "RES-01", "RES-02", "RES-03", "RES-04"),
    ),
    (
        "witness",
        "Witness",
        "the receipts' chain and signature verified, their heads found among the rows, their times set beside theirs",
        reading.RECEIPTS,
        ("PRV-13", "SIG-06"),
    ),
    (
        "signature",
        "Signature",
        "verified with the keys you pinned; the files it covers digested again, its provenance made again",
        attestations.MODEL,
        ("SIG-01", "SIG-02", "SIG-03", "SIG-04", "SIG-05"),
    ),
)

_DEEPER: dict[str, tuple[str, ...]] = {
    "hardware": ("HW-06", "HW-07"),
    "model": ("PRV-06", "PRV-10", "CKP-05", "CKP-06", "CKP-08", "CKP-09", "CKP-10", "PHY-05", "PHY-06"),
    "data": ("PRV-09", "PRV-17", "MET-08"),
    "steps": ("RPL-02", "RPL-03", "RPL-05", "RPL-06"),
    "loss": ("RPL-01",),
    "evaluation": ("EVL-08", "RPL-04", "RPL-07"),
    "config": ("PRV-14", "PRV-15"),
    "platform": ("KGL-01", "KGL-02", "KGL-05"),
}
"""What an audit or a replay adds to a claim. Where nobody made one, the claim stands as far as it goes."""


def report(path_or_bundle: object, verdict: Verdict) -> Report:
    """The bundle as a reviewer wants it told. Raises Unreadable where its documents cannot be read."""
    bundle = path_or_bundle if isinstance(path_or_bundle, Bundle) else Bundle(path_or_bundle)  # type: ignore[arg-type]
    return Report(
        name=bundle.told.run.name,
        sentence=_verdict_sentence(bundle, verdict),
        claims=tuple(_claims(bundle, verdict)),
        limits=tuple(_limits(verdict)),
    )


def _limits(verdict: Verdict) -> Iterable[str]:
    """What could not be known, given what was."""
    held = {item.id for item in verdict.results if item.result in (PASS, WARN)}
    if "RPL-02" in held:
        yield "One segment was trained again, not the whole run; a weight changed by a single bit is inside its noise."
    else:
        yield "No segment was trained again: whoever controls the trainer could have made these rows up."
    if "SIG-06" in held:
        yield "The witness is believed: whoever controls trainer and witness could have made these rows up."
    else:
        yield "No outsider countersigned: a run relabelled in every file, on the same kind of hardware, looks so."
    yield "Whether the experiment is good science is not checked."


def sentence(bundle: Bundle) -> str:
    """What was run, where, and with what result, in one sentence; what it is not, in a second one."""
    if bundle.early:
        return _early_sentence(bundle)
    manifest, result = bundle.manifest, bundle.summary.training_result
    steps = f"{manifest.training.steps_completed:,} of {manifest.training.steps_planned:,} steps"
    if isinstance(manifest.run.outcome, Completed):
        steps = f"{manifest.training.steps_completed:,} steps"
    said = (
        f"Gemma-architecture model of {_size(manifest.model.parameters)} parameters, {steps} on {hardware(manifest)}; "
        f"loss {result.first_loss.value:.3g} → {result.final_loss.value:.3g}{_score(bundle)}."
    )
    outcome = manifest.run.outcome
    if not isinstance(outcome, Completed):
        said = f"{_ended(outcome)}: {_reason(outcome)}. {said}"
    if bundle.rehearsal:
        said = f"{_rehearses(bundle)} {said}"
    elif manifest.hardware.platform != "tpu":
        said += f" A {manifest.hardware.platform.upper()} run, not a TPU run."
    if not isinstance(manifest.location, Local):
        said += f" It ran in a session {_lent_by(bundle)}."
    return said


def hardware(manifest: RunManifest) -> str:
    used, kind = manifest.mesh.devices_used, manifest.hardware.device_kind
    if manifest.hardware.platform == "cpu":
        cpus = manifest.location.logical_cpus
        plural = "s" if used > 1 else ""
        return f"{used} CPU device{plural} ({manifest.location.cpu_model}, {cpus} logical CPUs)"
    return f"{used} × {kind}"


def readme(bundle: Bundle) -> str:
    """README.md of the bundle, from its JSON documents and rows."""
    if bundle.early:
        return _early_readme(bundle)
    manifest, training = bundle.manifest, bundle.manifest.training
    run, outcome = manifest.run, bundle.manifest.run.outcome
    facts = [
        ("Run", f"{run.name} (`{run.run_id}`)"),
        ("Outcome", _outcome(outcome)),
        ("Time", f"{run.started_at} to {run.finished_at}"),
        *_attempts(manifest),
        ("Hardware", hardware(manifest)),
        *_lent(bundle),
        (
            "Model",
            _model(manifest),
        ),
        (
            "Data",
            _data(manifest),
        ),
        (
            "Training",
            f"{training.steps_completed:,} of {training.steps_planned:,} steps, batch {training.global_batch_size} × "
            f"{training.sequence_length} tokens, {training.optimizer}, peak learning rate "
            f"{training.learning_rate_peak:g}, {training.compute_dtype}, seed {training.seed}, "
            f"loss on {_loss_on(training.loss_on)}",
        ),
        (
            "Speed",
            f"{manifest.timing.median_step_seconds * 1000:.1f} ms per step (median), "
            f"{manifest.timing.tokens_per_second:,.0f} tokens per second",
        ),
        *([("Preflight", _preflight(bundle))] if _is_preflighted(bundle) else []),
        ("Source", _source(manifest)),
    ]
    result = bundle.summary.training_result
    numbers = [
        ("Loss of the first step", f"{result.first_loss.value:.6f}"),
        ("Loss of the last step", f"{result.final_loss.value:.6f}"),
        ("Mean loss", f"{result.mean_loss.value:.6f}"),
        ("Lowest loss", f"{result.lowest_loss.value:.6f} (step {result.lowest_loss.step})"),
        *_evaluation_rows(bundle),
    ]
    overrides = [
        f"- `{item.key}`: {_plain(item.declared)} → {_plain(item.effective)}" for item in manifest.config.overrides
    ]
    sections = [
        f"# {run.name}",
        sentence(bundle),
        "Written by the run it describes; every number below is recomputed by the verifier.",
        *_rehearsal(bundle),
        "## What ran",
        _table(facts),
        "## Result",
        _table(numbers),
        "## Loss",
        "```text",
        *loss_chart([row.loss for row in bundle.rows]),
        "```",
        *(["## Overrides", "Asked for instead of the declared config's values:", *overrides] if overrides else []),
        *_how_to_verify(run.name),
        f"{_about_the_log(bundle)} Each row of `{reading.METRICS}` stands in it behind `:::EVID`.",
    ]
    return _joined(sections)


def _about_the_log(bundle: Bundle) -> str:
    where = "on a local machine" if isinstance(bundle.told.location, Local) else f"in a session {_lent_by(bundle)}"
    return (
        f"The log of the process is `{reading.LOG}` (that name is fixed, wherever a run took place; this one is the "
        f"output of a process {where})."
    )


def _lent_by(bundle: Bundle) -> str:
    """Who lent the machine; never Kaggle where it was not Kaggle's own API that said so."""
    location = bundle.told.location
    if isinstance(location, Kaggle):
        return "on Kaggle"
    return f"of a stand-in for Kaggle at {location.platform.endpoint}, not on Kaggle"  # type: ignore[union-attr]


def _lent(bundle: Bundle) -> list[tuple[str, str]]:
    """Of a session on a platform's machine: what its API told of it."""
    location = bundle.told.location
    if isinstance(location, Local):
        return []
    told = location.platform
    shape = f"machine {told.machine_shape}, image {told.docker_image}"
    return [("Session", f"{_lent_by(bundle)}: {told.url}, version {told.version} of {told.owner}/{told.slug}; {shape}")]


def _rehearses(bundle: Bundle) -> str:
    """What a rehearsal has to say first: that it is one, and what is left to do."""
    told = bundle.rehearsal
    assert told
    platform = bundle.manifest.hardware.platform.upper()
    return (
        f"A rehearsal on {platform} of {told.name}, not the submission: the run on the "
        f"{_place(bundle).upper()} is the one step left ({rehearsal.command(told, bundle.manifest.run.name)})."
    )


def _rehearsal(bundle: Bundle) -> list[str]:
    """Of a rehearsal: what it rehearses, what is different, and what is known of the submission's own step."""
    told = bundle.rehearsal
    if not told:
        return []
    fits = [
        f"- {item.topology}: {_foretold(item)} ([the compiler's report]({item.file.path}))" for item in told.preflights
    ]
    unlike = [
        f"| `{item.key}` | {_setting(item.key, item.submission)} | {_setting(item.key, item.rehearsal)} |"
        for item in told.differences
    ]
    return [
        "## What this rehearses",
        f"`{told.config}`, by the same code path, at a size that this machine can carry. What replaces this bundle:",
        f"```sh\n{rehearsal.command(told, bundle.manifest.run.name)}\n```",
        "What the TPU's own compiler said of the submission's step, before any run and without a TPU:"
        if fits
        else "Whether the submission's step fits a TPU was not asked before this run.",
        *(["\n".join(fits)] if fits else []),
        "Every setting in which the two differ:",
        "\n".join(["| setting | submission | here |", "|---|---|---|", *unlike]),
    ]


def _foretold(item: rehearsal.Foretold) -> str:
    if not item.fits:
        return "does not fit"
    return f"fits, {preflight_comparison.size(item.peak_bytes)} on each device at its peak"


def _place(bundle: Bundle) -> str:
    """The kind of device that the submission asks for."""
    try:
        return rehearsal.submission(bundle.document(rehearsal.DECLARED_JSON)).device
    except SpecError:
        raise Unreadable(f"{rehearsal.DECLARED_JSON} is no config") from None


def _ended(outcome: object) -> str:
    word = {Failed: "A run that failed", Lost: "A run that was lost", Stopped: "A run that was stopped"}
    return word[type(outcome)]


def _outcome(outcome: Completed | Stopped | Failed | Lost) -> str:
    return outcome.kind if isinstance(outcome, Completed) else f"{outcome.kind}: {_reason(outcome)}"


def _early_sentence(bundle: Bundle) -> str:
    outcome, taken_back = bundle.told.run.outcome, sum(isinstance(event, events.Step) for event in bundle.all_events)
    when = "before its first step"
    if taken_back:  # it was resumed from its beginning
        when = f"before the first step of its last attempt, which had taken back {taken_back:,}"
    return f"{_ended(outcome)} {when}: {_reason(outcome)}. It has no result."


def _early_readme(bundle: Bundle) -> str:
    """Of a run that ended before its first row."""
    told = bundle.told
    run, outcome = told.run, told.run.outcome
    facts = [
        ("Run", f"{run.name} (`{run.run_id}`)"),
        ("Outcome", _outcome(outcome)),
        ("Time", f"{run.started_at} to {run.finished_at}"),
        ("Host", f"{told.location.cpu_model}, {told.location.logical_cpus} logical CPUs"),
        *_lent(bundle),
        ("Config", f"{told.config.source}, {len(told.config.overrides)} overrides"),
        ("Source", _source(told)),
    ]
    quoted = []
    if isinstance(outcome, Failed) and isinstance(outcome.said, Quoted):
        quoted = [f"Line {outcome.said.line} of `{reading.LOG}`:", "```text", outcome.said.text, "```"]
    sections = [
        f"# {run.name}",
        sentence(bundle),
        "Written by the run it describes; what can be recomputed is recomputed by the verifier.",
        "## What ran",
        _table(facts),
        *quoted,
        *_how_to_verify(run.name),
        _about_the_log(bundle),
    ]
    return _joined(sections)


def _how_to_verify(name: str) -> list[str]:
    return [
        "## How to verify",
        "With Python 3.11 or newer and a checkout of this repository, nothing else:",
        f"```sh\npython -m evidence verify submission_runs/{name}\n```",
        "Without any of our code, from inside this folder:",
        "```sh\nsha256sum -c MANIFEST.sha256\n```",
    ]


def loss_chart(losses: list[float], width: int = 72, height: int = 12) -> list[str]:
    """The loss over the steps as text: each column spans the least and the greatest loss of its steps."""
    columns = min(width, len(losses))
    spans = []
    for column in range(columns):
        part = losses[column * len(losses) // columns : (column + 1) * len(losses) // columns]
        spans.append((min(part), max(part)))
    low, high = min(losses), max(losses)
    scale = (height - 1) / (high - low) if high > low else 0.0
    lines = []
    for line in range(height - 1, -1, -1):
        marks = "".join("█" if round((a - low) * scale) <= line <= round((b - low) * scale) else " " for a, b in spans)
        label = f"{low + line / (height - 1) * (high - low):8.3f}" if line in (0, height - 1) else " " * 8
        lines.append(f"{label} ┤{marks}".rstrip())
    lines.append(f"{'step':>8} └{'1':<{max(1, columns - len(str(len(losses))))}}{len(losses)}")
    return lines


def _claims(bundle: Bundle, verdict: Verdict) -> Iterable[Claim]:
    results = {result.id: result for result in verdict.results}
    for claim, title, recomputed, file, all_checks in _CLAIMS:
        checks = tuple(check for check in all_checks if check in results)  # those about a bundle of this kind
        if not _is_claimed(claim, bundle):
            continue
        deeper = tuple(check for check in _DEEPER.get(claim, ()) if check in results)
        bad = [results[check] for check in (*checks, *deeper) if results[check].result == FAIL]
        open_ = [item for item in map(results.__getitem__, checks) if item.result == NOT_RUN or _unknown_signer(item)]
        because = f"{open_[0].id}: {open_[0].reason or open_[0].findings[0].found}" if open_ else ""
        word = "fails" if bad else "unproven" if open_ or not checks else "holds"
        because = because or ("" if checks else "no check is about this claim in a bundle of this kind")
        try:
            said = _said(claim, bundle)
            if claim == "evaluation" and not isinstance(bundle.summary.evaluation, Performed):
                recomputed, file = "the log has none, either", reading.SUMMARY
        except MISSHAPEN as error:
            said, word, because = "cannot be read", "fails" if bad else "unproven", str(error)
        proof = Proof(file, (*checks, *deeper))
        yield Claim(claim, title, said, word, (proof,), recomputed, "" if word == "holds" else because)


def _is_claimed(claim: str, bundle: Bundle) -> bool:
    if claim == "witness":
        return isinstance(bundle.told.witness, Witnessed)
    if claim == "platform":
        return not isinstance(bundle.told.location, Local)
    if bundle.early and claim not in ("source", "config", "outcome", "signature"):
        return False
    if claim == "preflight":
        return _is_preflighted(bundle)
    if claim == "rehearsal":
        return bundle.rehearsal is not None
    return claim != "signature" or attestations.MODEL in bundle.files


def _unknown_signer(result: CheckResult) -> bool:
    """SIG-05 is only a warning, but a signature by nobody you know proves nothing."""
    return result.id == "SIG-05" and result.result == WARN


def _said(claim: str, bundle: Bundle) -> str:
    if bundle.early:
        told = bundle.told
        return {
            "source": _source(told).replace("`", ""),
            "config": f"{told.config.source}, {len(told.config.overrides)} overrides",
            "outcome": _outcome(told.run.outcome),
            "witness": _witness(bundle) if claim == "witness" else "",
            "signature": _signature(bundle) if claim == "signature" else "",
        }[claim]
    manifest, result = bundle.manifest, bundle.summary.training_result
    training = manifest.training
    evaluation = bundle.summary.evaluation
    if claim == "evaluation" and not isinstance(evaluation, Performed):
        return f"not evaluated: {evaluation.because}"
    return {
        "hardware": hardware(manifest),
        "model": _model(manifest),
        "data": _data(manifest),
        "steps": f"{training.steps_completed:,} of {training.steps_planned:,} steps, {training.tokens:,} tokens",
        "loss": f"{result.first_loss.value:.4f} at step 1, "
        f"{result.final_loss.value:.4f} at step {result.final_loss.step:,}",
        "evaluation": f"{_score(bundle).removeprefix(', ')}",
        "source": _source(manifest).replace("`", ""),
        "config": f"{manifest.config.source}, {len(manifest.config.overrides)} overrides",
        "preflight": _preflight(bundle) if claim == "preflight" else "",
        "rehearsal": _rehearsal_claim(bundle) if claim == "rehearsal" else "",
        "platform": "; ".join(text for _, text in _lent(bundle)),
        "outcome": _outcome(manifest.run.outcome),
        "witness": _witness(bundle) if claim == "witness" else "",
        "signature": _signature(bundle) if claim == "signature" else "",
    }[claim]


def _witness(bundle: Bundle) -> str:
    witness = bundle.told.witness
    assert isinstance(witness, Witnessed)
    try:
        said = [receipts.read(line) for line in bundle.text(reading.RECEIPTS).split("\n") if line]
    except receipts.NoReceipt as error:
        raise Unreadable(f"{reading.RECEIPTS} holds a line that is no receipt: {error}") from None
    rows = [] if bundle.early else bundle.rows
    hashes = {row.hash for row in rows}
    heads = [item for item in said if isinstance(item, receipts.Head) and item.head in hashes]
    where = "on the machine that trained" if witness.same_host else "on another machine"
    key = bundle.known.trust.find(witness.public_key_sha256, WITNESS)
    who = key.name if key else f"key {witness.public_key_sha256[:16]}…"
    return f"{who}, {where}; {receipts.coverage(rows, heads) if rows else 'the nonce was issued, and no row came'}"


def _signature(bundle: Bundle) -> str:
    try:
        signed = dsse.read(bundle.bytes(attestations.MODEL))
    except dsse.Malformed as error:
        raise Unreadable(f"{attestations.MODEL}: {error}") from None
    key = bundle.known.trust.find(signed.keyid, SIGNER)
    note = " (your own key)" if key and key.own else " (as the repository has it)" if key and key.committed else ""
    who = f"{key.name}{note}" if key else "nobody you know"
    return f"by {who}, key {signed.keyid[:16]}…"


def _is_preflighted(bundle: Bundle) -> bool:
    return isinstance(bundle.manifest.preflight, Preflighted)


def _preflight(bundle: Bundle) -> str:
    """What was said before the run, and, where it ran on what that was said for, what was compiled there."""
    try:
        told: preflight.Report = typed.read(preflight.Report, bundle.document(reading.PREFLIGHT))
        spec = parse(bundle.document("config/effective.json"))
    except (typed.WrongDocument, SpecError):
        raise Unreadable(f"{reading.PREFLIGHT} does not follow its schema") from None
    attempt = preflight_comparison.attempt_of(told, spec)
    if attempt is None:
        raise Unreadable(f"{reading.PREFLIGHT} is of another step")
    said = preflight_comparison.sentence(told, attempt)
    manifest = bundle.manifest
    kind, used = manifest.hardware.device_kind, manifest.mesh.devices_used
    compared = preflight_comparison.compare(told, spec, kind, used, bundle.event(events.Program))
    return f"{said} {preflight_comparison.comparison_sentence(compared)}"


def _rehearsal_claim(bundle: Bundle) -> str:
    told = bundle.rehearsal
    assert told
    fits = "; ".join(f"{item.topology} {_foretold(item)}" for item in told.preflights)
    known = f"its step, by the TPU's compiler: {fits}" if fits else "whether its step fits a TPU was not asked"
    return f"of {told.config}, with {len(told.differences)} settings changed; {known}"


def _verdict_sentence(bundle: Bundle, verdict: Verdict) -> str:
    """What the bundle says, and what that is worth; where it is worth nothing, that comes first."""
    said = sentence(bundle)
    if not verdict.valid:
        count = len(verdict.failures)
        return f"Not to be trusted: {count} check{'s' if count > 1 else ''} failed. It claims: {said}"
    meaning = LEVEL_MEANING[verdict.level]
    return f"{said} {meaning[0].upper()}{meaning[1:]} ({verdict.level})." if verdict.level else f"{said} Not verified."


def _score(bundle: Bundle) -> str:
    evaluation = bundle.summary.evaluation
    if not isinstance(evaluation, Performed):
        return ""
    share = 100 * evaluation.correct / evaluation.items
    after = (
        ""
        if evaluation.checkpoint_step == bundle.manifest.training.steps_completed
        else f" after step {evaluation.checkpoint_step:,}"
    )
    score = f"{share:.1f} % exact match on {evaluation.items:,} held-out items ({evaluation.correct:,} correct)"
    return f", {score}{after}"


def _attempts(manifest: RunManifest) -> list[tuple[str, str]]:
    """Of a run that was resumed."""
    told = [
        f"from step {item.from_step:,} to {item.last_step:,}, {item.ended.replace('_', ' ')}"
        for item in manifest.attempts
    ]
    return [("Attempts", f"{len(told)}: {'; '.join(told)}")] if len(told) > 1 else []


def _evaluation_rows(bundle: Bundle) -> list[tuple[str, str]]:
    evaluation = bundle.summary.evaluation
    if not isinstance(evaluation, Performed):
        return [("Held-out result", f"not evaluated: {evaluation.because}")]
    low, high = evaluation.metrics[0].ci95
    last = bundle.manifest.training.steps_completed
    return [
        (
            "Held-out exact match",
            f"{evaluation.correct:,} of {evaluation.items:,} ({100 * evaluation.metrics[0].value:.1f} %; "
            f"95 % interval {100 * low:.1f} to {100 * high:.1f} %)",
        ),
        ("Held-out loss", f"{evaluation.loss:.6f}"),
        *([] if evaluation.checkpoint_step == last else [("Evaluated", f"after step {evaluation.checkpoint_step:,}")]),
    ]


def _source(manifest: RunManifest | EarlyManifest) -> str:
    source = manifest.source
    if not isinstance(source, GitSource):
        return f"{len(source.files)} files, no commit: {source.because}"
    if not source.files:
        return f"commit `{source.commit}`; which of its files were loaded is not known"
    state = "the code that ran is that commit's" if source.clean else "the code that ran differs from that commit"
    return f"commit `{source.commit}`; {state}"


def _model(manifest: RunManifest) -> str:
    model = manifest.model
    adapted = model.trainable_parameters < model.parameters
    share = f", of which {model.trainable_parameters:,} in adapters are trained" if adapted else ""
    return f"Gemma architecture, {model.parameters:,} parameters{share}, initial weights: {model.weights}"


def _data(manifest: RunManifest) -> str:
    data = manifest.data
    packed = f" packed into {data.train_sequences:,} sequences" if data.packing else ""
    return (
        f"{data.source}: {data.train_rows:,} training rows{packed}, {data.eval_rows:,} held out, "
        f"{data.eval_overlap_rows} of those also trained on"
    )


def _reason(outcome: object) -> str:
    if isinstance(outcome, Failed):
        return f"{outcome.error_type} while {outcome.stage}: {outcome.error_message}".removesuffix(".")
    return str(getattr(outcome, "because", "")).removesuffix(".")


def _size(parameters: int) -> str:
    for unit, name in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if parameters >= unit:
            return f"{parameters / unit:.3g} {name}"
    return str(parameters)


def _loss_on(loss_on: str) -> str:
    return "the answers only" if loss_on == "answer" else "all tokens"


def _setting(key: str, value: object) -> str:
    return f"`{value}`" if isinstance(value, str) and value and not key.endswith("path") else _plain(value)


def _plain(value: object) -> str:
    """A value for a reader; a path by its last name, since its folders are one machine's."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"`{text.rpartition('/')[2]}`" if text else "(not set)"


def _table(rows: Iterable[tuple[str, str]]) -> str:
    cells = [f"| {name} | {' '.join(value.replace('|', '/').split())} |" for name, value in rows]
    return "\n".join(["| | |", "|---|---|", *cells])


def _joined(sections: list[str]) -> str:
    text, inside = "", False
    for section in sections:
        text += section + ("\n" if inside or section == "```text" else "\n\n")
        if section == "```text":
            inside = True
        elif section == "```":
            inside = False
            text += "\n"
    return text.rstrip("\n") + "\n"
