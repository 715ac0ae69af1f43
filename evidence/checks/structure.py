"""STR: the bundle is complete, portable and readable."""

from __future__ import annotations

import re
import stat
import unicodedata

from evidence import canonical, reading, rehearsal, report
from evidence.checks.check import Family, Findings, differs, texts
from evidence.manifest import Included
from evidence.reading import Bundle
from evidence.verdict import Finding

family = Family("structure")

DOCUMENTS = (reading.README, reading.MANIFEST, reading.SUMMARY, reading.SUMS, reading.CRATE, rehearsal.DOCUMENT)
LARGEST_FILE_BYTES = 50 * 2**20
TEXT = (".md", ".json", ".jsonl", ".txt", ".yaml", ".py", ".sha256")
MACHINE_PATH = re.compile(r"(^|[\s\"'=:(])(/(home|root|Users|kaggle|tmp|work|mnt|content|workspace)/|[A-Za-z]:\\)")


@family.check("STR-01", "the bundle is complete", "E0", about="any")
def complete(bundle: Bundle) -> Findings:
    top = {name for name in bundle.entries if "/" not in name}
    files, folders, optional = reading.EARLY_NAMES if bundle.early else reading.NAMES
    for name in files:
        if name not in bundle.files:
            yield Finding(name, "", "a file", "nothing")
    for name in folders:
        if name not in top:
            yield Finding(name, "", "a folder", "nothing")
    for name in sorted(top - {*files, *folders, *optional}):
        yield Finding(name, "", "no other name at the top of a bundle", "this one")
    for name in bundle.entries:
        if name.startswith("replay/") and name != reading.REPLAY:
            yield Finding(name, "", f"nothing below replay/ but {reading.REPLAY}", "this one")


@family.check("STR-02", "the tree can be copied anywhere", "E0", about="any")
def portable(bundle: Bundle) -> Findings:
    folded: dict[str, str] = {}
    folders = {name for name, facts in bundle.entries.items() if stat.S_ISDIR(facts.st_mode)}
    parents = {name.rpartition("/")[0] for name in bundle.entries}
    for name in sorted(folders - parents):
        yield Finding(name, "", "a folder with something in it", "an empty folder")
    for name, facts in sorted(bundle.entries.items()):
        base = name.rpartition("/")[2]
        if not (stat.S_ISREG(facts.st_mode) or stat.S_ISDIR(facts.st_mode)):
            yield Finding(name, "", "a plain file or folder", "a link or special file")
        if base.startswith("."):
            yield Finding(name, "", "no hidden name", base)
        if re.search(r"[\\:*?\"<>|\x00-\x1f]", base) or not _is_text(base):
            yield Finding(name.encode("utf-8", "replace").decode(), "", "a name that every system can hold", repr(base))
        if stat.S_ISREG(facts.st_mode) and facts.st_size > LARGEST_FILE_BYTES:
            yield Finding(name, "", "at most 50 MiB", f"{facts.st_size:,} bytes")
        if stat.S_ISREG(facts.st_mode) and facts.st_mode & 0o111:
            yield Finding(name, "mode", "644", oct(facts.st_mode & 0o777)[2:])
        if name in reading.REQUIRED_FILES and not facts.st_size and not (bundle.early and name == reading.LOG):
            yield Finding(name, "", "content", "an empty file")
        key = unicodedata.normalize("NFC", name).casefold()
        if key in folded:
            yield Finding(name, "", "names that differ in more than case", folded[key])
        folded[key] = name


@family.check("STR-03", "text is plain UTF-8 with whole lines", "E0", about="any")
def readable(bundle: Bundle) -> Findings:
    for name in bundle.files:
        if not name.endswith(TEXT) or (
            name.startswith("checkpoints/step") and "/" in name.removeprefix("checkpoints/")
        ):
            continue
        data = bundle.bytes(name)
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            yield Finding(name, f"byte {error.start}", "UTF-8", "other bytes")
            continue
        if text.startswith("\ufeff"):
            yield Finding(name, "byte 0", "no byte order mark", "one")
        if data and not text.endswith("\n") and not name.startswith("tokenizer/"):  # another program's file, verbatim
            yield Finding(name, "last line", "a newline at the end", "none")
        if bad := re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text):
            line = text.count("\n", 0, bad.start()) + 1
            yield Finding(name, f"line {line}", "no control characters", repr(bad.group()))


@family.check("STR-04", "every JSON parser reads the same", "E0", about="any")
def unambiguous(bundle: Bundle) -> Findings:
    for name in bundle.files:
        if name.startswith("checkpoints/") and name.count("/") > 1:
            continue  # the saved state's own files; INT and CKP cover their bytes
        if name.endswith(".json"):
            yield from _strict(name, "", bundle.bytes(name))
        elif name.endswith(".jsonl"):
            lines = bundle.bytes(name).split(b"\n")
            if lines[-1]:
                yield Finding(name, f"line {len(lines)}", "a whole line", "one without its newline")
            for number, line in enumerate(lines[:-1], 1):
                yield from _strict(name, f"line {number}", line)


@family.check("STR-05", "it points at everything inside, and at nothing outside", "E0", about="any")
def self_contained(bundle: Bundle) -> Findings:
    pointed_at = set(DOCUMENTS)
    for where, file in bundle.references():
        pointed_at.add(file.path)
        if file.path not in bundle.files:
            yield Finding(where.partition(":")[0], where.partition(" ")[2], "a file of this bundle", file.path)
    checkpoints = [] if bundle.early else bundle.manifest.checkpoints
    saved = tuple(f"{item.folder}/" for item in checkpoints if isinstance(item, Included))
    for name in bundle.sealed_files:
        if name not in pointed_at and not name.startswith(saved or ("/",)):
            yield Finding(name, "", f"a file that {reading.MANIFEST} points at", "one that nothing points at")
    for name in (reading.MANIFEST, reading.SUMMARY):
        for where, text in texts(bundle.document(name), "$"):
            # What the operator asked for may name a folder of theirs, and so may an error: nobody has to go there.
            if (found := MACHINE_PATH.search(text)) and not where.startswith(("$.config.overrides", "$.run.outcome")):
                yield Finding(name, where, "no path of one machine", found.group().strip())


@family.check("STR-06", "the README is what the data say", "E0", about="any")
def readme(bundle: Bundle) -> Findings:
    expected, found = report.readme(bundle).splitlines(), bundle.text(reading.README).splitlines()
    for number, (wanted, got) in enumerate(zip(expected, found, strict=False), 1):
        if wanted != got:
            yield Finding(reading.README, f"line {number}", wanted, got)
            return
    yield from differs(reading.README, "number of lines", len(expected), len(found))


def _strict(name: str, where: str, data: bytes) -> Findings:
    try:
        canonical.decode(data)
    except canonical.JsonError as error:
        yield Finding(name, where, "strict JSON", str(error))


def _is_text(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
