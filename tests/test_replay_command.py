"""``assay replay`` and ``verify --replay``: exit codes, what is printed, what is written, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from assay.cli import main
from evidence import bundle, command, deeper, reading, replaying
from evidence.known import Known
from evidence.replay import Replay
from evidence.verify import verify
from tests import runs
from tests.evidence.replays import agreeing


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = runs.new_run(tmp_path_factory.mktemp("runs"), name="tiny")
    assert runs.record(run) == 0
    return bundle.seal(run, tmp_path_factory.mktemp("bundles"), "tiny")


@pytest.fixture
def making(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """Lets no trainer run: what is made instead, and what was asked for."""

    def instead(change: Callable[[Replay], Replay] = lambda made: made, error: Exception | None = None) -> list[Any]:
        asked: list[Any] = []

        def make(path: Path, ask: replaying.Ask, **how: Any) -> Replay:
            asked.append((ask, how.get("own_source", False)))
            if error:
                raise error
            return change(agreeing(reading.Bundle(path), ask.nonce or "fresh"))

        monkeypatch.setattr(replaying, "make", make)
        return asked

    return instead


def other_loss(made: Replay) -> Replay:
    first, *rest = made.measured.steps
    return replace(made, measured=replace(made.measured, steps=(replace(first, loss=first.loss + 0.1), *rest)))


def blunt(made: Replay) -> Replay:
    control = replace(made.measured.control, steps=made.measured.steps)
    return replace(made, measured=replace(made.measured, control=control))


def test_a_replay_that_agrees(
    sealed: Path, making: Callable[..., list[Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = making()
    assert main(["replay", str(sealed), "--draw", "my word", "--out", str(tmp_path / "r.json")]) == 0
    said = capsys.readouterr().out
    assert "(drawn by my word), trained again, give what the bundle says, to the last bit." in said
    assert "was noticed, as it has to be" in said
    assert asked == [(replaying.Ask(nonce="my word"), False)]
    assert replaying.read(tmp_path / "r.json").chosen.nonce == "my word"


@pytest.mark.parametrize(("change", "code", "word"), [(other_loss, 1, "FAIL    RPL-01"), (blunt, 2, "NOT-RUN RPL-03")])
def test_one_that_does_not(
    sealed: Path, making: Callable[..., list[Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str],
    change: Callable[[Replay], Replay], code: int, word: str,
) -> None:  # fmt: skip
    making(change)
    assert main(["replay", str(sealed), "--out", str(tmp_path / "r.json")]) == code
    assert word in capsys.readouterr().out


def test_one_that_cannot_be_made(
    sealed: Path, making: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    making(error=deeper.Impossible("needs the trainer's packages"))
    assert main(["replay", str(sealed)]) == 2
    assert "Error: needs the trainer's packages" in capsys.readouterr().err
    assert not (sealed / reading.REPLAY).exists()


def test_the_result_lies_beside_the_seal(sealed: Path, making: Callable[..., list[Any]], tmp_path: Path) -> None:
    import shutil

    folder = Path(shutil.copytree(sealed, tmp_path / "tiny"))
    seal = reading.Bundle(folder).seal
    making()
    assert main(["replay", str(folder), "--from", "0", "--to", "30", "--bundle-source"]) == 0
    assert replaying.read(folder / reading.REPLAY).seal == seal == reading.Bundle(folder).seal
    verdict = verify(folder)
    assert verdict.valid and bundle.manifest_sums(folder) == (folder / reading.SUMS).read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--from", "3"], "named by --from K --to N, or drawn"),
        (["--from", "3", "--to", "6", "--draw", "x"], "give one of them"),
        (["--from", "0", "--to", "0"], "--to must be a step of the run, got 0"),
    ],
)
def test_half_a_range_is_refused(
    sealed: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", str(sealed), *words]) == 2
    assert message in capsys.readouterr().err


def test_an_unknown_bundle_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "gone"]) == 2
    assert "there is no bundle of this name" in capsys.readouterr().err


def test_verify_takes_a_replay_along_or_says_why_not(
    sealed: Path, making: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = making()
    command.main(["verify", str(sealed), "--quick", "--replay", "--draw", "n"])
    assert asked == [(replaying.Ask(nonce="n"), False)]
    assert "RPL-" not in capsys.readouterr().out  # all of them passed
    making(error=deeper.Impossible("there is no jax"))
    command.main(["verify", str(sealed), "--quick", "--replay"])
    assert "no replay could be made: there is no jax" in capsys.readouterr().out
    assert Known().no_replay not in ("", "no replay could be made: there is no jax")


def test_a_run_without_a_result_has_nothing_to_replay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = runs.new_run(tmp_path / "runs", name="early")
    runs.record(run, ["sh", "-c", "echo 'ValueError: no data'; exit 1"])
    folder = bundle.seal(run, tmp_path / "bundles", "early")
    why = "the run ended before its first step: it has no result, so there is nothing to replay"
    for words in ([], ["--from", "0", "--to", "3"], ["--bundle-source"]):
        assert main(["replay", str(folder), *words]) == 2
        assert capsys.readouterr().err.endswith(f"Error: {why}\n")
    assert not (folder / reading.REPLAY).exists()
    assert command.main(["verify", str(folder), "--quick", "--replay"]) == 0
    said = capsys.readouterr()
    assert f"No segment of early is trained again: {why}" in said.err and "Training a segment" not in said.err
    assert "It has no result. Coherent (E2)." in said.out
