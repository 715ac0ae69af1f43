"""Kaggle's protocol, against a stand-in: the same as its own client's, and a sentence for every way to be refused."""

from __future__ import annotations

import json
import os
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.launchers.kaggle import client as kaggle
from backend.launchers.kaggle import credentials
from backend.launchers.kaggle.client import Client, Kernel
from backend.launchers.kaggle.credentials import Credentials
from tests.kaggle_stub import KEY, TOKEN, USER, Stub

NOTEBOOK = {
    "cells": [{"cell_type": "code", "id": "a", "metadata": {}, "outputs": [1], "execution_count": 1,
               "source": ["print('über')\n", "print(1)"]}],
    "metadata": {}, "nbformat": 4, "nbformat_minor": 5,
}  # fmt: skip
KERNEL = Kernel(
    slug=f"{USER}/assay-tiny", title="assay tiny", notebook=json.dumps(NOTEBOOK, ensure_ascii=False).encode(),
    machine_shape="TpuV5E8", timeout_seconds=32_400, models=("google/gemma/flax/2b/2",),
)  # fmt: skip


@pytest.fixture
def stub() -> Iterator[Stub]:
    with Stub() as found:
        yield found


def connect(stub: Stub, **options: object) -> Client:
    return Client(Credentials(**(options or {"token": TOKEN})), stub.endpoint)  # type: ignore[arg-type]


def test_a_notebook_is_pushed_watched_and_found_again(stub: Stub) -> None:
    with connect(stub) as client:
        assert client.owner() == USER
        assert client.quota().left == 68_400
        pushed = client.push(KERNEL)
        assert (pushed.ref, pushed.version, pushed.error) == (KERNEL.slug, 1, "")
        assert client.session(KERNEL.slug, 1).status == "QUEUED"
        version = stub.newest
        version.print("one", "two")
        assert [event["data"] for event in client.log(KERNEL.slug, 1)] == ["one\n", "two\n"]
        version.files = {"a.txt": b"a", "b.txt": b"bb", "c.txt": b"ccc"}
        version.end()
        outputs = client.outputs(KERNEL.slug, 1)
        assert [item.name for item in outputs.files] == ["a.txt", "b.txt", "c.txt"]
        assert [event["data"] for event in kaggle.log_events(outputs.log)] == ["one\n", "two\n"]
        with client.download(outputs.files[2].url) as (size, parts):
            assert (size, b"".join(parts)) == (3, b"ccc")
        found = client.find(KERNEL.slug, 1)
        assert found.source == kaggle.plain_notebook(KERNEL.notebook)
        assert (found.ref, found.version, found.machine_shape) == (KERNEL.slug, 1, "TpuV5E8")


def test_a_signed_address_never_sees_the_token(stub: Stub) -> None:
    seen = []
    answer = kaggle.httpx.Response(200, content=b"x")
    transport = kaggle.httpx.MockTransport(lambda request: seen.append(request.headers) or answer)
    with (
        Client(Credentials(token=TOKEN), stub.endpoint, transport) as client,
        client.download("http://storage/x") as got,
    ):
        assert b"".join(got[1]) == b"x"
    assert "authorization" not in seen[0]


@pytest.mark.parametrize(
    ("switch", "error", "sentence"),
    [
        ({"away": True}, kaggle.Unreachable, "Kaggle cannot be reached ("),
        ({"revoked": True}, kaggle.Unauthorized, "Kaggle does not accept the token (401)"),
        ({"retry_after": "120"}, kaggle.TooMany, "Kaggle asks to wait for 120 seconds (429)."),
        ({"html": True}, kaggle.NotKaggle, "instead of an answer, http://127.0.0.1"),
        ({"broken": 503}, kaggle.Troubled, "Kaggle has trouble of its own (503, GetKernelSessionStatus)."),
        ({"broken": 403}, kaggle.Unauthorized, "Kaggle does not allow this account to do that (403"),
        ({}, kaggle.Missing, "Kaggle knows nothing of this name (404"),
    ],
)  # fmt: skip
def test_each_refusal_is_a_sentence(stub: Stub, switch: dict, error: type, sentence: str) -> None:
    for name, value in switch.items():
        setattr(stub.on, name, value)
    with connect(stub) as client, pytest.raises(error) as refused:
        client.session("tester/nothing", 1)
    assert sentence in str(refused.value)
    assert TOKEN not in str(refused.value)


def test_an_answer_of_another_shape_is_none(stub: Stub) -> None:
    with connect(stub) as client:
        stub.GetAcceleratorQuotaStatistics = lambda _: {"tpuQuota": {"totalTimeAllowed": "soon"}}  # type: ignore
        with pytest.raises(kaggle.NotKaggle, match="tells a time as 'soon'"):
            client.quota()
        stub.GetKernel = lambda _: {"metadata": []}  # type: ignore
        with pytest.raises(kaggle.NotKaggle, match="holds no notebook"):
            client.find("a/b")


@pytest.mark.parametrize(
    ("variables", "files", "expected"),
    [
        ({"KAGGLE_API_TOKEN": "t"}, {"access_token": "f"}, Credentials(token="t")),
        ({}, {"access_token": "f\n"}, Credentials(token="f")),
        ({"KAGGLE_USERNAME": "u", "KAGGLE_KEY": "k"}, {"kaggle.json": "{}"}, Credentials(user="u", key="k")),
        ({}, {"kaggle.json": '{"username": "u", "key": "k"}'}, Credentials(user="u", key="k")),
    ],
)  # fmt: skip
def test_credentials_come_from_where_kaggles_own_client_looks(
    tmp_path: Path, variables: dict, files: dict, expected: Credentials
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    account = credentials.read({**variables, "KAGGLE_CONFIG_DIR": str(tmp_path)}, tmp_path)
    assert account.find() == expected
    assert "k'" not in repr(account) + repr(account.find()) and "token" not in repr(account.find())


def test_without_credentials_it_says_what_to_do(tmp_path: Path) -> None:
    account = credentials.read({}, tmp_path)
    assert not account.known
    with pytest.raises(credentials.NoCredentials, match=r"put an access token into KAGGLE_API_TOKEN"):
        account.find()
    (tmp_path / ".kaggle").mkdir()
    (tmp_path / ".kaggle/kaggle.json").write_text("{}")
    with pytest.raises(credentials.NoCredentials, match="holds no username and key"):
        account.find()


OFFICIAL = """
    import importlib, json, sys
    from pathlib import Path
    extended = importlib.import_module("kaggle.api.kaggle_api_extended")
    api = extended.KaggleApi()
    api.args = ["--local"]
    api.authenticate()
    folder = Path(sys.argv[1])
    slug, shape, timeout = sys.argv[2:5]
    pushed = api.kernels_push(str(folder), timeout, shape)
    assert not pushed.error, pushed.error
    version = f"{slug}/{pushed.version_number}"
    print(json.dumps({
        "version": pushed.version_number, "status": api.kernels_status(version).status.name,
        "log": api.kernels_logs(version), "live": [event["data"] for event in api.kernels_logs_stream(version)],
        "quota": api.quota_view().tpu_quota.total_time_allowed.total_seconds(),
        "files": [Path(name).name for name in api.kernels_output(version, str(folder / "out"))[0]],
        "pulled": Path(api.kernels_pull(version, str(folder / "pulled"), metadata=True)).name,
    }))
"""


@pytest.mark.parametrize("by", ["token", "key"])
def test_kaggles_own_client_asks_the_same(tmp_path: Path, by: str) -> None:
    """Both clients push one notebook, and what the stand-in was asked is compared field by field."""
    python = os.environ.get("KAGGLE_PYTHON", "")
    if not python:
        pytest.skip(
            "Kaggle's own client is not here: KAGGLE_PYTHON names a Python that has it (pip install kaggle six)"
        )
    (tmp_path / "notebook.ipynb").write_bytes(KERNEL.notebook)
    (tmp_path / "kernel-metadata.json").write_text(json.dumps({
        "id": KERNEL.slug, "title": KERNEL.title, "code_file": "notebook.ipynb", "language": "python",
        "kernel_type": "notebook", "is_private": True, "enable_tpu": True, "enable_internet": True,
        "model_sources": list(KERNEL.models),
    }))  # fmt: skip
    variables = {"KAGGLE_API_TOKEN": TOKEN} if by == "token" else {"KAGGLE_USERNAME": USER, "KAGGLE_KEY": KEY}
    try:
        both = Stub(port=80)  # where Kaggle's client looks for a local server
    except OSError as error:
        pytest.skip(f"port 80 of this machine, where Kaggle's own client looks, cannot be used: {error.strerror}")
    with both as stub:
        official = subprocess.run(
            [python, "-c", textwrap.dedent(OFFICIAL), tmp_path, KERNEL.slug, KERNEL.machine_shape,
             str(KERNEL.timeout_seconds)],
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "KAGGLE_API_ENVIRONMENT": "LOCALHOST",
                 "no_proxy": "*", **variables},
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert official.returncode == 0, official.stderr
        theirs, stub.asked = stub.asked, []
        said = json.loads(official.stdout.splitlines()[-1])
        with connect(stub, **({"token": TOKEN} if by == "token" else {"user": USER, "key": KEY})) as client:
            client.owner()
            pushed = client.push(KERNEL)
            client.session(KERNEL.slug, 1)
            client.outputs(KERNEL.slug, 1)
            list(client.log(KERNEL.slug, 1))
            client.quota()
            client.find(KERNEL.slug, 1)
        ours = stub.asked
    assert (said["version"], said["status"], said["quota"], pushed.version) == (1, "QUEUED", 72_000, 2)
    shown = []
    for asked in (theirs, ours):
        shown.append({
            item.path: (item.method, item.headers["authorization"], _comparable(item.body))
            for item in asked if not item.path.endswith("IntrospectToken")
        })  # fmt: skip
    assert shown[1] == shown[0]
    assert len(shown[0]) == 6
    tokens = [[item.body for item in asked if item.path.endswith("IntrospectToken")][:1] for asked in (theirs, ours)]
    assert tokens[0] == tokens[1] == ([{"token": TOKEN}] if by == "token" else [])


def _comparable(body: dict) -> dict:
    """The page size is each client's own choice."""
    return {key: value for key, value in body.items() if key != "pageSize"}
