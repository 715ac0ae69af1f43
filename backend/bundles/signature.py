"""Who signed a bundle, for the page: the signature checks' results and the statements beside the seal."""

from __future__ import annotations

from typing import Literal

from backend.bundles import answers
from evidence import reading
from evidence.verdict import FAIL, PASS, Verdict

STATEMENTS = "attestations/"
TRUST = "SIG-05"
"""The check that passes only for a signer whose key was pinned before."""

State = Literal["unsigned", "trusted", "unknown", "invalid"]


def signature(bundle: reading.Bundle, verdict: Verdict) -> answers.Signature:
    """As the checks found it; nothing that a bundle says of its own signer is repeated unless they hold."""
    files = [name for name in bundle.files if name.startswith(STATEMENTS)]
    results = {result.id: result.result for result in verdict.results if result.id.startswith("SIG-")}
    state: State = "unknown"
    if not files:
        state = "unsigned"
    elif any(result == FAIL for result in results.values()):
        state = "invalid"
    elif results.get(TRUST) == PASS:
        state = "trusted"
    statements = [
        answers.Statement(
            file=name, state="unknown" if state == "unsigned" else state, signer="", key_sha256="", says="a statement"
        )
        for name in files
    ]
    return answers.Signature(state=state, signer="", key_sha256="", statements=statements)
