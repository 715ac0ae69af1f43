"""``python tests/evidence/validate_crate.py FOLDER``: roc-validator's word on a crate, as JSON, without a network.

roc-validator needs another version of rich than Assay, so it lives in an environment of its own:

    uv venv /tmp/roc && uv pip install --python /tmp/roc/bin/python roc-validator==0.13.0
    ROC_PYTHON=/tmp/roc/bin/python pytest tests/evidence/test_crate.py

It wants the crate's JSON-LD context from its cache. What is put there has the words that our crates use, as RO-Crate 1.1
defines them; a word that is missing here loses its meaning, and the validator objects.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

CONTEXT = "https://w3id.org/ro/crate/1.1/context"
SCHEMA_ORG = [
    "CompletedActionStatus",
    "CreateAction",
    "CreativeWork",
    "Dataset",
    "FailedActionStatus",
    "Person",
    "SoftwareApplication",
    "about",
    "actionStatus",
    "agent",
    "author",
    "contentSize",
    "datePublished",
    "description",
    "encodingFormat",
    "endTime",
    "error",
    "hasPart",
    "identifier",
    "instrument",
    "license",
    "mentions",
    "name",
    "object",
    "result",
    "softwareVersion",
    "startTime",
    "url",
    "version",
]
MEANINGS = {
    **{word: f"http://schema.org/{word}" for word in SCHEMA_ORG},
    "File": "http://schema.org/MediaObject",
    "conformsTo": "http://purl.org/dc/terms/conformsTo",
}


def fill(cache: Path) -> None:
    """Put the context where the validator will look for it."""
    import requests
    from requests.adapters import BaseAdapter
    from requests_cache import CachedSession
    from urllib3 import HTTPResponse

    class Canned(BaseAdapter):
        def send(self, request: Any, **_: Any) -> Any:
            import io

            body = io.BytesIO(json.dumps({"@context": MEANINGS}).encode())
            raw = HTTPResponse(body, {"Content-Type": "application/ld+json"}, 200, preload_content=False)
            return requests.adapters.HTTPAdapter().build_response(request, raw)

        def close(self) -> None:
            pass

    session = CachedSession(str(cache), backend="sqlite", allowable_codes=(200,), expire_after=-1)
    session.mount("https://", Canned())
    session.get(CONTEXT).raise_for_status()
    session.close()


def validate(folder: Path) -> dict[str, Any]:
    from rocrate_validator.models import ValidationSettings
    from rocrate_validator.services import validate

    with tempfile.TemporaryDirectory() as place:
        fill(Path(place) / "cache")
        settings = ValidationSettings(
            rocrate_uri=str(folder),
            profile_identifier="process-run-crate-0.5",
            requirement_severity="REQUIRED",
            offline=True,
            cache_path=Path(place) / "cache",
        )
        result = validate(settings)
        return {
            "passed": result.passed(),
            "issues": [f"{issue.check.identifier}: {issue.message}" for issue in result.issues],
            "skipped": sorted(check.identifier for check in result.skipped_checks),
            "executed": sorted(check.identifier for check in result.executed_checks),
        }


if __name__ == "__main__":
    print(json.dumps(validate(Path(sys.argv[1]))))
