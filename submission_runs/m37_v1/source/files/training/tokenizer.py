"""Text ↔ token ids: bytes, a BPE trained on the run's own rows, or a Hugging Face ``tokenizer.json``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from evidence import canonical
from evidence.spec import RunSpec
from training.errors import TokenizerError

FILE = "tokenizer.json"
SPECIAL = ("<pad>", "<bos>", "<eos>")


class Tokenizer(Protocol):
    """``sha256`` identifies what ids mean: equal digests encode equally."""

    @property
    def kind(self) -> str: ...
    @property
    def vocab_size(self) -> int: ...
    @property
    def pad(self) -> int: ...
    @property
    def bos(self) -> int: ...
    @property
    def eos(self) -> int: ...
    @property
    def sha256(self) -> str: ...
    def encode(self, text: str) -> list[int]:
        """Ids of ``text`` alone, without bos and eos."""

    def decode(self, ids: Iterable[int]) -> str:
        """Text of ``ids``; pad, bos and eos say nothing."""


@dataclass(frozen=True)
class Bytes:
    """Ids 0 pad, 1 bos, 2 eos, then byte b as 3 + b."""

    kind: str = "byte"
    vocab_size: int = 259
    pad: int = 0
    bos: int = 1
    eos: int = 2

    @property
    def sha256(self) -> str:
        return canonical.digest({"kind": self.kind, "special": ["pad", "bos", "eos"], "first_byte": 3})

    def encode(self, text: str) -> list[int]:
        return [3 + byte for byte in text.encode("utf-8")]

    def decode(self, ids: Iterable[int]) -> str:
        return bytes(index - 3 for index in ids if 3 <= index < self.vocab_size).decode("utf-8", "replace")


@dataclass(frozen=True)
class Subwords:
    """A tokenizer of the ``tokenizers`` library; ``text`` is its JSON."""

    kind: str
    text: str
    pad: int
    bos: int
    eos: int
    inner: Any

    @property
    def vocab_size(self) -> int:
        return int(self.inner.get_vocab_size())

    @property
    def sha256(self) -> str:
        special = {"pad": self.pad, "bos": self.bos, "eos": self.eos}
        return canonical.digest({"kind": self.kind, **special, "file": canonical.sha256(self.text.encode())})

    def encode(self, text: str) -> list[int]:
        return list(self.inner.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Iterable[int]) -> str:
        special = {self.pad, self.bos, self.eos}
        known = range(self.vocab_size)
        return str(self.inner.decode([index for index in ids if index in known and index not in special]))


def load(spec: RunSpec, texts: Iterable[str], weights: Path | None) -> Tokenizer:
    """The tokenizer of ``spec``: ``texts`` are what a trained one learns from, ``weights`` the folder beside which
    a Hugging Face one lies when it has no path of its own. Raises TokenizerError."""
    asked = spec.tokenizer
    if asked.kind == "byte":
        tokenizer: Tokenizer = Bytes()
    elif asked.kind == "trained":
        tokenizer = train(texts, asked.vocab_size)
    else:
        tokenizer = read(Path(asked.path) if asked.path or weights is None else weights)
    if tokenizer.vocab_size > spec.model.vocab_size:
        raise TokenizerError(
            f"model.vocab_size must be at least the tokenizer's {tokenizer.vocab_size} entries, "
            f"got {spec.model.vocab_size}"
        )
    return tokenizer


def train(texts: Iterable[str], vocab_size: int) -> Subwords:
    """A byte-level BPE of at most ``vocab_size`` entries; the same texts give the same tokenizer."""
    import tokenizers

    inner = tokenizers.Tokenizer(tokenizers.models.BPE())
    inner.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL),
        show_progress=False,
        initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()),
    )
    inner.train_from_iterator(texts, trainer)
    return Subwords("trained", inner.to_str(), 0, 1, 2, inner)


def read(folder: Path) -> Subwords:
    """The tokenizer in a Hugging Face folder. Raises TokenizerError."""
    import tokenizers

    path = folder / FILE
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TokenizerError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    try:
        inner = tokenizers.Tokenizer.from_str(text)
    except Exception as error:  # noqa: BLE001 - the library raises bare Exception, and nothing else
        raise TokenizerError(f"{path} is not a tokenizer: {error}") from None
    inner.no_truncation()
    inner.no_padding()
    names = _special_names(folder)
    ids = {role: inner.token_to_id(name) for role, name in names.items()}
    for role, index in ids.items():
        if index is None:
            config = folder / "tokenizer_config.json"
            raise TokenizerError(f"{path} has no {role} token {names[role]!r}; name the right one in {config}")
    return Subwords("huggingface", text, ids["pad"], ids["bos"], ids["eos"], inner)


def save(tokenizer: Tokenizer, folder: Path) -> None:
    """Write the tokenizer that only this run has; bytes need no file, and a named one is identified by its digest."""
    if isinstance(tokenizer, Subwords) and tokenizer.kind == "trained":
        folder.mkdir(exist_ok=True)
        (folder / FILE).write_text(tokenizer.text, encoding="utf-8", newline="")


def _special_names(folder: Path) -> dict[str, str]:
    """Names of the special tokens: tokenizer_config.json's, else Gemma's own."""
    names = {"pad": "<pad>", "bos": "<bos>", "eos": "<eos>"}
    try:
        config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return names
    except (OSError, ValueError) as error:
        raise TokenizerError(f"{folder / 'tokenizer_config.json'} cannot be read: {error}") from None
    for role in names:
        value = config.get(f"{role}_token")
        if isinstance(value, dict):
            value = value.get("content")
        if isinstance(value, str):
            names[role] = value
    return names
