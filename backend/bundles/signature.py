"""Who signed a bundle, for the page: the statements beside its seal, and what they are worth to this server."""

from __future__ import annotations

from typing import Literal

from backend.bundles import answers
from evidence import attestations, dsse, reading
from evidence.trust import SIGNER
from evidence.verdict import FAIL, Verdict

State = Literal["trusted", "unknown", "invalid"]
HOLD = ("SIG-01", "SIG-02", "SIG-03", "SIG-04")
"""The checks whose findings make a statement invalid."""

SAYS = {
    attestations.MODEL: "every sealed file, by its digest",
    attestations.PROVENANCE: "what was asked, from what it was made, and by whom",
}
LATER_SAYS = {"verdict": "a verifier's verdict over the seal", "replay": f"a replay's result, {reading.REPLAY}"}


def signature(bundle: reading.Bundle, verdict: Verdict) -> answers.Signature:
    """As the checks found it. A name is told only where its key was pinned, be it by the repository alone (whose
    it is stays unknown then): no bundle names its own signer."""
    refused = {
        finding.file
        for result in verdict.results
        if result.id in HOLD and result.result == FAIL
        for finding in result.findings
    }
    statements = [_statement(bundle, name, name in refused) for name in attestations.files(bundle)]
    by_file = {statement.file: statement for statement in statements}
    tree = by_file.get(attestations.MODEL) or by_file.get(attestations.PROVENANCE)
    state: Literal["unsigned", "trusted", "unknown", "invalid"] = tree.state if tree else "unsigned"
    if refused or any(statement.state == "invalid" for statement in statements):
        state = "invalid"
    return answers.Signature(
        state=state,
        signer=tree.signer if tree and state != "invalid" else "",
        key_sha256=tree.key_sha256 if tree else "",
        statements=statements,
    )


def _statement(bundle: reading.Bundle, name: str, refused: bool) -> answers.Statement:
    later = attestations.LATER.fullmatch(name)
    says = SAYS.get(name) or (LATER_SAYS[later[1]] if later else "a statement that this version does not know")
    try:
        signed = dsse.read(bundle.bytes(name))
    except (dsse.Malformed, reading.Unreadable):
        return answers.Statement(file=name, state="invalid", signer="", key_sha256="", says=says)
    key = bundle.known.trust.find(signed.keyid, SIGNER)
    state: State = "invalid" if refused else "unknown"
    if key and not refused:
        holds = not key.revoked and signed.verifies(key.public)
        state = "invalid" if not holds else "unknown" if key.committed else "trusted"
    signer = key.name if key and state != "invalid" else ""
    return answers.Statement(file=name, state=state, signer=signer, key_sha256=signed.keyid, says=says)
