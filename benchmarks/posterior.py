"""Samplers of the posterior compared, and NC1 of its kernel against the kernels that approximate it.

Seconds are of a whole run, warm-up included, compilation not; effective sample sizes are over all chains, "worst" that
of the summary that mixes worst. Without arguments all problems; `small` leaves out those that take minutes.
"""

import sys
import time

import kernel_collapse as kc
from kernel_collapse.networks import _chains, sample_posterior
from kernel_collapse.networks.posterior import SAMPLERS

SMALL = ((48, 4, 200, 1e-2, 600), (48, 4, 200, 1e-3, 600))
LARGE = ((128, 32, 500, 1e-2, 300),)


def main(arguments):
    print(
        f"{'n':>4} {'d':>3} {'N':>4} {'noise':>6} {'sampler':>9} {'NC1':>8} {'error':>8} {'R-hat':>6} {'accept':>6} "
        f"{'step':>7} {'gradients':>9} {'seconds':>8} {'ESS NC1':>8} {'worst':>6} {'NC1/s':>7} {'worst/s':>7} "
        f"{'NC1 a 1000 gradients':>20}"
    )
    for n, dim, width, noise, draws in SMALL + (() if "small" in arguments else LARGE):
        data = kc.data.gaussian_classes(n, dim, seed=1)
        print(
            f"NNGP {kc.nc1(kc.nngp(data.x), data.labels).ratio:.4f}, adaptive kernel "
            + format(adaptive(data, width, noise), ".4f")
        )
        for sampler in SAMPLERS:

            def run(seed, draws=draws, data=data, width=width, noise=noise, sampler=sampler):
                return sample_posterior(
                    data,
                    width=width,
                    noise_variance=noise,
                    sampler=sampler,
                    draws=draws,
                    warmup=draws // 2,
                    seed=seed,
                    raise_on_failure=False,
                )

            run(1)
            start = time.perf_counter()
            found = run(0)
            seconds = time.perf_counter() - start
            ess = float(_chains.diagnostics(found.nc1[..., None])[1])
            error = found.ratio_error
            print(
                f"{n:>4} {dim:>3} {width:>4} {noise:>6g} {sampler:>9} {found.ratio:>8.5f} {error:>8.5f} {found.rhat:>6.3f} "
                f"{found.acceptance:>6.2f} {found.step_size:>7.4f} {found.steps:>9.1f} {seconds:>8.1f} {ess:>8.0f} "
                f"{found.ess:>6.0f} {ess / seconds:>7.1f} {found.ess / seconds:>7.1f} "
                f"{ess / (found.steps * draws / 1000):>20.0f}",
                flush=True,
            )


def adaptive(data, width, noise):
    solution = kc.solve_adaptive(data.x, data.targets, width=width, noise_variance=noise)
    return kc.nc1(solution.gram, data.labels).ratio


if __name__ == "__main__":
    main(sys.argv[1:])
