"""Where weights come from, and what is said of those that cannot be had, before anything is allocated for them."""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evidence.spec import SpecError
from training import step, weights
from training.errors import WeightsError

from .conftest import REPOSITORY
from .test_parity import spec_of
from .torch_reference import FOLDER

WHOLE, SHARDED = "one_key_head", "grouped_heads_in_shards"
HANDLE = "google/gemma/transformers/2b/2"
COMMIT, OTHER = "a" * 40, "b" * 40


def header_of(path: Path) -> tuple[dict[str, Any], bytes]:
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def rewrite(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the header of a safetensors file and leave its numbers alone."""
    header, tensors = header_of(path)
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + tensors)


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def in_file(name: str, **values: Any) -> Callable[[Path], None]:
    return lambda folder: rewrite(folder / "model.safetensors", lambda header: header[name].update(values))


def in_config(**values: Any) -> Callable[[Path], None]:
    return lambda folder: edit(folder / "config.json", lambda config: config.update(values))


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


BROKEN: list[tuple[str, Callable[[Path], Any], str]] = [
    ("a file cut by a byte", cut,
     r"model\.safetensors is truncated: its header says 50,112 bytes, it has 50,111; fetch it again"),
    ("a file cut in its header", lambda folder: (folder / "model.safetensors").write_bytes(b"\x00\x01\x00\x00\x00\x00\x00\x00{"),
     r"model\.safetensors is truncated or no safetensors file: it has 9 bytes, and its header would have 256"),
    ("an empty file", lambda folder: (folder / "model.safetensors").write_bytes(b""), r"it has 0 bytes"),
    ("a header that is none", lambda folder: (folder / "model.safetensors").write_bytes(struct.pack("<Q", 2) + b"[]"),
     r"model\.safetensors has a header that cannot be read"),
    ("a Git LFS pointer", lambda folder: (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\nsize 9\n"),
     r"model\.safetensors is a Git LFS pointer of \d+ bytes, not the weights"),
    ("no file", lambda folder: (folder / "model.safetensors").unlink(),
     r"has neither model\.safetensors nor model\.safetensors\.index\.json"),
    ("a missing tensor", lambda folder: rewrite(folder / "model.safetensors", lambda header: header.pop("model.layers.1.mlp.up_proj.weight")),
     r"has no tensor model\.layers\.1\.mlp\.up_proj\.weight, which the model needs as layers\.1\.mlp\.up"),
    ("a tensor too many", lambda folder: rewrite(folder / "model.safetensors", lambda header: header.update({"model.layers.2.post_feedforward_layernorm.weight": header["model.norm.weight"]})),
     r"has a tensor model\.layers\.2\.post_feedforward_layernorm\.weight, which a Gemma 1 of this size does not have"),
    ("another shape", in_file("model.layers.0.self_attn.k_proj.weight", shape=[24, 8]),
     r"k_proj\.weight must have the shape \(8, 24\) for this model, found \(24, 8\)"),
    ("too few bytes for the shape", in_file("model.layers.0.self_attn.k_proj.weight", shape=[9, 24]),
     r"k_proj\.weight has 768 bytes, but its shape \(9, 24\) of F32 needs 864"),
    ("quantized numbers", in_file("model.norm.weight", dtype="I8"),
     r"model\.norm\.weight is stored as I8; weights must be F32, F16, BF16"),
    ("no config", lambda folder: (folder / "config.json").unlink(), r"config\.json cannot be read: No such file"),
    ("a config that is none", lambda folder: (folder / "config.json").write_text("[]"), r"config\.json must hold an object, found list"),
    ("Gemma 2", in_config(model_type="gemma2"), r"describes a 'gemma2' model; only Gemma 1 \(model_type 'gemma'\) is supported"),
    ("Gemma 3", in_config(model_type="gemma3_text"), r"describes a 'gemma3_text' model; only Gemma 1"),
    ("another size", in_config(head_dim=16), r"model\.head_dim must be 16, as in .*config\.json, got 8"),
    ("another base of the rotary embedding", in_config(rope_theta=5e5), r"model\.rope_theta must be 500000\.0, as in .*, got 10000\.0"),
    ("a base said in the newer way", in_config(rope_parameters={"rope_theta": 7.0, "rope_type": "default"}, rope_theta=7.0),
     r"model\.rope_theta must be 7\.0"),
    ("a shorter context", in_config(max_position_embeddings=32), r"max_position_embeddings must be at most 32, as in .*, got 64"),
    ("another activation", in_config(hidden_activation="silu"), r"asks for the activation 'silu', which Gemma 1 does not have"),
    ("an untied output", in_config(tie_word_embeddings=False), r"asks for an output matrix apart from the embedding"),
    ("scaled positions", in_config(rope_scaling={"type": "linear", "factor": 2.0}), r"asks for scaled rotary positions"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "sentence"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_a_folder_that_does_not_fit_is_refused_in_one_sentence(
    tmp_path: Path, change: Callable[[Path], Any], sentence: str
) -> None:
    folder = Path(shutil.copytree(FOLDER / WHOLE, tmp_path / "gemma"))
    assert weights.find(spec_of(WHOLE, weights__path=str(folder))) == folder
    change(folder)
    with pytest.raises(WeightsError, match=sentence) as refused:
        weights.find(spec_of(WHOLE, weights__path=str(folder)))
    assert "\n" not in str(refused.value)


def test_an_index_is_held_to_its_files(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(FOLDER / SHARDED, tmp_path / "gemma"))
    spec, index = spec_of(SHARDED, weights__path=str(folder)), folder / "model.safetensors.index.json"
    whole = index.read_text()
    (folder / "model-00004-of-00006.safetensors").rename(folder / "spare")
    with pytest.raises(WeightsError, match=r"model-00004-of-00006\.safetensors is missing, though .*index\.json names"):
        weights.find(spec)
    (folder / "spare").rename(folder / "model-00004-of-00006.safetensors")
    edit(
        index, lambda document: document["weight_map"].update({"model.norm.weight": "model-00001-of-00006.safetensors"})
    )
    with pytest.raises(WeightsError, match=r"model-00001-.* has no tensor model\.norm\.weight, though .*index"):
        weights.find(spec)
    index.write_text(whole)
    edit(index, lambda document: document["weight_map"].update({"model.norm.weight": "../model.safetensors"}))
    with pytest.raises(WeightsError, match=r"names '\.\./model\.safetensors', which is not a file of its own folder"):
        weights.find(spec)
    index.write_text("{}")
    with pytest.raises(WeightsError, match=r"must map tensors to files under weight_map"):
        weights.find(spec)


def test_each_parameter_goes_straight_to_its_devices() -> None:
    spec = spec_of(SHARDED)
    trainer = step.prepare(spec, jax.devices()[:1])
    params = weights.load(FOLDER / SHARDED, trainer)
    for leaf, sharding in zip(jax.tree.leaves(params), jax.tree.leaves(trainer.shardings.params), strict=True):
        assert leaf.sharding == sharding
        assert leaf.dtype == np.float32


def test_adapters_start_beside_loaded_weights_and_change_nothing() -> None:
    tokens = jnp.arange(3, 15).reshape(1, 12)
    logits = []
    for rank in (0, 2):
        trainer = step.prepare(spec_of(WHOLE, lora__rank=rank, lora__targets="all"), jax.devices()[:1])
        params = weights.load(FOLDER / WHOLE, trainer)
        model = trainer.model(params)
        logits.append(model.logits(model(tokens)))
    np.testing.assert_array_equal(*logits)
    assert float(jnp.abs(params["layers"][0]["mlp"]["up_lora_in"]).max()) > 0


@pytest.mark.parametrize("layout", ["gemma/transformers/2b/2", "models/google/gemma/Transformers/2b/2"])
def test_an_attached_kaggle_model_is_found_in_both_layouts(
    tmp_path: Path, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLE_INPUT", str(tmp_path))
    shutil.copytree(FOLDER / WHOLE, tmp_path / layout)
    spec = spec_of(WHOLE, weights__source="kaggle", weights__path="", weights__handle=HANDLE)
    assert weights.find(spec) == tmp_path / layout


def test_a_kaggle_model_that_is_not_attached_is_told_beside_those_that_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLE_INPUT", str(tmp_path / "input"))
    spec = spec_of(WHOLE, weights__source="kaggle", weights__path="", weights__handle=HANDLE)
    with pytest.raises(WeightsError, match=rf"{HANDLE} is not attached: there is no folder .*KAGGLE_INPUT"):
        weights.find(spec)
    (tmp_path / "input/gsm8k").mkdir(parents=True)
    with pytest.raises(WeightsError, match=rf"{HANDLE} is not attached to .*: no model is; add it as an input"):
        weights.find(spec)
    (tmp_path / "input/models/google/gemma/transformers/7b/1").mkdir(parents=True)
    (tmp_path / "input/gemma/transformers/2b/3").mkdir(parents=True)
    with pytest.raises(
        WeightsError, match=r"attached are google/gemma/transformers/7b/1, …/gemma/transformers/2b/3; add it"
    ):
        weights.find(spec)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"source": "hub", "repository": "google/gemma-2b", "revision": "main"}, r"weights\.revision must be a commit of 40 hex digits .* got the text 'main'"),
        ({"source": "hub", "repository": "gemma", "revision": COMMIT}, r"weights\.repository must be owner/name .* got the text 'gemma'"),
        ({"source": "kaggle", "handle": "google/gemma"}, r"weights\.handle must be owner/model/framework/variation/version .* got the text 'google/gemma'"),
        ({"source": "kaggle", "handle": "google/../../../2"}, r"weights\.handle must be"),
    ],
)  # fmt: skip
def test_a_source_that_names_nothing_is_refused_with_its_field(settings: dict[str, str], sentence: str) -> None:
    with pytest.raises(SpecError, match=sentence):
        spec_of(WHOLE, **{f"weights__{key}": value for key, value in settings.items()})


class Hub(BaseHTTPRequestHandler):
    """What of the hub's protocol a snapshot needs: a repository's files at a commit, and each file."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        owner, name, what, *rest = self.path.removeprefix("/api/models").strip("/").split("/")
        repository, token = f"{owner}/{name}", self.headers.get("Authorization")
        if repository not in ("google/gemma", "google/gated", "google/moved"):
            self.answer(404, b"{}", **{"X-Error-Code": "RepoNotFound"})
        elif what == "revision":
            if rest[0] != COMMIT:
                return self.answer(404, b"{}", **{"X-Error-Code": "RevisionNotFound"})
            files = [{"rfilename": path.name} for path in (FOLDER / SHARDED).iterdir()]
            sha = OTHER if name == "moved" else COMMIT
            self.answer(200, json.dumps({"id": repository, "sha": sha, "siblings": files}).encode())
        elif name == "gated" and token != "Bearer hf_planted":
            self.answer(403 if token else 401, b"{}", **{"X-Error-Code": "GatedRepo"})
        else:
            data = (FOLDER / SHARDED / rest[1]).read_bytes()
            self.answer(200, data, ETag=f'"{rest[1]}"', **{"X-Repo-Commit": rest[0]})
        return None

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


FETCH = """
import sys
from evidence.spec import WeightsSpec
from training import weight_sources
from training.errors import WeightsError
for line in sys.stdin:
    repository, revision = line.split()
    try:
        print(weight_sources.folder_of(WeightsSpec(source="hub", repository=repository, revision=revision)))
    except WeightsError as error:
        print(f"refused: {error}")
"""


def fetched(server: ThreadingHTTPServer, cache: Path, *asked: str, token: str = "") -> list[str]:
    """What a process of its own makes of each ``owner/name commit``: the library reads its settings when imported."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    environment |= {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HOME": str(cache)}
    environment |= {"HF_TOKEN": token} if token else {}
    ended = subprocess.run(
        [sys.executable, "-c", FETCH],
        cwd=REPOSITORY,
        env=environment,
        input="\n".join(asked),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


def test_weights_come_from_the_hub_at_exactly_the_commit(hub: ThreadingHTTPServer, tmp_path: Path) -> None:
    asked = [f"google/gemma {COMMIT}", f"google/gated {COMMIT}"]
    folders = fetched(hub, tmp_path, *asked, token="hf_planted")
    assert [Path(folder).name for folder in folders] == [COMMIT, COMMIT]
    for folder in folders:
        assert weights.find(spec_of(SHARDED, weights__path=folder)) == Path(folder)
    hub.shutdown()
    hub.server_close()
    again = fetched(hub, tmp_path, asked[0], f"google/other {COMMIT}")
    assert again[0] == folders[0]  # a copy of the commit needs no hub
    assert re.search(rf"refused: google/other at {COMMIT} cannot be fetched: the hub does not answer", again[1])


def test_what_the_hub_does_not_give_is_told_in_one_sentence(hub: ThreadingHTTPServer, tmp_path: Path) -> None:
    asked = [f"google/nothing {COMMIT}", f"google/gemma {OTHER}", f"google/gated {COMMIT}", f"google/moved {COMMIT}"]
    assert fetched(hub, tmp_path, *asked) == [
        "refused: weights.repository google/nothing is not on the hub without HF_TOKEN; a private one needs it",
        f"refused: weights.revision {OTHER} is not a commit of google/gemma on the hub",
        "refused: google/gated is gated: accept its licence on the hub, and put a token that has access into HF_TOKEN",
        f"refused: weights.revision {COMMIT} was asked of google/moved, and the hub gave {OTHER}",
    ]
    assert fetched(hub, tmp_path, asked[2], token="hf_other") == [
        "refused: google/gated is gated: accept its licence on the hub, and HF_TOKEN has no access to it"
    ]
