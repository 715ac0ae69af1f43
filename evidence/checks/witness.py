"""SIG-06 and PRV-13: somebody else saw this run while it went on, and had asked for it before.

What a witness says can only be told apart from what a trainer makes up by the witness's key, which must have been
pinned *as a witness*. That its receipts agree with the rows is checked whoever it is.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from datetime import timedelta

from evidence import events, reading, receipts
from evidence.checks.check import Family, Findings, NotRun, differs
from evidence.manifest import Witnessed
from evidence.reading import Bundle
from evidence.trust import WITNESS
from evidence.verdict import Doubt, Finding

family = Family("witness")

ENOUGH = 0.9
"""Share of the steps that must have been seen while they were new."""
_SKEW = timedelta(seconds=receipts.SKEW_SECONDS)


def _witnessed(bundle: Bundle) -> Witnessed:
    witness = bundle.manifest.witness
    if not isinstance(witness, Witnessed):
        raise NotRun(witness.because)
    return witness


def _receipts(bundle: Bundle) -> list[receipts.Receipt]:
    """Raises NotRun for a file that holds anything else; SIG-06 has the finding."""
    try:
        return [receipts.read(line) for line in bundle.text(reading.RECEIPTS).split("\n") if line]
    except receipts.NoReceipt as error:
        raise NotRun(f"{reading.RECEIPTS} holds a line that is no receipt: {error}") from None


@family.check("PRV-13", "the run was asked for before it began, and its seed is the config's", "E2", about="any")
def asked_for_before(bundle: Bundle) -> Findings:
    manifest = bundle.told
    if not bundle.early:
        asked = bundle.document("config/effective.json")["training"]["seed"]
        yield from differs(reading.MANIFEST, "$.training.seed", asked, bundle.manifest.training.seed)
    if not isinstance(manifest.witness, Witnessed):
        where = "$.run.nonce"
        yield Doubt(reading.MANIFEST, where, "a nonce that a witness issued before the run", manifest.witness.because)
        return
    said = _receipts(bundle)
    if not said or not isinstance(said[0], receipts.Issued):
        yield Finding(reading.RECEIPTS, "line 1", "the receipt of the nonce that was issued", "none")
        return
    issued = said[0]
    yield from differs(reading.MANIFEST, "$.witness.public_key_sha256", issued.key, manifest.witness.public_key_sha256)
    yield from differs(reading.MANIFEST, "$.witness.receipt_count", len(said), manifest.witness.receipt_count)
    yield from differs(reading.RECEIPTS, "line 1: run_id", manifest.run.run_id, issued.run_id)
    yield from differs(reading.RECEIPTS, "line 1: nonce", manifest.run.nonce, issued.nonce)
    yield from differs(reading.RECEIPTS, "line 1: spec_sha256", manifest.config.effective_sha256, issued.spec_sha256)
    if events.instant(issued.at) > events.instant(manifest.run.started_at) + _SKEW:
        yield Finding(reading.RECEIPTS, "line 1: at", f"a time before the start, {manifest.run.started_at}", issued.at)
    key = bundle.known.trust.find(issued.key, WITNESS)
    if key and not receipts.verifies(issued, key.public):
        expected = f"a signature by the key of {key.name}"
        yield Finding(reading.RECEIPTS, "line 1: signature", expected, "one that does not verify")
    if key is None or key.committed:
        expected, found = "a witness that you know", f"key {issued.key}, which you did not pin as a witness"
        yield Doubt(reading.RECEIPTS, "line 1: key", expected, found)


@family.check("SIG-06", "a witness countersigned the rows while the run went on", "E5")
def countersigned(bundle: Bundle) -> Findings:
    stated, rows = _witnessed(bundle), bundle.rows
    lines = [line for line in bundle.text(reading.RECEIPTS).split("\n") if line]
    said: list[receipts.Receipt] = []
    for number, line in enumerate(lines, 1):
        try:
            said.append(receipts.read(line))
        except receipts.NoReceipt as error:
            yield Finding(reading.RECEIPTS, f"line {number}", "a receipt", str(error))
            return
    yield from differs(reading.MANIFEST, "$.witness.receipt_count", len(said), stated.receipt_count)
    if not said or not isinstance(said[0], receipts.Issued):
        raise NotRun("there is no receipt of the nonce (PRV-13)")
    yield from differs(reading.MANIFEST, "$.witness.public_key_sha256", said[0].key, stated.public_key_sha256)
    same = said[0].host_sha256 == getattr(bundle.manifest.location, "host_sha256", "")
    yield from differs(reading.MANIFEST, "$.witness.same_host", same, stated.same_host)
    yield from _one_chain(bundle, lines, said)
    heads = yield from _heads(bundle, said)
    covered = receipts.coverage(rows, heads)
    key = bundle.known.trust.find(stated.public_key_sha256, WITNESS)
    if key is None:
        raise NotRun(
            f"you did not pin the witness's key {stated.public_key_sha256} as one: "
            f"assay key trust FILE --name NAME --witness"
        )
    if key.revoked:
        yield Finding(reading.RECEIPTS, "line 1: key", "a key that still counts", f"a revoked one: {key.revoked}")
    elif not receipts.verifies(said[-1], key.public):  # which names the line before it, and so on to the first
        expected = f"a signature by the key of {key.name}"
        yield Finding(reading.RECEIPTS, f"line {len(said)}: signature", expected, "one that does not verify")
    if covered.seen < ENOUGH * covered.steps:
        # The witness may have been away; what it did not see, it says nothing of.
        raise NotRun(f"a witness has to see {ENOUGH:.0%} of the steps while they are new, and this one saw {covered}")
    if same:
        raise NotRun(
            f"the receipts hold, but {key.name} ran on the machine that trained, whose owner has both keys: "
            "nobody outside saw this run"
        )
    if key.committed:
        raise NotRun(
            f"the receipts hold, but only the repository names {key.name} as a witness, and its owner may have that "
            f"key too; once you know better: assay key trust {key.public.fingerprint} --name {key.name} --witness"
        )


def _one_chain(bundle: Bundle, lines: Sequence[str], said: Sequence[receipts.Receipt]) -> Findings:
    """Each receipt follows the one before it, in time too, and is of this run."""
    run = bundle.manifest.run
    for number, receipt in enumerate(said[1:], 2):
        where, before = f"line {number}", said[number - 2]
        if not isinstance(receipt, receipts.Head):
            yield Finding(reading.RECEIPTS, where, "a nonce issued once", "a second time")
            continue
        yield from differs(reading.RECEIPTS, f"{where}: prev", receipts.digest(lines[number - 2]), receipt.prev)
        yield from differs(reading.RECEIPTS, f"{where}: run_id", run.run_id, receipt.run_id)
        yield from differs(reading.RECEIPTS, f"{where}: nonce", run.nonce, receipt.nonce)
        if receipt.at < before.at:
            yield Finding(reading.RECEIPTS, f"{where}: at", f"a time after {before.at}", receipt.at)


def _heads(bundle: Bundle, said: Sequence[receipts.Receipt]) -> Generator[Finding, None, list[receipts.Head]]:
    """The heads of the rows that stand. One of a row that was taken back when the run was resumed counts for nothing;
    any other that is not of these rows is a finding."""
    rows = {row.step: row for row in bundle.rows}
    resumed = [event for event in bundle.all_events if isinstance(event, events.Resumed)]
    found: list[receipts.Head] = []
    for number, receipt in enumerate(said, 1):
        if not isinstance(receipt, receipts.Head):
            continue
        row, where, at = rows.get(receipt.step), f"line {number}", events.instant(receipt.at)
        if row is None or row.hash != receipt.head:
            taken_back = (
                item for item in resumed if item.step < receipt.step and events.instant(item.time) >= at - _SKEW
            )
            if not any(taken_back):
                expected = row.hash if row else f"a step of this run, which has {len(rows):,}"
                yield Finding(reading.RECEIPTS, f"{where}: head of step {receipt.step:,}", expected, receipt.head)
            continue
        if at < events.instant(row.time) - _SKEW:
            yield Finding(reading.RECEIPTS, f"{where}: at", f"a time after its row's, {row.time}", receipt.at)
        if found and receipt.step < found[-1].step:
            yield Finding(reading.RECEIPTS, f"{where}: step", f"at least {found[-1].step}", str(receipt.step))
        found.append(receipt)
    return found
