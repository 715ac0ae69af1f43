"""What the evidence routes give. Null means that the bundle is too broken to say."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from backend.runs.answers import Columns, Prediction, Sample


class Statement(BaseModel):
    """A signed statement beside the seal, under ``attestations/``."""

    file: str
    state: Literal["trusted", "unknown", "invalid"]
    signer: str = Field(description="The name its key is pinned under; beside unknown: by the repository alone")
    key_sha256: str = Field(
        description="SHA-256 of the public key's SubjectPublicKeyInfo; empty where it cannot be read"
    )
    says: str = Field(description="What is stated, in a sentence")


class Signature(BaseModel):
    """Who stands behind the sealed bytes, as far as this server knows their keys."""

    state: Literal["unsigned", "trusted", "unknown", "invalid"]
    signer: str
    key_sha256: str
    statements: list[Statement]


class BundleSummary(BaseModel):
    name: str
    sentence: str
    level: str = Field(description="E0 to E5; empty where it is not even readable")
    level_meaning: str
    valid: bool = Field(description="No check failed")
    outcome: str | None = Field(description="completed, stopped or failed")
    hardware: str | None
    model: str | None
    parameters: int | None
    steps: int | None
    final_loss: float | None
    exact_match: float | None
    finished_at: str | None
    run_id: str | None
    spark: list[float]
    files: int
    bytes: int
    origin: Literal["here", "imported"] = Field(description="Sealed on this machine, or taken in from somebody else")
    signature: Signature


class Finding(BaseModel):
    file: str
    where: str
    expected: str
    found: str
    sentence: str


class CheckResult(BaseModel):
    id: str
    family: str
    proves: str
    level: str
    result: Literal["pass", "fail", "warn", "not-run"]
    reason: str
    findings: list[Finding]
    severity: Literal["fail", "warn"]
    cost: Literal["stdlib", "audit", "replay"]


class Proof(BaseModel):
    file: str
    checks: list[str]


class Claim(BaseModel):
    id: str
    title: str
    said: str
    verdict: str = Field(description="holds, fails or unproven")
    proofs: list[Proof]
    recomputed: str
    unproven_because: str


class BundleFile(BaseModel):
    path: str
    sha256: str
    bytes: int


class LogLine(BaseModel):
    number: int
    text: str


class Bundle(BundleSummary):
    claims: list[Claim]
    results: list[CheckResult]
    gaps: list[str]
    limits: list[str]
    contents: list[BundleFile] = Field(description="Every file of the bundle")
    curve: Columns
    log_excerpt: list[LogLine]
    samples: list[Sample]
    predictions: list[Prediction]
    manifest: dict[str, Any] | None
    eval_summary: dict[str, Any] | None
    verify_commands: list[str] = Field(description="How to verify it oneself")


class Bundles(BaseModel):
    bundles: list[BundleSummary]
