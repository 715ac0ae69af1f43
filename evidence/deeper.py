"""Deeper readings of a bundle: a module of the trainer, run in a process of its own.

The verifier's own process never imports jax, and what a hostile bundle may do to a reader of arrays is not done to it:
the reading gets an environment from scratch, a time limit, and a folder of its own as home, for temporary files and to
work in (so paths in its arguments are absolute). Its one result is the typed document that it writes.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from evidence import canonical, typed
from evidence.provenance import REPOSITORY

PACKAGES = ("numpy", "jax", "flax", "optax", "orbax")
"""What every deeper reading needs installed."""
LARGEST_DOCUMENT_BYTES = 256 * 2**20
_PASSED_ON = ("PATH", "LANG", "TZ", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "SYSTEMROOT")
_ERROR_BYTES = 4096

T = TypeVar("T")


class Impossible(RuntimeError):
    """The reading was not made; ``str()`` is one sentence that says why."""


def missing() -> str:
    """Why no deeper reading can be made here; "" if one can. Imports nothing."""
    lacking = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if lacking:
        return f"needs the trainer's packages ({', '.join(lacking)}): pip install 'assay[train]'"
    found = importlib.util.find_spec("training")
    folders = list(found.submodule_search_locations or []) if found else []
    if not any((Path(folder) / "step.py").is_file() for folder in folders):
        return "needs the trainer's own code (the package training), which is not installed here"
    return ""


def environment(home: Path, *, devices: int = 1, platforms: str = "cpu", front: Path | None = None) -> dict[str, str]:
    """The variables of a reading, from an allow-list. ``devices``: how many virtual CPU devices jax shall have.

    ``front``: a folder whose packages come before the installed ones (a bundle's own source, when that is asked for).
    """
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    installed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    paths = [str(front)] if front else []
    paths += [] if str(REPOSITORY) in installed else [str(REPOSITORY)]
    many = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"} if devices > 1 else {}
    return {
        **passed,
        **many,
        "HOME": str(home),
        "TMPDIR": str(home),
        "JAX_PLATFORMS": platforms,
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }


def made(
    cls: type[T],
    module: str | Path,
    arguments: Sequence[str],
    *,
    limit_seconds: float,
    devices: int = 1,
    platforms: str = "cpu",
    front: Path | None = None,
    log: Path | None = None,
) -> T:
    """The ``cls`` that ``python -m MODULE ARGUMENTS --out FILE`` writes. Raises Impossible.

    A path runs that file instead (an installed driver before a bundle's own source). What the process prints goes to
    ``log``; its last line, when it fails, becomes the reason.
    """
    if why := missing():
        raise Impossible(why)
    with tempfile.TemporaryDirectory(prefix="assay-reading-") as place:
        home = Path(place)
        out, printed = home / "result.json", log or home / "output.log"
        word = [str(module)] if isinstance(module, Path) else ["-m", module]
        command = [sys.executable, "-P", *word, *arguments, "--out", str(out)]
        variables = environment(home, devices=devices, platforms=platforms, front=front)
        name = module.stem if isinstance(module, Path) else module
        code = _run(command, variables, home, printed, limit_seconds, name)
        if code:
            raise Impossible(f"{name} ended with exit code {code}: {_last_line(printed)}")
        return _document(cls, out, name)


def _run(command: list[str], variables: dict[str, str], cwd: Path, printed: Path, limit: float, name: str) -> int:
    """The exit code of ``command``; nothing of its process group is left behind. Raises Impossible."""
    with printed.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return process.wait(limit)
        except subprocess.TimeoutExpired:
            raise Impossible(f"{name} was not done within {limit:,.0f} seconds") from None
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _document(cls: type[T], path: Path, name: str) -> T:
    try:
        if path.stat().st_size > LARGEST_DOCUMENT_BYTES:
            raise Impossible(f"{name} wrote {path.stat().st_size:,} bytes, more than a reading needs")
        found: Any = typed.read(cls, canonical.read(path))
    except OSError:
        raise Impossible(f"{name} ended without a result") from None
    except (canonical.JsonError, typed.WrongDocument) as error:
        raise Impossible(f"{name} wrote what is no {cls.__name__}: {str(error)[:400]}") from None
    return found  # type: ignore[no-any-return]


def _last_line(printed: Path) -> str:
    data = printed.read_bytes()[-_ERROR_BYTES:]
    lines = [line.strip() for line in data.decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1][:400] if lines else "it printed nothing"
