"""What GET /configs gives."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

Launcher = Literal["local", "kaggle"]


class Config(BaseModel):
    name: str
    path: str = Field(description="Relative to the repository")
    description: str
    expected_duration: str
    expected_result: str
    text: str
    spec: dict[str, Any] | None = Field(description="With every default filled in; null for a broken file")
    sha256: str
    problem: str | None = Field(description="What is wrong with the file")


class DataFile(BaseModel):
    path: str = Field(description="As data.train_path takes it")
    bytes: int
    fields: list[str] = Field(description="Names in its first row")


class Configs(BaseModel):
    configs: list[Config]
    schema_: dict[str, Any] = Field(serialization_alias="schema", description="JSON Schema of a config")
    data_roots: list[str] = Field(description="Folders that data may come from")
    data_files: list[DataFile]
    launchers: list[Launcher] = Field(description="Where a run can be asked for from here")
