"""NC1 as a regulariser: its gradient moves features so that they collapse. Any differentiable kernel will do."""

import jax
import jax.numpy as jnp

import kernel_collapse as kc

data = kc.data.gaussian_classes(n=60, dim=2, class_means=(-0.5, 0.5), class_stds=1.0, seed=0)


@jax.jit
def nc1(x):
    return kc.nc1(kc.nngp(x, activation="erf"), data.labels).ratio


@jax.jit
def step(x):
    return x - 0.02 * jax.grad(nc1)(x) / jnp.linalg.norm(jax.grad(nc1)(x)) * len(x)


x = jnp.asarray(data.x)
print(f"NC1 of the erf NNGP at the start: {float(nc1(x)):.3f}")
for _ in range(20):
    x = step(x)
print(f"after 20 steps down its gradient:  {float(nc1(x)):.3f}")
