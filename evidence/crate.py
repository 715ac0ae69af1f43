"""ro-crate-metadata.json: the bundle as a Process Run Crate, for readers who know that format and not ours.

It is a function of the two documents and the sealed files, so a verifier writes it again and compares. It repeats the
run's own times and none of sealing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

from evidence import canonical, reading, report
from evidence.manifest import Completed, Failed, File, GitSource
from evidence.reading import Bundle

SPECIFICATION = "https://w3id.org/ro/crate/1.1"
PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
CONTEXT = [f"{SPECIFICATION}/context", {"sha256": "https://w3id.org/ro/terms/workflow-run#sha256"}]
"""RO-Crate 1.1 has no word for a digest; the run profiles' vocabulary has."""

ROOT, ACTION, TRAINER, OPERATOR, LICENCE = "./", "#run", "#trainer", "#operator", "#licence"
COMPLETED, FAILED = "http://schema.org/CompletedActionStatus", "http://schema.org/FailedActionStatus"
WITHOUT_ENTITY = (reading.CRATE, reading.SUMS)
"""What the crate cannot describe: itself, and the sums that cover it."""

_MADE_BEFORE = (
    "config/",
    "rehearsal/declared",
    "rehearsal/preflight",
    "data/",
    "tokenizer/",
    "environment/",
    "eval/eval_set.jsonl",
)
_LEFT_BY_THE_RUN = (
    *(reading.METRICS, reading.EVENTS, reading.SAMPLES, reading.LOG),
    *("checkpoints/", reading.PREDICTIONS),
)
_FORMATS = {
    "md": "text/markdown",
    "json": "application/json",
    "jsonl": "application/jsonl",
    "txt": "text/plain",
    "yaml": "application/yaml",
    "py": "text/x-python",
}

Entity = dict[str, Any]


def text(bundle: Bundle) -> str:
    """ro-crate-metadata.json of the bundle. Raises Unreadable."""
    return canonical.pretty(document(bundle))


def document(bundle: Bundle, sealed: Sequence[File] = ()) -> dict[str, Any]:
    """``sealed``: the files to describe, where that is not what lies there now."""
    files = [item for item in (sealed or _lying(bundle)) if item.path not in WITHOUT_ENTITY]
    names = [item.path for item in files]
    run, source = bundle.told.run, bundle.told.source
    told = report.sentence(bundle)
    return {
        "@context": CONTEXT,
        "@graph": [
            {
                "@id": reading.CRATE,
                "@type": "CreativeWork",
                "about": _to(ROOT),
                "conformsTo": _to(SPECIFICATION),
            },
            {
                "@id": ROOT,
                "@type": "Dataset",
                "conformsTo": _to(PROFILE),
                "name": run.name,
                "description": told,
                "identifier": run.run_id,
                "datePublished": run.finished_at,
                "license": _to(LICENCE),
                "author": _to(OPERATOR),
                "hasPart": _files(names),
                "mentions": _to(ACTION),
            },
            {"@id": PROFILE, "@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5"},
            {
                "@id": LICENCE,
                "@type": "CreativeWork",
                "name": "No licence stated",
                "description": "Whoever made this run stated no licence for its data, code and weights: ask them.",
            },
            {
                "@id": OPERATOR,
                "@type": "Person",
                "name": "Whoever started the run",
                "description": "The run knows the machine it ran on, not the person who started it.",
            },
            _trainer(source),
            {
                "@id": ACTION,
                "@type": "CreateAction",
                "name": f"Training run {run.name}",
                "description": told,
                "instrument": _to(_trainer(source)["@id"]),
                "agent": _to(OPERATOR),
                **_where_any(
                    "object", (name for name in names if name.startswith(_MADE_BEFORE) and not _is_batch(name))
                ),
                **_where_any(
                    "result", (name for name in names if name.startswith(_LEFT_BY_THE_RUN) or _is_batch(name))
                ),
                "startTime": run.started_at,
                "endTime": run.finished_at,
                **_status(run.outcome),
            },
            *map(_file, files),
        ],
    }


def identifier(path: str) -> str:
    """A file's @id: its path as a relative URI."""
    return quote(path)


def _trainer(source: Any) -> Entity:
    """What did the training: one commit of a public address where there is one, otherwise the files in source/."""
    place = [item for item in getattr(source, "repository", []) if item.startswith(("https://", "http://"))]
    version = f"commit {source.commit}" if isinstance(source, GitSource) else "no commit: the files below source/"
    named = {"@type": "SoftwareApplication", "name": "Assay trainer", "softwareVersion": version}
    return {"@id": place[0], "url": place[0], **named} if place else {"@id": TRAINER, **named}


def _status(outcome: Any) -> Entity:
    """A run that was stopped did not complete either, and says so."""
    if isinstance(outcome, Completed):
        return {"actionStatus": COMPLETED}
    if isinstance(outcome, Failed):
        error = f"{outcome.error_type} while {outcome.stage}: {outcome.error_message}"
    else:
        error = f"{outcome.kind}: {outcome.because}"
    return {"actionStatus": FAILED, "error": error}


def _lying(bundle: Bundle) -> list[File]:
    return [File(name, bundle.sha256(name), bundle.entries[name].st_size) for name in bundle.sealed_files]


def _file(file: File) -> Entity:
    return {
        "@id": identifier(file.path),
        "@type": "File",
        "name": file.path,
        "encodingFormat": _FORMATS.get(file.path.rpartition(".")[2], "application/octet-stream"),
        "contentSize": str(file.bytes),
        "sha256": file.sha256,
    }


def _files(names: Iterable[str]) -> Any:
    """References in order; one alone stands without its list, as the specification would have it."""
    found = [_to(identifier(name)) for name in names]
    return found[0] if len(found) == 1 else found


def _where_any(key: str, names: Iterable[str]) -> Entity:
    """A run that failed early may have left nothing of a kind."""
    found = _files(names)
    return {key: found} if found else {}


def _is_batch(name: str) -> bool:
    """The first batch was decoded and written by the run."""
    return name.startswith("data/first_batch")


def _to(identifier: str) -> Entity:
    return {"@id": identifier}
