"""One run, top to bottom: devices, data, model, program, loop, evaluation. The file to read first."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from evidence import canonical, events, preflight_comparison, preflight_folder, provenance, rundir
from evidence.schedule import learning_rate
from evidence.spec import RunSpec, adapter_count, parameter_count
from training import batches, checkpoints, devices, evaluate, resume, rows, tokenizer, weight_sources, weights
from training.batches import Batch, Encoded
from training.errors import DataError, NonFiniteLoss
from training.evaluate import Evaluator
from training.peers import Peers
from training.profile import Profile
from training.reporter import Reporter, StepFacts
from training.resume import Start
from training.step import Metrics, State, Trainer, compile_step, prepare
from training.stop import Stop
from training.throughput import utilization
from training.tokenizer import Tokenizer

TOLERATED = 0.05
"""Share by which a step may need more memory than its preflight foretold, without a warning."""


def train(run: Path, ask: rundir.Ask, reporter: Reporter, stop: Stop, peers: Peers, profile_steps: int = 0) -> bool:
    """Train the run in ``run``. True when all steps are done, False when it was asked to stop; raises TrainingError.

    ``profile_steps``: so many steps are traced by the first process.
    """
    spec, past, mine = ask.spec, resume.past(run, ask, peers), peers.folder(run)
    trainer = prepare(spec, devices.acquire(spec))
    placement = trainer.placement
    reporter.emit(devices.describe(placement))
    # A saved state needs no weights, but a tokenizer may lie beside them.
    folder = None if past.said and spec.tokenizer.kind != "huggingface" else weights.find(spec)
    encoded, held_out, ids, data = _load(mine, spec, folder, reporter)
    peers.agree("training rows", canonical.digest([data.train.sha256, data.eval.sha256, data.tokenizer_sha256]))

    reporter.phase("building")
    if past.said:
        start = resume.begin(run, past, trainer, reporter, peers)
    else:
        params = weights.random(trainer) if folder is None else weights.load(folder, trainer)
        start = resume.Start(trainer.start(params))
        reporter.emit(_describe(spec, start.state))

    reporter.phase("compiling")
    program, facts = compile_step(trainer)
    reporter.emit(facts)
    _compare_with_preflight(run, trainer, facts, reporter)
    reporter.emit(
        events.Source(time=events.now(), files=provenance.snapshot_source(mine, [provenance.REPOSITORY / ask.config]))
    )
    chain = start.chain or events.genesis(_genesis(run, ask, data, facts))
    kind, flops = placement.mesh.devices.flat[0].device_kind, facts.model_flops_per_step
    share_of_peak = partial(utilization, kind, placement.devices, flops)
    reporter.start_chain(chain, start.step, start.supervised_tokens, share_of_peak)

    evaluator = Evaluator(trainer, held_out, ids)
    loop = Loop(run, mine, spec, trainer, program, evaluator, encoded, reporter)
    traced = profile_steps if peers.first else 0
    completed = loop.run(start, stop, Profile(run, start.step + 1, spec.training.steps, traced, reporter))
    reporter.say(_speed(reporter, trainer, facts))
    reporter.finished("completed" if completed else "stopped")
    return completed


class Loop:
    """The steps, and what happens between them. Step n is dispatched before step n-1 is reported, so the device never
    waits for the log. ``mine`` is where this process writes what every process writes alike."""

    def __init__(
        self,
        run: Path,
        mine: Path,
        spec: RunSpec,
        trainer: Trainer,
        program: Any,
        evaluator: Evaluator,
        encoded: Encoded,
        reporter: Reporter,
    ) -> None:
        self._run, self._mine = run, mine
        self._spec, self._trainer, self._program = spec, trainer, program
        self._evaluator, self._encoded, self._reporter = evaluator, encoded, reporter
        self._saved: list[int] = []
        self._done_before: dict[int, events.Step] = {}

    def run(self, start: Start, stop: Stop, profile: Profile) -> bool:
        """All steps behind ``start``; False if ``stop`` was asked first. The state is saved either way."""
        steps, waiting = self._spec.training.steps, None
        state, done = start.state, start.step
        self._saved, self._done_before = list(start.saved), start.done_before
        if done not in self._saved:
            self._save(state, done)
        if not start.evaluated and self._due(done)[0]:
            self._evaluate(state, done)
        self._reporter.phase("training")
        while done < steps and not stop.before(done + 1):
            done += 1
            batch = batches.batch(self._encoded, self._spec.training.seed, self._spec.training.batch_size, done)
            with profile.step(done, state):
                state, metrics = self._dispatch(state, batch, done)
            profile.after(done, metrics)
            if waiting:
                self._report(*waiting)
            waiting = (done, batch, metrics)
            evaluate_now, save_now = self._due(done)
            if evaluate_now or save_now:
                self._report(*waiting)
                waiting = None
                if save_now:
                    self._save(state, done)
                if evaluate_now:
                    self._evaluate(state, done)
                if done < steps:
                    self._reporter.phase("training")
        profile.after(done, state, end=True)
        if waiting:
            self._report(*waiting)
        if done not in self._saved:
            self._save(state, done)
        return done == steps

    def _due(self, step: int) -> tuple[bool, bool]:
        """Whether to evaluate and whether to save after ``step``."""
        last = step == self._spec.training.steps
        evaluation, saving = self._spec.evaluation.every_steps, self._spec.checkpoints.every_steps
        return (
            last or bool(evaluation and step % evaluation == 0),
            last or bool(saving and step % saving == 0),
        )

    def _dispatch(self, state: State, batch: Batch, step: int) -> tuple[State, Metrics]:
        put = self._trainer.placement.put_batch
        rate = np.float32(learning_rate(self._spec.optimizer, self._spec.training.steps, step))
        arrays = {name: put(array) for name, array in batch.arrays.items()}
        result: tuple[State, Metrics] = self._program(state, arrays, rate)
        return result

    def _report(self, step: int, batch: Batch, metrics: Metrics) -> None:
        """Fetch the step's numbers (waits for the device); write its row, if they are numbers. Raises NonFiniteLoss."""
        loss, grad_norm, param_norm = (float(value) for value in jax.device_get(metrics))
        for name, value in (("loss", loss), ("gradient norm", grad_norm), ("parameter norm", param_norm)):
            if not math.isfinite(value):
                raise NonFiniteLoss(f"the {name} became {value} at step {step}; lower optimizer.learning_rate")
        training = self._spec.training
        if (before := self._done_before.pop(step, None)) and (wrong := resume.differs(before, loss)):
            self._reporter.warn("step_differs", wrong)
        in_use, peak = devices.memory_in_use()
        self._reporter.report(
            StepFacts(
                step=step,
                epoch=step * training.batch_size / len(self._encoded.tokens),
                loss=loss,
                grad_norm=grad_norm,
                param_norm=param_norm,
                learning_rate=learning_rate(self._spec.optimizer, training.steps, step),
                batch_sha256=batch.sha256,
                tokens=batch.tokens.size,
                supervised_tokens=batch.supervised_tokens,
                device_memory_bytes=in_use,
                device_memory_peak_bytes=peak,
            )
        )

    def _save(self, state: State, step: int) -> None:
        self._reporter.phase("saving")
        checkpoint = checkpoints.save(self._run, state, step, self._reporter.chain)
        if checkpoint:
            self._reporter.emit(checkpoint)
            self._reporter.say(f"saved step {step}: {checkpoint.bytes / 1e6:.1f} MB in {checkpoint.seconds:.1f} s")
        self._saved = checkpoints.prune(self._run, [*self._saved, step], self._spec.checkpoints)

    def _evaluate(self, state: State, step: int) -> None:
        self._reporter.phase("evaluating")
        digest = checkpoints.parameters_digest(state.params)
        self._evaluator.run(self._mine, state.params, step, digest, self._reporter)


def _load(
    run: Path, spec: RunSpec, folder: Path | None, reporter: Reporter
) -> tuple[Encoded, evaluate.HeldOut, Tokenizer, events.Data]:
    """Rows, tokenizer (beside the weights in ``folder`` when it has no path of its own) and encoded data; writes the
    run's data files. Raises DataError, TokenizerError."""
    found = rows.read(spec.data)
    texts = (batches.prompt_text(row.prompt, spec.data.template) + row.answer for row in found.train)
    ids = tokenizer.load(spec, texts, folder)
    tokenizer.save(ids, run / rundir.TOKENIZER)
    length = spec.training.sequence_length
    encoded = batches.encode(found.train, spec.data, ids, length)
    if not encoded.rows:
        raise DataError(
            f"no row of {spec.data.train_path} has an answer within training.sequence_length {length}; raise it"
        )
    if spec.data.packing:
        encoded = batches.pack(encoded, ids.pad)
    held_out = evaluate.prepare(spec, found.held_out, ids)
    if encoded.truncated:
        reporter.warn(
            "truncated_rows",
            f"{encoded.truncated} of {len(found.train)} training rows are longer than {length} tokens and were cut; "
            f"{encoded.dropped} of them had no answer left and were dropped",
        )
    if held_out.cut_prompts:
        reporter.warn(
            "cut_prompts",
            f"{held_out.cut_prompts} held-out prompts are longer than the model takes; their ends were kept",
        )
    if overlap := rows.overlap(rows.Rows(encoded.rows, found.held_out)):
        reporter.warn("eval_overlap", f"{overlap} held-out rows have a prompt that is also trained on")
    first = batches.batch(encoded, spec.training.seed, spec.training.batch_size, 1)
    data = events.Data(
        time=events.now(),
        train=rows.write(run, "data/train.jsonl", encoded.rows),
        eval=rows.write(run, f"{rundir.EVAL}/eval_set.jsonl", found.held_out),
        train_rows=len(encoded.rows),
        train_sequences=len(encoded.tokens),
        eval_rows=len(found.held_out),
        eval_overlap_rows=overlap,
        truncated_rows=encoded.truncated,
        tokenizer_kind=ids.kind,
        tokenizer_sha256=ids.sha256,
        vocab_size=ids.vocab_size,
        first_batch=rows.write_once(run, rundir.FIRST_BATCH, batches.first_batch_lines(encoded, first, ids)),
    )
    reporter.emit(data)
    packed = f" in {data.train_sequences:,} sequences" if encoded.packed else ""
    reporter.say(f"{data.train_rows:,} training rows{packed}, {data.eval_rows:,} held out")
    return encoded, held_out, ids, data


def _describe(spec: RunSpec, state: State) -> events.Model:
    adapters = adapter_count(spec.model, spec.lora)
    parameters = parameter_count(spec.model) + adapters
    return events.Model(
        time=events.now(),
        parameters=parameters,
        trainable_parameters=adapters or parameters,
        parameter_bytes=sum(leaf.nbytes for leaf in jax.tree.leaves(state.params)),
        optimizer_bytes=sum(leaf.nbytes for leaf in jax.tree.leaves(state.moments)),
        weights=weight_sources.name_of(spec.weights),
        parameters_digest=checkpoints.parameters_digest(state.params),
    )


def _compare_with_preflight(run: Path, trainer: Trainer, program: events.Program, reporter: Reporter) -> None:
    """Say how the compiled step's memory compares with what the run's preflight foretold; warn when it needs more."""
    try:
        report = preflight_folder.read_report(run / rundir.PREFLIGHT)
    except preflight_folder.Unreadable:
        return  # there was none
    placement = trainer.placement
    kind = placement.mesh.devices.flat[0].device_kind
    compared = preflight_comparison.compare(report, trainer.spec, kind, placement.devices, program)
    sentence = preflight_comparison.comparison_sentence(compared)
    if isinstance(compared, preflight_comparison.Compared) and compared.difference > TOLERATED * compared.foretold_peak:
        reporter.warn("more_memory_than_foretold", f"preflight: {sentence}")
    else:
        reporter.say(f"preflight: {sentence}")


def _genesis(run: Path, ask: rundir.Ask, data: events.Data, program: events.Program) -> dict[str, str]:
    source = rundir.read_document(run / rundir.LAUNCH).get("source", {})
    return {
        "nonce": ask.nonce,
        "commit": str(source.get("commit", "none")),
        "spec_sha256": ask.spec_sha256,
        "data_sha256": canonical.digest({"train": data.train.sha256, "eval": data.eval.sha256}),
        "tokenizer_sha256": data.tokenizer_sha256,
        "program_sha256": program.program_sha256,
    }


def _speed(reporter: Reporter, trainer: Trainer, program: events.Program) -> str:
    """The run's speed in one sentence, evaluation and saving included."""
    if not reporter.steps_taken:
        return "no step was taken"
    seconds = max(reporter.train_seconds, 1e-9) / reporter.steps_taken
    training, placement = trainer.spec.training, trainer.placement
    tokens_per_second = training.batch_size * training.sequence_length / seconds
    sentence = f"{tokens_per_second:,.0f} tokens a second over {reporter.steps_taken} steps"
    kind = placement.mesh.devices.flat[0].device_kind
    share = utilization(kind, placement.devices, program.model_flops_per_step, seconds)
    return f"{sentence}, {share:.1%} of the devices' peak" if share is not None else sentence
