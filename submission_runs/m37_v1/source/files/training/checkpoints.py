"""Saved states: Orbax folders beside a digest per leaf. The folder's digest tells a copy, the leaves' what it means.

``step_000100/`` holds the arrays under ``parameters`` and ``optimizer``, each by its path, and ``step``.
``step_000100.leaves.json`` is ``{"step", "leaves": [{"path", "dtype", "shape", "sha256", "l2"}]}``, sorted by path.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils

from evidence import canonical, events, rundir, states
from evidence.spec import CheckpointSpec
from evidence.states import OPTIMIZER, PARAMETERS
from training.errors import CheckpointError
from training.step import State

Leaf = dict[str, Any]


def name_of(step: int) -> str:
    return f"step_{step:06d}"


def step_of(name: str) -> int | None:
    """The step of a folder or file in ``checkpoints/``; None for what is none of ours (half of one, say)."""
    found = re.fullmatch(r"step_(\d{6,})(\.leaves\.json)?", name)
    return int(found[1]) if found else None


def leaves(state: State) -> list[Leaf]:
    """Digest of every array of ``state``, over its bytes in C order, sorted by path."""
    return sorted((described(path, array) for path, array in _flat(state).items()), key=lambda leaf: str(leaf["path"]))


def shapes(state: State) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Type and shape of every array of ``state`` (abstract ones, too) by its path."""
    return {path: (str(np.dtype(leaf.dtype)), tuple(leaf.shape)) for path, leaf in _flat(state).items()}


def parameters_digest(params: Any) -> str:
    return states.leaves_digest(leaves(State(params, ())), PARAMETERS)


def tree_sha256(folder: Path) -> str:
    """Digest of every file below ``folder``."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return states.tree_digest({path.relative_to(folder).as_posix(): canonical.sha256_file(path) for path in files})


def save(run: Path, state: State, step: int, chain: str) -> events.Checkpoint | None:
    """Save ``state`` after ``step`` and say what was saved. The leaves file comes last: with it the state is whole.

    Of several processes each saves its shards; the first writes the leaves file, and it alone has something to say.
    """
    started = time.monotonic()
    folder = (run / rundir.CHECKPOINTS / name_of(step)).resolve()
    first = jax.process_index() == 0
    if first:
        folder.parent.mkdir(exist_ok=True)
        if folder.exists():  # half of one, left by an attempt that was killed while it saved
            shutil.rmtree(folder)
    found = leaves(state)
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
        checkpointer.save(folder, args=ocp.args.PyTreeSave({**_nested(state), "step": np.int32(step)}))
    if not first:
        return None
    table = f"{rundir.CHECKPOINTS}/{name_of(step)}.leaves.json"
    rundir.write_document(run / table, {"step": step, "leaves": found})
    return events.Checkpoint(
        time=events.now(),
        step=step,
        path=f"{rundir.CHECKPOINTS}/{name_of(step)}",
        bytes=sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
        tree_sha256=tree_sha256(folder),
        leaves=events.FileDigest(
            path=table, sha256=canonical.sha256_file(run / table), bytes=(run / table).stat().st_size
        ),
        parameters_digest=states.leaves_digest(found, PARAMETERS),
        optimizer_digest=states.leaves_digest(found, OPTIMIZER),
        chain_at_step=chain,
        seconds=time.monotonic() - started,
    )


def restore(run: Path, step: int, abstract: State, shardings: State) -> State:
    """The state saved after ``step``, every leaf checked against its digest. Raises CheckpointError."""
    folder = (run / rundir.CHECKPOINTS / name_of(step)).resolve()
    listed = rundir.read_document(folder.with_name(f"{folder.name}.leaves.json"))
    if not folder.is_dir() or not listed:
        raise CheckpointError(f"{folder} is not a whole checkpoint: the folder and its leaves file must both be there")
    shapes = {leaf["path"]: (leaf["dtype"], tuple(leaf["shape"])) for leaf in listed["leaves"]}
    for path, wanted in _flat(abstract).items():
        asked = (str(np.dtype(wanted.dtype)), tuple(wanted.shape))
        if shapes.get(path) != asked:
            raise CheckpointError(f"{folder} is of another model: {path} must be {asked}, found {shapes.get(path)}")
    placed = jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), abstract, shardings
    )
    target = {**_nested(placed), "step": jax.ShapeDtypeStruct((), np.int32)}
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
        restored = checkpointer.restore(
            folder,
            args=ocp.args.PyTreeRestore(target, restore_args=ocp.checkpoint_utils.construct_restore_args(target)),
        )
    arrays = {
        f"{part}.{path}": array for part in (PARAMETERS, OPTIMIZER) for path, array in restored.get(part, {}).items()
    }
    state: State = jax.tree_util.tree_map_with_path(lambda path, _: arrays[_name(path)], abstract)
    for leaf, expected in zip(leaves(state), sorted(listed["leaves"], key=lambda item: str(item["path"])), strict=True):
        if leaf["sha256"] != expected["sha256"]:
            raise CheckpointError(
                f"{folder}: {leaf['path']} has sha256 {leaf['sha256']}, but its leaves file says {expected['sha256']}"
            )
    return state


def parameters(run: Path, step: int) -> Iterator[tuple[str, Any]]:
    """Each parameter saved after ``step`` as (path, numpy array), one at a time, checked against its digest.

    Raises CheckpointError.
    """
    folder = (run / rundir.CHECKPOINTS / name_of(step)).resolve()
    listed = rundir.read_document(folder.with_name(f"{folder.name}.leaves.json"))
    if not folder.is_dir() or not listed:
        raise CheckpointError(f"{folder} is not a whole checkpoint: the folder and its leaves file must both be there")
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
        for expected in states.part(listed["leaves"], PARAMETERS):
            name = expected["path"].removeprefix(f"{PARAMETERS}.")
            asked = ocp.args.PyTreeRestore(
                item={PARAMETERS: {name: 0}},
                restore_args={PARAMETERS: {name: ocp.RestoreArgs(restore_type=np.ndarray)}},
                partial_restore=True,
            )
            array = checkpointer.restore(folder, args=asked)[PARAMETERS][name]
            if (found := hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()) != expected["sha256"]:
                raise CheckpointError(
                    f"{folder}: {expected['path']} has sha256 {found}, but its leaves file says {expected['sha256']}"
                )
            yield name, array


def stored(folder: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Type and shape of every array in a saved state, ``step`` among them, as its folder tells without reading one."""
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
        told = checkpointer.metadata(folder.resolve()).item_metadata
    arrays = _by_path(told if isinstance(told, dict) else told.tree)
    return {path: (str(np.dtype(item.dtype)), tuple(item.shape)) for path, item in arrays.items()}


def read(folder: Path, paths: Iterable[str]) -> dict[str, Any]:
    """The arrays of a saved state at ``paths`` (all that are ``stored``) as numpy, unchecked, on no device."""
    here = ocp.RestoreArgs(restore_type=np.ndarray)
    asked: dict[str, Any] = {}
    for path in paths:
        part, _, name = path.partition(".")
        if name:
            asked.setdefault(part, {})[name] = here
        else:
            asked[part] = here
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
        found = checkpointer.restore(folder.resolve(), args=ocp.args.PyTreeRestore(restore_args=asked))
    return _by_path(found)


def prune(run: Path, saved: list[int], spec: CheckpointSpec) -> list[int]:
    """Remove all but the first and the newest ``keep`` of the ``saved`` steps, and return those that stay.

    Leaves files stay: they are small, and still prove what each state was.
    """
    kept = [step for step in saved if step == saved[0] or step in saved[1:][-spec.keep :]]
    for step in saved:
        if step not in kept and jax.process_index() == 0:
            shutil.rmtree(run / rundir.CHECKPOINTS / name_of(step))
    return kept


def described(path: str, value: Any) -> Leaf:
    """An array as a leaves file has it."""
    if isinstance(value, jax.Array) and not value.is_fully_addressable:
        value = multihost_utils.process_allgather(value, tiled=True)  # one leaf at a time: all would not fit a host
    array = np.ascontiguousarray(np.asarray(value)).reshape(np.shape(value))
    return {
        "path": path,
        "dtype": str(array.dtype),
        "shape": list(array.shape),
        "sha256": hashlib.sha256(array.tobytes()).hexdigest(),
        "l2": float(np.sqrt(np.sum(np.square(array.astype(np.float64))))),
    }


def _flat(state: State) -> dict[str, Any]:
    return {_name(path): leaf for path, leaf in jax.tree_util.tree_flatten_with_path(state)[0]}


def _name(path: tuple[Any, ...]) -> str:
    part, *rest = path
    prefix = PARAMETERS if part.name == "params" else OPTIMIZER
    return f"{prefix}.{jax.tree_util.keystr(tuple(rest), simple=True, separator='.')}"


def _by_path(tree: Any) -> dict[str, Any]:
    """The leaves of a saved tree by the paths of a leaves file; ``step`` by its name."""
    found = {}
    for part, value in tree.items():
        if isinstance(value, dict):
            found.update({f"{part}.{name}": leaf for name, leaf in value.items()})
        else:
            found[str(part)] = value
    return found


def _nested(state: State) -> dict[str, dict[str, Any]]:
    parts: dict[str, dict[str, Any]] = {}
    for path, leaf in _flat(state).items():
        part, _, name = path.partition(".")
        parts.setdefault(part, {})[name] = leaf
    return parts
