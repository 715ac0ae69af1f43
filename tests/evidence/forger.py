"""The most careful forger: whatever follows from other bytes is made to follow, so that only meaning can give it away."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from evidence import canonical, events, reading, states
from tests.evidence import tamper


def rebind(folder: Path) -> None:
    """Recompute every digest of the bundle: files, arrays' tables, config, genesis, chain, log, seal."""
    manifest, summary = _read(folder / reading.MANIFEST), _read(folder / reading.SUMMARY)
    lines = [json.loads(line) for line in (folder / reading.EVENTS).read_text().splitlines()]
    for saved in manifest["checkpoints"]:
        leaves = _read(folder / saved["leaves"]["path"])["leaves"]
        saved["parameters_digest"] = states.leaves_digest(leaves, states.PARAMETERS)
        saved["optimizer_digest"] = states.leaves_digest(leaves, states.OPTIMIZER)
        if saved["kind"] == "included":
            files = [path for path in (folder / saved["folder"]).rglob("*") if path.is_file()]
            within = {path.relative_to(folder / saved["folder"]).as_posix(): path for path in files}
            saved["tree_sha256"] = states.tree_digest({name: canonical.sha256_file(at) for name, at in within.items()})
            saved["bytes"] = sum(path.stat().st_size for path in files)
    places = {"data/train.jsonl": "data/train.jsonl", "eval/eval_set.jsonl": "eval/eval_set.jsonl",
              "first_batch.jsonl": "data/first_batch.jsonl"}  # fmt: skip
    effective = canonical.digest(_read(folder / "config/effective.json"))
    manifest["config"]["effective_sha256"] = effective
    by_step = {saved["step"]: saved for saved in manifest["checkpoints"]}
    for event in lines:
        if event["kind"] == "run_start":
            event["spec_sha256"] = effective
        elif event["kind"] == "data":
            for name in ("train", "eval", "first_batch"):
                event[name].update(_file(folder, places[event[name]["path"]], event[name]["path"]))
            event["tokenizer_sha256"] = manifest["tokenizer"]["sha256"]
        elif event["kind"] == "model":
            event["parameters_digest"] = manifest["model"]["initial_parameters_digest"] = by_step[0][
                "parameters_digest"
            ]
        elif event["kind"] == "program":
            event["program_sha256"] = manifest["program"]["sha256"]
        elif event["kind"] == "evaluation" and event["step"] in by_step:
            event["parameters_digest"] = by_step[event["step"]]["parameters_digest"]
    data = next(event for event in lines if event["kind"] == "data")
    genesis = events.genesis(
        {
            "nonce": manifest["run"]["nonce"],
            "commit": manifest["source"].get("commit", "none"),
            "spec_sha256": effective,
            "data_sha256": events.data_digest(data["train"]["sha256"], data["eval"]["sha256"]),
            "tokenizer_sha256": data["tokenizer_sha256"],
            "program_sha256": manifest["program"]["sha256"],
        }
    )
    manifest["metrics"]["genesis"] = genesis
    _write(folder / reading.MANIFEST, manifest)
    tamper.rechain(folder)
    rows = [json.loads(line) for line in (folder / reading.METRICS).read_text().splitlines()]
    heads = {0: genesis, **{row["step"]: row["hash"] for row in rows}}
    manifest["metrics"]["head"] = rows[-1]["hash"]
    for saved in manifest["checkpoints"]:
        saved["chain_at_step"] = heads[saved["step"]]
    for event in lines:
        if event["kind"] == "checkpoint" and event["step"] in by_step:
            saved = by_step[event["step"]]
            for name in ("tree_sha256", "bytes", "parameters_digest", "optimizer_digest", "chain_at_step"):
                event[name] = saved[name]
            event["leaves"].update(_file(folder, saved["leaves"]["path"], event["leaves"]["path"]))
        elif event["kind"] == "resumed":
            event["chain_at_step"] = heads[event["step"]]
    (folder / reading.EVENTS).write_text("".join(canonical.encode(event) + "\n" for event in lines))
    result = summary["training_result"]
    result["final_loss"].update(value=rows[-1]["loss"], row_sha256=rows[-1]["hash"])
    if summary["evaluation"]["kind"] == "performed":
        summary["evaluation"]["parameters_digest"] = by_step[rows[-1]["step"]]["parameters_digest"]
    _write(folder / reading.MANIFEST, manifest)
    _write(folder / reading.SUMMARY, summary)
    tamper.relog(folder)
    tamper.reseal(folder)


def _file(folder: Path, here: str, path: str) -> dict[str, Any]:
    return {"path": path, "sha256": canonical.sha256_file(folder / here), "bytes": (folder / here).stat().st_size}


def _read(path: Path) -> Any:
    return json.loads(path.read_text())


def _write(path: Path, document: Any) -> None:
    path.write_text(json.dumps(document, sort_keys=True, indent=2, ensure_ascii=False) + "\n")
