"""Time of training ten networks of the published configuration at once, against the products it cannot avoid.

An epoch multiplies activity by weights forwards and errors by activity backwards, in the hidden layer and in the
readout: four products. Both are compiled loops of the same length, timed in turns; medians.
"""

import statistics
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from timing import RUNS

import kernel_collapse as kc

N, DIM, WIDTH, SEEDS, EPOCHS = 1024, 128, 500, 10, 1000


@partial(jax.jit, static_argnames="epochs")
def products(weights, readout, inputs, epochs):
    """The four products of each epoch and nothing else; each feeds on the last, so that none can be left out."""

    def epoch(_, carry):
        weights, readout = carry
        hidden = weights @ inputs
        outputs = jnp.einsum("sn,snm->sm", readout, hidden)
        return (
            weights + 1e-12 * (hidden @ inputs.T),
            readout + 1e-12 * jnp.einsum("snm,sm->sn", hidden, outputs),
        )

    return jax.lax.fori_loop(0, epochs, epoch, (weights, readout))


def main():
    data = kc.data.gaussian_classes(N, DIM)
    rng = np.random.default_rng(0)
    weights = jnp.asarray(rng.normal(size=(SEEDS, WIDTH, DIM)) / np.sqrt(DIM), jnp.float32)
    readout = jnp.asarray(rng.normal(size=(SEEDS, WIDTH)) / np.sqrt(WIDTH), jnp.float32)
    inputs = jnp.asarray(data.x.T, jnp.float32)

    jobs = {
        f"{SEEDS} networks": lambda: kc.networks.train(data, seeds=SEEDS, epochs=EPOCHS),
        "1 network": lambda: kc.networks.train(data, seeds=1, epochs=EPOCHS),
        "products alone": lambda: jax.block_until_ready(products(weights, readout, inputs, EPOCHS)),
    }
    times = {name: [] for name in jobs}
    for turn in range(RUNS + 1):  # the first compiles
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            if turn:
                times[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(values) for name, values in times.items()}
    print(f"n = {N}, d = {DIM}, width {WIDTH}, {EPOCHS} epochs, float32")
    for name, seconds in medians.items():
        print(f"{name:>15} {seconds:7.2f} s")
    print(
        f"ratio of {SEEDS} networks to the products: {medians[f'{SEEDS} networks'] / medians['products alone']:.2f}"
    )


if __name__ == "__main__":
    main()
