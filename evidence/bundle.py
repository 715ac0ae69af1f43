"""Seal: make a bundle of an ended run, or refuse with the findings that verification would have.

The bundle is built beside its place, verified there, and renamed into it: it appears whole and valid, or not at all.
"""

from __future__ import annotations

import re
import shutil
import statistics
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from evidence import (
    attempts,
    canonical,
    config_file,
    crate,
    endpoints,
    events,
    manifest,
    preflight_comparison,
    preflight_folder,
    provenance,
    reading,
    receipts,
    rehearsal,
    report,
    rundir,
    scoring,
    session,
    signing,
    typed,
)
from evidence.checks.structure import LARGEST_FILE_BYTES
from evidence.known import Known
from evidence.manifest import EvalSummary, File, RunManifest
from evidence.signing import Signer
from evidence.spec import NAME
from evidence.status import ENDED, error_in, last_error, own_word, status, untold_error
from evidence.trust import SIGNER, Key, Trust
from evidence.verdict import FAIL, CheckResult, Finding
from evidence.verify import verify

LARGEST_CHECKPOINTS_BYTES = 64 * 2**20
"""Checkpoints up to this size together are included; larger ones are left out, and the manifest says so."""

E = TypeVar("E", bound=events.Event)
R = TypeVar("R", bound=manifest.RunFacts)


class SealRefused(ValueError):
    """The run cannot become a bundle; ``results`` are the checks that fail, with their findings."""

    def __init__(self, results: Iterable[CheckResult]) -> None:
        self.results = tuple(results)
        super().__init__("\n".join(str(finding) for result in self.results for finding in result.findings))


class NameTaken(ValueError):
    """There is a bundle of this name."""


def seal(
    run: Path, destination: Path, name: str, signer: Signer | None = None, *, replace_rehearsal: bool = False
) -> Path:
    """The bundle ``destination/name`` made of the run folder ``run``, and signed where there is a ``signer``. With
    ``replace_rehearsal`` it takes the place of a bundle that rehearsed it. Raises NameTaken, SealRefused, OSError."""
    if not NAME.fullmatch(name):
        raise SealRefused([_refusal("STR-02", "name", "letters, digits, '.', '_' and '-'", typed.show(name))])
    place = destination / name
    rehearsed = place.exists()
    if rehearsed:
        _free(place, run, replace_rehearsal)
    destination.mkdir(parents=True, exist_ok=True)
    draft = destination / f".sealing-{name}"
    shutil.rmtree(draft, ignore_errors=True)
    try:
        sealing = _Sealing(run, draft, name)
        if rehearsed and sealing.status.state != "finished":
            raise NameTaken(f"{name} holds a rehearsal, and a run that is {sealing.status.state} does not replace it")
        sealing.build()
        known = Known()
        if signer:
            signing.attest(draft, signer)
            known = Known(trust=Trust((Key(signer.name, SIGNER, signer.public, own=True),)))
        verdict = verify(draft, name=name, known=known)
        if not verdict.valid:
            raise SealRefused(verdict.failures)
        aside = destination / f".replaced-{name}"
        if rehearsed:
            shutil.rmtree(aside, ignore_errors=True)
            place.rename(aside)
        draft.rename(place)
        shutil.rmtree(aside, ignore_errors=True)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    _note(run, name, verdict.level, canonical.sha256_file(place / reading.SUMS))
    return place


def _free(place: Path, run: Path, replace_rehearsal: bool) -> None:
    """Whether the bundle at ``place`` may give way. Raises NameTaken."""
    if not (place / rehearsal.DOCUMENT).is_file():
        raise NameTaken(f"there is a bundle named {place.name} already; choose another name")
    if not replace_rehearsal:
        raise NameTaken(
            f"{place.name} holds a rehearsal; choose another name, or let this take its place: --replace-rehearsal"
        )
    asked = rundir.read_ask(run)
    if asked.rehearses:
        raise NameTaken(f"{place.name} holds a rehearsal, and this run is one too; remove that bundle first")
    if canonical.read(place / rehearsal.DOCUMENT).get("spec_sha256") != asked.spec_sha256:
        raise NameTaken(f"{place.name} holds a rehearsal of something else than this run; choose another name")


def manifest_sums(folder: Path) -> str:
    """MANIFEST.sha256 of a folder: ``sha256sum -c`` format, sorted by path, every file but itself and
    those beside the seal."""
    bundle = reading.Bundle(folder)
    return "".join(f"{bundle.sha256(name)}  {name}\n" for name in bundle.sealed_files)


def _refusal(check: str, where: str, expected: str, found: str) -> CheckResult:
    finding = Finding(file="the run folder", where=where, expected=expected, found=found)
    return CheckResult(check, "structure", "bundle is complete", "E0", FAIL, "", (finding,))


def _note(run: Path, name: str, level: str, sums_sha256: str) -> None:
    known = rundir.read_document(run / rundir.SEALED).get("bundles", [])
    bundle = {"name": name, "level": level, "sealed_at": events.now(), "manifest_sha256": sums_sha256}
    rundir.write_document(run / rundir.SEALED, {"bundles": [*known, bundle]})


class _Sealing:
    """One pass over a run folder into an empty folder."""

    def __init__(self, run: Path, folder: Path, name: str) -> None:
        self.asked_in, self.folder, self.name = run, folder, name
        # Of a run elsewhere, the folder here is that of whoever watched it; its own came back inside.
        self.run = run = rundir.written(run)
        self.ask = rundir.read_ask(run)
        self.launch = rundir.read_document(run / rundir.LAUNCH)
        earlier = range(1, self.launch.get("attempt", 1))
        places = [run / rundir.ATTEMPTS / str(number) / rundir.LAUNCH for number in earlier]
        self.launches = [*(found for place in places if (found := rundir.read_document(place))), self.launch]
        lines, _ = rundir.whole_lines(run / rundir.EVENTS, 0, limit_bytes=-1)
        try:
            self.events = [(line.decode(), events.decode(line)) for line in lines]
        except (events.EventError, UnicodeDecodeError) as error:
            raise SealRefused([_refusal("STR-04", rundir.EVENTS, "event lines", str(error))]) from None
        self.standing = attempts.standing(self.events)
        self.rows = [event for _, event in self.standing if isinstance(event, events.Step)]
        self.finished = attempts.last((event for _, event in self.events), events.Finished)
        self.status = status(run, self.finished)
        self.finished = own_word(run, self.launch, self.finished)
        if self.status.state not in ENDED:
            raise SealRefused([_refusal("MET-09", "state", "a run that has ended", self.status.state)])
        if not self.launch:
            reason = self.status.reason or "it was never started"
            raise SealRefused([_refusal("MET-09", "state", "a run that was started", reason)])

    def build(self) -> None:
        self.folder.mkdir()
        self._copy_log()
        self._write_config()
        self._write_environment()
        self._write_source()
        if self.rows:
            self._write_rows()
        else:
            self._write_early()
        self._write(reading.README, report.readme(reading.Bundle(self.folder)))
        self._write(reading.CRATE, crate.text(reading.Bundle(self.folder)))
        self._write(reading.SUMS, manifest_sums(self.folder))

    # Parts of the bundle.

    def _write_early(self) -> None:
        """Of a run that ended before its first row: what there is."""
        if self.events:
            self._write_lines(reading.EVENTS, (line for line, _ in self.events))
        document = manifest.EarlyManifest(
            schema=manifest.EARLY_MANIFEST_SCHEMA,
            run=self._run(manifest.EarlyRun),
            location=self._location(),
            software=manifest.Installed(
                python=self.launch["python"],
                packages=self._file("environment/packages.txt"),
                environment=self._file("environment/env.json"),
            ),
            source=self._source(),
            config=self._config(),
            events=[self._file(reading.EVENTS)] if self.events else [],
            witness=self._witness(),
        )
        self._write(reading.MANIFEST, canonical.pretty(typed.write(document)))
        summary = manifest.EarlySummary(
            schema=manifest.EARLY_SUMMARY_SCHEMA,
            run_id=self.ask.run_id,
            run_name=self.name,
            because="the run ended before its first step",
        )
        self._write(reading.SUMMARY, canonical.pretty(typed.write(summary)))

    def _write_rows(self) -> None:
        self._write_lines(reading.METRICS, (line for line, event in self.standing if isinstance(event, events.Step)))
        self._write_lines(
            reading.EVENTS, (line for line, event in self.events if not isinstance(event, events.Step | events.Sample))
        )
        samples = [line for line, event in self.standing if isinstance(event, events.Sample)]
        if samples:
            self._write_lines(reading.SAMPLES, samples)
        data = self._last(events.Data)
        self._copy(data.train.path, "data/train.jsonl")
        self._copy(data.first_batch.path, "data/first_batch.jsonl")
        self._copy(data.eval.path, "eval/eval_set.jsonl")
        if (self.run / rundir.TOKENIZER).is_dir():
            self._copy_folder(rundir.TOKENIZER, rundir.TOKENIZER)
        if self.ask.rehearses:
            self._write_rehearsal()
        document = typed.write(self._manifest(self._checkpoints(), bool(samples)))
        self._write(reading.MANIFEST, canonical.pretty(document))
        self._write(reading.SUMMARY, canonical.pretty(typed.write(self._summary())))

    def _copy_log(self) -> None:
        """What the process printed; half a line, where it was killed while it wrote, is ended."""
        if not (self.run / rundir.OUTPUT).exists():
            self._write(reading.LOG, "")  # it was killed before there was a trainer
            return
        self._copy(rundir.OUTPUT, reading.LOG)
        if rundir.has_torn_line(self.folder / reading.LOG):
            with (self.folder / reading.LOG).open("ab") as log:
                log.write(b"\n")

    def _write_config(self) -> None:
        self._copy(rundir.CONFIG, "config/declared.yaml")
        text = (self.run / rundir.CONFIG).read_text(encoding="utf-8")
        self._write("config/declared.json", canonical.pretty(config_file.loads(text, rundir.CONFIG)))
        self._write("config/effective.json", canonical.encode(self.ask.spec.as_dict()) + "\n")

    def _write_environment(self) -> None:
        self._write("environment/packages.txt", "".join(f"{item}\n" for item in self.launch["packages"]))
        self._write("environment/env.json", canonical.pretty({"variables": self.launch["environment"]}))

    def _write_source(self) -> None:
        self._copy_folder("source", "source/files")
        if self.launch["source"]["kind"] == "git":
            self._copy(rundir.COMMIT, "source/commit.json")

    def _checkpoints(self) -> list[manifest.Included | manifest.LeftOut]:
        told = [event for _, event in self.standing if isinstance(event, events.Checkpoint)]
        not_kept = self._not_kept()
        saved = [event for event in told if (self.run / event.path).is_dir() or event.path in not_kept]
        included = not not_kept and sum(event.bytes for event in saved) <= LARGEST_CHECKPOINTS_BYTES
        found: list[manifest.Included | manifest.LeftOut] = []
        for event in saved:
            leaves = self._copy(event.leaves.path, event.leaves.path)
            facts: dict[str, Any] = {
                "step": event.step,
                "tree_sha256": event.tree_sha256,
                "bytes": event.bytes,
                "leaves": leaves,
                "parameters_digest": event.parameters_digest,
                "optimizer_digest": event.optimizer_digest,
                "saved_at": event.time,
                "chain_at_step": event.chain_at_step,
            }
            if included:
                self._copy_folder(event.path, event.path)
                found.append(manifest.Included(kind="included", folder=event.path, **facts))
            else:
                limit = f"all checkpoints together exceed {LARGEST_CHECKPOINTS_BYTES // 2**20} MiB"
                found.append(manifest.LeftOut(kind="left_out", because=not_kept.get(event.path, limit), **facts))
        return found

    def _not_kept(self) -> dict[str, str]:
        """Of a run elsewhere: the saved states that its platform had no room for, and why, as its session told."""
        told = self.asked_in / rundir.PLATFORM / session.DOCUMENT
        if self.run == self.asked_in or not told.is_file():
            return {}
        output = typed.read(session.Session, canonical.read(told)).output
        return {item.path: item.because for item in output.left_out} if isinstance(output, session.Packed) else {}

    def _manifest(self, checkpoints: list[manifest.Included | manifest.LeftOut], samples: bool) -> RunManifest:
        # Any: a narrow type's value is checked where everything is, by SCH-01 before the bundle appears.
        devices: Any = self._last(events.Devices)
        data: Any = self._last(events.Data)
        spec: Any = self.ask.spec
        model = self._last(events.Model)
        program, start = self._last(events.Program), self._last(events.RunStart)
        last = self.rows[-1]
        seconds = [row.step_seconds for row in self.rows]
        elapsed = sum(seconds)
        return RunManifest(
            schema=manifest.MANIFEST_SCHEMA,
            run=self._run(manifest.RunFacts),
            attempts=self._attempts(),
            location=self._location(),
            hardware=manifest.Hardware(
                platform=devices.platform,
                device_kind=devices.device_kind,
                runtime=devices.runtime,
                devices=[_device(item) for item in devices.devices],
                process_count=devices.process_count,
                numerics_sha256=devices.numerics_sha256,
                matmul_bits=devices.matmul_bits,
            ),
            mesh=manifest.Mesh(axes=devices.mesh, devices_used=devices.devices_used, layout=devices.layout),
            memory=manifest.Memory(
                parameter_bytes=model.parameter_bytes,
                optimizer_bytes=model.optimizer_bytes,
                argument_bytes=program.argument_bytes,
                output_bytes=program.output_bytes,
                temporary_bytes=program.temporary_bytes,
                alias_bytes=program.alias_bytes,
                peak_bytes=program.peak_bytes,
            ),
            software=manifest.Software(
                python=self.launch["python"],
                versions=start.versions,
                packages=self._file("environment/packages.txt"),
                environment=self._file("environment/env.json"),
            ),
            source=self._source(),
            config=self._config(),
            model=manifest.Model(
                architecture="gemma",
                weights=model.weights,
                parameters=model.parameters,
                trainable_parameters=model.trainable_parameters,
                initial_parameters_digest=model.parameters_digest,
            ),
            tokenizer=manifest.Tokenizer(
                kind=data.tokenizer_kind,
                sha256=data.tokenizer_sha256,
                vocab_size=data.vocab_size,
                files=self._files_below("tokenizer"),
            ),
            data=manifest.Data(
                source=Path(spec.data.train_path).name,
                train=self._file("data/train.jsonl"),
                eval=self._file("eval/eval_set.jsonl"),
                packing=spec.data.packing,
                train_rows=data.train_rows,
                train_sequences=data.train_sequences,
                eval_rows=data.eval_rows,
                eval_overlap_rows=data.eval_overlap_rows,
                truncated_rows=data.truncated_rows,
                first_batch=self._file("data/first_batch.jsonl"),
            ),
            training=manifest.Training(
                optimizer=spec.optimizer.name,
                learning_rate_peak=spec.optimizer.learning_rate,
                schedule=spec.optimizer.schedule,
                warmup_steps=spec.optimizer.warmup_steps,
                weight_decay=spec.optimizer.weight_decay,
                gradient_clip=spec.optimizer.gradient_clip,
                seed=spec.training.seed,
                global_batch_size=spec.training.batch_size,
                gradient_accumulation=spec.training.gradient_accumulation,
                sequence_length=spec.training.sequence_length,
                compute_dtype=spec.training.compute_dtype,
                loss_on=spec.data.loss_on,
                steps_planned=spec.training.steps,
                steps_completed=last.step,
                examples=last.examples,
                tokens=last.tokens,
                supervised_tokens=last.supervised_tokens,
            ),
            program=manifest.Program(
                sha256=program.program_sha256,
                lowered_for=program.lowered_for,
                plan=manifest.Plan(**program.plan),  # type: ignore[arg-type]
                model_flops_per_step=program.model_flops_per_step,
                compiler_flops_per_step=program.compiler_flops_per_step,
            ),
            preflight=self._preflight(),
            timing=manifest.Timing(
                compile_seconds=program.compile_seconds,
                train_seconds=elapsed,
                median_step_seconds=statistics.median(seconds),
                tokens_per_second=last.tokens / elapsed,
            ),
            metrics=manifest.Metrics(
                file=self._file(reading.METRICS),
                rows=len(self.rows),
                first_step=1,
                last_step=last.step,
                genesis=self.rows[0].prev,
                head=last.hash,
            ),
            events=self._file(reading.EVENTS),
            samples=[self._file(reading.SAMPLES)] if samples else [],
            checkpoints=checkpoints,
            witness=self._witness(),
        )

    def _run(self, cls: type[R]) -> R:
        spoke = self.events[-1][1].time if self.events else self.launch["started_at"]
        return cls(
            name=self.name,
            run_id=self.ask.run_id,
            nonce=self.ask.nonce,
            created_at=self.ask.created_at,
            started_at=self.launches[0]["started_at"],
            finished_at=self.status.ended_at or spoke,
            notes=[self.ask.notes] if self.ask.notes else [],
            outcome=self._outcome(),
        )

    def _outcome(self) -> manifest.Completed | manifest.Stopped | manifest.Failed | manifest.Lost:
        state, code = self.status, self.status.exit_code
        if state.state == "finished":
            return manifest.Completed(kind="completed", exit_code=0)
        if state.state == "lost" or code is None:
            return manifest.Lost(kind="lost", because=state.reason)
        if state.state == "stopped":
            return manifest.Stopped(kind="stopped", exit_code=code, because=state.reason)
        phase = attempts.last((event for _, event in self.events), events.Phase)
        stage = phase.name if phase else "starting"
        if self.finished and self.finished.outcome == "failed":
            kind, message = self.finished.error_type or "unknown error", self.finished.error_message
            stage = self.finished.stage or stage
        else:
            kind, message = error_in(last_error(self.run))
        first_line, message = message.split("\n")[0].strip(), _one_line(message)
        quoted = reading.quote((self.folder / reading.LOG).read_text("utf-8", "replace"), first_line or kind)
        said: manifest.Quoted | manifest.Silent = manifest.Silent(kind="silent", because=state.reason)
        if quoted:
            said = manifest.Quoted("quoted", *quoted)
        return manifest.Failed(
            kind="failed",
            exit_code=code,
            stage=stage,
            error_type=kind or untold_error(code),
            error_message=message or state.reason,
            said=said,
        )

    def _config(self) -> manifest.Config:
        return manifest.Config(
            source=self.ask.config,
            declared=self._file("config/declared.yaml"),
            document=self._file("config/declared.json"),
            effective=self._file("config/effective.json"),
            effective_sha256=self.ask.spec_sha256,
            overrides=[manifest.Override(item.key, item.declared, item.effective) for item in self.ask.overrides],
        )

    def _witness(self) -> manifest.Witnessed | manifest.NoWitness:
        lines, _ = rundir.whole_lines(self.asked_in / rundir.WITNESS, 0, limit_bytes=-1)
        if not lines:
            return manifest.NoWitness(kind="no_witness", because="nobody countersigned this run while it went on")
        try:
            issued = receipts.read(lines[0])
        except receipts.NoReceipt as error:
            raise SealRefused([_refusal("SIG-06", rundir.WITNESS, "receipts", str(error))]) from None
        if not isinstance(issued, receipts.Issued):
            raise SealRefused([_refusal("PRV-13", rundir.WITNESS, "the receipt of the nonce first", issued.kind)])
        self._write_lines(reading.RECEIPTS, (line.decode() for line in lines))
        return manifest.Witnessed(
            kind="witnessed",
            public_key_sha256=issued.key,
            receipts=self._file(reading.RECEIPTS),
            receipt_count=len(lines),
            same_host=issued.host_sha256 == self.launch["host"]["name_sha256"],
        )

    def _preflight(self) -> manifest.Preflighted | manifest.NotPreflighted:
        kept = self.asked_in / rundir.PREFLIGHT
        if not kept.is_file():
            because = "no preflight of this step was made before the run was asked for"
            return manifest.NotPreflighted(kind="not_preflighted", because=because)
        try:
            report = preflight_folder.read_report(kept)
        except preflight_folder.Unreadable:
            because = "the report that the run kept is not of this version"
            return manifest.NotPreflighted(kind="not_preflighted", because=because)
        attempt = preflight_comparison.attempt_of(report, self.ask.spec)
        if attempt is None:
            because = "the report that the run kept is of another step"
            return manifest.NotPreflighted(kind="not_preflighted", because=because)
        return manifest.Preflighted(
            kind="preflighted",
            file=self._copy(kept, reading.PREFLIGHT),
            topology=report.target.name,
            fits=attempt.kind == "fits",
            peak_bytes=preflight_comparison.peak_bytes(attempt),
        )

    def _write_rehearsal(self) -> None:
        """What was rehearsed, in which settings this differs from it, and what is known of its step."""
        declared = self._copy(rehearsal.DECLARED, rehearsal.DECLARED)
        text = (self.run / rehearsal.DECLARED).read_text(encoding="utf-8")
        content = config_file.loads(text, rehearsal.DECLARED)
        self._write(rehearsal.DECLARED_JSON, canonical.pretty(content))
        asked = rehearsal.submission(content)
        reports = []
        for path in sorted((self.run / rundir.REHEARSAL).glob("preflight_*.json")):
            name = f"{rundir.REHEARSAL}/{path.name}"
            try:
                reports.append(rehearsal.foretold(self._copy(name, name), canonical.read(path), asked))
            except ValueError as error:
                raise SealRefused(
                    [_refusal("RHS-02", name, "a report about the submission's step", str(error))]
                ) from None
        document = rehearsal.Rehearsal(
            schema=rehearsal.SCHEMA,
            config=self.ask.rehearses,
            declared=declared,
            document=self._file(rehearsal.DECLARED_JSON),
            spec_sha256=rehearsal.digest(asked),
            differences=rehearsal.differences(asked, self.ask.spec),
            preflights=reports,
        )
        self._write(rehearsal.DOCUMENT, canonical.pretty(typed.write(document)))

    def _attempts(self) -> list[manifest.Attempt]:
        """Of each attempt that spoke. Where one did not, each came from the latest launch before its first word."""
        parts = attempts.split(
            [event for _, event in self.events],
            (isinstance(event, events.RunStart) for _, event in self.events),
        )
        found, all_spoke = [], len(parts) == len(self.launches)
        for number, facts in enumerate(map(attempts.facts, parts), 1):
            launches = self.launches[:number]
            if not all_spoke:
                launches = [item for item in self.launches if item["started_at"] <= facts.started_at]
            if not launches:
                place = f"{rundir.ATTEMPTS}/{number}/{rundir.LAUNCH}"
                raise SealRefused([_refusal("RES-01", place, "the launch of that attempt", "none")])
            source = launches[-1]["source"]
            code = f"commit {source['commit']}" if source["kind"] == "git" else "not a git checkout"
            found.append(manifest.Attempt(**asdict(facts), code=code))
        return found

    def _location(self) -> manifest.Local | manifest.Kaggle | manifest.KaggleStandIn:
        host = self.launch["host"]
        facts: dict[str, Any] = {
            "host_sha256": host["name_sha256"],
            "os": host["os"],
            "kernel": host["kernel"],
            "cpu_model": host["cpu_model"],
            "logical_cpus": host["logical_cpus"],
            "memory_bytes": host["memory_bytes"],
            "command": [Path(word).name if word.startswith("/") else word for word in self.launch["command"]],
            "session_log": manifest.SessionLog(
                file=self._file(reading.LOG),
                format="plain-utf8",
                captured_by="recorder",
                line_count=(self.folder / reading.LOG).read_bytes().count(b"\n"),
            ),
        }
        told = self.asked_in / rundir.PLATFORM / "platform.json"
        if self.run == self.asked_in or not told.is_file():
            return manifest.Local(kind="local", **facts)
        files: dict[str, Any] = {
            "notebook": self._copy(told.with_name("notebook.ipynb"), reading.NOTEBOOK),
            "log": self._copy(told.with_name("log.json"), reading.PLATFORM_LOG),
            "session": self._copy(told.with_name(session.DOCUMENT), reading.SESSION),
        }
        platform = manifest.Platform(**canonical.read(told), **files)
        if platform.endpoint == endpoints.KAGGLE:
            return manifest.Kaggle(kind="kaggle", platform=platform, **facts)
        return manifest.KaggleStandIn(kind="kaggle_stand_in", platform=platform, **facts)

    def _source(self) -> manifest.GitSource | manifest.FilesSource:
        source, files = self.launch["source"], self._files_below("source/files")
        if source["kind"] != "git":
            return manifest.FilesSource(
                kind="files", because="the run was not started from a git checkout", files=files
            )
        blobs = provenance.blobs(canonical.read(self.folder / "source/commit.json"))
        clean = bool(files) and all(
            blobs.get(item.path.removeprefix("source/files/"))
            == provenance.blob_id((self.folder / item.path).read_bytes())
            for item in files
        )
        return manifest.GitSource(
            kind="git",
            commit=source["commit"],
            tree=source["tree"],
            clean=clean,
            changed_files=source["changed_files"],
            repository=[source["repository"]] if "repository" in source else [],
            proof=self._file("source/commit.json"),
            files=files,
        )

    def _summary(self) -> EvalSummary:
        losses = [row.loss for row in self.rows]
        lowest = min(self.rows, key=lambda row: row.loss)
        last = self.rows[-1]
        return EvalSummary(
            schema=manifest.SUMMARY_SCHEMA,
            run_id=self.ask.run_id,
            run_name=self.name,
            evaluated_on=manifest.EvaluatedOn(
                kind="local",
                host_sha256=self.launch["host"]["name_sha256"],
                device_kind=self._last(events.Devices).device_kind,
            ),
            training_result=manifest.TrainingResult(
                final_loss=manifest.FinalLoss(
                    value=last.loss, definition=manifest.FINAL_LOSS, step=last.step, row_sha256=last.hash
                ),
                mean_loss=manifest.MeanLoss(
                    value=statistics.fmean(losses), definition=manifest.MEAN_LOSS, steps=len(losses)
                ),
                first_loss=manifest.LossAt(value=losses[0], step=1),
                lowest_loss=manifest.LossAt(value=lowest.loss, step=lowest.step),
            ),
            evaluation=self._evaluation(),
        )

    def _evaluation(self) -> manifest.Performed | manifest.NotPerformed:
        done = [event for _, event in self.standing if isinstance(event, events.Evaluation) and event.step > 0]
        if not done:
            return manifest.NotPerformed(kind="not_performed", because="the run ended before its first evaluation")
        last, spec = done[-1], self.ask.spec
        self._copy(last.predictions.path, reading.PREDICTIONS)
        return manifest.Performed(
            kind="performed",
            checkpoint_step=last.step,
            parameters_digest=last.parameters_digest,
            evaluated_at=last.time,
            loss=last.loss,
            eval_set=self._file("eval/eval_set.jsonl"),
            predictions=self._file(reading.PREDICTIONS),
            items=last.items,
            correct=last.correct,
            scorer=manifest.Scorer(
                name="exact match of the final answer",
                source="evidence/scoring.py",
                answer_delimiter=spec.data.answer_delimiter,
            ),
            decoding=manifest.Decoding(method="greedy", max_new_tokens=spec.evaluation.max_new_tokens),
            metrics=[
                manifest.Metric(
                    name="exact_match",
                    value=last.correct / last.items,
                    n=last.items,
                    ci95=list(scoring.wilson_interval(last.correct, last.items)),
                    ci_method="Wilson score interval",
                )
            ],
        )

    # Small steps.

    def _all(self, cls: type[E]) -> list[E]:
        return [event for _, event in self.events if isinstance(event, cls)]

    def _last(self, cls: type[E]) -> E:
        found = self._all(cls)
        if not found:
            raise SealRefused([_refusal("SCH-06", rundir.EVENTS, f"a {cls.kind} event", "none")])
        return found[-1]

    def _copy(self, source: str | Path, target: str) -> File:
        place = self.folder / target
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(self.run / source, place)
        except FileNotFoundError:
            raise SealRefused([_refusal("STR-01", Path(source).name, "a file", "nothing")]) from None
        place.chmod(0o644)
        if place.stat().st_size > LARGEST_FILE_BYTES:
            raise SealRefused(
                [_refusal("STR-02", Path(source).name, "at most 50 MiB", f"{place.stat().st_size:,} bytes")]
            )
        return self._file(target)

    def _copy_folder(self, source: str, target: str) -> None:
        for path in sorted((self.run / source).rglob("*")):
            if path.is_file() and not path.is_symlink():
                self._copy(
                    path.relative_to(self.run).as_posix(), f"{target}/{path.relative_to(self.run / source).as_posix()}"
                )

    def _write(self, name: str, text: str) -> None:
        place = self.folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8", newline="")
        place.chmod(0o644)

    def _write_lines(self, name: str, lines: Iterable[str]) -> None:
        self._write(name, "".join(f"{line}\n" for line in lines))

    def _file(self, name: str) -> File:
        place = self.folder / name
        return File(path=name, sha256=canonical.sha256_file(place), bytes=place.stat().st_size)

    def _files_below(self, name: str) -> list[File]:
        return [
            self._file(path.relative_to(self.folder).as_posix())
            for path in sorted((self.folder / name).rglob("*"))
            if path.is_file()
        ]


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def _device(facts: dict[str, Any]) -> manifest.Device:
    return manifest.Device(
        id=facts["id"],
        process_index=facts["process_index"],
        device_kind=facts["device_kind"],
        coords=facts.get("coords", []),
        core_on_chip=facts.get("core_on_chip", 0),
        memory_bytes=facts.get("memory_bytes", 0),
    )
