"""SEC: no secret leaked, and nothing here can be executed by loading it."""

from __future__ import annotations

import re

from evidence.checks.check import Family, Findings
from evidence.provenance import recorded_environment
from evidence.reading import Bundle
from evidence.verdict import Finding

family = Family("security")

SECRETS = re.compile(
    rb"hf_[A-Za-z0-9]{30,}|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{50,}|AKIA[0-9A-Z]{16}|sk-[A-Za-z0-9_-]{32,}"
    rb"|KGAT_[A-Za-z0-9]{20,}|AIza[0-9A-Za-z_-]{35}|xox[abprs]-[A-Za-z0-9-]{20,}|-----BEGIN [A-Z ]*PRIVATE KEY-----"
    rb"|\"(?:password|api_key|kaggle_key)\": *\"[^\"]{8,}\""
)
EXECUTABLE = (".pkl", ".pickle", ".pt", ".pth", ".bin", ".so", ".dll", ".dylib", ".exe", ".joblib", ".pyc", ".npy")


@family.check("SEC-01", "no secret is in it", "E2", about="any")
def no_secrets(bundle: Bundle) -> Findings:
    for name in bundle.files:
        data = bundle.bytes(name)
        if found := SECRETS.search(data):
            line = data.count(b"\n", 0, found.start()) + 1
            yield Finding(name, f"line {line}", "no secret", found.group()[:6].decode("ascii", "replace") + "…")


@family.check("SEC-02", "only harmless variables of the environment are in it", "E2", about="any")
def environment(bundle: Bundle) -> Findings:
    variables = bundle.document("environment/env.json")["variables"]
    for name in sorted(set(variables) - set(recorded_environment(dict.fromkeys(variables, "x")))):
        yield Finding("environment/env.json", f"$.variables.{name}", "a variable of the allow-list", name)


@family.check("SEC-03", "nothing runs by being loaded", "E2", about="any")
def nothing_executable(bundle: Bundle) -> Findings:
    for name in bundle.files:
        if name.lower().endswith(EXECUTABLE):
            yield Finding(name, "", "no file that executes when it is loaded", name.rpartition(".")[2])
        elif bundle.entries[name].st_size > 2 and bundle.bytes(name)[:2] in (
            b"\x80\x02",
            b"\x80\x03",
            b"\x80\x04",
            b"\x80\x05",
        ):
            yield Finding(name, "byte 0", "no pickle", "one")
