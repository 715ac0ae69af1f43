from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from evidence.spec import OptimizerSpec
from training import optimizer

PARAMS = {"matrix": jnp.linspace(-1.0, 1.0, 12).reshape(3, 4), "norm": jnp.linspace(0.5, 1.0, 4)}
GRADIENT = {"matrix": jnp.linspace(0.3, -0.4, 12).reshape(3, 4), "norm": jnp.full(4, 0.2)}


def spec(**settings: Any) -> OptimizerSpec:
    return OptimizerSpec(learning_rate=0.1, **settings)


def direction(asked: OptimizerSpec) -> Any:
    transformation = optimizer.transformation(asked)
    return transformation.update(GRADIENT, transformation.init(PARAMS), PARAMS)[0]


def test_adamw_is_optax_s_with_the_learning_rate_taken_out() -> None:
    ours = direction(spec(weight_decay=0.1, gradient_clip=0.0, beta1=0.8, beta2=0.95, epsilon=1e-6))
    theirs = optax.adamw(
        1.0,
        b1=0.8,
        b2=0.95,
        eps=1e-6,
        weight_decay=0.1,
        mask=lambda params: jax.tree.map(lambda leaf: leaf.ndim > 1, params),
    )
    expected = theirs.update(GRADIENT, theirs.init(PARAMS), PARAMS)[0]
    for name in PARAMS:
        np.testing.assert_allclose(ours[name], -expected[name], rtol=1e-6)


def test_norms_are_not_decayed() -> None:
    plain, decayed = direction(spec()), direction(spec(weight_decay=0.5))
    np.testing.assert_array_equal(plain["norm"], decayed["norm"])
    assert not np.allclose(plain["matrix"], decayed["matrix"])


def test_adafactor_keeps_factored_moments() -> None:
    state = optimizer.transformation(spec(name="adafactor")).init({"matrix": jnp.zeros((256, 512))})
    sizes = sum(leaf.size for leaf in jax.tree.leaves(state))
    assert sizes < 256 * 512 / 100


def test_gradients_are_clipped_to_the_global_norm() -> None:
    found = optimizer.transformation(spec(gradient_clip=0.1, beta1=0.0, beta2=0.0, epsilon=0.9))
    unclipped = optimizer.transformation(spec(gradient_clip=0.0, beta1=0.0, beta2=0.0, epsilon=0.9))
    small, _ = found.update(GRADIENT, found.init(PARAMS), PARAMS)
    scale = 0.1 / float(optax.tree.norm(GRADIENT))
    scaled = jax.tree.map(lambda leaf: leaf * scale, GRADIENT)
    expected, _ = unclipped.update(scaled, unclipped.init(PARAMS), PARAMS)
    np.testing.assert_allclose(small["norm"], expected["norm"], rtol=1e-5)
