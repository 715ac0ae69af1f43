"""``assay notebook``: the notebook of a rented session, pinned to the commit that is checked out here."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from evidence import config_file, notebook, provenance, source_archive
from evidence.spec import Problem, SpecError

REHEARSAL = "training/configs/submission_rehearsal.yaml"


def values(name: str, config: Path | None, rehearsed: Path | None, *, smoke: bool, preflights: Path) -> dict[str, Any]:
    """What the notebook's parameters are, besides the commit; those that are not asked for stay as they are. Raises
    SpecError for a config that the session would not have, or could not use."""
    found: dict[str, Any] = {"run_name": name} if name else {}
    source = _sent(config) if config else ""
    if rehearsed:
        found |= {"smoke": True, "smoke_config": source or REHEARSAL, "rehearses": _sent(rehearsed)}
        return {**found, "preflights": str(preflights.resolve())}
    if smoke:
        return {**found, "smoke": True, **({"smoke_config": source} if source else {})}
    return {**found, **({"config": source} if source else {})}


def _sent(config: Path) -> str:
    """The config's path in the archive. Raises SpecError."""
    config_file.load_spec(config)
    name = provenance.config_name(config)
    if name.partition("/")[0] not in source_archive.PACKED:
        sent = ", ".join(item for item in source_archive.PACKED if "." not in item)
        message = f"{config} is not sent along: only configs in the repository's folders {sent} are"
        raise SpecError([Problem("config", message)])
    return name


def write(out: Path | None, archive: Path | None, asked: dict[str, Any], *, unpinned: bool) -> int:
    """Write the notebook to ``out``, and its source to ``archive``; without one the notebook carries it along."""
    place = out or Path("kaggle_submission.ipynb")
    if unpinned:
        place.write_bytes(notebook.build(notebook.Parameters(**asked)))
        print(f"Wrote {place}: it takes any commit that an attached archive proves")
        return 0
    try:
        packed = source_archive.pack()
    except source_archive.CannotPack as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    if archive:
        archive.write_bytes(packed.data)
        print(f"Wrote {archive}: commit {packed.commit}, {len(packed.data):,} bytes, to be attached")
    place.write_bytes(notebook.build(notebook.pinned(packed, embed=archive is None, **asked)))
    print(f"Wrote {place}: commit {packed.commit}")
    return 0
