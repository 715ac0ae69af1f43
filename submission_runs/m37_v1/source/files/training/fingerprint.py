"""What this hardware makes of a fixed program: processors round differently, and so can be told apart by their numbers.

The probe is small enough for one thread, so that a CPU's digest does not depend on how many cores it has.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

SIZE = 48


def numerics(device: Any) -> tuple[str, int]:
    """(digest of the probe's results on ``device``, bits of a float32 product that it keeps).

    By default a TPU multiplies float32 as bfloat16 (8 bits), a CPU as it is (22 are left after the sums).
    """
    left, right = _inputs()
    program = jax.jit(_probe)
    found = jax.device_get(program(*jax.device_put((left, right), device)))
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in found)).hexdigest()
    exact = left.astype(np.float64) @ right.astype(np.float64)
    scale = np.abs(left).astype(np.float64) @ np.abs(right).astype(np.float64)
    error = float(np.max(np.abs(found[0] - exact) / scale))
    return digest, max(1, min(24, round(-math.log2(max(error, 2.0**-24)))))


def _inputs() -> tuple[Any, Any]:
    """Numbers with full mantissas, from integers alone."""
    count = np.arange(SIZE * SIZE, dtype=np.int64)
    first = ((count * 7919 + 17) % 10007 - 5003) / 5003
    second = ((count * 6007 + 5) % 10009 - 5004) / 5004
    return first.reshape(SIZE, SIZE).astype(np.float32), second.reshape(SIZE, SIZE).astype(np.float32)


def _probe(left: jax.Array, right: jax.Array) -> tuple[jax.Array, ...]:
    product = left @ right
    halves = (left.astype(jnp.bfloat16) @ right.astype(jnp.bfloat16)).astype(jnp.float32)
    return (
        product,
        halves,
        jnp.sum(product * right, axis=0),
        jnp.exp(left),
        jnp.tanh(product),
        jax.lax.rsqrt(jnp.abs(right) + 1e-3),
        jax.nn.logsumexp(product, axis=-1),
    )
