"""``python -m training.prove_hardware --require tpu --devices 8 --out FILE``: is this the machine that was asked for?

To be run before anything is trained: a platform may silently give another one. Says what the runtime found and what
the first device makes of a fixed program, in one ``:::HARDWARE`` line and in FILE (``evidence/session.py``). Exit 0
when it is, 78 when it is not.
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from evidence import canonical, events, rundir, typed
from evidence.session import (
    HARDWARE_MARK,
    WRONG_HARDWARE,
    Accelerator,
    Asked,
    Found,
    NoBackend,
    Proven,
    Refused,
)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.prove_hardware", description="Prove the machine first.")
    parser.add_argument("--require", choices=("cpu", "gpu", "tpu"), required=True, help="the kind of device")
    parser.add_argument("--devices", type=int, required=True, help="how many of them")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="where to write the proof as JSON")
    options = parser.parse_args(arguments)
    proof = prove(Asked(options.require, options.devices))
    document = typed.write(proof)
    rundir.write_document(options.out, document)
    print(HARDWARE_MARK + canonical.encode(document), flush=True)
    if isinstance(proof, Refused):
        print(f"Error: {proof.because}", file=sys.stderr)
        return WRONG_HARDWARE
    found = proof.found
    print(f"Proven: {len(found.devices)} × {' and '.join(found.device_kinds)}, {found.runtime}")
    return 0


def prove(asked: Asked) -> Proven | Refused:
    if asked.platform == "cpu":
        os.environ["JAX_PLATFORMS"] = "cpu"  # leave an accelerator to whoever wants it
    import jax

    try:
        devices = list(jax.devices())
    except RuntimeError as error:
        because = f"no backend of jax starts here: {' '.join(str(error).split())[:500]}"
        return Refused("refused", events.now(), asked, NoBackend("no_backend", because), because)
    found = _found(devices)
    kinds = " and ".join(found.device_kinds)
    here = f"this machine has {len(devices)} × {kinds} (platform {found.platform})"
    if found.platform != asked.platform:
        because = f"a {asked.platform} was asked for, and {here}; nothing is trained here: choose the accelerator anew"
    elif len(devices) != asked.devices:
        because = f"{asked.devices} devices were asked for, and {here}; nothing is trained here"
    else:
        return Proven("proven", events.now(), asked, found)
    return Refused("refused", events.now(), asked, found, because)


def _found(devices: list[Any]) -> Found:
    from training.devices import runtime
    from training.fingerprint import numerics

    digest, bits = numerics(devices[0])
    return Found(
        kind="found",
        platform=devices[0].platform,
        device_kinds=sorted({device.device_kind for device in devices}),
        devices=[
            Accelerator(device.id, device.device_kind, int((device.memory_stats() or {}).get("bytes_limit", 0)))
            for device in devices
        ],
        runtime=runtime(devices[0]),
        versions=_versions(),
        numerics_sha256=digest,
        matmul_bits=bits,
    )


def _versions() -> dict[str, str]:
    """Of what makes the numbers, as far as it is installed."""
    installed = {}
    for package in ("jax", "jaxlib", "libtpu"):
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return installed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
