"""A trainer without JAX: it writes what a trainer writes, so that everything around training can be tested quickly.

It goes on with a run that ended early, as the trainer does. Run as ``python -m tests.stand_in RUN [--step-seconds S] [--fail-at STEP] [--evaluate-at STEP]`` by the recorder, like
``python -m training RUN``. Its loss is
a formula, so nothing it writes may ever be committed as evidence.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path

from evidence import attempts, canonical, events, provenance, rundir
from evidence.plan import choose
from evidence.schedule import learning_rate
from evidence.spec import parameter_count
from evidence.states import OPTIMIZER, PARAMETERS, leaves_digest, tree_digest

KIND = "cpu"
PYTHON = sys.version.split()[0]


class StandIn:
    def __init__(self, run: Path, step_seconds: float, fail_at: int = -1, evaluate_at: int = -1) -> None:
        self.run, self.step_seconds, self.fail_at, self.evaluate_at = run, step_seconds, fail_at, evaluate_at
        self.ask = rundir.read_ask(run)
        self.spec = self.ask.spec
        said = attempts.told(run)
        self.attempt = sum(isinstance(event, events.RunStart) for event in said) + 1
        self.past = [event for event, _ in attempts.standing((event, event) for event in said)]
        self.log = (run / rundir.EVENTS).open("a", encoding="utf-8")
        self.stopped = False
        signal.signal(signal.SIGTERM, self.stop)

    def stop(self, *_: object) -> None:
        self.stopped = True

    def say(self, event: events.Event) -> None:
        line = events.encode(event)
        self.log.write(line + "\n")
        self.log.flush()
        print(events.LOG_MARK + line, flush=True)

    def write_lines(self, name: str, rows: list[dict[str, object]]) -> events.FileDigest:
        path = self.run / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(canonical.encode(row) + "\n" for row in rows), encoding="utf-8")
        return self.digest(name)

    def digest(self, name: str) -> events.FileDigest:
        path = self.run / name
        return events.FileDigest(path=name, sha256=canonical.sha256_file(path), bytes=path.stat().st_size)

    def phase(self, name: str) -> None:
        self.say(events.Phase(time=events.now(), name=name))

    def train(self) -> int:
        ask, spec = self.ask, self.spec
        packages = {line.split("==")[0]: line.split("==")[1] for line in provenance.packages()}
        self.say(
            events.RunStart(
                time=events.now(),
                run_id=ask.run_id,
                name=ask.name,
                nonce=ask.nonce,
                spec_sha256=ask.spec_sha256,
                versions={"python": PYTHON, "numpy": packages["numpy"]},
            )
        )
        self.phase("loading")
        plan = choose(spec, devices=1, memory_bytes=0)
        self.say(
            events.Devices(
                time=events.now(),
                platform="cpu",
                device_kind=KIND,
                devices=[{"id": 0, "process_index": 0, "device_kind": KIND}],
                devices_used=1,
                process_count=1,
                mesh={"data": 1},
                layout=plan.layout,
                runtime="stand-in",
            )
        )
        train = [
            {"id": f"train-{n}", "prompt": f"{n}+1=", "answer": f"{n}+1 is {n + 1}\n#### {n + 1}"} for n in range(40)
        ]
        held = [
            {"id": f"eval-{n}", "prompt": f"{n}+2=", "answer": f"{n}+2 is {n + 2}\n#### {n + 2}"} for n in range(10)
        ]
        train_file = self.write_lines("data/train.jsonl", train)
        eval_file = self.write_lines("eval/eval_set.jsonl", held)
        batch = [
            {"id": row["id"], "text": row["prompt"] + row["answer"], "trained_on": row["answer"]} for row in train[:4]
        ]
        tokenizer = canonical.digest("bytes")
        self.say(
            events.Data(
                time=events.now(),
                train=train_file,
                eval=eval_file,
                train_rows=40,
                train_sequences=40,
                eval_rows=10,
                eval_overlap_rows=0,
                truncated_rows=0,
                tokenizer_kind=spec.tokenizer.kind,
                tokenizer_sha256=tokenizer,
                vocab_size=259,
                first_batch=self.write_lines("first_batch.jsonl", batch),
            )
        )
        parameters = parameter_count(spec.model)
        saved = attempts.last(self.past, events.Checkpoint)
        if saved:
            self.say(
                events.Resumed(time=events.now(), attempt=self.attempt, step=saved.step, checkpoint=saved.path,
                               chain_at_step=saved.chain_at_step)
            )  # fmt: skip
        else:
            self.say(
                events.Model(
                    time=events.now(),
                    parameters=parameters,
                    trainable_parameters=parameters,
                    parameter_bytes=4 * parameters,
                    optimizer_bytes=8 * parameters,
                    weights="random",
                    parameters_digest=leaves_digest(self.leaves(0), PARAMETERS),
                )
            )
        if self.fail_at == 0:
            return self.fail(0, 0.0)
        self.phase("compiling")
        tokens = spec.training.batch_size * spec.training.sequence_length
        program = canonical.digest("program")
        self.say(
            events.Program(
                time=events.now(),
                program_sha256=program,
                lowered_for="cpu",
                plan=asdict(plan),
                compile_seconds=0.5,
                model_flops_per_step=6.0 * parameters * tokens,
                compiler_flops_per_step=1.0,
                argument_bytes=1,
                output_bytes=1,
                temporary_bytes=1,
                alias_bytes=1,
                peak_bytes=2,
            )
        )
        self.say(events.Source(time=events.now(), files=provenance.snapshot_source(self.run)))
        launch = rundir.read_document(self.run / rundir.LAUNCH)
        head = events.genesis(
            {
                "nonce": ask.nonce,
                "commit": launch["source"]["commit"],
                "spec_sha256": ask.spec_sha256,
                "data_sha256": events.data_digest(train_file.sha256, eval_file.sha256),
                "tokenizer_sha256": tokenizer,
                "program_sha256": program,
            }
        )
        if saved:
            head = saved.chain_at_step
        else:
            self.checkpoint(0, head)
        self.phase("training")
        before = time.monotonic_ns()
        began, step = before, saved.step if saved else 0
        for step in range(step + 1, spec.training.steps + 1):  # noqa: B020
            time.sleep(self.step_seconds)
            if step == self.fail_at:
                return self.fail(step - 1, (before - began) / 1e9)
            now = time.monotonic_ns()
            row = events.chained(
                events.Step(
                    time=events.now(),
                    step=step,
                    epoch=step * spec.training.batch_size / 40,
                    loss=self.loss(step),
                    grad_norm=1.0,
                    param_norm=self.norm(step),
                    learning_rate=learning_rate(spec.optimizer, spec.training.steps, step),
                    examples=step * spec.training.batch_size,
                    tokens=step * tokens,
                    supervised_tokens=step * 7,
                    batch_sha256=canonical.digest(step),
                    step_seconds=(now - before) / 1e9,
                    monotonic_ns=now,
                    prev=head,
                    hash="",
                    tokens_per_second=tokens / ((now - before) / 1e9),
                )
            )
            before, head = now, row.hash
            self.say(row)
            print(f"step {step}/{spec.training.steps} loss {row.loss:.4f} lr {row.learning_rate:.3e}", flush=True)
            if step == self.evaluate_at:
                self.evaluate(step, held)
            if self.stopped:
                break
            if spec.checkpoints.every_steps and step % spec.checkpoints.every_steps == 0 and step < spec.training.steps:
                self.checkpoint(step, head)
        self.checkpoint(step, head)
        self.evaluate(step, held)
        outcome = "stopped" if self.stopped else "completed"
        self.say(events.Finished(time=events.now(), outcome=outcome, step=step, train_seconds=(before - began) / 1e9))
        return 75 if self.stopped else 0

    def evaluate(self, step: int, held: list[dict[str, str]]) -> None:
        self.phase("evaluating")
        rows = [
            {"id": row["id"], "prompt": row["prompt"], "expected": row["answer"], "text": row["answer"] if n else "wrong",
             "token_ids": [1, 2], "correct": bool(n)}
            for n, row in enumerate(held)
        ]  # fmt: skip
        digest = leaves_digest(self.leaves(step), PARAMETERS)
        self.say(
            events.Evaluation(
                time=events.now(),
                step=step,
                loss=0.5,
                items=10,
                correct=9,
                exact_match=0.9,
                seconds=0.1,
                predictions=self.write_lines(f"eval/predictions-{step:06}.jsonl", rows),
                parameters_digest=digest,
            )
        )
        self.say(
            events.Sample(time=events.now(), step=step, prompt="0+2=", expected="#### 2", text="wrong <eos> é",
                          token_ids=[1, 2], parameters_digest=digest)
        )  # fmt: skip

    def fail(self, step: int, seconds: float) -> int:
        print("NonFiniteLoss: the loss became nan; lower\n  optimizer.learning_rate", file=sys.stderr, flush=True)
        self.say(
            events.Finished(time=events.now(), outcome="failed", step=step, train_seconds=seconds, stage="training",
                            error_type="NonFiniteLoss", error_message="the loss became nan; lower\n  optimizer.learning_rate")
        )  # fmt: skip
        return 1

    def loss(self, step: int) -> float:
        return 5.0 * math.exp(-step / 20) + 0.1 + 0.01 * math.sin(step)

    def norm(self, step: int) -> float:
        return 10.0 + step

    def leaves(self, step: int) -> list[dict[str, object]]:
        shape, content = [parameter_count(self.spec.model)], canonical.digest([self.ask.run_id, step])
        leaf = {
            "path": "parameters.weights",
            "dtype": "float32",
            "shape": shape,
            "sha256": content,
            "l2": self.norm(step),
        }
        return [leaf, {**leaf, "path": "optimizer.mu"}]

    def checkpoint(self, step: int, head: str) -> None:
        name = f"checkpoints/step_{step:06}"
        shutil.rmtree(self.run / name, ignore_errors=True)  # of an attempt that was killed
        (self.run / name / "state").mkdir(parents=True)
        (self.run / name / "state" / "weights").write_bytes(os.urandom(64))
        leaves = self.leaves(step)
        (self.run / f"{name}.leaves.json").write_text(json.dumps({"step": step, "leaves": leaves}) + "\n")
        self.say(
            events.Checkpoint(
                time=events.now(), step=step, path=name, bytes=64, leaves=self.digest(f"{name}.leaves.json"),
                tree_sha256=tree_digest({"state/weights": canonical.sha256_file(self.run / name / "state" / "weights")}),
                parameters_digest=leaves_digest(leaves, PARAMETERS), optimizer_digest=leaves_digest(leaves, OPTIMIZER),
                chain_at_step=head, seconds=0.01,
            )
        )  # fmt: skip


if __name__ == "__main__":
    options = dict(zip(sys.argv[2::2], sys.argv[3::2], strict=True))
    how = (
        float(options.get("--step-seconds", 0.001)),
        int(options.get("--fail-at", -1)),
        int(options.get("--evaluate-at", -1)),
    )
    sys.exit(StandIn(Path(sys.argv[1]), *how).train())
