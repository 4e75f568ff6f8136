"""The convergence grid of the adaptive kernel: 400 problems from easy to as hard as float64 allows."""

import itertools

import numpy as np

import kernel_collapse as kc
from kernel_collapse import activations

#: Every closed form, of which the exponential is slow enough to be finite five layers deep.
CLOSED = tuple("exp(1, 0.1)" if name == "exp" else name for name in activations.names())
EXPANDED = activations.names(expanded=True)
#: Those that a free energy can be made of.
WITHOUT_JUMPS = tuple(name for name in (*CLOSED, *EXPANDED) if not activations.get(name).jumps)
SMOOTH = WITHOUT_JUMPS

LAWS = ("D1", "D2", "overlap", "xor")
SIZES, DIMS, IMBALANCES = (64, 256), (1, 2, 8, 32, 128), (1, 7)
REGIMES = ((500, 1e-6), (50, 1e-6), (500, 1e-2), (20, 1e-4), (500, 1e-8))  # width, noise variance
GRID = tuple(itertools.product(LAWS, SIZES, DIMS, IMBALANCES, REGIMES))

MEANS = {"D1": (-2, 2), "D2": (-6, -2, 2, 6), "overlap": (-0.3, 0.3)}


def sizes(n, n_classes, imbalance):
    """Class sizes in the ratio 1 : imbalance, alternating."""
    shares = [1 if c % 2 == 0 else imbalance for c in range(n_classes)]
    counts = [n * share // sum(shares) for share in shares]
    counts[-1] += n - sum(counts)
    return counts


def problem(law, n, dim, imbalance, seed=0):
    """Inputs and targets. XOR has means (-2, -2), (2, 2) of one class and (-2, 2), (2, -2) of the other in the first
    two coordinates; on a line, the means of D2 with alternating targets."""
    if law != "xor":
        counts = sizes(n, len(MEANS[law]), imbalance)
        data = kc.data.gaussian_classes(n, dim, class_means=MEANS[law], class_sizes=counts, seed=seed)
        return data.x, data.targets
    counts = sizes(n, 4, imbalance)
    means = np.zeros((4, dim))
    if dim == 1:
        means[:, 0] = MEANS["D2"]
    else:
        means[:, :2] = [(-2, -2), (-2, 2), (2, 2), (2, -2)]
    data = kc.data.gaussian_classes(
        n, dim, class_means=list(means), class_sizes=counts, class_targets=[1, -1, 1, -1], seed=seed
    )
    return data.x, data.targets


def solve(law, n, dim, imbalance, regime, **options):
    """The solution of one problem of the grid."""
    x, y = problem(law, n, dim, imbalance)
    width, noise = regime
    return kc.solve_adaptive(x, y, width=width, noise_variance=noise, raise_on_failure=False, **options)


#: That of several layers: data, dimension, activation, depth, (width, noise variance); 64 balanced samples.
DEEP_REGIMES = ((500, 1e-6), (50, 1e-2), (100, 1e-4))
DEEP_GRID = tuple(itertools.product(LAWS, (1, 2, 8, 32), ("erf", "relu", "gelu"), (2, 3), DEEP_REGIMES))

#: Of each pair of (width, noise variance), depth and activation two, over all laws and dimensions; and four hard ones.
_STRATA = tuple(itertools.product(("erf", "relu", "gelu"), (2, 3), DEEP_REGIMES))
_PLACES = tuple(itertools.product(LAWS, (1, 2, 8, 32)))
DEEP_SAMPLE = tuple(
    (*_PLACES[5 * place % len(_PLACES)], *_STRATA[place % len(_STRATA)]) for place in range(2 * len(_STRATA))
) + (
    ("overlap", 2, "erf", 2, (100, 1e-4)),
    ("overlap", 2, "relu", 2, (500, 1e-6)),
    ("overlap", 2, "relu", 2, (100, 1e-4)),
    ("xor", 2, "relu", 2, (500, 1e-6)),
)
#: What takes more than 700 evaluations, most of a minute.
DEEP_LONG = (("overlap", 2, "erf", 3, (500, 1e-6)), ("overlap", 2, "erf", 3, (100, 1e-4)))


def solve_deep(law, dim, activation, depth, regime, **options):
    """The solution of one problem of the grid of several layers."""
    x, y = problem(law, 64, dim, 1)
    width, noise = regime
    options = {"activation": activation, "depth": depth, "width": width, "noise_variance": noise} | options
    return kc.solve_adaptive(x, y, raise_on_failure=False, **options)
