"""Samplers of the posterior compared; NC1 of its kernel beside the kernels that approximate it.

Seconds are of a whole run on a warm cache, warm-up included. Effective sample sizes are over all chains: of NC1, and
the smallest of the five summaries by which mixing is judged. `small` leaves out the problem that takes minutes.
"""

import sys
import time

import kernel_collapse as kc
from kernel_collapse.networks import _chains, sample_posterior
from kernel_collapse.networks.posterior import SAMPLERS

SMALL = ((48, 4, 200, 1e-2, 600), (48, 4, 200, 1e-3, 600))
LARGE = ((128, 32, 500, 1e-2, 200),)
COLUMNS = (
    ("sampler", ">9"),
    ("NC1", ">8.5f"),
    ("error", ">8.5f"),
    ("R-hat", ">6.3f"),
    ("acceptance", ">10.2f"),
    ("step", ">7.4f"),
    ("gradients a draw", ">16.1f"),
    ("seconds", ">7.1f"),
    ("ESS of NC1", ">10.0f"),
    ("a second", ">8.1f"),
    ("worst ESS", ">9.0f"),
    ("a second", ">8.1f"),
)


def row(values, forms):
    print(" ".join(format(value, form) for value, form in zip(values, forms, strict=True)), flush=True)


def compare(n, dim, width, noise, draws):
    data = kc.data.gaussian_classes(n, dim, seed=1)
    solution = kc.solve_adaptive(data.x, data.targets, width=width, noise_variance=noise)
    nngp, adaptive = (kc.nc1(gram, data.labels).ratio for gram in (kc.nngp(data.x), solution.gram))
    print(
        f"\nn = {n}, d = {dim}, N = {width}, noise {noise:g}, {draws} draws: NNGP {nngp:.4f}, adaptive {adaptive:.4f}"
    )
    row([name for name, _ in COLUMNS], [form.split(".")[0] for _, form in COLUMNS])
    for sampler in SAMPLERS:
        options = {"width": width, "noise_variance": noise, "sampler": sampler, "raise_on_failure": False}
        sample_posterior(data, draws=50, warmup=50, **options)  # compiles
        start = time.perf_counter()
        found = sample_posterior(data, draws=draws, warmup=draws // 2, **options)
        seconds = time.perf_counter() - start
        ess = float(_chains.diagnostics(found.nc1[..., None])[1])
        ratio = found.within.mean() / found.between.mean()
        values = (
            sampler,
            ratio,
            found.ratio_error,
            found.rhat,
            found.acceptance,
            found.step_size,
            found.steps,
        )
        row(
            (*values, seconds, ess, ess / seconds, found.ess, found.ess / seconds),
            [form for _, form in COLUMNS],
        )


if __name__ == "__main__":
    for problem in SMALL + (() if "small" in sys.argv[1:] else LARGE):
        compare(*problem)
