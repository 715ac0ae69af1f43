"""``python -m training.replay BUNDLE``: steps of a sealed run, done again from a saved state by the trainer's own code.

It measures and judges nothing; evidence/replay.py does. With ``--job`` it reads no code of ``evidence`` that a trainer
does not load, so that it also runs as a file before a bundle's own source (evidence/replaying.py).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

Document = dict[str, Any]
VERSIONS = ("jax", "jaxlib", "flax", "optax", "numpy")
UNLIKE = 1e9
"""Margin of an answer that no rounding explains (evidence/replay.py)."""


class CannotReplay(RuntimeError):
    """``str()`` says why, in a sentence."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.replay", description="Train a segment of a sealed run again, and measure."
    )
    parser.add_argument("bundle", type=Path, nargs="?", help="the bundle's folder")
    parser.add_argument("--from", type=int, default=0, dest="from_step", metavar="K", help="an included state")
    parser.add_argument("--to", type=int, default=0, dest="to_step", metavar="N", help="the segment's last step")
    parser.add_argument("--draw", default="", metavar="NONCE", help="draw the segment by seal and nonce")
    parser.add_argument("--predictions", type=int, default=64, metavar="M", help="answers to generate again")
    parser.add_argument("--job", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    parser.add_argument("--progress", type=Path, help="append what goes on to this file")
    options = parser.parse_args(arguments)
    try:
        if options.job:
            document = Measuring(json.loads(options.job.read_text("utf-8")), options.progress).measure()
        else:
            document = _by_oneself(options)
    except Exception as error:  # noqa: BLE001 - whatever a bundle makes jax or orbax raise is one sentence to the reader
        said = " ".join(str(error).split())[:400]
        print(said if isinstance(error, CannotReplay) else f"{type(error).__name__}: {said}", file=sys.stderr)
        return 1
    options.out.write_text(json.dumps(document, allow_nan=False), encoding="utf-8")
    return 0


def _by_oneself(options: argparse.Namespace) -> Document:
    """Choose, measure and judge in this process."""
    from dataclasses import asdict

    from evidence import replay, replaying, typed
    from evidence.reading import Bundle

    if options.bundle is None:
        raise CannotReplay("name a bundle's folder")
    bundle = Bundle(options.bundle)
    ask = replaying.Ask(options.from_step, options.to_step, options.draw, options.predictions)
    job, segment, chosen, code = replaying.prepare(bundle, ask)
    if job.platform == "cpu":
        os.environ["JAX_PLATFORMS"] = "cpu"
    if job.devices > 1:
        os.environ.setdefault("XLA_FLAGS", f"--xla_force_host_platform_device_count={job.devices}")
    document = json.loads(json.dumps(Measuring(asdict(job), options.progress).measure()))
    measured = typed.read(replay.Measured, document)
    return dict(typed.write(replaying.judged(bundle, segment, chosen, code, measured)))


class Measuring:
    """One job, top to bottom."""

    def __init__(self, job: Document, progress: Path | None) -> None:
        self.job, self._progress = job, progress
        self.bundle = Path(job["bundle"])
        self.steps = range(job["from_step"] + 1, job["to_step"] + 1)
        self._done, self._total = 0, 2 * len(self.steps) + len(job["samples"]) + len(job["predictions"]) + 2

    def measure(self) -> Document:
        started = time.monotonic()
        self._say("reading config, rows and tokenizer")
        self._load()
        self._say("compiling the step", 1)
        from training.step import compile_step

        program, facts = compile_step(self.trainer)
        if facts.program_sha256 != self.job["program_sha256"] and not self.job["same_source"]:
            raise CannotReplay(
                f"the program here ({facts.program_sha256[:12]}…) is not the run's "
                f"({self.job['program_sha256'][:12]}…), and the files it is made of differ from "
                "the bundle's; run the bundle's own source: --bundle-source"
            )
        here = self._here(facts.program_sha256)
        self._say("restoring the state", 1)
        start, rows, end = self._segment(program, 1.0)
        _, wrong_rows, wrong_end = self._segment(program, self.job["control_factor"])
        return {
            "here": here,
            "start": start,
            "steps": rows,
            "end": end,
            "control": {"factor": self.job["control_factor"], "steps": wrong_rows, "end": wrong_end},
            "samples": [*map(self._answered, self.job["samples"]), *self._missing()],
            "predictions": self._predictions(),
            "seconds": time.monotonic() - started,
        }

    def _load(self) -> None:
        import jax

        from evidence.spec import PlanSpec, parse
        from training import batches, step

        spec = parse(self._document("config/effective.json"))
        self.spec = replace(spec, plan=PlanSpec(**self.job["plan"]))
        devices, wanted = jax.devices(), self.job["devices"]
        if len(devices) < wanted:
            raise CannotReplay(f"the run used {wanted} devices, and {len(devices)} of {devices[0].platform} are here")
        self.trainer = step.prepare(self.spec, [devices[number] for number in self.job["order"]])
        self.tokenizer = self._tokenizer()
        rows = self._rows("data/train.jsonl")
        encoded = batches.encode(rows, self.spec.data, self.tokenizer, self.spec.training.sequence_length)
        self.encoded = batches.pack(encoded, self.tokenizer.pad) if self.spec.data.packing else encoded
        if not self.encoded.rows:
            raise CannotReplay("no row of data/train.jsonl has an answer within the sequence length")
        self._evaluators: dict[tuple[int, ...], Any] = {}

    def _segment(self, program: Any, factor: float) -> tuple[Document, list[Document], Document]:
        """The steps, with learning rates times ``factor``: what they began with, gave, and ended with."""
        import jax
        import numpy as np

        from evidence.schedule import learning_rate
        from training import batches

        job, training = self.job, self.spec.training
        state = self._restored(job["from_step"])
        start, rows = _digests(state, job["from_step"]), []
        put = self.trainer.placement.put_batch
        for step in self.steps:
            self._say(f"step {step}" if factor == 1.0 else f"step {step} with learning rate × {factor}", 1)
            batch = batches.batch(self.encoded, training.seed, training.batch_size, step)
            rate = np.float32(learning_rate(self.spec.optimizer, training.steps, step))
            rate = rate if factor == 1.0 else np.float32(rate * factor)
            state, metrics = program(state, {name: put(array) for name, array in batch.arrays.items()}, rate)
            loss, grad_norm, param_norm = (float(value) for value in jax.device_get(metrics))
            for name, value in (("loss", loss), ("gradient norm", grad_norm), ("parameter norm", param_norm)):
                if not math.isfinite(value):
                    raise CannotReplay(f"the {name} became {value} at step {step} of the replay")
            rows.append(
                {
                    "step": step,
                    "loss": loss,
                    "grad_norm": grad_norm,
                    "param_norm": param_norm,
                    "batch_sha256": batch.sha256,
                }
            )
        return start, rows, self._end(state)

    def _end(self, state: Any) -> Document:
        """How far the weights lie from the state that the bundle has of the segment's last step."""
        import numpy as np

        job = self.job
        if not job["end_state"]:
            return {"kind": "no_state", "because": job["no_end"]}
        distance = update = 0.0
        replayed = _named(state.params)
        for name, before, saved in self._saved_weights():
            again = np.asarray(replayed[name]).astype(np.float64)
            distance += float(np.sum(np.square(again - saved)))
            update += float(np.sum(np.square(saved - before)))
        state_ = _digests(state, job["to_step"])
        return {"kind": "reached", "state": state_, "distance": distance**0.5, "update": update**0.5}

    def _saved_weights(self) -> Iterator[tuple[str, Any, Any]]:
        """Each parameter before and after the segment, in float64, one at a time."""
        import numpy as np

        from training import checkpoints

        before = checkpoints.parameters(self.bundle, self.job["from_step"])
        after = checkpoints.parameters(self.bundle, self.job["to_step"])
        for (name, first), (other, last) in zip(before, after, strict=True):
            if name != other:
                raise CannotReplay(f"the states of the segment's two ends hold other arrays: {name} and {other}")
            yield name, np.asarray(first).astype(np.float64), np.asarray(last).astype(np.float64)

    def _answered(self, wanted: Document) -> Document:
        """Answers of one saved state, by the evaluation's own program in its own batches."""
        self._say(f"answering from the state of step {wanted['step']}", 1)
        params = self._restored(wanted["step"]).params
        items, evaluator = self._evaluator(tuple(wanted["batches"]))
        again = dict(zip(items, evaluator.answers(params), strict=True))
        answers = []
        for item, (line, stated) in sorted(wanted["lines"].items(), key=lambda pair: int(pair[0])):
            ids = again[int(item)]
            margin = 0.0 if ids == stated else self._margin(params, int(item), ids, stated)
            answers.append({"line": line, "token_ids": ids, **({"margin": margin} if margin else {})})
        return {"kind": "answered", "step": wanted["step"], "answers": answers}

    def _missing(self) -> list[Document]:
        return [{"kind": "not_answered", "step": step, "because": because} for step, because in self.job["no_answers"]]

    def _predictions(self) -> Document:
        if self.job["predictions"]:
            return self._answered(self.job["predictions"][0])
        return {"kind": "not_answered", "step": self.job["to_step"], "because": self.job["no_predictions"]}

    def _evaluator(self, numbers: tuple[int, ...]) -> tuple[list[int], Any]:
        """The items of these batches of the evaluation, and an Evaluator of them alone."""
        from training import evaluate

        if not self._evaluators:
            self.held_out = evaluate.prepare(self.spec, self._rows("eval/eval_set.jsonl"), self.tokenizer)
        if numbers not in self._evaluators:
            whole, count = self.held_out, len(self.held_out.rows)
            size = min(self.spec.evaluation.batch_size, count)
            items = [item for number in numbers for item in range(number * size, min((number + 1) * size, count))]
            some = replace(
                whole,
                rows=tuple(whole.rows[item] for item in items),
                tokens=whole.tokens[items],
                mask=whole.mask[items],
                prompts=whole.prompts[items],
                lengths=whole.lengths[items],
            )
            self._evaluators[numbers] = (items, evaluate.Evaluator(self.trainer, some, self.tokenizer))
        return self._evaluators[numbers]

    def _margin(self, params: Any, item: int, ids: list[int], stated: list[int]) -> float:
        """By how much the logits prefer another token where ``stated`` leaves ``ids``."""
        import jax
        import numpy as np

        place = next((n for n, (one, two) in enumerate(zip(ids, stated, strict=False)) if one != two), -1)
        if place < 0 or not 0 <= stated[place] < self.spec.model.vocab_size:
            return UNLIKE
        length, devices = int(self.held_out.lengths[item]), self.trainer.placement.devices
        prompt = self.held_out.prompts[item][-length:].tolist()
        tokens = np.array([prompt + ids[:place]] * devices, np.int32)

        def last(params: Any, tokens: Any) -> Any:
            model = self.trainer.model(params)
            return model.logits(model(tokens)[:, -1:])[:, 0]

        whole = self.trainer.placement.in_use(())
        put = self.trainer.placement.put_batch(tokens)
        logits = np.asarray(jax.jit(last, out_shardings=whole)(params, put))[0].astype(np.float64)
        return float(logits.max() - logits[stated[place]])

    def _restored(self, step: int) -> Any:
        from training import checkpoints

        return checkpoints.restore(self.bundle, step, self.trainer.abstract, self.trainer.shardings)

    def _tokenizer(self) -> Any:
        from training import tokenizer

        kind = self.spec.tokenizer.kind
        if kind == "byte":
            return tokenizer.Bytes()
        path = self.bundle / "tokenizer" / tokenizer.FILE
        if path.is_symlink() or not path.is_file():
            raise CannotReplay("the tokenizer's files are not in the bundle")
        return replace(tokenizer.read(path.parent), kind=kind)

    def _rows(self, name: str) -> tuple[Any, ...]:
        from training.rows import Row

        lines = self._regular(name).read_text("utf-8").split("\n")
        return tuple(Row(**json.loads(line)) for line in lines if line)

    def _document(self, name: str) -> Any:
        return json.loads(self._regular(name).read_text("utf-8"))

    def _regular(self, name: str) -> Path:
        path = self.bundle / name
        if path.is_symlink() or not path.is_file():
            raise CannotReplay(f"{name} is not a file of this bundle")
        return path

    def _here(self, program_sha256: str) -> Document:
        from evidence import provenance

        used = list(self.trainer.placement.mesh.devices.flat)
        host = provenance.host()
        return {
            "platform": used[0].platform,
            "device_kind": used[0].device_kind,
            "runtime": ", ".join(str(used[0].client.platform_version).splitlines()),  # as training/devices.py
            "devices": len(used),
            "host_sha256": host["name_sha256"],
            "cpu_model": host["cpu_model"],
            "logical_cpus": host["logical_cpus"],
            "memory_bytes": host["memory_bytes"],
            "versions": {"python": sys.version.split()[0], **{name: metadata.version(name) for name in VERSIONS}},
            "program_sha256": program_sha256,
        }

    def _say(self, doing: str, done: int = 0) -> None:
        self._done += done
        if self._progress:
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            line = {"time": now, "done": self._done, "total": self._total, "doing": doing}
            with self._progress.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")


def _digests(state: Any, step: int) -> Document:
    from evidence import states
    from training import checkpoints

    leaves = checkpoints.leaves(state)
    return {
        "step": step,
        "parameters_digest": states.leaves_digest(leaves, states.PARAMETERS),
        "optimizer_digest": states.leaves_digest(leaves, states.OPTIMIZER),
    }


def _named(params: Any) -> dict[str, Any]:
    import jax

    flat = jax.tree_util.tree_flatten_with_path(params)[0]
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in flat}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
