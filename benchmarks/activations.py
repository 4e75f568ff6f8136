"""Orders, accuracy and time of Hermite expansions: `python benchmarks/activations.py [--repeats 5]`.

Accuracy is against a closed form of the same function where there is one, and against the mixture of closed forms for
the logistic family: the largest error of kappa and of kappa_c over correlations from -1 to 1, as a share of the largest
value.
"""

import argparse
import statistics
import time

import numpy as np

from kernel_collapse import activations
from kernel_collapse.activations import _logistic, _orders

VARIANCES = (0.1, 1.0, 10.0, 100.0)
SIDE = 256  # of the block that is timed


def named() -> dict[str, tuple[activations.Expanded, object]]:
    """Return each expansion with its exact counterpart, or None."""
    found = {}
    for name in activations.names(expanded=True):
        found[name] = (activations.get(name), _logistic.MIXTURES.get(name))
    for name in ("erf", "gelu", "sin", "gaussian", "relu", "abs", "leaky_relu(0.1)", "rectified_monomial(2)"):
        phi = activations.get(name)
        found[f"{name}, expanded"] = (activations.expand(phi, name=name), phi)
    return found


def error(phi, exact, q: float) -> tuple[float, float]:
    """Return the largest relative error of kappa and kappa_c."""
    rho = np.concatenate([np.linspace(-1, 1, 41), 1 - 10.0 ** -np.arange(2, 13)])
    moments = (np.full_like(rho, q), np.full_like(rho, 0.8 * q), rho * np.sqrt(0.8) * q)
    mixture = isinstance(exact, _logistic.Mixture)
    truth = exact.moments(*moments, None)[:2] if mixture else exact.kappa_and_c(*moments)
    found = phi.kappa_and_c(*moments)
    return tuple(np.abs(f - t).max() / np.abs(t).max() for f, t in zip(found, truth, strict=True))


def seconds(phi, q: float, repeats: int) -> float:
    """Return the median time of kappa of a block, in nanoseconds an entry; its variances are new each time."""
    times = []
    for _ in range(repeats):
        x = np.random.default_rng().normal(size=(SIDE, 8)) * np.sqrt(q / 8)
        variances, products = np.sum(x * x, axis=1), x @ x.T
        start = time.perf_counter()
        phi.kappa(variances[:, None], variances[None, :], products)
        times.append(time.perf_counter() - start)
    return statistics.median(times) / SIDE**2 * 1e9


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    print(f"{'activation':30}{'q':>6}{'orders':>8}{'at 0.9':>8}{'kappa':>10}{'kappa_c':>10}{'ns/entry':>10}")
    for name, (phi, exact) in named().items():
        for q in VARIANCES:
            orders, _, left = _orders.orders_for(phi, (q,), 1.0, None)
            at_less, *_ = _orders.orders_for(phi, (q,), 0.9, None)
            reached = left <= phi.tail
            try:
                errors = ("-", "-") if exact is None else tuple(f"{e:.0e}" for e in error(phi, exact, q))
                cost = f"{seconds(phi, q, repeats):.0f}"
            except ValueError:
                errors, cost = ("refused", ""), ""
            shown = str(orders) if reached else f">{orders}"
            print(
                f"{name:30}{q:>6g}{shown:>8}{at_less:>8}{errors[0]:>10}{errors[1]:>10}{cost:>10}", flush=True
            )


if __name__ == "__main__":
    main()
